"""EC2's codes to what to do next.

Source of the codes: EC2 API reference, "Error codes for the Amazon EC2 API". An unknown code counts as
uncertain: a launch that might have happened must not be repeated under another id.
"""

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

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
    "AccessDenied": DeniedError,
    "AccessDeniedException": DeniedError,
    "AuthFailure": DeniedError,
    "Blocked": DeniedError,
    "ExpiredToken": DeniedError,
    "ExpiredTokenException": DeniedError,
    "InvalidClientTokenId": DeniedError,
    "OptInRequired": DeniedError,
    "PendingVerification": DeniedError,
    "RequestExpired": DeniedError,
    "SignatureDoesNotMatch": DeniedError,
    "UnauthorizedOperation": DeniedError,
    "UnrecognizedClientException": DeniedError,
    "EC2ThrottledException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "SlowDown": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "InstanceLimitExceeded": QuotaError,
    "MaxSpotInstanceCountExceeded": QuotaError,
    "VcpuLimitExceeded": QuotaError,
    "VolumeLimitExceeded": QuotaError,
    "InsufficientCapacity": ShortageError,
    "InsufficientFreeAddressesInSubnet": ShortageError,
    "InsufficientHostCapacity": ShortageError,
    "InsufficientInstanceCapacity": ShortageError,
    "SpotMaxPriceTooLow": ShortageError,
    "UnfulfillableCapacity": ShortageError,
    "Unsupported": ShortageError,
    "IdempotentInstanceTerminated": InvalidError,
    "IdempotentParameterMismatch": InvalidError,
    "InvalidAMIID.Malformed": InvalidError,
    "InvalidAMIID.NotFound": InvalidError,
    "InvalidGroup.NotFound": InvalidError,
    "InvalidInstanceType": InvalidError,
    "InvalidParameterCombination": InvalidError,
    "InvalidParameterValue": InvalidError,
    "InvalidSubnetID.NotFound": InvalidError,
    "MissingParameter": InvalidError,
}

FAMILIES: Final = (ClientError, BotoCoreError)
"""Every family of exceptions that the SDK lets through."""

GONE: Final = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
"""Ending what is not there is success."""


def code_of(error: Exception) -> str:
    """Return EC2's own code of an error, or the name of its class."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def translated(error: Exception, operation: str) -> ProviderError:
    """Return our error for one of the SDK's."""
    code = code_of(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return DeniedError("aws", operation, code)
    detail = str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""
    return TYPES.get(code, UnreachableError)("aws", operation, code, detail)
