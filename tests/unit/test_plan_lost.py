"""Machines and heads that are missing from their cells: when they are lost, and when that is not theirs to say."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from state.model.health import HealthState, RegionHealth
from state.model.ids import InstanceId
from state.model.inventory import Role
from state.model.snapshot import Snapshot
from tests.builders import NOON
from tests.changes import (
    HEAD,
    MINUTE,
    OFFER,
    SECOND,
    R,
    S,
    T,
    a_cell,
    a_fleet,
    a_node,
    a_readiness,
    changes_of,
    ended,
)
from tests.plans import CHAT, US, placed, running

FIVE = 5 * MINUTE + SECOND


def left(since: timedelta = FIVE, head_since: timedelta | None = FIVE, *, others: bool = True) -> Snapshot:
    """Return a cell that a machine left, beside a head and another that is there."""
    away = running(OFFER, "sk-1", node_id="node-sk-1", left_cell_since=NOON - since)
    other = running(OFFER, "sk-2", node_id="node-sk-2", left_cell_since=None if others else NOON - since)
    joined_at = None if head_since is None else NOON - head_since
    head = running(HEAD, "sk-h", Role.HEAD, node_id="node-sk-h", joined_at=joined_at)
    nodes = (a_node(other), a_node(head)) if others else (a_node(head),)
    return a_fleet(away, other, head, cells=(a_cell(US, *nodes),))


def lost(snapshot: Snapshot) -> list[tuple[InstanceId, Any]]:
    return ended(changes_of(snapshot, placed(OFFER, 2), placed(HEAD, 1, Role.HEAD)))


def test_a_machine_that_left_its_cell_is_replaced_after_minutes() -> None:
    assert lost(left()) == [("sk-1", T.LEFT_CELL)]
    [found] = changes_of(left(), placed(OFFER, 2), placed(HEAD, 1, Role.HEAD)).terminations
    assert found.message == "for 5 min"
    assert lost(left(FIVE - SECOND)) == []
    never = left()
    away = replace(never.instances[0], node_id=None, running_at=NOON - 14 * MINUTE)
    assert lost(replace(never, instances=(away, *never.instances[1:]))) == []


@pytest.mark.parametrize("head_since", [FIVE - SECOND, timedelta(), None])
def test_no_machine_is_lost_while_its_head_has_only_just_started(head_since: timedelta | None) -> None:
    assert lost(left(head_since=head_since)) == []
    headless = left()
    assert lost(replace(headless, instances=headless.instances[:2])) == []


def test_machines_that_all_left_their_cell_are_for_its_regions_health_to_judge_first() -> None:
    assert lost(left(others=False)) == []
    late = 15 * MINUTE + SECOND
    assert lost(left(late - SECOND, others=False)) == []
    assert lost(left(late, others=False)) == [("sk-1", T.LEFT_CELL), ("sk-2", T.LEFT_CELL)]
    down = replace(left(late, others=False), health=(RegionHealth(US, HealthState.DOWN, NOON),))
    ready = a_readiness(floor={CHAT: 9000})
    found = changes_of(down, placed(OFFER, 2), ready=ready)
    assert ended(found)[:2] == [("sk-1", T.LEFT_CELL), ("sk-2", T.LEFT_CELL)], "they carry nothing wherever they are"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node_id": None, "running_at": NOON - 15 * MINUTE - SECOND}, T.NEVER_JOINED),
        ({"node_id": None, "running_at": NOON - 15 * MINUTE}, None),
        ({"node_id": "n", "left_cell_since": NOON - FIVE}, T.LEFT_CELL),
        ({"node_id": "n", "left_cell_since": NOON - 5 * MINUTE}, None),
        ({"node_id": "n"}, None),
    ],
)
def test_a_head_whose_cell_never_served_is_replaced_when_it_stays_silent(changes: dict[str, Any], reason: Any) -> None:
    head = running(HEAD, "sk-h", Role.HEAD, **changes)
    worker = running(OFFER, "sk-1")
    snapshot = a_fleet(head, worker, cells=(a_cell(US, answered=False),))

    assert lost(snapshot) == ([("sk-h", reason)] if reason else []), "whether it has workers or not"
    known = replace(snapshot, health=(RegionHealth(US, HealthState.HEALTHY, NOON),))
    assert lost(known) == [], "one that served is for its region's health to judge"


def test_a_machine_that_its_cloud_lists_and_that_does_not_start_is_replaced() -> None:
    late = 20 * MINUTE + SECOND

    def asked(since: timedelta, **changes: Any) -> Snapshot:
        waiting = running(OFFER, "sk-1", status=S.REQUESTED, running_at=None, requested_at=NOON - since, **changes)
        head = running(HEAD, "sk-h", Role.HEAD, node_id="node-sk-h")
        return a_fleet(waiting, running(OFFER, "sk-2"), head, cells=(a_cell(US, a_node(head)),))

    assert lost(asked(late)) == [("sk-1", T.NEVER_STARTED)]
    assert lost(asked(late - SECOND)) == []
    assert lost(asked(late, cloud_id=None)) == [], "one that was never seen is gone earlier"
    there = asked(late)
    joined = a_cell(US, a_node(there.instances[0], 1))
    assert lost(replace(there, cells=(joined,))) == [], "one that serves runs, whatever its cloud lists"
    assert lost(replace(there, unreachable=frozenset({US}))) == []
    alone = replace(there, cells=())
    assert lost(alone) == [("sk-1", T.NEVER_STARTED)], "no cell needs to exist"


def test_a_head_that_does_not_start_is_replaced_too() -> None:
    head = running(HEAD, "sk-h", Role.HEAD, status=S.REQUESTED, running_at=None, requested_at=NOON - timedelta(hours=1))

    assert lost(a_fleet(head, running(OFFER, "sk-1"))) == [("sk-h", T.NEVER_STARTED)]


def test_a_head_stays_while_a_machine_of_its_cell_that_ends_still_serves() -> None:
    head = running(HEAD, "sk-h", Role.HEAD)
    ending = running(OFFER, "sk-1", status=S.TERMINATING, reason=T.NOTICE, node_id="node-sk-1")
    carrying = a_fleet(head, ending, cells=(a_cell(US, a_node(ending, 1)),))

    assert [b.reason for b in changes_of(carrying).blocked] == [R.CELL_HAS_WORKERS]
    silent = replace(carrying, cells=(a_cell(US, answered=False),))
    assert [b.reason for b in changes_of(silent).blocked] == [R.CELL_HAS_WORKERS], "it is not known to carry nothing"
    empty = replace(carrying, cells=(a_cell(US, a_node(ending)),))
    assert ("sk-h", T.NOT_PLACED) in ended(changes_of(empty))
