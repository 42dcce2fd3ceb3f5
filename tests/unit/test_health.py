from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from scheduler.observe.health import _moved, _Why, assess
from scheduler.region_policy import traffic_percent
from state.model.health import HEALTH_STEPS, HealthReason, HealthState, HealthThresholds, RegionHealth, RegionSignals
from state.model.ids import RegionId
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_region

THRESHOLDS = HealthThresholds()
OTHER = RegionId("gcp/us-central1")


def serving(region: RegionId | None = None) -> RegionSignals:
    return RegionSignals(region or a_region(), True, True, 4, 4)


def silent(region: RegionId | None = None) -> RegionSignals:
    return RegionSignals(region or a_region(), False, False)


def step(known: tuple[RegionHealth, ...], at: float, *signals: RegionSignals) -> tuple[RegionHealth, ...]:
    return assess(known, signals, NOON + timedelta(seconds=at), THRESHOLDS)


def states(known: tuple[RegionHealth, ...]) -> dict[str, HealthState]:
    return {health.region: health.state for health in known}


def established() -> tuple[RegionHealth, ...]:
    known = step((), 0, serving(), serving(OTHER))
    return step(known, 1, serving(), serving(OTHER))


def test_a_starting_cell_is_not_failing() -> None:
    known: tuple[RegionHealth, ...] = ()
    for at in range(0, 300, 10):
        known = step(known, at, RegionSignals(a_region(), True, False))

    assert known == ()


def test_a_silent_head_is_suspect_after_15_s_and_down_after_60() -> None:
    known = established()
    seen = []
    for at in range(10, 100, 5):
        known = step(known, at, silent(), serving(OTHER))
        seen.append((at - 10, states(known)[a_region()]))

    assert next(at for at, state in seen if state is HealthState.SUSPECT) == 15
    assert next(at for at, state in seen if state is HealthState.DOWN) == 60
    assert states(known)[OTHER] is HealthState.HEALTHY


def test_a_blip_of_10_s_changes_nothing() -> None:
    known = established()
    for at in (10, 15, 20):
        known = step(known, at, silent(), serving(OTHER))
    known = step(known, 22, serving(), serving(OTHER))

    assert states(known)[a_region()] is HealthState.HEALTHY
    assert known[0].failing_since is None


def test_growing_is_not_failing() -> None:
    known = established()
    for at in (10, 60, 120):
        known = step(known, at, replace(serving(), replicas_wanted=40), serving(OTHER))

    assert states(known)[a_region()] is HealthState.HEALTHY


def test_a_silent_api_alone_is_no_failure() -> None:
    known = established()
    for at in range(10, 600, 30):
        known = step(known, at, replace(serving(), api_answered=False), serving(OTHER))

    assert states(known)[a_region()] is HealthState.HEALTHY


def test_if_every_region_looks_down_it_is_us() -> None:
    known = established()
    for at in range(10, 300, 10):
        known = step(known, at, silent(), silent(OTHER))

    assert set(states(known).values()) == {HealthState.HEALTHY}
    assert {health.reason for health in known} == {HealthReason.OBSERVER_ISOLATED}

    known = step(known, 310, serving(), serving(OTHER))
    assert HealthReason.OBSERVER_ISOLATED not in {health.reason for health in known}


def test_a_region_comes_back_in_steps_after_10_clean_minutes_each() -> None:
    down = RegionHealth(a_region(), HealthState.DOWN, NOON, established=True)
    known: tuple[RegionHealth, ...] = (down,)
    shares = []
    for minute in range(60):
        known = step(known, minute * 60, RegionSignals(a_region(), True, None))
        if known:
            shares.append((minute, traffic_percent(Snapshot(NOON, None, health=known), a_region())))

    changes = [shares[0]] + [new for old, new in pairwise(shares) if old[1] != new[1]]
    assert changes == [(0, 0), (10, 10), (20, 30), (30, 100)]


