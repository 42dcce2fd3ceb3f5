"""Rate limits and read retries of a cloud: a token bucket per region and kind of call, whose rate adapts.

*Rate*: halved by each throttled call, and raised by a twentieth by each answered one (additive increase,
multiplicative decrease; Chiu and Jain, 1989). *Retries*: of reads alone, a few, with pauses that double or that the
cloud names, and no later than one call's timeout: a region that hangs is unreachable after one attempt. Launches and
ends are sent once; the next tick plans around their outcome.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from providers.errors import DeniedError, InvalidError, ProviderError, ThrottledError
from providers.settings import PaceSettings
from state.clock import Clock
from state.model.ids import derive_id

ATTEMPTS_MAX: Final = 3
PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
RATE_SHARE_MIN: Final = 0.05
"""The rate never falls below this share of the full one, so that it can grow again."""
GROWTH: Final = 0.05
WAIT_MIN: Final = timedelta(milliseconds=1)

Result = TypeVar("Result")


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
            self._closed_until = max(self._closed_until, self._clock.elapsed() + pause_s)

    def speed_up(self) -> None:
        """Raise the rate by a step, up to the full one."""
        with self._lock:
            self.rate = min(self._full_rate, self.rate + self._full_rate * GROWTH)


class RateLimiter:
    """The rate limits of one cloud."""

    def __init__(self, pace: PaceSettings, clock: Clock, timeout_s: float) -> None:
        """Keep to *pace*; a read with its retries takes *timeout_s* and one call at most."""
        self._pace, self._clock, self._timeout_s = pace, clock, timeout_s
        self._buckets: dict[tuple[str, bool], Bucket] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(pace.parallel)

    def bucket(self, where: str, *, is_write: bool) -> Bucket:
        """Return the bucket of a region and kind of call."""
        with self._lock:
            found = self._buckets.get((where, is_write))
            if found is None:
                rate = self._pace.writes_per_second if is_write else self._pace.reads_per_second
                found = self._buckets[where, is_write] = Bucket(rate, self._pace.burst_seconds, self._clock)
            return found

    def admit(self, where: str, *, is_write: bool = False) -> None:
        """Wait until a call to a region is admitted."""
        self.bucket(where, is_write=is_write).admit()

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
        bucket, began = self.bucket(where, is_write=False), self._clock.elapsed()
        attempt = 0
        while True:
            attempt += 1
            try:
                result = call()
            except failures as error:
                ours = translate(error)
                pause = self._pause(ours, where, attempt)
                if isinstance(ours, ThrottledError):
                    bucket.slow_down(pause)
                is_over = self._clock.elapsed() - began + pause > self._timeout_s
                if isinstance(ours, DeniedError | InvalidError) or attempt == ATTEMPTS_MAX or is_over:
                    raise ours from error
                self._clock.sleep(timedelta(seconds=pause))
            else:
                bucket.speed_up()
                return result

    def _pause(self, error: ProviderError, where: str, attempt: int) -> float:
        """Return how long to wait: what the cloud names, or else a time that doubles, spread by region."""
        requested = error.retry_after_s if isinstance(error, ThrottledError) else None
        if requested is not None:
            return min(requested, PAUSE_MAX_S)
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
        bucket = self.bucket(where, is_write=True)
        with self._slots:
            try:
                result = call()
            except failures as error:
                ours = translate(error)
                if isinstance(ours, ThrottledError):
                    bucket.slow_down(self._pause(ours, where, 1))
                raise ours from error
            bucket.speed_up()
            return result
