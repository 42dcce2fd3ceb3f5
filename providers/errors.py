"""What a cloud may answer, sorted by what to do next.

ProviderError
├─ RefusedError       certain: nothing happened
│  ├─ ShortageError     try another offer, ask again later
│  ├─ QuotaError        try another region, tell a person
│  ├─ ThrottledError    slow down, the same request is fine
│  ├─ DeniedError       stop using the provider, tell a person
│  └─ InvalidError      our bug
└─ UnreachableError   uncertain: it may have happened; only a later look can tell
"""

from enum import StrEnum


class Scope(StrEnum):
    """How wide a shortage is, as far as the cloud's answer tells."""

    OFFER = "offer"
    """This instance type, in this zone and market."""
    MARKET_IN_REGION = "market_in_region"
    """This instance type and market, in every zone of the region."""


class ProviderError(Exception):
    """A call to a cloud did not do what was asked."""

    def __init__(self, provider: str, operation: str, code: str = "", detail: str = "") -> None:
        """Say who refused what, with the cloud's own code and words."""
        self.provider = provider
        self.operation = operation
        self.code = code
        self.detail = detail
        super().__init__(f"{provider} {operation}: {code or 'no answer'}{f' ({detail})' if detail else ''}")


class RefusedError(ProviderError):
    """Certain: nothing happened."""


class ShortageError(RefusedError):
    """The cloud has none left: try another offer, ask again later."""

    scope: Scope = Scope.OFFER


class QuotaError(RefusedError):
    """A limit of the account: try another region, tell a person."""


class ThrottledError(RefusedError):
    """Too many requests: slow down, the same one is fine."""


class DeniedError(RefusedError):
    """Not allowed: stop using the provider, tell a person."""


class InvalidError(RefusedError):
    """The request makes no sense to the cloud: our bug, or wrong settings."""


class UnreachableError(ProviderError):
    """Uncertain: it may have happened; only a later look can tell."""