def test_a_region_that_is_down_stays_so_while_its_cloud_is_silent() -> None:
    known: tuple[RegionHealth, ...] = (RegionHealth(a_region(), HealthState.DOWN, NOON, established=True),)
    for minute in range(60):
        known = step(known, minute * 60, RegionSignals(a_region(), False, None), serving(OTHER))

    assert states(known)[a_region()] is HealthState.DOWN


def test_failing_again_while_it_comes_back_is_down_at_once() -> None:
    recovering = RegionHealth(a_region(), HealthState.RECOVERING, NOON, established=True)

    known = step((recovering,), 1, silent(), serving(OTHER))

    assert states(known)[a_region()] is HealthState.DOWN


@pytest.mark.parametrize("state", list(HealthState))
def test_every_state_can_be_left(state: HealthState) -> None:
    assert HEALTH_STEPS[state]


def test_a_cell_given_up_on_purpose_is_forgotten() -> None:
    known = step(established(), 10, RegionSignals(a_region(), True, None), serving(OTHER))

    assert set(states(known)) == {OTHER}


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HEALTHY = RegionHealth(
    a_region(), HealthState.HEALTHY, NOON, established=True, replicas_served=4, workers_served=2, clean_since=NOON
)


def after(health: RegionHealth, signals: RegionSignals, passed: timedelta = SECOND) -> RegionHealth:
    """Return what becomes of a region beside another that serves."""
    other = replace(HEALTHY, region=OTHER)
    found = {h.region: h for h in assess((health, other), (signals, serving(OTHER)), NOON + passed, THRESHOLDS)}
    return found[health.region]


def signals(ready: int = 4, wanted: int = 4, workers: int = 2, **changes: object) -> RegionSignals:
    return replace(RegionSignals(a_region(), True, True, wanted, ready, workers), **changes)  # type: ignore[arg-type]


def test_each_failure_has_its_reason_and_figures() -> None:
    failing = replace(HEALTHY, failing_since=NOON - MINUTE)
    suspect: dict[str, Any] = {"state": HealthState.SUSPECT, "since": NOON + SECOND, "clean_since": None}

    assert after(failing, signals(head_answered=False)) == replace(failing, reason=HealthReason.HEAD_SILENT, **suspect)
    long: dict[str, Any] = {"degraded_since": NOON - 10 * MINUTE + SECOND, "degraded_ready": 1}
    assert after(replace(failing, **long), signals(ready=1)) == replace(
        failing, reason=HealthReason.REPLICAS_NOT_READY, ready=1, expected=4, **suspect, **long
    )
    short: dict[str, Any] = {"degraded_since": NOON - 10 * MINUTE + 2 * SECOND, "degraded_ready": 1}
    assert after(replace(failing, **short), signals(ready=1)).failing_since is None
    down = replace(HEALTHY, state=HealthState.DOWN, clean_since=NOON - MINUTE)
    assert after(down, signals(api_answered=False)) == replace(down, failing_since=NOON + SECOND, clean_since=None)


@pytest.mark.parametrize(
    ("ready", "wanted", "served", "fails"),
    [
        (2, 4, 4, True),
        (3, 4, 4, False),
        (2, 5, 5, True),
        (3, 5, 5, False),
        (0, 1, 1, True),
        (1, 1, 1, False),
        (0, 0, 4, False),
        (0, 4, 0, False),
        (1, 2, 9, True),
        (1, 9, 2, True),
    ],
)
def test_a_cell_is_degraded_when_half_of_what_served_and_is_wanted_is_gone(
    ready: int, wanted: int, served: int, *, fails: bool
) -> None:
    known = replace(HEALTHY, replicas_served=served)

    found = after(known, signals(ready, wanted))

    assert found.degraded_since == (NOON + SECOND if fails else None)
    assert found.failing_since is None


