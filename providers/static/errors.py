"""A register's codes to what to do next. An unknown code counts as uncertain.

Source of every row: `STATUSES` of providers/static/server.py, which answers with these codes, and Werkzeug's names
of HTTP errors.
"""

from typing import Final

import httpx
from pydantic import ValidationError

from providers.errors import (
    DeniedError,
    Failure,
    InvalidError,
    ProviderError,
    Row,
    ShortageError,
    ThrottledError,
    classified,
    seconds_of,
)

OURS: Final = "providers/static/server.py, STATUSES"
HTTP: Final = "RFC 9110, section 15, as Werkzeug names its errors"

TABLE: Final[dict[str, Row]] = {
    "NoFreeMachine": Row(ShortageError, OURS),
    "Unauthorized": Row(DeniedError, OURS),
    "Forbidden": Row(DeniedError, HTTP),
    "TooManyRequests": Row(ThrottledError, HTTP),
    "BadRequest": Row(InvalidError, OURS),
    "MethodNotAllowed": Row(InvalidError, HTTP),
    "NotFound": Row(InvalidError, HTTP),
    "AssignmentOfAnother": Row(InvalidError, OURS),
    "RequestEntityTooLarge": Row(InvalidError, HTTP),
}

FAMILIES: Final = (httpx.HTTPError, ValidationError, ValueError, OSError)
"""Every family of exceptions that a call lets through; a page of HTML from something in between is a ValueError."""


class Answered(httpx.HTTPError):
    """The register answered, and not with success."""

    def __init__(self, response: httpx.Response) -> None:
        """Read what it said."""
        said = response.json().get("error", {}) if "json" in response.headers.get("Content-Type", "") else {}
        self.code, self.wait_s = str(said.get("code", response.status_code)), response.headers.get("Retry-After")
        super().__init__(str(said.get("message", response.reason_phrase)))


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of a call's."""
    if isinstance(error, Answered):
        return classified(Failure("static", operation, error.code, str(error), seconds_of(error.wait_s)), TABLE)
    if isinstance(error, FileNotFoundError | PermissionError):
        return DeniedError("static", operation, type(error).__name__, f"the register's token: {error}")
    return classified(Failure("static", operation, type(error).__name__, str(error)), TABLE)
