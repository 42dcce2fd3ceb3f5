"""Documents against pydantic models: every problem with its line, its field and a remedy."""

import difflib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler.documents.plain_errors import in_plain_words
from scheduler.documents.yaml_document import Document, DocumentError, Location, Problem, dotted

Model = TypeVar("Model", bound=BaseModel)
Report = Callable[[Location, str, str], Problem]
"""Makes the problem of a location: message, remedy."""


def validated(document: Document, model: type[Model]) -> Model:
    """Return a document as a value of *model*.

    Raises:
        DocumentError: It does not fit; all problems at once, with their lines.
    """
    if not isinstance(document.content, dict):
        raise not_a_mapping(document)

    def report(location: Location, message: str, remedy: str) -> Problem:
        return Problem(document.file, document.line(location), dotted(location), message, remedy)

    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        problems = problems_of(error, model, report)
        raise DocumentError(sorted(problems, key=lambda problem: problem.line)) from error


def not_a_mapping(document: Document) -> DocumentError:
    """Return the error of a document that must be a mapping and is none."""
    message, remedy = in_plain_words({"type": "dict_type", "input": document.content})
    return DocumentError([Problem(document.file, document.line(()), "", message, remedy)])


def problems_of(error: ValidationError, model: type[BaseModel], report: Report) -> list[Problem]:
    """Return the problems that pydantic found with a value of *model*, in its order."""
    details = [dict(detail) for detail in error.errors(include_url=False)]
    return [_problem(detail, model, report) for detail in details if not _is_echo(detail, details)]


def _is_echo(detail: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    """Return whether a list is "too short" only because its items are wrong, which has its own problems."""
    location = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(location)] == location and other is not detail for other in details
    )


def _problem(detail: dict[str, Any], model: type[BaseModel], report: Report) -> Problem:
    location: Location = tuple(part for part in detail["loc"] if part != "[key]")
    message, remedy = in_plain_words(detail)
    if detail["type"] == "extra_forbidden":
        near = nearest(str(location[-1]), _siblings(model, location[:-1]))
        remedy = f"did you mean {near}?" if near else remedy
    return report(location, message, remedy)


@lru_cache(maxsize=256)
def _siblings(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Return the names that stand beside a field of *model*, as far as its types show."""
    schema = _schema(model)
    here: dict[str, Any] = schema
    for part in location:
        here = _resolved(here, schema)
        properties = here.get("properties", {})
        following = (
            here.get("items") if isinstance(part, int) else properties.get(part, here.get("additionalProperties"))
        )
        if not isinstance(following, dict):
            return ()
        here = following
    return tuple(_resolved(here, schema).get("properties", {}))


@lru_cache(maxsize=16)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    options = part.get("anyOf") or part.get("allOf") or [part]
    chosen: dict[str, Any] = next((o for o in options if "$ref" in o), options[0])
    reference = chosen.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else chosen


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that is spelt most like *word*, or None where none is near."""
    return next(iter(difflib.get_close_matches(word, list(names), n=1)), None)