@pytest.mark.parametrize(
    ("workers", "ready", "fails"), [(1, 2, False), (1, 1, True), (2, 2, True), (3, 2, True), (0, 0, False)]
)
def test_replicas_of_machines_that_are_known_to_have_ended_are_not_missed(
    workers: int, ready: int, *, fails: bool
) -> None:
    assert (after(HEALTHY, signals(ready, workers=workers)).degraded_since is not None) is fails


def test_what_is_expected_of_the_machines_that_are_left_is_rounded_down() -> None:
    known = replace(HEALTHY, replicas_served=3, failing_since=NOON - MINUTE, degraded_since=NOON - 11 * MINUTE)

    found = after(known, signals(0, 3, 1))

    assert (found.reason, found.ready, found.expected) == (HealthReason.REPLICAS_NOT_READY, 0, 1)


def test_all_of_a_few_replicas_are_enough_whatever_share_is_bad() -> None:
    strict = replace(THRESHOLDS, bad_share=0.0)

    found = assess((HEALTHY, replace(HEALTHY, region=OTHER)), (signals(4), serving(OTHER)), NOON, strict)

    assert [h.degraded_since for h in found] == [None, None]


def test_a_region_becomes_known_when_it_serves() -> None:
    def first(read: RegionSignals) -> tuple[RegionHealth, ...]:
        return assess((), (read,), NOON, THRESHOLDS)

    assert first(signals(1)) == (RegionHealth(a_region(), HealthState.HEALTHY, NOON, established=True),)
    for read in (signals(0), signals(head_answered=None), signals(head_answered=False)):
        assert first(read) == ()


def test_a_region_that_starts_again_is_established_once_it_serves() -> None:
    fresh = replace(HEALTHY, established=False)

    assert not after(fresh, signals(0)).established
    assert not after(fresh, signals(head_answered=False)).established
    assert after(fresh, signals(head_answered=False)).failing_since is None
    assert after(fresh, signals(1)).established
    assert after(HEALTHY, signals(0, 0)).established


def test_the_most_that_served_is_what_losses_are_measured_against() -> None:
    found = after(replace(HEALTHY, failing_since=NOON, clean_since=None), signals(6, 8, 5))

    assert found == replace(HEALTHY, replicas_served=6, workers_served=5, clean_since=NOON + SECOND)
    assert after(HEALTHY, signals(9, 5)).replicas_served == 5, "no more than are wanted"
    assert after(HEALTHY, signals(3, 3)).replicas_served == 3, "nor what is not wanted any more"
    assert after(HEALTHY, signals(2, 4)).replicas_served == 4, "two that restart are missed until they are back"
    assert after(HEALTHY, signals(2, 4, 1)).replicas_served == 2, "those of a machine that ended are not"
    assert after(HEALTHY, signals(4)).clean_since == NOON, "it stays clean since then"
    assert after(replace(HEALTHY, replicas_served=0), signals(0)).replicas_served == 0


def test_a_failure_lasts_from_its_first_observation() -> None:
    first = after(HEALTHY, silent())
    assert (first.state, first.failing_since, first.clean_since) == (HealthState.HEALTHY, NOON + SECOND, None)

    suspect = after(first, silent(), SECOND + THRESHOLDS.suspect_after)
    assert (suspect.state, suspect.since) == (HealthState.SUSPECT, NOON + SECOND + THRESHOLDS.suspect_after)
    early = after(first, silent(), THRESHOLDS.suspect_after)
    assert early.state is HealthState.HEALTHY
    down = after(suspect, silent(), SECOND + THRESHOLDS.down_after)
    assert (down.state, down.since, down.failing_since, down.reason) == (
        HealthState.DOWN,
        NOON + SECOND + THRESHOLDS.down_after,
        NOON + SECOND,
        HealthReason.HEAD_SILENT,
    )
    still = after(suspect, silent(), THRESHOLDS.down_after)
    assert still.state is HealthState.SUSPECT


