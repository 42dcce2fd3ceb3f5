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

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DETAIL_MAX: Final = 300
"""Most characters of a cloud's own text in a message: SDKs write pages."""


class Scope(StrEnum):
    """How wide a shortage is, as far as the cloud's answer tells."""

    OFFER = "offer"
    """This instance type, in this zone and market."""
    ZONE = "zone"
    """Everything in this zone."""
    MARKET_IN_REGION = "market_in_region"
    """This instance type and market, in every zone of the region."""


class ProviderError(Exception):
    """A call to a cloud did not do what was asked."""

    def __init__(self, provider: str, operation: str, code: str = "", detail: str = "") -> None:
        """Keep the cloud's own code and text; the message has the text's first line, cut to a readable length."""
        self.provider = provider
        self.operation = operation
        self.code = code
        self.detail = detail
        first = detail.strip().partition("\n")[0]
        first = first if len(first) <= DETAIL_MAX else f"{first[:DETAIL_MAX]} …"
        super().__init__(f"{provider} {operation}: {code or 'no answer'}{f' ({first})' if first else ''}")


class RefusedError(ProviderError):
    """Certain: nothing happened."""


class ShortageError(RefusedError):
    """The cloud has none left: try another offer, ask again later."""

    scope: Scope = Scope.OFFER
    available_in: tuple[str, ...] = ()
    """Zones that the cloud says still have some."""


class QuotaError(RefusedError):
    """A limit of the account: try another region, tell a person."""


class ThrottledError(RefusedError):
    """Too many requests: slow down, the same one is fine."""

    retry_after_s: float | None = None
    """How long the cloud asks to wait, where it says."""


class DeniedError(RefusedError):
    """Not allowed: stop using the provider, tell a person."""


class InvalidError(RefusedError):
    """The request makes no sense to the cloud: our bug, or wrong settings."""


class UnreachableError(ProviderError):
    """Uncertain: it may have happened; only a later look can tell."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a cloud's table of errors."""

    kind: type[ProviderError]
    source: str
    """Where the cloud says what the code means."""
    scope: Scope = Scope.OFFER
    """Of a shortage."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a cloud said of a call that failed."""

    provider: str
    operation: str
    code: str
    detail: str = ""
    retry_after_s: float | None = None
    available_in: tuple[str, ...] = ()


def by_table(said: Said, table: Mapping[str, Row]) -> ProviderError:
    """Return the error for a code; one that the table lacks is uncertain."""
    row = table.get(said.code)
    error = (row.kind if row else UnreachableError)(said.provider, said.operation, said.code, said.detail)
    if isinstance(error, ShortageError) and row is not None:
        error.scope, error.available_in = row.scope, said.available_in
    if isinstance(error, ThrottledError):
        error.retry_after_s = said.retry_after_s
    return error


def seconds_of(header: str | None) -> float | None:
    """Return what a Retry-After header asks for; None for none, and for dates, which nobody sends here."""
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None
