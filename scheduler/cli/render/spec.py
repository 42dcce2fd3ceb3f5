"""A loaded fleet in words and in YAML: warnings, and the resolved spec with where each value comes from. Pure."""

import re
from collections.abc import Iterator
from typing import Any, Final, assert_never

import yaml

from scheduler.documents.loaded_fleet import LoadedFleet
from scheduler.documents.origins import Origin, OriginKind
from scheduler.documents.spec_warnings import SpecWarning, WarningKind
from scheduler.documents.yaml_document import Location, dotted

NAMES_MAX: Final = 10
"""As many applications are listed by name in one line."""
COLUMN: Final = 56
"""Where the comments begin, unless the value is longer."""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def warning_text(warning: SpecWarning) -> str:
    """Return a warning in words: `file:line: warning: what; what to do`."""
    place = warning.file if warning.line is None else f"{warning.file}:{warning.line}"
    return f"{place}: warning: {_warning_words(warning)}"


def _warning_words(warning: SpecWarning) -> str:
    match warning.kind:
        case WarningKind.AUTOSCALING_IGNORED:
            subject = f"{warning.application}: autoscaling of deployment {warning.subject} is not used"
            return f"{subject}: replica counts come from the capacity spec; set demand there"
        case WarningKind.FILE_IGNORED:
            return "ignored: it holds no document with apiVersion: skerry/v1, and no application refers to it"
        case WarningKind.GPU_UNKNOWN:
            near = f"; did you mean {' or '.join(warning.alternatives)}?" if warning.alternatives else ""
            subject = f"{warning.application}: no cloud sells the GPU {warning.subject!r}"
            return f"{subject}, so that only your own machines can serve it{near}"
        case _:
            assert_never(warning.kind)


def warning_json(warning: SpecWarning) -> dict[str, Any]:
    """Return a warning as JSON."""
    place = {"kind": warning.kind.value, "file": warning.file, "line": warning.line}
    subject = {"application": warning.application, "subject": warning.subject or None}
    return {**place, **subject, "message": _warning_words(warning)}


def names_text(names: list[str]) -> str:
    """Return the names of applications, or how many there are where a line cannot hold them."""
    return f"applications {', '.join(names)}" if len(names) <= NAMES_MAX else f"{len(names)} applications"


def resolved(fleet: LoadedFleet) -> dict[str, Any]:
    """Return the spec in force, each default filled in; fields without a value are left out."""
    content: dict[str, Any] = fleet.wanted.spec.model_dump(mode="json", exclude_none=True)
    return content


def origins_json(fleet: LoadedFleet) -> dict[str, dict[str, Any]]:
    """Return where each value of the resolved spec comes from, by its path."""
    leaves = _leaves((), resolved(fleet))
    return {dotted(location): _origin_json(fleet.origin(location)) for location in leaves}


def _leaves(location: Location, value: Any) -> Iterator[Location]:  # noqa: ANN401  JSON
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves((*location, name), inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for n, inner in enumerate(value):
            yield from _leaves((*location, n), inner)
    else:
        yield location


def _origin_json(origin: Origin) -> dict[str, Any]:
    return {"from": origin.kind.value, "file": origin.file, "line": origin.line}


def resolved_yaml(fleet: LoadedFleet) -> str:
    """Return the resolved spec as YAML, one value a line, with a comment that names where it comes from.

    The text is a valid spec in one document; its Serve configs are relative to the folder of the fleet.
    """
    return "".join(_lines(fleet, (), resolved(fleet)))


def _lines(fleet: LoadedFleet, location: Location, content: dict[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in content.items():
        here, start = (*location, name), f"{indent}{_scalar(name)}:"
        if isinstance(value, dict) and value:
            yield f"{start}\n"
            yield from _lines(fleet, here, value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{start}\n"
            for n, item in enumerate(value):
                first, *rest = _lines(fleet, (*here, n), item, indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            yield f"{f'{start} {_flow(value)}':<{COLUMN}}  # {_origin_text(fleet.origin(here))}\n"


def _origin_text(origin: Origin) -> str:
    return origin.kind.value if origin.kind is OriginKind.BUILT_IN else f"{origin.kind}, {origin.file}:{origin.line}"


def _flow(value: Any) -> str:  # noqa: ANN401  JSON
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:  # noqa: ANN401  JSON
    """Return a scalar that reads back as itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        quoted: str = yaml.safe_dump(value, default_style='"', width=float("inf"))
        return quoted.removesuffix("\n")
    return repr(value)
