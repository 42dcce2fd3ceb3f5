"""The documents of a fleet, put together: one head, and each application over the fleet's defaults. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler.documents.origins import Source, merge
from scheduler.documents.plain_errors import NAME_REMEDY, in_plain_words
from scheduler.documents.spec_forms import (
    HEAD_FIELDS,
    ApplicationDocument,
    ApplicationFields,
    ApplicationHead,
    FleetDocument,
    SingleDocument,
)
from scheduler.documents.spec_sources import KINDS
from scheduler.documents.validation import not_a_mapping, problems_of
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
    are_defaults_known: bool = True
    """Whether the fleet's defaults could be read; else no field of an application is reported as missing."""
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
        problem = _kind_problem(document)
        if problem is not None:
            assembly.problems.append(problem)
            is_whole = False
        kind = _intended_kind(document.content, is_known=problem is None)
        if kind is not None:
            (bodies if kind == "Application" else heads).append(document)
    for other in heads[1:]:
        message = f"defines a second fleet; the first is at {heads[0].file}:{heads[0].line(())}"
        assembly.problems.append(Problem(other.file, other.line(()), "", message, "keep one of them"))
    if heads:
        _read_head(heads[0], assembly)
    elif is_whole:
        remedy = "add one with the fleet's name and its budget"
        assembly.problems.append(Problem(name, 1, "", "no document is of kind: Fleet", remedy))
    else:
        assembly.are_defaults_known = False
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


def _kind_problem(document: Document) -> Problem | None:
    """Return what is wrong with the kind of a document, or None."""
    content = document.content
    if not isinstance(content, dict):
        return not_a_mapping(document).problems[0]
    kind = content.get("kind")
    if "kind" in content and kind not in KINDS:
        return Problem(document.file, document.line(("kind",)), "kind", f"{kind!r} is not known", _KIND_REMEDY)
    if kind is None and "name" in content and "fleet" not in content:
        return Problem(document.file, document.line(()), "kind", "is missing", _KIND_REMEDY)
    return None


def _intended_kind(content: Any, *, is_known: bool) -> str | None:  # noqa: ANN401  whatever YAML holds
    """Return the kind of a document, by its fields where the kind is wrong; "" for a whole fleet, None for neither."""
    if not isinstance(content, dict):
        return None
    if is_known:
        return str(content.get("kind", ""))
    if _APPLICATION_SIGNS & content.keys():
        return "Application"
    return "Fleet" if _FLEET_SIGNS & content.keys() else None


_APPLICATION_SIGNS: Final = frozenset({"serve", "demand", "shapes"})
_FLEET_SIGNS: Final = frozenset({"budget", "defaults", "applications"})
_KIND_REMEDY: Final = f"use {' or '.join(KINDS)}"


def _read_head(document: Document, assembly: Assembly) -> None:
    content = document.content
    assembly.fleet = fleet = Source(document, (), content, document.lines)
    inline = content.get("applications")
    assembly.are_defaults_known = isinstance(content.get("defaults"), dict | None)
    given = {name: value for name, value in content.items() if name != "defaults"}
    if isinstance(inline, dict):
        given["applications"] = {}
    if "defaults" in content:
        defaults = Source(document, ("defaults",), content["defaults"], _part(document.lines, ("defaults",)))
        _checked(defaults, defaults.content, ApplicationFields, ApplicationFields, assembly.problems)
    if "kind" in content or ("fleet" not in content and "name" in content):
        given["kind"] = "Fleet"  # a wrong one is reported already
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
            assembly.count += 1
            assembly.problems.append(fleet.problem(place, *in_plain_words({"type": "dict_type", "input": body})))


def _add_document(document: Document, assembly: Assembly) -> None:
    content = document.content
    own = Source(document, (), content, document.lines)
    given = {name: content[name] for name in HEAD_FIELDS if name in content}
    given["kind"] = "Application"  # a wrong one is reported already
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
    model = Application if assembly.are_defaults_known else ApplicationFields
    application = _checked(source, source.content, model, form, assembly.problems)
    if name is not None:
        assembly.sources[name] = source
        if isinstance(application, Application):
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
