"""GCE's codes to what to do next. An unknown code is judged by its status: a client error is a refusal.

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
    wait_of,
)
from state.model.catalog import QuotaScope

CREATING: Final = "Compute Engine documentation, Troubleshooting creating and updating VMs"
RESOURCES: Final = "Compute Engine documentation, Troubleshooting resource availability errors"
RATES: Final = "Compute Engine documentation, API rate limits and errors of operations"
REASONS: Final = "Google Cloud APIs, Standard error responses: reasons"
POLICIES: Final = "Resource Manager documentation, Organization policy constraints: violations of a constraint"
SEEN: Final = "a public log of failed launches, 2026"

TABLE: Final[dict[str, Row]] = {
    "IAM_PERMISSION_DENIED": Row(DeniedError, REASONS),
    "PERMISSIONS_ERROR": Row(DeniedError, CREATING),
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
    "REGION_RESOURCE_POOL_EXHAUSTED": Row(ShortageError, RESOURCES, Scope.MARKET_IN_REGION),
    "REGION_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Row(ShortageError, RESOURCES, Scope.MARKET_IN_REGION),
    "insufficientCapacity": Row(ShortageError, RESOURCES),
    "not offered": Row(ShortageError, SEEN),
    "resourceExhausted": Row(ShortageError, RESOURCES),
    "IP_SPACE_EXHAUSTED": Row(ShortageError, CREATING, Scope.MARKET_IN_REGION),
    "INVALID_FIELD_VALUE": Row(InvalidError, CREATING),
    "INVALID_USAGE": Row(InvalidError, CREATING),
    "RESOURCE_NOT_FOUND": Row(InvalidError, CREATING),
    "badRequest": Row(InvalidError, REASONS),
    "conditionNotMet": Row(InvalidError, REASONS),
    "constraint violated": Row(DeniedError, POLICIES),
    "invalid": Row(InvalidError, REASONS),
    "invalidParameter": Row(InvalidError, REASONS),
    "resourceNotFound": Row(InvalidError, REASONS),
}

FAMILIES: Final = (GoogleAPICallError, RetryError, GoogleAuthError, requests.exceptions.RequestException, ParseError)
"""Every family of exceptions that the SDK lets through."""

ALREADY_EXISTS: Final = frozenset({"alreadyExists", "duplicate", "RESOURCE_ALREADY_EXISTS"})
"""They prove that a machine has the name: of the call, and of an operation."""
NOT_FOUND: Final = "notFound"
NOT_OFFERED: Final = re.compile(r"cannot be used by .* machine type|machine type .* is not available in zone")
"""Messages about this machine type alone, under codes of invalid requests."""
CONSTRAINT: Final = re.compile(r"\bconstraints?/\S+ violated|\bviolates constraint\b", re.IGNORECASE)
"""Messages about a policy of the organisation, under codes of invalid requests."""
METRIC: Final = re.compile(r"Quota '(\w+)' exceeded")
GLOBALLY: Final = re.compile(r"\bglobally\b|_ALL_REGIONS\b|_all_regions\b")
REGIONAL: Final = frozenset(
    {"CPUS", "PREEMPTIBLE_CPUS", "IN_USE_ADDRESSES", "SSD_TOTAL_GB", "DISKS_TOTAL_GB", "INSTANCES"}
)
"""Metrics that count every family of a region. Source: Compute Engine documentation, "Allocation quotas"."""


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
    status = int(error.code) if isinstance(error, GoogleAPICallError) and error.code is not None else None
    return refusal(code, str(error), operation, status, _wait(error))


def _wait(error: Exception) -> float | None:
    """Return the seconds that an answer asks to wait: by its header, or by a RetryInfo among its details."""
    response = getattr(error, "response", None)
    wait = wait_of(response.headers) if isinstance(response, requests.Response) else None
    if wait is not None:
        return wait
    for detail in getattr(error, "details", None) or ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return wait_of({"retry-after": str(detail.get("retryDelay", "")).removesuffix("s")})
    return None


def refusal(
    code: str, message: str, operation: str, status: int | None = None, retry_after_s: float | None = None
) -> ProviderError:
    """Return our error for a code, of a call or of an operation."""
    row = TABLE.get(code)
    inner: tuple[str, ...] = ()
    if row is None or row.kind is InvalidError:
        found = (("not offered", NOT_OFFERED), ("constraint violated", CONSTRAINT))
        inner = tuple(name for name, pattern in found if pattern.search(message))
    failure = Failure("gcp", operation, code, message, retry_after_s, status=status, inner=inner, limit=_limit(message))
    return classified(failure, TABLE)


def _limit(message: str) -> QuotaScope | None:
    """Return how wide a quota is by the message; None where it does not show that."""
    if GLOBALLY.search(message):
        return QuotaScope.ACCOUNT
    found = METRIC.search(message)
    return QuotaScope.REGION if found is not None and found.group(1) in REGIONAL else None
