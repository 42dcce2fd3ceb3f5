from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from scheduler.observe.health import assess
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


def test_half_the_replicas_gone_is_a_failure_and_a_third_is_not() -> None:
    half = replace(serving(), replicas_ready=1)
    third = replace(serving(), replicas_ready=3)

    for signals, expected in ((half, HealthState.SUSPECT), (third, HealthState.HEALTHY)):
        known = established()
        for at in (10, 30):
            known = step(known, at, signals, serving(OTHER))
        assert states(known)[a_region()] is expected


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
