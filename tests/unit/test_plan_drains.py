"""How many machines are drained at once, and how long their replicas have to move."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.plan.changes import CapacityChanges
from scheduler.plan.drains import drain_blocked, moves_away, time_to_move
from scheduler.plan.ready import Readiness
from state.model.inventory import Instance, Notice, NoticeKind
from state.model.plan import ActionKind, Blocked, Drain
from state.model.serving import ApplicationStatus, DeployState
from state.model.snapshot import Snapshot
from tests.builders import NOON
from tests.changes import EU_OFFER, MINUTE, OFFER, SECOND, R, S, T, a_cell, a_fleet, a_node, a_readiness, changes_of
from tests.plans import CHAT, CODE, EU, US, placed, running

LOAD = 3 * MINUTE


def a_worker(name: str = "sk-1", offer: Any = OFFER, **changes: Any) -> Instance:
    return running(offer, name, **changes)


def loaded(name: str, took: timedelta, offer: Any = OFFER) -> Instance:
    """Return a machine that took so long from joining its cell to carrying a ready replica."""
    return a_worker(name, offer, joined_at=NOON - MINUTE - took, carried_at=NOON - MINUTE)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((), 2 * MINUTE),
        ((loaded("sk-2", LOAD),), 6 * MINUTE),
        ((loaded("sk-2", LOAD), loaded("sk-3", MINUTE)), 6 * MINUTE),
        ((loaded("sk-2", 30 * SECOND),), 2 * MINUTE),
        ((loaded("sk-2", 45 * MINUTE),), 60 * MINUTE),
        ((loaded("sk-2", LOAD, EU_OFFER),), 6 * MINUTE),
        ((loaded("sk-2", LOAD, EU_OFFER), loaded("sk-3", 2 * MINUTE)), 4 * MINUTE),
        ((a_worker("sk-2", joined_at=NOON - LOAD),), 2 * MINUTE),
    ],
)
def test_replicas_have_twice_as_long_to_move_as_loading_took_in_their_region(
    others: tuple[Instance, ...], expected: timedelta
) -> None:
    assert time_to_move(a_worker(), None, a_fleet(a_worker(), *others)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (NoticeKind.INTERRUPTION, 90 * SECOND),
        (NoticeKind.MAINTENANCE, 90 * SECOND),
        (NoticeKind.DRAIN, 6 * MINUTE),
    ],
)
def test_replicas_of_a_machine_that_its_cloud_ends_serve_until_then(kind: NoticeKind, expected: timedelta) -> None:
    snapshot = a_fleet(a_worker(), loaded("sk-2", LOAD))

    assert time_to_move(a_worker(), Notice(a_worker().id, US, kind, NOON + 90 * SECOND), snapshot) == expected
    over = Notice(a_worker().id, US, NoticeKind.INTERRUPTION, NOON - SECOND)
    assert time_to_move(a_worker(), over, snapshot) == timedelta()


def moved(held: Instance, **node: Any) -> CapacityChanges:
    changes = CapacityChanges()
    snapshot = a_fleet(held, cells=(a_cell(US, a_node(held, 2, **node)),))
    assert moves_away(held, T.NOT_PLACED, None, snapshot, changes)
    return changes


def test_a_drain_that_is_repeated_keeps_its_deadline_until_that_is_over() -> None:
    held = a_worker()

    def drained(within: timedelta) -> list[Drain]:
        return [Drain(held.id, US, "node-sk-1", T.NOT_PLACED, within)]

    first = moved(held)
    assert first.drains == drained(2 * MINUTE)
    until = NOON + 2 * MINUTE
    assert first.instances == [replace(held, drain_until=until, version=held.version + 1)]
    again = moved(replace(held, drain_until=NOON + 50 * SECOND))
    assert (again.drains, again.instances) == (drained(50 * SECOND), []), "neither longer nor shorter"
    over = moved(replace(held, drain_until=NOON))
    assert over.drains == drained(2 * MINUTE), "it did not come about"


def test_a_node_that_is_drained_already_is_not_drained_again() -> None:
    held = a_worker()

    changes = moved(held, is_leaving=True)

    assert (changes.drains, changes.instances) == ([], [])
    moving = Blocked(R.REPLICAS_MOVING, ActionKind.TERMINATE, US, None, held.id, held.key, S.RUNNING)
    assert changes.blocked == [moving]


# How many at once.

FOUR = tuple(a_worker(f"sk-{n}") for n in range(1, 5))
THERE = a_worker("sk-eu", EU_OFFER)


def a_cell_of_four(leaving: int = 0, **changes: Any) -> Snapshot:
    """Return a fleet whose cell has a replica on each of four machines, of which some are drained."""
    nodes = tuple(a_node(i, 1, is_leaving=n < leaving) for n, i in enumerate(FOUR))
    chat = ApplicationStatus(CHAT, DeployState.RUNNING, 4, 4, "{}")
    cells = (a_cell(US, *nodes, applications=(chat,)), a_cell(EU, a_node(THERE, 1)))
    return a_fleet(*FOUR, THERE, **({"cells": cells} | changes))


def ready(floor: int, **changes: Any) -> Readiness:
    keys = {(CHAT, US): 4, (CHAT, EU): 1}
    facts = {"floor": {CHAT: floor}, "ready": keys, "milli_each": dict.fromkeys(keys, 1000)}
    return a_readiness(**(facts | changes))


OTHERS_MOVE = Blocked(R.OTHERS_MOVING, application=CHAT)


@pytest.mark.parametrize(
    ("floor", "leaving", "may"),
    [
        (5000, 0, True),  # nothing else moves, and Serve starts the replacement first
        (5000, 1, False),
        (4000, 1, False),
        (3000, 1, True),
        (3001, 1, False),
        (3000, 2, False),
        (0, 3, True),
    ],
)
def test_a_machine_is_drained_beside_others_only_while_the_rest_carries_the_floor(
    floor: int, leaving: int, *, may: bool
) -> None:
    found = drain_blocked(FOUR[3], a_cell_of_four(leaving), ready(floor), CapacityChanges())

    assert found == (None if may else OTHERS_MOVE)


def test_what_the_same_plan_drains_and_what_ends_anyway_are_gone_and_what_serves_on_is_not() -> None:
    snapshot, enough = a_cell_of_four(), ready(3001)
    drained = CapacityChanges(drains=[Drain(FOUR[0].id, US, "n", T.NOT_PLACED, MINUTE)])
    assert drain_blocked(FOUR[3], snapshot, enough, drained) == OTHERS_MOVE

    ending = (replace(FOUR[0], status=S.TERMINATING, reason=T.NOTICE), *FOUR[1:], THERE)
    snapshot = replace(snapshot, instances=ending)
    assert drain_blocked(FOUR[3], snapshot, enough, CapacityChanges()) == OTHERS_MOVE
    far = timedelta(minutes=20)
    for kind, after, serves in (
        (NoticeKind.DRAIN, MINUTE, True),
        (NoticeKind.MAINTENANCE, far, True),
        (NoticeKind.MAINTENANCE, MINUTE, False),
        (NoticeKind.INTERRUPTION, MINUTE, False),
    ):
        announced = replace(snapshot, notices=(Notice(FOUR[0].id, US, kind, NOON + after),))
        found = drain_blocked(FOUR[3], announced, enough, CapacityChanges())
        assert found == (None if serves else OTHERS_MOVE), kind


def test_what_moves_in_another_cell_counts_and_another_application_does_not() -> None:
    snapshot = a_cell_of_four()
    elsewhere = replace(snapshot, cells=(snapshot.cells[0], a_cell(EU, a_node(THERE, 1, is_leaving=True))))

    assert drain_blocked(FOUR[3], elsewhere, ready(3001), CapacityChanges()) == OTHERS_MOVE
    assert drain_blocked(FOUR[3], elsewhere, ready(3000), CapacityChanges()) is None
    code = {(CODE, EU): 1, (CHAT, US): 4}
    apart = ready(9000, ready=code, milli_each=dict.fromkeys(code, 1000))
    assert drain_blocked(FOUR[3], elsewhere, apart, CapacityChanges()) is None


def test_machines_are_drained_one_by_one_where_nothing_else_carries() -> None:
    steady = ready(5000, joined=frozenset({US}), wanted={(CHAT, US): 4, (CHAT, EU): 1})

    changes = changes_of(a_cell_of_four(), placed(EU_OFFER), ready=steady)

    assert len(changes.drains) == 1
    assert {b.reason for b in changes.blocked} == {R.OTHERS_MOVING}
    slack = replace(steady, floor={CHAT: 3000})
    assert len(changes_of(a_cell_of_four(), placed(EU_OFFER), ready=slack).drains) == 2
