"""EC2's codes to what to do next. An unknown code is judged by its status: a client error is a refusal.

A launch that might have happened must not be repeated under another id.
"""

import re
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

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

CODES: Final = "EC2 API reference, Error codes for the Amazon EC2 API"
COMMON: Final = "AWS general reference, Common errors of AWS APIs"
THROTTLES: Final = "botocore, retries/special and standard: codes that count as throttling"
SPOT: Final = "EC2 User Guide, Spot Instance request status and limits"
FLEET: Final = "EC2 API reference, CreateFleetError"
QUEUES: Final = "Amazon SQS API reference, ReceiveMessage, Errors"
QUOTAS: Final = "Service Quotas API reference, Errors"
SDK: Final = "botocore, exceptions: raised before a request is sent"

TABLE: Final[dict[str, Row]] = {
    "AccessDenied": Row(DeniedError, COMMON),
    "AccessDeniedException": Row(DeniedError, COMMON),
    "AuthFailure": Row(DeniedError, CODES),
    "Blocked": Row(DeniedError, CODES),
    "ExpiredToken": Row(DeniedError, COMMON),
    "ExpiredTokenException": Row(DeniedError, COMMON),
    "IncompleteSignature": Row(DeniedError, COMMON),
    "InvalidClientTokenId": Row(DeniedError, COMMON),
    "MissingAuthenticationToken": Row(DeniedError, COMMON),
    "NotAuthorized": Row(DeniedError, COMMON),
    "OptInRequired": Row(DeniedError, CODES),
    "PendingVerification": Row(DeniedError, CODES),
    "RequestExpired": Row(DeniedError, CODES),
    "SignatureDoesNotMatch": Row(DeniedError, COMMON),
    "UnauthorizedOperation": Row(DeniedError, CODES),
    "UnrecognizedClientException": Row(DeniedError, COMMON),
    "BandwidthLimitExceeded": Row(ThrottledError, THROTTLES),
    "EC2ThrottledException": Row(ThrottledError, THROTTLES),
    "PriorRequestNotComplete": Row(ThrottledError, THROTTLES),
    "RequestLimitExceeded": Row(ThrottledError, CODES),
    "RequestThrottled": Row(ThrottledError, THROTTLES),
    "RequestThrottledException": Row(ThrottledError, THROTTLES),
    "SlowDown": Row(ThrottledError, THROTTLES),
    "ThrottledException": Row(ThrottledError, THROTTLES),
    "Throttling": Row(ThrottledError, COMMON),
    "ThrottlingException": Row(ThrottledError, COMMON),
    "TooManyRequestsException": Row(ThrottledError, QUOTAS),
    "AddressLimitExceeded": Row(QuotaError, CODES, limit=QuotaScope.REGION),
    "InstanceLimitExceeded": Row(QuotaError, CODES),
    "MaxIOPSLimitExceeded": Row(QuotaError, CODES, limit=QuotaScope.REGION),
    "MaxSpotInstanceCountExceeded": Row(QuotaError, SPOT),
    "NetworkInterfaceLimitExceeded": Row(QuotaError, CODES, limit=QuotaScope.REGION),
    "VcpuLimitExceeded": Row(QuotaError, CODES),
    "VolumeLimitExceeded": Row(QuotaError, CODES, limit=QuotaScope.REGION),
    "InsufficientCapacity": Row(ShortageError, CODES),
    "InsufficientFreeAddressesInSubnet": Row(ShortageError, CODES, Scope.ZONE),
    "InsufficientHostCapacity": Row(ShortageError, CODES),
    "InsufficientInstanceCapacity": Row(ShortageError, CODES),
    "InsufficientReservedInstanceCapacity": Row(ShortageError, CODES),
    "ReservationCapacityExceeded": Row(ShortageError, CODES),
    "SpotMaxPriceTooLow": Row(ShortageError, SPOT),
    "UnfulfillableCapacity": Row(ShortageError, FLEET),
    "Unsupported": Row(ShortageError, CODES),
    "AWS.SimpleQueueService.NonExistentQueue": Row(InvalidError, QUEUES),
    "IdempotentInstanceTerminated": Row(InvalidError, CODES),
    "IdempotentParameterMismatch": Row(InvalidError, CODES),
    "InvalidAMIID.Malformed": Row(InvalidError, CODES),
    "InvalidAMIID.NotFound": Row(InvalidError, CODES),
    "InvalidAMIID.Unavailable": Row(InvalidError, CODES),
    "InvalidBlockDeviceMapping": Row(InvalidError, CODES),
    "InvalidCapacityReservationId.NotFound": Row(InvalidError, CODES),
    "InvalidGroup.NotFound": Row(InvalidError, CODES),
    "InvalidInstanceType": Row(InvalidError, CODES),
    "InvalidParameter": Row(InvalidError, CODES),
    "InvalidParameterCombination": Row(InvalidError, CODES),
    "InvalidParameterValue": Row(InvalidError, CODES),
    "InvalidSubnetID.NotFound": Row(InvalidError, CODES),
    "MissingParameter": Row(InvalidError, CODES),
    "NoSuchResourceException": Row(InvalidError, QUOTAS),
    "OperationNotPermitted": Row(InvalidError, CODES),
    "ParamValidationError": Row(InvalidError, SDK),
    "UnknownParameter": Row(InvalidError, CODES),
    "VPCIdNotSpecified": Row(InvalidError, CODES),
}

FAMILIES: Final = (ClientError, BotoCoreError)
"""Every family of exceptions that the SDK lets through."""

TOKEN_USED: Final = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
"""They prove that a machine was started with the client token."""
GONE: Final = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
"""Ending what is not there is success."""
CHOOSING: Final = re.compile(r"\bchoosing ((?:[a-z]{2}(?:-[a-z]+)+-\d[a-z](?:, )?)+)")
"""How EC2 names zones with stock: "… or choosing us-east-1b, us-east-1c."."""


def code_of(error: Exception) -> str:
    """Return EC2's own code of an error, or the name of its class.

    Some answers name the side at fault first, as in `Client.IdempotentParameterMismatch`.
    """
    if isinstance(error, ClientError):
        return plain(str(error.response.get("Error", {}).get("Code", "")))
    return type(error).__name__


def plain(code: str) -> str:
    """Return a code without the side that it names."""
    return code.removeprefix("Client.").removeprefix("Server.")


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code = code_of(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return DeniedError("aws", operation, code, "the SDK's chain finds no credentials")
    if not isinstance(error, ClientError):
        return not_connected("aws", operation, error) or classified(Failure("aws", operation, code), TABLE)
    detail, metadata = (
        str(error.response.get("Error", {}).get("Message", "")),
        error.response.get("ResponseMetadata", {}),
    )
    found = CHOOSING.search(detail)
    failure = Failure(
        provider="aws",
        operation=operation,
        code=code,
        detail=detail,
        retry_after_s=wait_of(metadata.get("HTTPHeaders", {})),
        available_in=tuple(found.group(1).split(", ")) if found else (),
        status=metadata.get("HTTPStatusCode"),
    )
    return classified(failure, TABLE)
