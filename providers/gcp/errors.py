"""GCE's codes to what to do next. An unknown code counts as uncertain.

A stock-out arrives in the operation, not in the call.
"""

import re
from typing import Final

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError, TransportError
from google.protobuf.json_format import ParseError

from providers.connections import not_connected
from providers.errors import (
    DeniedError,
    Failure,
    InvalidError,
    ProviderError,
    QuotaError,
    Row,
    Scope,
    ShortageError,
    ThrottledError,
    classified,
    seconds_of,
)

CREATING: Final = "Compute Engine documentation, Troubleshooting creating and updating VMs"
RESOURCES: Final = "Compute Engine documentation, Troubleshooting resource availability errors"
RATES: Final = "Compute Engine documentation, API rate limits and errors of operations"
REASONS: Final = "Google Cloud APIs, Standard error responses: reasons"
SEEN: Final = "a public log of failed launches, 2026"

TABLE: Final[dict[str, Row]] = {
    "IAM_PERMISSION_DENIED": Row(DeniedError, REASONS),
    "SERVICE_DISABLED": Row(DeniedError, REASONS),
    "accessNotConfigured": Row(DeniedError, REASONS),
    "authError": Row(DeniedError, REASONS),
    "billingNotEnabled": Row(DeniedError, REASONS),
    "forbidden": Row(DeniedError, REASONS),
    "required": Row(DeniedError, REASONS),
    "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED": Row(ThrottledError, RATES),
    "RATE_LIMIT_EXCEEDED": Row(ThrottledError, RATES),
    "RESOURCE_OPERATION_RATE_EXCEEDED": Row(ThrottledError, RATES),
    "rateLimitExceeded": Row(ThrottledError, RATES),
    "userRateLimitExceeded": Row(ThrottledError, RATES),
    "QUOTA_EXCEEDED": Row(QuotaError, RESOURCES),
    "limitExceeded": Row(QuotaError, REASONS),
    "quotaExceeded": Row(QuotaError, RESOURCES),
    "UNSUPPORTED_OPERATION": Row(ShortageError, RESOURCES),
    "ZONE_RESOURCE_POOL_EXHAUSTED": Row(ShortageError, RESOURCES),
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Row(ShortageError, RESOURCES),
    "insufficientCapacity": Row(ShortageError, RESOURCES),
    "not offered": Row(ShortageError, SEEN),
    "resourceExhausted": Row(ShortageError, RESOURCES),
    "IP_SPACE_EXHAUSTED": Row(ShortageError, CREATING, Scope.MARKET_IN_REGION),
    "INVALID_FIELD_VALUE": Row(InvalidError, CREATING),
    "INVALID_USAGE": Row(InvalidError, CREATING),
    "RESOURCE_NOT_FOUND": Row(InvalidError, CREATING),
    "badRequest": Row(InvalidError, REASONS),
    "invalid": Row(InvalidError, REASONS),
    "invalidParameter": Row(InvalidError, REASONS),
    "resourceNotFound": Row(InvalidError, REASONS),
}

FAMILIES: Final = (GoogleAPICallError, RetryError, GoogleAuthError, requests.exceptions.RequestException, ParseError)
"""Every family of exceptions that the SDK lets through."""

ALREADY_EXISTS: Final = "alreadyExists"
NOT_FOUND: Final = "notFound"
NOT_OFFERED: Final = re.compile(r"cannot be used by .* machine type|machine type .* is not available in zone")
"""Messages about this machine type alone, under codes of invalid requests."""


def code_of(error: Exception) -> str:
    """Return GCE's own code of an error, or the name of its class."""
    if isinstance(error, GoogleAPICallError) and error.errors:
        first = error.errors[0]
        return str(first.get("reason", "")) if isinstance(first, dict) else type(error).__name__
    return type(error).__name__


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code = code_of(error)
    if isinstance(error, TransportError | requests.exceptions.RequestException):
        failed = not_connected("gcp", operation, error)
        if failed is not None:
            return failed
    if isinstance(error, GoogleAuthError):
        return DeniedError("gcp", operation, code, str(error))
    response = getattr(error, "response", None)
    wait = seconds_of(response.headers.get("Retry-After")) if isinstance(response, requests.Response) else None
    return refusal(code, str(error), operation, wait)


def refusal(code: str, message: str, operation: str, retry_after_s: float | None = None) -> ProviderError:
    """Return our error for a code, of a call or of an operation."""
    if TABLE.get(code, Row(ShortageError, "")).kind is InvalidError and NOT_OFFERED.search(message):
        return classified(Failure("gcp", operation, "not offered", f"{code}: {message}"), TABLE)
    return classified(Failure("gcp", operation, code, message, retry_after_s), TABLE)
