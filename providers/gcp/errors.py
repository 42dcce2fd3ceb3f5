"""GCE's codes to what to do next.

A stock-out arrives in the operation, not in the call. Source of the codes: Compute Engine documentation,
"Troubleshooting creating and updating VMs" and "Resource errors". An unknown code counts as uncertain.
"""

from typing import Final

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.protobuf.json_format import ParseError

from providers.errors import (
    DeniedError,
    InvalidError,
    ProviderError,
    QuotaError,
    ShortageError,
    ThrottledError,
    UnreachableError,
)

TYPES: Final[dict[str, type[ProviderError]]] = {
    "IAM_PERMISSION_DENIED": DeniedError,
    "accessNotConfigured": DeniedError,
    "authError": DeniedError,
    "billingNotEnabled": DeniedError,
    "forbidden": DeniedError,
    "RESOURCE_OPERATION_RATE_EXCEEDED": ThrottledError,
    "rateLimitExceeded": ThrottledError,
    "userRateLimitExceeded": ThrottledError,
    "QUOTA_EXCEEDED": QuotaError,
    "quotaExceeded": QuotaError,
    "UNSUPPORTED_OPERATION": ShortageError,
    "ZONE_RESOURCE_POOL_EXHAUSTED": ShortageError,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": ShortageError,
    "insufficientCapacity": ShortageError,
    "badRequest": InvalidError,
    "invalid": InvalidError,
    "invalidParameter": InvalidError,
    "required": InvalidError,
    "resourceNotFound": InvalidError,
    "RESOURCE_NOT_FOUND": InvalidError,
}

FAMILIES: Final = (GoogleAPICallError, RetryError, GoogleAuthError, requests.exceptions.RequestException, ParseError)
"""Every family of exceptions that the SDK lets through."""

ALREADY_EXISTS: Final = "alreadyExists"
NOT_FOUND: Final = "notFound"


def code_of(error: Exception) -> str:
    """Return GCE's own code of an error, or the name of its class."""
    if isinstance(error, GoogleAPICallError) and error.errors:
        first = error.errors[0]
        return str(first.get("reason", "")) if isinstance(first, dict) else type(error).__name__
    return type(error).__name__


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code = code_of(error)
    if isinstance(error, GoogleAuthError):
        return DeniedError("gcp", operation, code, str(error))
    return refusal(code, str(error), operation)


def refusal(code: str, message: str, operation: str) -> ProviderError:
    """Return our error for a code, of a call or of an operation."""
    return TYPES.get(code, UnreachableError)("gcp", operation, code, message)
