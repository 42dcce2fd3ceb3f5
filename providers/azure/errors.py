"""Azure's codes to what to do next: the code and the codes of nested details; status 429 is throttling under any code.

A failed creation arrives with status 200, and a stock-out with 409 as "resource exists". A code that the table lacks is
judged by its status: a client error other than a conflict is a refusal.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.identity import CredentialUnavailableError

from providers.connections import not_connected
from providers.errors import (
    DeniedError,
    Failure,
    InvalidError,
    NotConnectedError,
    ProviderError,
    QuotaError,
    Row,
    Scope,
    ShortageError,
    ThrottledError,
    classified,
    wait_of,
)
from state.model.catalog import QuotaScope

DEPLOYING: Final = "Azure Resource Manager documentation, Troubleshoot common Azure deployment errors"
ALLOCATING: Final = "Azure documentation, Troubleshoot allocation failures when you create VMs"
SKUS: Final = "Azure documentation, Resolve errors for SKU not available"
QUOTAS: Final = "Azure documentation, Resolve errors for resource quotas"
LIMITS: Final = "Azure documentation, Troubleshooting API throttling errors of Compute"
COMMON: Final = "Microsoft REST API guidelines for Azure, Common error codes"
SEEN: Final = "a public log of failed launches, 2026"

TABLE: Final[dict[str, Row]] = {
    "AuthorizationFailed": Row(DeniedError, DEPLOYING),
    "DisallowedProvider": Row(DeniedError, DEPLOYING),
    "ExpiredAuthenticationToken": Row(DeniedError, COMMON),
    "InvalidAuthenticationToken": Row(DeniedError, COMMON),
    "InvalidAuthenticationTokenTenant": Row(DeniedError, COMMON),
    "LinkedAuthorizationFailed": Row(DeniedError, DEPLOYING),
    "MissingSubscriptionRegistration": Row(DeniedError, DEPLOYING),
    "ReadOnlyDisabledSubscription": Row(DeniedError, COMMON),
    "RequestDisallowedByPolicy": Row(DeniedError, DEPLOYING),
    "ScopeLocked": Row(DeniedError, COMMON),
    "SubscriptionNotFound": Row(DeniedError, DEPLOYING),
    "NicReservedForAnotherVm": Row(ThrottledError, SEEN),
    "OperationNotAllowedDueToThrottling": Row(ThrottledError, LIMITS),
    "OperationNotAllowed_TooManyRequests": Row(ThrottledError, LIMITS),
    "ResourceRequestsThrottled": Row(ThrottledError, LIMITS),
    "SubscriptionRequestsThrottled": Row(ThrottledError, LIMITS),
    "TenantRequestsThrottled": Row(ThrottledError, LIMITS),
    "TooManyRequests": Row(ThrottledError, LIMITS),
    "TooManyRequestsReceived": Row(ThrottledError, LIMITS),
    "PublicIPCountLimitReached": Row(QuotaError, QUOTAS, limit=QuotaScope.REGION),
    "QuotaExceeded": Row(QuotaError, QUOTAS),
    "exceeding quota": Row(QuotaError, QUOTAS),
    "AllocationFailed": Row(ShortageError, ALLOCATING, Scope.MARKET_IN_REGION),
    "OverconstrainedAllocationRequest": Row(ShortageError, ALLOCATING, Scope.MARKET_IN_REGION),
    "OverconstrainedZonalAllocationRequest": Row(ShortageError, ALLOCATING),
    "SkuNotAvailable": Row(ShortageError, SKUS, Scope.MARKET_IN_REGION),
    "ZonalAllocationFailed": Row(ShortageError, ALLOCATING),
    "not offered": Row(ShortageError, SEEN, Scope.MARKET_IN_REGION),
    "not offered in the zone": Row(ShortageError, SKUS),
    "BadRequest": Row(InvalidError, COMMON),
    "ImageNotFound": Row(InvalidError, DEPLOYING),
    "InvalidParameter": Row(InvalidError, COMMON),
    "InvalidRequestContent": Row(InvalidError, DEPLOYING),
    "LocationNotAvailableForResourceGroup": Row(InvalidError, SEEN),
    "LocationNotAvailableForResourceType": Row(InvalidError, DEPLOYING),
    "OperationNotAllowed": Row(InvalidError, QUOTAS),
    "ResourceGroupNotFound": Row(InvalidError, DEPLOYING),
    "ResourceNotFound": Row(InvalidError, DEPLOYING),
}

ALREADY_EXISTS: Final = frozenset(
    {
        "AnotherOperationInProgress",
        "InvalidResourceLocation",
        "PreconditionFailed",
        "PropertyChangeNotAllowed",
        "ResourceExists",
        "ResourceAlreadyExists",
    }
)
"""They prove that a VM has the name. Source: Azure documentation, "Troubleshoot common Azure deployment errors", and
the REST reference of virtual machines, `If-None-Match`."""
FAMILIES: Final = (AzureError,)
"""Every family of exceptions that the SDK lets through."""
NO_CREDENTIALS: Final = "DefaultAzureCredential failed to retrieve a token"
"""How azure-identity begins the page in which each part of its chain gives its reason."""
SIGN_IN_FAILED: Final = re.compile(
    r"Authentication failed: HTTPS?Connection(?:Pool)?\(host='([^']+)', port=(\d+)\).*?"
    r"(refused|resolve|timed out|aborted|certificate)"
)
"""How that page quotes urllib3 where there is no connection to the sign-in service: the chain keeps the text alone."""
SIGN_IN_FAULTS: Final = {
    "refused": "refuses the connection",
    "resolve": "does not resolve",
    "timed out": "times out",
    "aborted": "ends the connection",
    "certificate": "has a certificate that is not trusted",
}
NOT_FOUND: Final = frozenset({"ResourceNotFound", "NotFound"})
LEFT_BEHIND: Final = (ShortageError, QuotaError, InvalidError)
"""After these, a creation that was accepted first has left a VM resource behind."""

WHOLE_REGION: Final = re.compile(
    r"Total Regional|lowPriorityCores|Low ?Priority ?(?:Cores|vCPUs)|\b[Rr]egional [Cc]ores"
)
"""Messages about a limit that counts every family of a region."""
BY_WORDS: Final = (
    ("OperationNotAllowed", re.compile(r"quota", re.IGNORECASE), "exceeding quota"),
    ("SkuNotAvailable", re.compile(r"in zones? '"), "not offered in the zone"),
    ("InvalidParameter", re.compile(r"VM size .* is not available"), "not offered"),
    ("BadRequest", re.compile(r"VM size .* is not supported"), "not offered"),
)
"""Codes with several meanings: (code, pattern of the message, row)."""


def code_of(error: Exception) -> str:
    """Return Azure's own code of an error, or the name of its class."""
    if isinstance(error, HttpResponseError) and error.error is not None and error.error.code:
        return str(error.error.code)
    return type(error).__name__


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code, words = code_of(error), str(error)
    if words.startswith(NO_CREDENTIALS) and (found := SIGN_IN_FAILED.search(words)):
        host, port, fault = found.groups()
        return NotConnectedError("azure", operation, code, f"{host}:{port} {SIGN_IN_FAULTS[fault]}")
    if not isinstance(error, ClientAuthenticationError | HttpResponseError):
        failed = not_connected("azure", operation, error)
        if failed is not None:
            return failed
    if isinstance(error, CredentialUnavailableError) or words.startswith(NO_CREDENTIALS):
        return DeniedError("azure", operation, code, "azure-identity's default chain finds no credentials")
    if isinstance(error, ClientAuthenticationError):
        return DeniedError("azure", operation, code, words)
    response, status = getattr(error, "response", None), getattr(error, "status_code", None)
    inner = tuple(_inner(getattr(error, "error", None)))
    row = next((row for known, pattern, row in BY_WORDS if known == code and pattern.search(words)), code)
    failure = Failure(
        provider="azure",
        operation=operation,
        code=row,
        detail=words,
        retry_after_s=wait_of(response.headers) if response is not None else None,
        status=status if isinstance(status, int) else None,
        inner=inner,
        limit=QuotaScope.REGION if WHOLE_REGION.search(words) else None,
    )
    ours = classified(failure, TABLE)
    ours.code = code
    return ours


def _inner(error: Any) -> Iterator[str]:  # noqa: ANN401  the SDK's, whose fields are whatever Azure sent
    """Yield the codes inside an error, from the outermost to the innermost: of its details, and of its inner error."""
    for detail in getattr(error, "details", None) or ():
        if isinstance(code := getattr(detail, "code", None), str):
            yield code
        yield from _inner(detail)
    found: Any = getattr(error, "innererror", None)
    while isinstance(found, dict):
        yield from (found[name] for name in ("code", "internalErrorCode") if isinstance(found.get(name), str))
        found = found.get("innererror")
