"""Errors of calls to clouds, sorted by what to do next.

ProviderError
├─ RefusedError       certain: nothing happened
│  ├─ ShortageError     try another offer, retry later
│  ├─ QuotaError        try another region, alert a person
│  ├─ ThrottledError    slow down, the same request is fine
│  ├─ DeniedError       stop using the provider, alert a person
│  └─ InvalidError      our bug
└─ UnreachableError   uncertain: it may have happened; only a later read can show it
   └─ NotConnectedError  no connection, or one that broke: the network or the endpoint
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DETAIL_MAX: Final = 300
"""Most characters of a cloud's own text in a message: SDKs write pages."""


class Scope(StrEnum):
    """How wide a shortage is, by the cloud's answer."""

    OFFER = "offer"
    """This instance type, in this zone and market."""
    ZONE = "zone"
    """Everything in this zone."""
    MARKET_IN_REGION = "market_in_region"
    """This instance type and market, in every zone of the region."""


class ProviderError(Exception):
    """A call to a cloud failed."""

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
    """The cloud has none left: try another offer, retry later."""

    scope: Scope = Scope.OFFER
    available_in: tuple[str, ...] = ()
    """Zones that still have some, by the cloud's answer."""


class QuotaError(RefusedError):
    """A limit of the account: try another region, alert a person."""


class ThrottledError(RefusedError):
    """Too many requests: slow down, the same one is fine."""

    retry_after_s: float | None = None
    """How long to wait, where the answer names it."""


class DeniedError(RefusedError):
    """Not allowed: stop using the provider, alert a person."""


class InvalidError(RefusedError):
    """The cloud rejects the request itself: our bug, or wrong settings."""


class UnreachableError(ProviderError):
    """Uncertain: it may have happened; only a later read can show it."""


class NotConnectedError(UnreachableError):
    """No answer, since no connection was made or it broke: check the network or the endpoint."""

    def __str__(self) -> str:
        """Return the address and what is wrong with it: the same for every call."""
        return self.detail


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a cloud's table of errors."""

    kind: type[ProviderError]
    source: str
    """Where the cloud documents the code."""
    scope: Scope = Scope.OFFER
    """Of a shortage."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cloud's answer to a call that failed."""

    provider: str
    operation: str
    code: str
    detail: str = ""
    retry_after_s: float | None = None
    available_in: tuple[str, ...] = ()


def classified(failure: Failure, table: Mapping[str, Row]) -> ProviderError:
    """Return the error for a code; one that the table lacks is uncertain."""
    row = table.get(failure.code)
    error = (row.kind if row else UnreachableError)(failure.provider, failure.operation, failure.code, failure.detail)
    if isinstance(error, ShortageError) and row is not None:
        error.scope, error.available_in = row.scope, failure.available_in
    if isinstance(error, ThrottledError):
        error.retry_after_s = failure.retry_after_s
    return error


def seconds_of(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None without one, and for dates, which these clouds do not send."""
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None
