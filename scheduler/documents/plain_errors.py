"""What pydantic finds wrong with a value, in plain English: what is wrong, and what to write instead. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from providers.settings import NAME as SITE_NAME
from state.model.spec import LABEL_KEY, LABEL_VALUE, NAME, OWNER, REGION

SHOWN_MAX: Final = 60
"""Characters of a wrong value that a message repeats."""

_TEXT: Final = ("{value} is not text", "write text; quote it if it looks like a number")
_WHOLE: Final = ("{value} is not a whole number", "write a whole number")
_NUMBER: Final = ("{value} is not a number", "write a number")
_BOOLEAN: Final = ("{value} is neither true nor false", "write true or false")
_LIST: Final = ("{value} is not a list", "write a list, each item with a dash")
_MAPPING: Final = ("{value} is not a mapping", "write a mapping, one `name: value` a line")
_PATH: Final = ("{value} is not a path", "write a path as text")
_TIME: Final = ("{value} is not a date and time", "write one such as 2026-01-31T12:00:00Z")

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("is missing", "add it"),
    "missing_argument": ("is missing", "add it"),
    "extra_forbidden": ("is not a field of this document", "remove it, or correct its spelling"),
    "unexpected_keyword_argument": ("is not a field of this document", "remove it, or correct its spelling"),
    "string_type": _TEXT,
    "string_sub_type": _TEXT,
    "string_unicode": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": ("the number has too many digits", "write a smaller one"),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("{value} is not a finite number", "write a finite number"),
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "path_type": _PATH,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": ("{value} has no time zone", "add one, such as the Z of 2026-01-31T12:00:00Z"),
    "time_delta_type": ("{value} is not a length of time", "write one such as PT30S"),
    "time_delta_parsing": ("{value} is not a length of time", "write one such as PT30S"),
    "greater_than": ("{value} is too small", "write a number above {gt}"),
    "greater_than_equal": ("{value} is too small", "write {ge} or more"),
    "less_than": ("{value} is too large", "write a number below {lt}"),
    "less_than_equal": ("{value} is too large", "write {le} or less"),
    "string_too_short": ("{value} is too short", "write {min_length} or more characters"),
    "string_too_long": ("{value} is too long", "write {max_length} characters at most"),
    "too_short": ("has {actual_length} items", "write {min_length} or more"),
    "too_long": ("has {actual_length} items", "write {max_length} at most"),
    "literal_error": ("{value} is not known", "write {expected}"),
    "enum": ("{value} is not known", "use one of {expected}"),
    "string_pattern_mismatch": ("{value} does not look right", "{pattern}"),
    "json_invalid": ("is not JSON: {error}", ""),
}
"""Message and remedy by pydantic's name of the error; braces hold the value, and what pydantic knows of the rule."""

NAME_REMEDY: Final = "use lower-case letters, digits and dashes, a letter first, 40 characters at most"
_LABEL: Final = "use letters, digits and `-_.`, a letter or digit at both ends, 63 characters at most"
PATTERNS: Final[Mapping[str, str]] = {
    NAME: NAME_REMEDY,
    SITE_NAME: "use lower-case letters, digits and dashes, a letter or digit at both ends",
    REGION: "write provider/region, such as aws/eu-central-1",
    OWNER: "use letters, digits and `-_.@/`, a letter or digit at both ends, 63 characters at most",
    LABEL_KEY: f"{_LABEL}; a prefix is a DNS name and a slash",
    LABEL_VALUE: _LABEL,
}
"""What to write where a text must match a pattern."""


def in_plain_words(detail: Mapping[str, Any]) -> tuple[str, str]:
    """Return the message and the remedy of one of pydantic's error details; a rule of our own has its own message."""
    if detail["type"] not in WORDS:
        return str(detail["msg"]).removeprefix("Value error, "), ""
    message, remedy = WORDS[detail["type"]]
    known = {name: _limit(value) for name, value in detail.get("ctx", {}).items()}
    if "pattern" in known:
        known["pattern"] = PATTERNS.get(known["pattern"], f"it must match {known['pattern']}")
    known["value"] = _shown(detail["input"])
    return message.format_map(known), remedy.format_map(known)


def plain_lines(error: ValueError, names: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with a value, a line for each field; *names* has those that a person knows fields by."""
    if not isinstance(error, ValidationError):
        return [str(error)]
    lines = []
    for detail in error.errors(include_url=False):
        field = ".".join(map(str, detail["loc"]))
        message, remedy = in_plain_words(detail)
        subject = f"{(names or {}).get(field, field)}: " if field else ""
        lines.append(f"{subject}{message}" + (f"; {remedy}" if remedy else ""))
    return lines


def _limit(value: Any) -> str:  # noqa: ANN401  whatever pydantic knows of a rule
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _shown(value: Any) -> str:  # noqa: ANN401  whatever a document holds
    """Return a value as a message shows it: short, and as YAML spells it."""
    if value is None or isinstance(value, bool):
        return {None: "an empty value", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
