"""YAML that people write, read safely, with the line of everything in it.

Refused: more than 64 KiB (or the limit given), aliases, duplicate keys, deep nesting, several documents.
Values are text, numbers, true, false and null; nothing else is guessed from their looks.
"""

import difflib
import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

SIZE_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 32
DIGITS_MAX: Final = 40

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document: where, what, and what to do."""

    file: str
    line: int
    field: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return `file:line: field: message (remedy)`."""
        place = f"{self.file}:{self.line}"
        subject = f" {self.field}:" if self.field else ""
        return f"{place}:{subject} {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class DocumentError(Exception):
    """A document is wrong; every problem is named."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the problems."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


@dataclass(slots=True)
class Document:
    """A document's content, and where each part of it stands."""

    file: str
    content: Any
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """Return the line of a part, or of the nearest part around it that has one."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1


def read_document(path: Path, size_max: int = SIZE_MAX) -> Document:
    """Return the one document of a file.

    Raises:
        DocumentError: It cannot be read, or is not allowed.
    """
    name = str(path)
    try:
        size = path.stat().st_size
        if size > size_max:
            raise DocumentError([Problem(name, 1, "", f"{size} bytes, {size_max} at most", "split it")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError([Problem(name, 1, "", error.strerror or "cannot be read", "check the path")]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([Problem(name, 1, "", "is not UTF-8 text")]) from error
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Return the one document of *text*.

    Raises:
        DocumentError: It is not YAML, or is not allowed.
    """
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([Problem(name, line, "", error.problem or "is not YAML")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DocumentError([Problem(name, 1, "", "is not YAML, or is nested too deeply")]) from error
    document = Document(name, None)
    problems: list[Problem] = []
    if node is None:
        problems.append(Problem(name, 1, "", "is empty"))
    else:
        document.content = _value(node, (), document, problems)
    if problems:
        raise DocumentError(problems)
    return document


def _refusal(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _compose(text: str) -> yaml.Node | None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not allowed: write it out"
            raise _refusal(problem, event)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag is not None:
            problem = f"the tag {event.tag} is not allowed"
            raise _refusal(problem, event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            problem = f"nested over {DEPTH_MAX} deep"
            raise _refusal(problem, event)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _value(node: yaml.Node, location: Location, document: Document, problems: list[Problem]) -> Any:  # noqa: ANN401
    line = node.start_mark.line + 1
    document.lines.setdefault(location, line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, document, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*location, n), document, problems) for n, item in enumerate(node.value)]
    try:
        return _scalar(node)
    except ValueError as error:
        problems.append(Problem(document.file, line, _dotted(location), str(error)))
        return None


def _mapping(node: yaml.MappingNode, location: Location, document: Document, problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            problems.append(Problem(document.file, line, _dotted(location), "a key must be plain text"))
            continue
        if key in found:
            first = document.lines[(*location, key)]
            message = f"stands here again; it stands in line {first} already"
            problems.append(Problem(document.file, line, _dotted((*location, key)), message, "keep one of them"))
            continue
        document.lines[(*location, key)] = line
        found[key] = _value(value_node, (*location, key), document, problems)
    return found


_INT: Final = re.compile(r"[-+]?\d+")
_FLOAT: Final = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}


def _scalar(node: yaml.Node) -> str | int | float | bool | None:
    text = str(node.value)
    if node.tag.startswith("!") or not node.tag.startswith("tag:yaml.org,2002:"):
        msg = f"the tag {node.tag} is not allowed"
        raise ValueError(msg)
    if node.style is not None:  # type: ignore[attr-defined]
        return text  # quoted, or a block
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
        if len(text) > DIGITS_MAX:
            msg = "the number has too many digits"
            raise ValueError(msg)
        value = int(text) if _INT.fullmatch(text) else float(text)
        if not math.isfinite(value):
            msg = "the number is too large"
            raise ValueError(msg)
        return value
    return text


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def validated(document: Document, model: type[Model]) -> Model:
    """Return a document as a value of *model*.

    Raises:
        DocumentError: It does not fit; all problems at once, with their lines.
    """
    if not isinstance(document.content, dict):
        raise DocumentError([Problem(document.file, 1, "", "must be a mapping of names to values")])
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        details = [dict(detail) for detail in error.errors(include_url=False)]
        problems = [_problem(document, detail, model) for detail in details if not _is_echo(detail, details)]
        raise DocumentError(sorted(problems, key=lambda problem: problem.line)) from error


REMEDIES: Final = {
    "missing": "add it",
    "extra_forbidden": "remove it, or correct its spelling",
    "string_type": "write text; quote it if it looks like a number",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "dict_type": "write a mapping, one `name: value` a line",
    "model_type": "write a mapping, one `name: value` a line",
    "tuple_type": "write a list, each item with a dash",
}


def _is_echo(detail: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    """Return whether a list is "too short" only because its items are wrong, which is said of them already."""
    location = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(location)] == location and other is not detail for other in details
    )


def _problem(document: Document, detail: dict[str, Any], model: type[BaseModel]) -> Problem:
    location: Location = tuple(part for part in detail["loc"] if part != "[key]")
    message = str(detail["msg"]).removeprefix("Value error, ")
    remedy = REMEDIES.get(detail["type"], "")
    if detail["type"] == "extra_forbidden":
        message = "is not a field of this document"
        near = _nearest(str(location[-1]), _siblings(model, location[:-1]))
        remedy = f"did you mean {near}?" if near else remedy
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] == "enum":
        remedy = f"use one of {detail['ctx']['expected']}"
        message = f"{detail['input']!r} is not known"
    elif detail["type"] == "string_pattern_mismatch":
        message = f"{detail['input']!r} does not look right"
        remedy = f"it must match {detail['ctx']['pattern']}"
    return Problem(document.file, document.line(location), _dotted(location), message, remedy)


def _siblings(model: type[BaseModel], location: Location) -> list[str]:
    """Return the names that stand beside a field of *model*, as far as its types tell."""
    schema = model.model_json_schema()
    here: dict[str, Any] = schema
    for part in location:
        here = _resolved(here, schema)
        properties = here.get("properties", {})
        following = (
            here.get("items") if isinstance(part, int) else properties.get(part, here.get("additionalProperties"))
        )
        if not isinstance(following, dict):
            return []
        here = following
    return list(_resolved(here, schema).get("properties", {}))


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    options = part.get("anyOf") or part.get("allOf") or [part]
    chosen: dict[str, Any] = next((o for o in options if "$ref" in o), options[0])
    reference = chosen.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else chosen


def _nearest(word: str, names: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)
