"""Rate limits and read retries of a cloud: a token bucket per region and kind of call, whose rate adapts.

*Rate*: halved by each throttled call, and raised by a twentieth by each answered one (additive increase,
multiplicative decrease; Chiu and Jain, 1989). *Retries*: of reads alone, a few, with pauses that double or that the
cloud names, and no later than one call's timeout: a region that hangs is unreachable after one attempt. Launches and
ends are sent once; the next tick plans around their outcome.

*Pauses*: where the cloud names a time to wait, no call of that region and kind is sent until then, by this process or
another: the end of the pause is in a log that they share. A call that would wait longer than one call's timeout is
refused here, so that a tick never waits for a pause.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from providers.errors import WAIT_MAX_S, DeniedError, InvalidError, ProviderError, ThrottledError, UnreachableError
from providers.settings import PaceSettings
from state.clock import Clock
from state.model.ids import derive_id

ATTEMPTS_MAX: Final = 3
PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
"""Of a pause that the cloud does not name."""
RATE_SHARE_MIN: Final = 0.05
"""The rate never falls below this share of the full one, so that it can grow again."""
GROWTH: Final = 0.05
WAIT_MIN: Final = timedelta(milliseconds=1)
LOG_MAX_AGE_S: Final = 5.0
"""How old what was read of the shared log may be: as long as a pause of another process may go unnoticed."""
PAUSED: Final = "paused"
"""The code of a refusal of our own: the cloud was not called."""

Result = TypeVar("Result")


class PauseLog(Protocol):
    """Where the pauses that clouds ask for are kept, for all processes of an installation."""

    def pauses(self) -> Mapping[str, datetime]:
        """Return when each pause ends, by bucket; ended ones may be among them."""

    def pause(self, bucket: str, until: datetime) -> None:
        """Keep a pause, unless one that ends later is kept already."""


class OwnPauses:
    """A log that other processes do not see."""

    def __init__(self) -> None:
        """Start empty."""
        self._until: dict[str, datetime] = {}

    def pauses(self) -> Mapping[str, datetime]:
        """Return when each pause ends."""
        return dict(self._until)

    def pause(self, bucket: str, until: datetime) -> None:
        """Keep a pause."""
        self._until[bucket] = max(until, self._until.get(bucket, until))


class Bucket:
    """A token bucket whose rate adapts."""

    def __init__(self, per_second: float, burst: float, clock: Clock) -> None:
        """Start full."""
        self._full_rate, self._tokens_max, self._clock = per_second, max(1.0, per_second * burst), clock
        self.rate = per_second
        self._tokens = self._tokens_max
        self._filled_at = clock.elapsed()
        self._closed_until = 0.0
        self._lock = threading.Lock()

    def closed_for_s(self) -> float:
        """Return for how many seconds no call is admitted; 0 where it is open."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock.elapsed())

    def close(self, seconds: float) -> None:
        """Admit no call for *seconds*, or for longer where it is closed for longer already."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock.elapsed() + min(seconds, WAIT_MAX_S))

    def admit(self) -> None:
        """Wait until a call is admitted."""
        while (wait := self._take()) > 0:
            self._clock.sleep(max(timedelta(seconds=wait), WAIT_MIN))

    def _take(self) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        with self._lock:
            now = self._clock.elapsed()
            if now < self._closed_until:
                return self._closed_until - now
            self._tokens = min(self._tokens_max, self._tokens + (now - self._filled_at) * self.rate)
            self._filled_at = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) / self.rate

    def slow_down(self, pause_s: float) -> None:
        """Halve the rate, and admit no call for *pause_s* seconds."""
        with self._lock:
            self.rate = max(self.rate / 2, self._full_rate * RATE_SHARE_MIN)
            self._tokens = 0.0
        self.close(pause_s)

    def speed_up(self) -> None:
        """Raise the rate by a step, up to the full one."""
        with self._lock:
            self.rate = min(self._full_rate, self.rate + self._full_rate * GROWTH)


class RateLimiter:
    """The rate limits of one cloud."""

    def __init__(
        self, pace: PaceSettings, clock: Clock, timeout_s: float, provider: str = "", log: PauseLog | None = None
    ) -> None:
        """Keep to *pace*; a read with its retries takes *timeout_s* and one call at most.

        Args:
            pace: The rates.
            clock: The time, and waits.
            timeout_s: One call's timeout in seconds.
            provider: Whose calls these are.
            log: The pauses of all processes; None: of this one alone.
        """
        self._pace, self._clock, self._timeout_s, self._provider = pace, clock, timeout_s, provider
        self._log: PauseLog = log or OwnPauses()
        self._log_read_at: float | None = None
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(pace.parallel)

    def bucket(self, where: str, *, is_write: bool) -> Bucket:
        """Return the bucket of a region, by its name or id, and kind of call."""
        with self._lock:
            self._read_log()
            return self._bucket(self._name(where, is_write=is_write))

    def _name(self, where: str, *, is_write: bool) -> str:
        """Return a bucket's name: the same whether a region is named by its id or by its cloud's own name."""
        return f"{self._provider}/{where.rpartition('/')[2]}/{'writes' if is_write else 'reads'}"

    def _bucket(self, name: str) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            is_write = name.endswith("/writes")
            rate = self._pace.writes_per_second if is_write else self._pace.reads_per_second
            found = self._buckets[name] = Bucket(rate, self._pace.burst_seconds, self._clock)
        return found

    def _read_log(self) -> None:
        """Close the buckets that another process was asked to close, every few seconds."""
        now = self._clock.elapsed()
        if self._log_read_at is not None and now - self._log_read_at < LOG_MAX_AGE_S:
            return
        self._log_read_at = now
        for name, until in self._log.pauses().items():
            left = (until - self._clock.now()).total_seconds()
            if left > 0 and name.startswith(f"{self._provider}/"):
                self._bucket(name).close(left)

    def admit(self, where: str, *, is_write: bool = False) -> None:
        """Wait until a call to a region is admitted.

        Raises:
            ThrottledError: The cloud asked for a pause that lasts longer than one call's timeout.
        """
        self._open(where, is_write=is_write).admit()

    def _open(self, where: str, *, is_write: bool) -> Bucket:
        """Return a bucket that is open, or soon will be."""
        bucket = self.bucket(where, is_write=is_write)
        left = bucket.closed_for_s()
        if left > self._timeout_s:
            until = self._clock.now() + timedelta(seconds=left)
            detail = f"the cloud asked for no such call before {until:%Y-%m-%d %H:%M:%S} UTC"
            error = ThrottledError(self._provider, "write" if is_write else "read", PAUSED, detail)
            error.retry_after_s = left
            raise error
        return bucket

    def _heed(self, where: str, error: ProviderError, pause_s: float, *, is_write: bool) -> None:
        """Slow a bucket down that is throttled; a pause that the cloud named is kept for all processes."""
        if not isinstance(error, ThrottledError | UnreachableError):
            return
        bucket = self.bucket(where, is_write=is_write)
        if isinstance(error, ThrottledError):
            bucket.slow_down(pause_s)
        if error.retry_after_s:
            bucket.close(pause_s)
            until = self._clock.now() + timedelta(seconds=pause_s)
            self._log.pause(self._name(where, is_write=is_write), until)

    def read(
        self,
        where: str,
        call: Callable[[], Result],
        failures: tuple[type[Exception], ...],
        translate: Callable[[Exception], ProviderError],
    ) -> Result:
        """Return the result of a read, retried where that may help.

        Raises:
            ProviderError: The last attempt failed, or a retry cannot help.
        """
        bucket, began = self._open(where, is_write=False), self._clock.elapsed()
        attempt = 0
        while True:
            attempt += 1
            try:
                result = call()
            except failures as error:
                ours = translate(error)
                pause = self._pause(ours, where, attempt)
                self._heed(where, ours, pause, is_write=False)
                is_over = self._clock.elapsed() - began + pause > self._timeout_s
                if isinstance(ours, DeniedError | InvalidError) or attempt == ATTEMPTS_MAX or is_over:
                    raise ours from error
                self._clock.sleep(timedelta(seconds=pause))
            else:
                bucket.speed_up()
                return result

    def _pause(self, error: ProviderError, where: str, attempt: int) -> float:
        """Return how long to wait: what the cloud names, or else a time that doubles, spread by region."""
        requested = error.retry_after_s if isinstance(error, ThrottledError | UnreachableError) else None
        if requested:
            return min(requested, WAIT_MAX_S)
        spread = int(derive_id("p", where, str(attempt))[2:6], 16) / 0xFFFF
        return min(PAUSE_FIRST_S * float(2 ** (attempt - 1)) * (0.5 + spread), PAUSE_MAX_S)

    def write(
        self,
        where: str,
        call: Callable[[], Result],
        failures: tuple[type[Exception], ...],
        translate: Callable[[Exception], ProviderError],
    ) -> Result:
        """Return the result of a write, sent once.

        Raises:
            ProviderError: It was refused, or its outcome is unknown.
        """
        bucket = self._open(where, is_write=True)
        with self._slots:
            try:
                result = call()
            except failures as error:
                ours = translate(error)
                self._heed(where, ours, self._pause(ours, where, 1), is_write=True)
                raise ours from error
            bucket.speed_up()
            return result
