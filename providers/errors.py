"""Errors of calls to clouds, sorted by what to do next, and how an answer becomes one of them.

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

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from state.model.catalog import QuotaScope
from state.model.inventory import EndCause, EndKind

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
    """A limit of the account: try what the limit does not count, alert a person."""

    scope: QuotaScope = QuotaScope.FAMILY
    """How wide the limit is, by the cloud's answer."""


class ThrottledError(RefusedError):
    """Too many requests: slow down, the same one is fine."""

    retry_after_s: float | None = None
    """How long to wait, where the answer names it; `WAIT_MAX_S` at most."""


class DeniedError(RefusedError):
    """Not allowed: stop using the provider, alert a person."""


class InvalidError(RefusedError):
    """The cloud rejects the request itself: our bug, or wrong settings."""


class UnreachableError(ProviderError):
    """Uncertain: it may have happened; only a later read can show it."""

    retry_after_s: float | None = None
    """How long to wait, where an answer names it, as one that is overloaded may."""


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
    limit: QuotaScope = QuotaScope.FAMILY
    """Of a quota."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cloud's answer to a call that failed, or to an operation."""

    provider: str
    operation: str
    code: str
    detail: str = ""
    retry_after_s: float | None = None
    available_in: tuple[str, ...] = ()
    status: int | None = None
    """HTTP status; None where there is no answer, or the operation has none."""
    inner: tuple[str, ...] = ()
    """Codes of nested details, from the outermost to the innermost."""
    limit: QuotaScope | None = None
    """How wide a quota is by the text; None where that does not show it."""


UNCERTAIN_STATUSES: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
"""Client errors that do not show that nothing happened; the last is throttling."""
TIMED_OUT: Final = re.compile(r"time[ _-]?d?[ _-]?out|deadline", re.IGNORECASE)
TEXT_TIMED_OUT: Final = re.compile(
    r"\b(timed out|time-?out (?:while|expired|reached|waiting)|deadline exceeded)\b", re.IGNORECASE
)
STATUS_LINE: Final = "RFC 9110, section 15.5, Client Error 4xx"
WORDS: Final[tuple[tuple[re.Pattern[str], type[RefusedError]], ...]] = (
    (re.compile(r"throttl|rate_?(limit_?)?exceeded|too_?many_?requests|slow_?down", re.IGNORECASE), ThrottledError),
    (re.compile(r"quota|limit_?(exceeded|reached)|max\w*exceeded", re.IGNORECASE), QuotaError),
    (re.compile(r"insufficient\w*capacity|out_?of_?capacity|exhausted|stock_?out", re.IGNORECASE), ShortageError),
    (
        re.compile(
            r"unauthori[sz]ed|denied|not_?authori[sz]ed|auth(entication|orization)?_?fail|permission|forbidden"
            r"|disallowed|expired_?token|opt_?in|kms_?key|suspended|disabled",
            re.IGNORECASE,
        ),
        DeniedError,
    ),
)
"""Families of codes: what a code that no table has is taken for, by how clouds form their codes."""


def classified(failure: Failure, table: Mapping[str, Row]) -> ProviderError:
    """Return the error for an answer: by the table, or else by the family of its codes and its status.

    Status 429 is throttling, whatever the code. Any other client error is a refusal, unless it is a conflict or names
    a time-out. Everything else that the table lacks is uncertain.
    """
    row = _row(failure, table)
    error = (row.kind if row else UnreachableError)(failure.provider, failure.operation, failure.code, failure.detail)
    if isinstance(error, ShortageError) and row is not None:
        error.scope, error.available_in = row.scope, failure.available_in
    if isinstance(error, QuotaError) and row is not None:
        error.scope = failure.limit or row.limit
    if isinstance(error, ThrottledError | UnreachableError):
        error.retry_after_s = failure.retry_after_s
    return error


def _row(failure: Failure, table: Mapping[str, Row]) -> Row | None:
    outer, inner = table.get(failure.code), [table[code] for code in failure.inner if code in table]
    throttled = next((row for row in (outer, *inner) if row is not None and row.kind is ThrottledError), None)
    if throttled is not None or failure.status == HTTPStatus.TOO_MANY_REQUESTS:
        return throttled or Row(ThrottledError, STATUS_LINE)
    if outer is not None and outer.kind is not InvalidError:
        return outer
    # An envelope's code, such as that of a failed deployment, is less exact than what it wraps.
    return inner[-1] if inner else outer or _by_family(failure)


def _by_family(failure: Failure) -> Row | None:
    """Return what a code that the table lacks is taken for; None where the answer proves nothing."""
    codes, status = (*reversed(failure.inner), failure.code), failure.status
    if status is None or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    is_over_time = any(TIMED_OUT.search(code) for code in codes) or TEXT_TIMED_OUT.search(failure.detail)
    if status in UNCERTAIN_STATUSES or is_over_time:
        return None
    named = next((kind for code in codes for pattern, kind in WORDS if pattern.search(code)), None)
    is_denied = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PAYMENT_REQUIRED}
    return Row(named or (DeniedError if is_denied else InvalidError), STATUS_LINE)


END_KINDS: Final[tuple[tuple[type[ProviderError], EndKind], ...]] = (
    (ShortageError, EndKind.STOCK_OUT),
    (QuotaError, EndKind.QUOTA),
    (DeniedError, EndKind.DENIED),
    (InvalidError, EndKind.INVALID_REQUEST),
    (ThrottledError, EndKind.INTERNAL),
)


def end_of_launch(error: ProviderError) -> EndCause:
    """Return why a launch failed after it was accepted, from the error that its operation ended with."""
    kind = next((found for known, found in END_KINDS if isinstance(error, known)), EndKind.UNKNOWN)
    limit = error.scope if isinstance(error, QuotaError) else None
    return EndCause(kind, error.code, error.detail, is_launch=True, quota=limit)


WAIT_MAX_S: Final = 86_400.0
"""No wait is longer: a day. A header with more is a mistake, and a longer one would outlive every quota's window."""
WAIT_UNDATED_S: Final = 60.0
"""Where a Retry-After names a date, and the answer has no date of its own to compare it with."""
MILLISECONDS: Final = ("retry-after-ms", "x-ms-retry-after-ms")
"""Headers that name a wait in milliseconds; they count before Retry-After."""


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait, from 0 to `WAIT_MAX_S`; None where it asks for none.

    Retry-After has seconds or a date, which is compared with the answer's own. Source: RFC 9110, section 10.2.3.
    """
    found = {name.lower(): value for name, value in headers.items()}
    for name in MILLISECONDS:
        if (milliseconds := _number(found.get(name))) is not None:
            return _bounded(milliseconds / 1000)
    asked = found.get("retry-after")
    if asked is None:
        return None
    if (seconds := _number(asked)) is not None:
        return _bounded(seconds)
    try:
        until = parsedate_to_datetime(asked)
        return _bounded((until - parsedate_to_datetime(found["date"])).total_seconds())
    except KeyError:
        return WAIT_UNDATED_S
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), WAIT_MAX_S)
