"""What fails a region: its head, its machines or its proxies; replicas alone only where they stay unready for long."""

from dataclasses import replace
from datetime import timedelta

import pytest

from state.model.health import HealthReason, HealthState, RegionHealth, RegionSignals
from tests.builders import NOON, a_region
from tests.unit.test_health import OTHER, established, serving, step


@pytest.mark.parametrize(
    ("joined", "absent", "fails"),
    [
        (4, 0, False),
        (4, 1, False),
        (4, 2, True),
        (4, 4, True),
        (2, 1, False),
        (2, 2, True),
        (1, 1, True),
        (9, 4, False),
    ],
)
def test_half_the_machines_gone_from_a_cell_is_a_failure_and_one_of_several_is_its_own(
    joined: int, absent: int, *, fails: bool
) -> None:
    known, missing = established(), replace(serving(), workers=joined, workers_joined=joined, workers_absent=absent)
    for at in (10, 30):
        known = step(known, at, missing, serving(OTHER))

    found = known[0]
    assert found.state is (HealthState.SUSPECT if fails else HealthState.HEALTHY)
    reason = (HealthReason.MACHINES_ABSENT, joined - absent, joined) if fails else (None, 0, 0)
    assert (found.reason, found.ready, found.expected) == reason


def test_a_cell_none_of_whose_proxies_takes_requests_fails_like_one_whose_head_is_silent() -> None:
    known, shut = established(), replace(serving(), replicas_ready=0, proxies_answer=False)
    for at in (10, 30, 90):
        known = step(known, at, shut, serving(OTHER))

    assert (known[0].state, known[0].reason) == (HealthState.DOWN, HealthReason.PROXIES_SILENT)
    idle = step(established(), 30, replace(shut, replicas_wanted=0), serving(OTHER))
    assert idle[0].failing_since is None, "a cell that is to serve nothing needs no proxy"


@pytest.mark.parametrize("ready", [0, 1, 2])
def test_replicas_that_restart_on_machines_in_place_are_no_failure_until_that_lasts(ready: int) -> None:
    known, crashed = established(), replace(serving(), replicas_ready=ready)
    for at in range(10, 600, 10):
        known = step(known, at, crashed, serving(OTHER))
    assert (known[0].state, known[0].failing_since) == (HealthState.HEALTHY, None)
    assert known[0].replicas_served == 4, "what served stays the measure"

    for at in range(600, 700, 10):
        known = step(known, at, crashed, serving(OTHER))
    assert (known[0].state, known[0].reason) == (HealthState.DOWN, HealthReason.REPLICAS_NOT_READY)
    assert (known[0].ready, known[0].expected) == (ready, 4)


def test_a_degraded_cell_that_gets_better_has_its_time_anew_and_one_that_only_swings_has_not() -> None:
    def degraded(*counts: int) -> RegionHealth:
        known = established()
        for number, ready in enumerate(counts):
            known = step(known, 10 + 10 * number, replace(serving(), replicas_ready=ready), serving(OTHER))
        return known[0]

    at = [NOON + timedelta(seconds=10 + 10 * n) for n in range(4)]
    assert (degraded(0, 1, 1).degraded_since, degraded(0, 1, 1).degraded_ready) == (at[1], 1)
    assert degraded(2, 1, 2, 1).degraded_since == at[0]
    assert (degraded(2, 4).degraded_since, degraded(2, 4).degraded_ready) == (None, 0)
    known = step((degraded(1),), 20, RegionSignals(a_region(), True, False), serving(OTHER))
    assert known[0].degraded_since == at[0], "while the head is silent its replicas are not known"
