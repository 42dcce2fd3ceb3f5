"""Translation of a register's error codes to provider errors. An unknown code is judged by its status.

Source of every row: `STATUSES` of providers/static/server.py, and Werkzeug's names of HTTP errors.
"""

from typing import Final

import httpx
from pydantic import ValidationError

from providers.connections import not_connected
from providers.errors import (
    DeniedError,
    Failure,
    InvalidError,
    ProviderError,
    Row,
    ShortageError,
    ThrottledError,
    classified,
    wait_of,
)

REGISTER: Final = "providers/static/server.py, STATUSES"
HTTP_NAMES: Final = "RFC 9110, section 15, as Werkzeug names its errors"

TABLE: Final[dict[str, Row]] = {
    "NoFreeMachine": Row(ShortageError, REGISTER),
    "Unauthorized": Row(DeniedError, REGISTER),
    "Forbidden": Row(DeniedError, HTTP_NAMES),
    "TooManyRequests": Row(ThrottledError, HTTP_NAMES),
    "BadRequest": Row(InvalidError, REGISTER),
    "MethodNotAllowed": Row(InvalidError, HTTP_NAMES),
    "NotFound": Row(InvalidError, HTTP_NAMES),
    "OwnerMismatch": Row(InvalidError, REGISTER),
    "RequestEntityTooLarge": Row(InvalidError, HTTP_NAMES),
}

FAMILIES: Final = (httpx.HTTPError, ValidationError, ValueError, OSError)
"""Base classes of every exception of a call; an HTML page from a proxy is a ValueError."""


class RegisterResponseError(httpx.HTTPError):
    """The register responded with an error; `code` is its code, `wait_s` the time it asks to wait."""

    def __init__(self, response: httpx.Response) -> None:
        """Parse the error of a response; the HTTP status stands in for a missing code."""
        error = response.json().get("error", {}) if "json" in response.headers.get("Content-Type", "") else {}
        self.code = str(error.get("code", response.status_code))
        self.status = response.status_code
        self.wait_s = wait_of(response.headers)
        super().__init__(str(error.get("message", response.reason_phrase)))


def translated(error: Exception, operation: str) -> ProviderError:
    """Return the provider error for an exception of a call."""
    if isinstance(error, RegisterResponseError):
        failure = Failure("static", operation, error.code, str(error), error.wait_s, status=error.status)
        return classified(failure, TABLE)
    if isinstance(error, FileNotFoundError | PermissionError):
        return DeniedError("static", operation, type(error).__name__, f"cannot read the register's token: {error}")
    failed = not_connected("static", operation, error)
    return failed or classified(Failure("static", operation, type(error).__name__, str(error)), TABLE)
