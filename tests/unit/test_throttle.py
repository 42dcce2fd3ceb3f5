"""The pace: how fast, how often again, and what makes it slower."""

import pytest

from providers.errors import DeniedError, InvalidError, ProviderError, ThrottledError, UnreachableError
from providers.settings import PaceSettings
from providers.throttle import ATTEMPTS_MAX, RateLimiter
from state.clock import ManualClock
from tests.builders import NOON


class WordsError(Exception):
    """What an SDK would raise."""


class Watched:
    def __init__(self, patience_s: float = 20.0) -> None:
        self.clock = ManualClock(NOON)
        self.limiter = RateLimiter(
            PaceSettings(reads_per_second=10, writes_per_second=2, burst_seconds=1), self.clock, patience_s
        )
        self.calls = 0

    def read(self, *errors: ProviderError) -> str:
        left = list(errors)

        def call() -> str:
            self.calls += 1
            if len(left) >= self.calls:
                raise WordsError
            return "seen"

        return self.limiter.read("r", call, (WordsError,), lambda _: left[self.calls - 1])

    def write(self, error: ProviderError) -> None:
        def call() -> None:
            self.calls += 1
            raise WordsError

        self.limiter.write("r", call, (WordsError,), lambda _: error)


def throttled(retry_after_s: float | None = None) -> ThrottledError:
    error = ThrottledError("aws", "read", "RequestLimitExceeded")
    error.retry_after_s = retry_after_s
    return error


def silent() -> UnreachableError:
    return UnreachableError("aws", "read", "InternalError")


def test_calls_beyond_the_burst_wait_their_turn() -> None:
    watched = Watched()

    for _ in range(25):
        watched.limiter.admit("r")

    assert watched.clock.elapsed() == pytest.approx(1.5, abs=0.02)


def test_regions_and_kinds_of_call_do_not_wait_for_one_another() -> None:
    watched = Watched()

    for where in ("a", "b", "c"):
        for _ in range(10):
            watched.limiter.admit(where)
        watched.limiter.admit(where, is_write=True)

    assert watched.clock.elapsed() == 0


def test_a_look_is_tried_again_while_that_may_help() -> None:
    watched = Watched()

    assert watched.read(silent(), silent()) == "seen"
    assert watched.calls == 3
    assert 0 < watched.clock.elapsed() < 2


@pytest.mark.parametrize("error", [DeniedError("aws", "read"), InvalidError("aws", "read")], ids=str)
def test_what_no_repetition_can_help_is_reported_at_once(error: ProviderError) -> None:
    watched = Watched()

    with pytest.raises(type(error)):
        watched.read(error)

    assert watched.calls == 1


def test_a_look_is_not_tried_for_ever() -> None:
    watched = Watched()

    with pytest.raises(UnreachableError):
        watched.read(*[silent()] * 9)

    assert watched.calls == ATTEMPTS_MAX


def test_a_region_that_hangs_is_asked_once() -> None:
    watched = Watched(patience_s=0.05)

    with pytest.raises(UnreachableError):
        watched.read(silent())

    assert watched.calls == 1


def test_throttling_halves_the_rate_and_good_answers_bring_it_back() -> None:
    watched = Watched()
    bucket = watched.limiter.bucket("r", is_write=False)

    watched.read(throttled(), throttled())
    assert bucket.rate == pytest.approx(10 / 4 + 0.5)

    for _ in range(40):
        watched.read()
    assert bucket.rate == 10


def test_the_rate_never_falls_to_nothing() -> None:
    watched = Watched()

    for _ in range(30):
        with pytest.raises(ThrottledError):
            watched.read(*[throttled()] * 9)
        watched.calls = 0

    assert watched.limiter.bucket("r", is_write=False).rate == pytest.approx(0.5)


def test_the_cloud_is_waited_for_as_long_as_it_asks() -> None:
    watched = Watched()

    watched.read(throttled(retry_after_s=3))

    assert watched.clock.elapsed() == pytest.approx(3)


def test_a_launch_is_asked_for_once_and_slows_the_next_down() -> None:
    watched = Watched()

    with pytest.raises(ThrottledError):
        watched.write(throttled(retry_after_s=4))
    watched.limiter.admit("r", is_write=True)

    assert watched.calls == 1
    assert watched.clock.elapsed() >= 4
