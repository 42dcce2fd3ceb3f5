"""What each state of a region's health, and silence, permits."""

from dataclasses import replace

import pytest

from scheduler.region_policy import is_excluded, may_end_machines, must_be_left_alone, serves, traffic_percent
from state.model.health import HealthState, RegionHealth
from state.model.ids import RegionId
from state.model.settings import Thresholds
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_region

_H = HealthState
OTHER = RegionId("gcp/us-central1")

#        left alone, excluded, may end, serves, percent of its traffic
POLICY = {
    None: (False, False, True, True, 100),
    _H.HEALTHY: (False, False, True, True, 100),
    _H.SUSPECT: (True, False, False, False, 0),
    _H.DOWN: (False, True, True, False, 0),
    _H.RECOVERING: (False, True, False, True, 10),
}


def a_snapshot(state: HealthState | None, step: int = 0, *, unreachable: bool = False) -> Snapshot:
    """Return a snapshot with a region in a state, after another whose health differs."""
    other = RegionHealth(OTHER, _H.SUSPECT if state is not _H.SUSPECT else _H.HEALTHY, NOON)
    health = (other,) if state is None else (other, RegionHealth(a_region(), state, NOON, step=step))
    return Snapshot(NOON, None, health=health, unreachable=frozenset({a_region() if unreachable else RegionId("x/y")}))


@pytest.mark.parametrize("state", POLICY)
def test_each_state_permits_what_the_table_lists(state: HealthState | None) -> None:
    snapshot, region = a_snapshot(state), a_region()

    found = (
        must_be_left_alone(snapshot, region),
        is_excluded(snapshot, region),
        may_end_machines(snapshot, region),
        serves(snapshot, region),
        traffic_percent(snapshot, region),
    )
    assert found == POLICY[state]


@pytest.mark.parametrize("state", POLICY)
def test_a_region_that_does_not_answer_is_left_alone_in_every_state(state: HealthState | None) -> None:
    snapshot, region = a_snapshot(state, unreachable=True), a_region()

    assert must_be_left_alone(snapshot, region)
    assert not may_end_machines(snapshot, region)
    assert (is_excluded(snapshot, region), serves(snapshot, region)) == (POLICY[state][1], POLICY[state][3])


@pytest.mark.parametrize(("step", "percent"), [(0, 10), (1, 30), (2, 100)])
def test_a_recovering_region_gets_the_share_of_its_step(step: int, percent: int) -> None:
    assert traffic_percent(a_snapshot(_H.RECOVERING, step), a_region()) == percent


def test_the_shares_are_those_of_the_settings() -> None:
    snapshot = a_snapshot(_H.RECOVERING, 1)
    health = replace(snapshot.thresholds.health, steps_percent=(5, 55, 100))

    assert traffic_percent(replace(snapshot, thresholds=Thresholds(health=health)), a_region()) == 55