def test_what_answers_again_is_healthy_at_once_when_it_was_suspect() -> None:
    suspect = replace(HEALTHY, state=HealthState.SUSPECT, failing_since=NOON, reason=HealthReason.HEAD_SILENT)

    found = after(suspect, signals())

    assert (found.state, found.reason, found.since) == (
        HealthState.HEALTHY,
        HealthReason.ANSWERS_AGAIN,
        NOON + SECOND,
    )
    assert found.failing_since is None


def test_a_region_comes_back_by_the_step() -> None:
    wait = THRESHOLDS.recover_after
    down = replace(HEALTHY, state=HealthState.DOWN, step=2, since=NOON - 9 * MINUTE)

    assert after(down, signals(), wait - SECOND).state is HealthState.DOWN
    first = after(down, signals(), wait)
    assert (first.state, first.step, first.since, first.reason) == (
        HealthState.RECOVERING,
        0,
        NOON + wait,
        HealthReason.CLEAN_AGAIN,
    )
    assert after(first, signals(), 2 * wait - SECOND) == first
    second = after(first, signals(), 2 * wait)
    assert second == replace(first, step=1, since=NOON + 2 * wait)
    third = after(second, signals(), 3 * wait)
    assert third.step == 2
    back = after(third, signals(), 4 * wait)
    assert (back.state, back.reason, back.since) == (
        HealthState.HEALTHY,
        HealthReason.STAYED_CLEAN,
        NOON + 4 * wait,
    )


def test_failing_while_it_comes_back_has_the_reason_of_the_failure() -> None:
    recovering = replace(HEALTHY, state=HealthState.RECOVERING)

    found = after(recovering, signals(workers_joined=4, workers_absent=3))

    assert (found.state, found.reason, found.ready, found.expected, found.since) == (
        HealthState.DOWN,
        HealthReason.MACHINES_ABSENT,
        1,
        4,
        NOON + SECOND,
    )
    assert after(recovering, signals(ready=0)).state is HealthState.RECOVERING, "replicas alone may restart then too"


def test_one_region_alone_is_never_taken_for_our_own_isolation() -> None:
    failing = replace(HEALTHY, failing_since=NOON - MINUTE)

    [found] = assess((failing,), (silent(),), NOON, THRESHOLDS)
    assert found.state is HealthState.SUSPECT
    down = replace(HEALTHY, region=OTHER, state=HealthState.DOWN)
    found, _ = assess((failing, down), (silent(), serving(OTHER)), NOON, THRESHOLDS)
    assert found.state is HealthState.SUSPECT, "one that is down already is no witness"
    fresh = replace(HEALTHY, region=OTHER, established=False)
    found, _ = assess((failing, fresh), (silent(), serving(OTHER)), NOON, THRESHOLDS)
    assert found.state is HealthState.SUSPECT


def test_isolation_changes_nothing_but_the_reason_and_ends_with_the_first_answer() -> None:
    both = replace(HEALTHY, region=OTHER), HEALTHY

    frozen = assess(both, (silent(), silent(OTHER)), NOON + MINUTE, THRESHOLDS)
    isolated: dict[str, Any] = {"reason": HealthReason.OBSERVER_ISOLATED}
    assert frozen == (replace(HEALTHY, **isolated), replace(HEALTHY, region=OTHER, **isolated))
    assert after(frozen[0], signals()).reason is None
    kept = replace(HEALTHY, reason=HealthReason.STAYED_CLEAN)
    assert after(kept, signals()).reason is HealthReason.STAYED_CLEAN
    fresh = replace(HEALTHY, region=RegionId("x/y"), established=False)
    found = assess((*both, fresh), (silent(), silent(OTHER)), NOON + MINUTE, THRESHOLDS)
    assert {h.reason for h in found} == {HealthReason.OBSERVER_ISOLATED}


def test_an_illegal_step_is_refused() -> None:
    recovering = replace(HEALTHY, state=HealthState.RECOVERING)
    with pytest.raises(AssertionError, match=r"^aws/us-east-1 may not go from recovering to suspect$"):
        _moved(recovering, HealthState.SUSPECT, _Why(HealthReason.DRILL), NOON)
