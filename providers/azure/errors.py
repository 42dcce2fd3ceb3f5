"""Azure's codes to what to do next, by `error.code`, never by status.

A failed creation arrives with status 200, and a stock-out with 409 as "resource exists". Source of the
codes: Azure documentation, "Troubleshoot common Azure deployment errors" and "Allocation failures". An
unknown code counts as uncertain.
"""

from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

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
    "AuthorizationFailed": DeniedError,
    "ExpiredAuthenticationToken": DeniedError,
    "InvalidAuthenticationToken": DeniedError,
    "InvalidAuthenticationTokenTenant": DeniedError,
    "LinkedAuthorizationFailed": DeniedError,
    "MissingSubscriptionRegistration": DeniedError,
    "ReadOnlyDisabledSubscription": DeniedError,
    "RequestDisallowedByPolicy": DeniedError,
    "ScopeLocked": DeniedError,
    "SubscriptionNotFound": DeniedError,
    "SubscriptionRequestsThrottled": ThrottledError,
    "TooManyRequests": ThrottledError,
    "QuotaExceeded": QuotaError,
    "OperationNotAllowed": QuotaError,
    "AllocationFailed": ShortageError,
    "OverconstrainedAllocationRequest": ShortageError,
    "OverconstrainedZonalAllocationRequest": ShortageError,
    "SkuNotAvailable": ShortageError,
    "ZonalAllocationFailed": ShortageError,
    "BadRequest": InvalidError,
    "ImageNotFound": InvalidError,
    "InvalidParameter": InvalidError,
    "InvalidRequestContent": InvalidError,
    "LocationNotAvailableForResourceType": InvalidError,
    "ResourceGroupNotFound": InvalidError,
}

ALREADY_EXISTS: Final = frozenset({"PreconditionFailed", "PropertyChangeNotAllowed"})
FAMILIES: Final = (AzureError,)
"""Every family of exceptions that the SDK lets through."""
NOT_FOUND: Final = frozenset({"ResourceNotFound", "NotFound"})
LEFT_BEHIND: Final = (ShortageError, QuotaError, InvalidError)
"""After these, a creation that was accepted first has left a VM resource behind."""


def code_of(error: Exception) -> str:
    """Return Azure's own code of an error, or the name of its class."""
    if isinstance(error, HttpResponseError) and error.error is not None and error.error.code:
        return str(error.error.code)
    return type(error).__name__


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code = code_of(error)
    if isinstance(error, ClientAuthenticationError):
        return DeniedError("azure", operation, code, str(error))
    return TYPES.get(code, UnreachableError)("azure", operation, code, str(error))
