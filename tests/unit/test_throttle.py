"""The pace: how fast, how often again, and what makes it slower."""

from datetime import timedelta

import pytest

from providers.errors import (
    WAIT_MAX_S,
    DeniedError,
    Failure,
    InvalidError,
    ProviderError,
    ThrottledError,
    UnreachableError,
    classified,
)
from providers.settings import PaceSettings
from providers.throttle import ATTEMPTS_MAX, LOG_MAX_AGE_S, PAUSED, OwnPauses, RateLimiter
from state.clock import ManualClock
from tests.builders import NOON


class WordsError(Exception):
    """What an SDK would raise."""


class Watched:
    def __init__(self, patience_s: float = 20.0, log: OwnPauses | None = None) -> None:
        self.clock = ManualClock(NOON)
        pace = PaceSettings(reads_per_second=10, writes_per_second=2, burst_seconds=1)
        self.limiter = RateLimiter(pace, self.clock, patience_s, "aws", log)
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


def test_a_long_pause_refuses_calls_until_it_ends_and_never_waits() -> None:
    watched = Watched()
    with pytest.raises(ThrottledError):
        watched.write(throttled(retry_after_s=900))
    began = watched.clock.elapsed()

    for _ in range(90):
        with pytest.raises(ThrottledError) as raised:
            watched.write(throttled())
        assert raised.value.code == PAUSED
        watched.clock.sleep(timedelta(seconds=9))

    assert watched.calls == 1
    assert watched.clock.elapsed() - began == pytest.approx(810)
    watched.clock.sleep(timedelta(seconds=71))
    with pytest.raises(ThrottledError):
        watched.write(throttled())
    assert watched.calls == 2


def test_a_cloud_that_is_overloaded_is_left_alone_for_as_long_as_it_asks() -> None:
    watched = Watched()
    overloaded = UnreachableError("aws", "launch", "ServiceUnavailable")
    overloaded.retry_after_s = 900

    with pytest.raises(UnreachableError):
        watched.write(overloaded)
    with pytest.raises(ThrottledError) as raised:
        watched.write(throttled())

    assert (raised.value.code, watched.calls) == (PAUSED, 1)
    bucket = watched.limiter.bucket("r", is_write=True)
    assert bucket.rate == Watched().limiter.bucket("r", is_write=True).rate, "it is not throttled"
    assert watched.limiter.bucket("r", is_write=False).closed_for_s() == 0


def test_an_answer_of_503_names_the_wait() -> None:
    failure = Failure("aws", "launch", "ServiceUnavailable", "overloaded", 120.0, status=503)

    error = classified(failure, {})

    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == 120


def test_a_pause_holds_whether_a_region_is_named_by_its_id_or_its_name() -> None:
    watched = Watched()
    with pytest.raises(ThrottledError):
        watched.write(throttled(retry_after_s=900))

    with pytest.raises(ThrottledError):
        watched.limiter.admit("aws/r", is_write=True)
    watched.limiter.admit("aws/r")


def test_a_pause_of_one_process_holds_in_those_that_run_and_those_that_start() -> None:
    log = OwnPauses()
    one, other = Watched(log=log), Watched(log=log)
    other.limiter.admit("r", is_write=True)
    with pytest.raises(ThrottledError):
        one.write(throttled(retry_after_s=900))
    other.clock.sleep(timedelta(seconds=LOG_MAX_AGE_S))

    for process in (other, Watched(log=log)):
        with pytest.raises(ThrottledError):
            process.write(throttled())
        assert process.calls == 0


def test_a_pause_has_a_bound_however_it_is_asked_for_and_kept() -> None:
    watched = Watched()
    with pytest.raises(ThrottledError):
        watched.write(throttled(retry_after_s=1e12))
    assert watched.limiter.bucket("r", is_write=True).closed_for_s() == WAIT_MAX_S

    log = OwnPauses()
    log.pause("aws/r/writes", NOON + timedelta(days=400))
    other = Watched(log=log)
    assert other.limiter.bucket("r", is_write=True).closed_for_s() == WAIT_MAX_S


def test_pauses_of_other_clouds_close_nothing() -> None:
    log = OwnPauses()
    log.pause("gcp/r/writes", NOON + timedelta(hours=1))

    Watched(log=log).limiter.admit("r", is_write=True)


def test_a_pause_that_no_cloud_named_is_not_kept_for_others() -> None:
    log = OwnPauses()
    with pytest.raises(ThrottledError):
        Watched(log=log).write(throttled())

    assert log.pauses() == {}
