"""The documents of a fleet, put together: one head, and each application over the fleet's defaults. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler.documents.origins import Source, merge
from scheduler.documents.plain_errors import NAME_REMEDY
from scheduler.documents.spec_forms import (
    HEAD_FIELDS,
    ApplicationDocument,
    ApplicationFields,
    ApplicationHead,
    FleetDocument,
    SingleDocument,
)
from scheduler.documents.spec_sources import KINDS
from scheduler.documents.validation import problems_of
from scheduler.documents.yaml_document import Document, Lines, Location, Problem
from state.model.spec import APPLICATIONS_MAX, NAME, Application

Form = TypeVar("Form", bound=BaseModel)
HeadDocument = SingleDocument | FleetDocument
_NAME: Final = re.compile(NAME)


@dataclass(slots=True)
class Assembly:
    """A fleet as far as its documents are right, and what is wrong with them."""

    fleet: Source | None = None
    """The document that is the fleet's head."""
    head: HeadDocument | None = None
    """The head's value, without its applications; None where it is wrong."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Every application by name, with the defaults merged in."""
    applications: dict[str, Application] = field(default_factory=dict)
    """Those that are right."""
    bodies: list[tuple[str | None, Source]] = field(default_factory=list)
    """Every application, right or wrong; None stands for the name of one without a name of its own."""
    count: int = 0
    """How many there are, those that are no mapping included."""
    problems: list[Problem] = field(default_factory=list)


def assemble(documents: Sequence[Document], name: str, *, is_whole: bool = True) -> Assembly:
    """Return the fleet that *documents* describe.

    Args:
        documents: The documents of the spec, of one file or of many.
        name: The file or folder that they come from.
        is_whole: Whether every document could be read; else nothing is reported as missing.
    """
    assembly = Assembly()
    heads: list[Document] = []
    bodies: list[Document] = []
    for document in documents:
        if _is_known_kind(document, assembly.problems):
            (bodies if document.content.get("kind") == "Application" else heads).append(document)
        else:
            is_whole = False
    for other in heads[1:]:
        message = f"defines a second fleet; the first stands at {heads[0].file}:{heads[0].line(())}"
        assembly.problems.append(Problem(other.file, other.line(()), "", message, "keep one of them"))
    if heads:
        _read_head(heads[0], assembly)
    elif is_whole:
        remedy = "add one with the fleet's name and its budget"
        assembly.problems.append(Problem(name, 1, "", "no document is of kind: Fleet", remedy))
    for document in bodies:
        _add_document(document, assembly)
    _check_count(assembly, is_whole=is_whole)
    return assembly


def _check_count(assembly: Assembly, *, is_whole: bool) -> None:
    if assembly.fleet is None:
        return
    if assembly.count > APPLICATIONS_MAX:
        message = f"{assembly.count} applications, {APPLICATIONS_MAX} at most"
        assembly.problems.append(assembly.fleet.problem((), message, "split the fleet"))
    if assembly.count == 0 and is_whole:
        remedy = "add one here, or a document of kind: Application"
        assembly.problems.append(assembly.fleet.problem(("applications",), "the fleet has no application", remedy))


def _is_known_kind(document: Document, problems: list[Problem]) -> bool:
    content = document.content
    if not isinstance(content, dict):
        problems.append(Problem(document.file, document.line(()), "", "must be a mapping of names to values"))
        return False
    kind = content.get("kind")
    if "kind" in content and kind not in KINDS:
        problems.append(
            Problem(document.file, document.line(("kind",)), "kind", f"{kind!r} is not known", _KIND_REMEDY)
        )
        return False
    if kind is None and "name" in content and "fleet" not in content:
        problems.append(Problem(document.file, document.line(()), "kind", "is missing", _KIND_REMEDY))
        return False
    return True


_KIND_REMEDY: Final = f"use {' or '.join(KINDS)}"


def _read_head(document: Document, assembly: Assembly) -> None:
    content = document.content
    assembly.fleet = fleet = Source(document, (), content, document.lines)
    inline = content.get("applications")
    given = {name: value for name, value in content.items() if name != "defaults"}
    if isinstance(inline, dict):
        given["applications"] = {}
    if "defaults" in content:
        defaults = Source(document, ("defaults",), content["defaults"], _part(document.lines, ("defaults",)))
        _checked(defaults, defaults.content, ApplicationFields, ApplicationFields, assembly.problems)
    if "kind" in content:
        assembly.head = _checked(fleet, given, FleetDocument, FleetDocument, assembly.problems)
    else:
        assembly.head = _checked(fleet, given, SingleDocument, SingleDocument, assembly.problems)
    for name, body in inline.items() if isinstance(inline, dict) else ():
        place: Location = ("applications", name)
        if _NAME.fullmatch(name) is None:
            assembly.problems.append(fleet.problem(place, f"{name!r} does not look right", NAME_REMEDY))
        if isinstance(body, dict):
            _add(name, _merged(document, place, body, assembly), Application, assembly)
        else:
            remedy = "write a mapping, one `name: value` a line"
            assembly.count += 1
            assembly.problems.append(fleet.problem(place, "must be a mapping of names to values", remedy))


def _add_document(document: Document, assembly: Assembly) -> None:
    content = document.content
    own = Source(document, (), content, document.lines)
    given = {name: content[name] for name in HEAD_FIELDS if name in content}
    head = _checked(own, given, ApplicationHead, ApplicationDocument, assembly.problems)
    name = None if head is None else head.name
    if name in assembly.sources:
        first = assembly.sources[name]
        line = first.document.line(first.place or ("name",))
        message = f"the application {name!r} is defined already at {first.document.file}:{line}"
        assembly.problems.append(own.problem(("name",), message, "rename one of them"))
        name = None
    body = {field: value for field, value in content.items() if field not in HEAD_FIELDS}
    _add(name, _merged(document, (), body, assembly), ApplicationDocument, assembly)


def _add(name: str | None, source: Source, form: type[BaseModel], assembly: Assembly) -> None:
    """Check an application, and keep it where it has a name of its own; *form* is the model that its document has."""
    assembly.count += 1
    assembly.bodies.append((name, source))
    application = _checked(source, source.content, Application, form, assembly.problems)
    if name is not None:
        assembly.sources[name] = source
        if application is not None:
            assembly.applications[name] = application


def _merged(document: Document, place: Location, body: dict[str, Any], assembly: Assembly) -> Source:
    """Return an application's part of a document, over the fleet's defaults where there are any."""
    lines = _part(document.lines, place)
    fleet = assembly.fleet
    base = None if fleet is None else fleet.content.get("defaults")
    if fleet is None or not isinstance(base, dict):
        return Source(document, place, body, lines)
    merged, merged_lines = merge(body, lines, base, _part(fleet.document.lines, ("defaults",)))
    return Source(document, place, merged, merged_lines, fleet.document)


def _part(lines: Lines, place: Location) -> Lines:
    for step in place:
        assert isinstance(lines, tuple)  # noqa: S101  the part is there
        lines = lines[1][step]
    return lines


def _checked(
    source: Source, content: Mapping[str, Any], model: type[Form], form: type[BaseModel], problems: list[Problem]
) -> Form | None:
    """Return *content* as a value, or None and its problems; *form* is the model whose fields a person may write."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems += problems_of(error, form, source.problem)
        return None
