"""YAML that people write, parsed safely, with the line of everything in it.

Refused: aliases, duplicate keys, tags, nesting over 32 deep.
Values are text, numbers, true, false and null; nothing else is guessed from their looks.
"""

import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml

DEPTH_MAX: Final = 32
DIGITS_MAX: Final = 40
LOADER: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, where PyYAML was built with it: fifteen times as fast as the one in Python."""

Location = tuple[Hashable, ...]
Lines = int | tuple[int, Mapping[Hashable, "Lines"]]
"""Where a part stands: its line, and for a mapping or a list also where its parts stand, by key or position."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document: where, what, and what to do."""

    file: str
    line: int
    field: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return `file:line: field: message; remedy`."""
        place = f"{self.file}:{self.line}"
        subject = f" {self.field}:" if self.field else ""
        return f"{place}:{subject} {self.message}" + (f"; {self.remedy}" if self.remedy else "")


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
    lines: Lines = 1

    def line(self, location: Location) -> int:
        """Return the line of a part, or of the nearest part around it that has one."""
        here = self.lines
        for part in location:
            if isinstance(here, int) or part not in here[1]:
                break
            here = here[1][part]
        return here if isinstance(here, int) else here[0]


def dotted(location: Location) -> str:
    """Return a location as a person writes it: `shapes[0].gpu`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_document(text: str, name: str) -> Document:
    """Return the one document of *text*.

    Raises:
        DocumentError: The text is not YAML, or holds what is not allowed.
    """
    documents = parse_documents(text, name)
    if not documents:
        raise DocumentError([Problem(name, 1, "", "is empty")])
    if len(documents) > 1:
        message = "expected one document, but found another document"
        raise DocumentError([Problem(name, documents[1].line(()), "", message)])
    return documents[0]


def parse_documents(text: str, name: str, loader: type[Any] = LOADER) -> list[Document]:
    """Return the documents of *text*, in order; those without content, such as after a last `---`, are left out.

    Args:
        text: YAML, its documents separated by lines of `---`.
        name: The name of the file, for messages.
        loader: PyYAML's loader class to parse with.

    Raises:
        DocumentError: The text is not YAML, or holds what is not allowed; every problem that can be found is named.
    """
    documents, problems = documents_and_problems(text, name, loader)
    if problems:
        raise DocumentError(problems)
    return documents


def documents_and_problems(text: str, name: str, loader: type[Any] = LOADER) -> tuple[list[Document], list[Problem]]:
    """Return the documents of *text* as far as they can be read, and what is wrong with the text.

    What is not allowed is None in its document, and the first of two equal keys counts. Where the text is not YAML,
    the documents before that place are returned.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    try:
        parser = loader(text)
        try:
            for document in _Reader(parser, name, problems).documents():
                documents.append(document)  # noqa: PERF402  an error must leave those before it
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems.append(Problem(name, line, "", error.problem or "is not YAML"))
    except (yaml.YAMLError, RecursionError, ValueError):
        problems.append(_unparsed(text, name))
    return documents, problems


def _unparsed(text: str, name: str) -> Problem:
    """Return why a parser gave up without a place."""
    found = _CONTROL.search(text)
    if found is None:
        return Problem(name, 1, "", "is not YAML, or is nested too deeply", "check it")
    line = text.count("\n", 0, found.start()) + 1
    message = f"has the control character U+{ord(found[0]):04X}, which YAML does not allow"
    return Problem(name, line, "", message, "remove it")


class _Reader:
    """Reads values straight from a parser's events: building PyYAML's nodes first takes five times as long."""

    def __init__(self, parser: Any, name: str, problems: list[Problem]) -> None:  # noqa: ANN401  PyYAML's, untyped
        self._next = parser.get_event
        self._name = name
        self._problems = problems
        self._path: list[Hashable] = []

    def documents(self) -> Iterator[Document]:
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                first = self._next()
                content, parts = self._value(first)
                line = first.start_mark.line + 1
                if content is not None or parts is not None:
                    yield Document(self._name, content, line if parts is None else (line, parts))

    def _value(self, event: Any) -> tuple[Any, dict[Hashable, Lines] | None]:  # noqa: ANN401
        """Return the value that begins with *event*, and where its parts stand; None for a scalar."""
        if isinstance(event, yaml.ScalarEvent):
            try:
                return _scalar(event), None
            except ValueError as error:
                self._refuse(event, str(error))
                return None, None
        self._check(event)
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag} is not allowed")
        return self._mapping() if isinstance(event, yaml.MappingStartEvent) else self._sequence()

    def _sequence(self) -> tuple[list[Any], dict[Hashable, Lines]]:
        found: list[Any] = []
        lines: dict[Hashable, Lines] = {}
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            number, line = len(found), event.start_mark.line + 1
            self._path.append(number)
            value, parts = self._value(event)
            self._path.pop()
            lines[number] = line if parts is None else (line, parts)
            found.append(value)
        return found, lines

    def _mapping(self) -> tuple[dict[str, Any], dict[Hashable, Lines]]:
        found: dict[str, Any] = {}
        lines: dict[Hashable, Lines] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                self._skip(event)
                self._refuse(event, "a key must be plain text")
                self._skip(self._next())
                continue
            key = event.value
            self._path.append(key)
            if key in found:
                first = lines[key]
                message = f"is given twice; first in line {first if isinstance(first, int) else first[0]}"
                self._refuse(event, message, "keep one of them")
                self._skip(self._next())
            else:
                value, parts = self._value(self._next())
                lines[key] = line if parts is None else (line, parts)
                found[key] = value
            self._path.pop()
        return found, lines

    def _skip(self, event: Any) -> None:  # noqa: ANN401
        """Pass over the value that begins with *event*."""
        depth = 0
        while True:
            if not isinstance(event, yaml.CollectionEndEvent):
                self._check(event, depth)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return
            event = self._next()

    def _check(self, event: Any, depth: int = 0) -> None:  # noqa: ANN401
        """Refuse what makes going on pointless.

        Raises:
            yaml.MarkedYAMLError: An alias, or nesting that is too deep.
        """
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not allowed: write it out"
        elif len(self._path) + depth >= DEPTH_MAX and isinstance(event, yaml.CollectionStartEvent):
            problem = f"nested over {DEPTH_MAX} deep"
        if problem is not None:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

    def _refuse(self, event: Any, message: str, remedy: str = "") -> None:  # noqa: ANN401
        line = event.start_mark.line + 1
        self._problems.append(Problem(self._name, line, dotted(tuple(self._path)), message, remedy))


_CONTROL: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.1 does not allow in a document."""
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}


def _scalar(event: Any) -> str | int | float | bool | None:  # noqa: ANN401
    text: str = event.value
    if event.tag is not None:
        msg = f"the tag {event.tag} is not allowed"
        raise ValueError(msg)
    return text if event.style else _plain(text)  # quoted or a block, or else plain


@lru_cache(maxsize=4096)
def _plain(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar; the same few make up most of a large fleet.

    Raises:
        ValueError: A number that is too long or too large.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if not _FLOAT.fullmatch(text):
        return text
    if len(text) > DIGITS_MAX:
        msg = "the number has too many digits; write a shorter one, or quote it if it is text"
        raise ValueError(msg)
    value = int(text) if _INT.fullmatch(text) else float(text)
    if not math.isfinite(value):
        msg = "the number is too large; write a smaller one, or quote it if it is text"
        raise ValueError(msg)
    return value
