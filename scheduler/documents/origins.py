"""Where each value of a resolved fleet comes from: its own document, the fleet's defaults, or built in."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scheduler.documents.yaml_document import Document, Lines, Location, Problem, dotted


class OriginKind(StrEnum):
    """Where a value was given."""

    OWN = "own"
    DEFAULTS = "defaults"
    BUILT_IN = "built-in"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given, with its file and line; a built-in value has neither."""

    kind: OriginKind
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Inherited:
    """The lines of a part that the defaults give."""

    lines: Lines


MergedLines = int | tuple[int, Mapping[Hashable, "MergedLines | Inherited"]]


def merge(
    own: Mapping[str, Any], own_lines: MergedLines, base: Mapping[str, Any], base_lines: Lines
) -> tuple[dict[str, Any], MergedLines]:
    """Return *own* over *base*, and the lines of both: mappings merge, all else replaces, null leaves a default out."""
    assert isinstance(own_lines, tuple) and isinstance(base_lines, tuple)  # noqa: S101, PT018  mappings have parts
    content, lines = dict(own), dict(own_lines[1])
    for key, value in base.items():
        theirs = base_lines[1][key]
        mine = lines.get(key)
        if key not in content:
            content[key], lines[key] = value, Inherited(theirs)
        elif content[key] is None:
            del content[key], lines[key]
        elif isinstance(content[key], dict) and isinstance(value, dict) and not isinstance(mine, Inherited | None):
            content[key], lines[key] = merge(content[key], mine, value, theirs)
    return content, (own_lines[0], lines)


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a document, merged over the fleet's defaults where it has any."""

    document: Document
    place: Location
    """Where it stands in its document."""
    content: Mapping[str, Any]
    lines: MergedLines
    defaults: Document | None = None
    """The document that holds the defaults."""

    def value(self, *location: Hashable) -> Any:  # noqa: ANN401  whatever YAML holds
        """Return the value that is written at *location*, valid or not; None where there is none."""
        here: Any = self.content
        for part in location:
            if not isinstance(here, Mapping) or part not in here:
                return None
            here = here[part]
        return here

    def origin(self, location: Location) -> Origin:
        """Return where the value at *location* was given."""
        depth, line, is_inherited = self._follow(location)
        if depth < len(location):
            return Origin(OriginKind.BUILT_IN)
        if is_inherited and self.defaults is not None:
            return Origin(OriginKind.DEFAULTS, self.defaults.file, line)
        return Origin(OriginKind.OWN, self.document.file, line)

    def problem(self, location: Location, message: str, remedy: str = "") -> Problem:
        """Return a problem of *location*, at its line or at that of the nearest part around it."""
        _, line, is_inherited = self._follow(location)
        if is_inherited and self.defaults is not None:
            return Problem(self.defaults.file, line, dotted(("defaults", *location)), message, remedy)
        remedy = remedy or self._inheritance(location)
        return Problem(self.document.file, line, dotted((*self.place, *location)), message, remedy)

    def _follow(self, location: Location) -> tuple[int, int, bool]:
        """Return how far *location* leads, the line there, and whether the defaults give it."""
        here, is_inherited = self.lines, False
        for depth, part in enumerate(location):
            following = None if isinstance(here, int) else here[1].get(part)
            if following is None:
                return depth, here if isinstance(here, int) else here[0], is_inherited
            if isinstance(following, Inherited):
                is_inherited, here = True, following.lines
            else:
                here = following
        return len(location), here if isinstance(here, int) else here[0], is_inherited

    def _inheritance(self, location: Location) -> str:
        """Return which fields of a mapping the defaults give, since a rule between fields may be broken by them."""
        here: MergedLines | Inherited | None = self.lines
        for part in location:
            here = here[1].get(part) if isinstance(here, tuple) else None
        fields = (
            sorted(str(k) for k, v in here[1].items() if isinstance(v, Inherited)) if isinstance(here, tuple) else []
        )
        if not fields or not location:
            return ""
        return f"{', '.join(fields)} comes from the fleet's defaults: write {fields[0]}: null to leave it out"
