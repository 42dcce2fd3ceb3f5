"""How fast and how often a cloud is asked: a bucket per region and kind of call, back-off that adapts, few retries.

*Rate*: a token bucket; its rate is halved whenever the cloud says that it is too much, and grows back by a twentieth
with every call that is answered (additive increase, multiplicative decrease; Chiu and Jain, 1989). *Retries*: looks
alone, a few, with pauses that double or that the cloud asks for, and never beyond the time that one call may take: a
region that hangs is blind after one. Launches and ends are asked for once; the next tick plans around what came of
them.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from providers.errors import DeniedError, InvalidError, ProviderError, ThrottledError
from providers.settings import PaceSettings
from state.clock import Clock
from state.model.ids import derive_id

TRIES: Final = 3
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
LEAST_SHARE: Final = 0.05
"""The rate never falls below this share of the usual one, so that it can grow again."""
GROWTH: Final = 0.05
LEAST_WAIT: Final = timedelta(milliseconds=1)

Result = TypeVar("Result")


class Bucket:
    """A token bucket whose rate adapts."""

    def __init__(self, per_second: float, burst: float, clock: Clock) -> None:
        """Start full."""
        self._usual, self._most, self._clock = per_second, max(1.0, per_second * burst), clock
        self.rate = per_second
        self._tokens = self._most
        self._filled_at = clock.elapsed()
        self._closed_until = 0.0
        self._lock = threading.Lock()

    def admit(self) -> None:
        """Wait until a call may go."""
        while (wait := self._take()) > 0:
            self._clock.sleep(max(timedelta(seconds=wait), LEAST_WAIT))

    def _take(self) -> float:
        """Take a token and return 0, or return how long there is none."""
        with self._lock:
            now = self._clock.elapsed()
            if now < self._closed_until:
                return self._closed_until - now
            self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self.rate)
            self._filled_at = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) / self.rate

    def slow_down(self, pause_s: float) -> None:
        """Halve the rate, and let nothing go for a while."""
        with self._lock:
            self.rate = max(self.rate / 2, self._usual * LEAST_SHARE)
            self._tokens = 0.0
            self._closed_until = max(self._closed_until, self._clock.elapsed() + pause_s)

    def speed_up(self) -> None:
        """Let the rate grow back."""
        with self._lock:
            self.rate = min(self._usual, self.rate + self._usual * GROWTH)


class RateLimiter:
    """The pace of one cloud."""

    def __init__(self, pace: PaceSettings, clock: Clock, patience_s: float) -> None:
        """Keep to *pace*; a look, retries and all, takes *patience_s* and one call at most."""
        self._pace, self._clock, self._patience_s = pace, clock, patience_s
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
        """Wait until a call to a region may go."""
        self.bucket(where, is_write=is_write).admit()

    def look(
        self,
        where: str,
        call: Callable[[], Result],
        failures: tuple[type[Exception], ...],
        translate: Callable[[Exception], ProviderError],
    ) -> Result:
        """Return what a look sees, tried again where that may help.

        Raises:
            ProviderError: It does not help.
        """
        bucket, began = self.bucket(where, is_write=False), self._clock.elapsed()
        attempt = 0
        while True:
            attempt += 1
            try:
                seen = call()
            except failures as error:
                ours = translate(error)
                pause = self._pause(ours, where, attempt)
                if isinstance(ours, ThrottledError):
                    bucket.slow_down(pause)
                is_over = self._clock.elapsed() - began + pause > self._patience_s
                if isinstance(ours, DeniedError | InvalidError) or attempt == TRIES or is_over:
                    raise ours from error
                self._clock.sleep(timedelta(seconds=pause))
            else:
                bucket.speed_up()
                return seen

    def _pause(self, error: ProviderError, where: str, attempt: int) -> float:
        """Return how long to wait: what the cloud asks for, or else a time that doubles, spread by region."""
        asked = error.retry_after_s if isinstance(error, ThrottledError) else None
        if asked is not None:
            return min(asked, LONGEST_PAUSE_S)
        spread = int(derive_id("p", where, str(attempt))[2:6], 16) / 0xFFFF
        return min(FIRST_PAUSE_S * float(2 ** (attempt - 1)) * (0.5 + spread), LONGEST_PAUSE_S)

    def act(
        self,
        where: str,
        call: Callable[[], Result],
        failures: tuple[type[Exception], ...],
        translate: Callable[[Exception], ProviderError],
    ) -> Result:
        """Do something once, at its pace.

        Raises:
            ProviderError: It was refused, or nobody knows.
        """
        bucket = self.bucket(where, is_write=True)
        with self._slots:
            try:
                done = call()
            except failures as error:
                ours = translate(error)
                if isinstance(ours, ThrottledError):
                    bucket.slow_down(self._pause(ours, where, 1))
                raise ours from error
            bucket.speed_up()
            return done
