"""Ends that were decided earlier or are announced, and orphans."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from state.model.catalog import Market
from state.model.health import HealthState, RegionHealth
from state.model.ids import InstanceId
from state.model.inventory import (
    CloudInstance,
    CloudState,
    Instance,
    Notice,
    NoticeKind,
)
from state.model.plan import ActionKind, Blocked, BlockedReason, Drain, Terminate
from state.model.snapshot import Snapshot
from tests.builders import NOON, an_offer
from tests.changes import (
    EU_OFFER,
    OFFER,
    READY,
    SECOND,
    R,
    S,
    T,
    a_cell,
    a_fleet,
    a_node,
    changes_of,
    ended,
)
from tests.plans import EU, US, placed, running

# Ends that were decided earlier, or are announced.


def ending(
    kind: NoticeKind | None = None, after: timedelta | None = None, replicas: int = 0, **changes: Any
) -> tuple[Instance, Snapshot]:
    held = running(OFFER, "sk-1", status=S.TERMINATING, reason=T.NEVER_JOINED, message="text")
    at = None if after is None else NOON + after
    notices = () if kind is None else (Notice(held.id, US, kind, at, "soon"),)
    node = a_node(held, replicas, is_leaving=changes.pop("is_leaving", False))
    facts = {"cells": (a_cell(US, node),), "notices": notices} | changes
    return held, a_fleet(held, **facts)


def test_an_end_is_repeated_until_the_machine_is_not_listed() -> None:
    held, snapshot = ending(replicas=3)

    changes = changes_of(snapshot)

    assert changes.terminations == [Terminate(held.id, held.key, "c-sk-1", T.NEVER_JOINED, "text", None)]
    assert (changes.instances, changes.blocked) == ([], [])
    _, silent = ending(unreachable=frozenset({US}))
    assert changes_of(silent).terminations == []
    other = running(EU_OFFER, "sk-2", status=S.TERMINATING, reason=T.NOT_PLACED)
    assert ended(changes_of(replace(silent, instances=(*silent.instances, other)))) == [("sk-2", T.NOT_PLACED)]


def test_an_end_without_a_reason_of_ours_was_announced_and_keeps_its_notice() -> None:
    held, snapshot = ending()
    notice = Notice(held.id, US, NoticeKind.INTERRUPTION)
    snapshot = replace(snapshot, instances=(replace(held, reason=None, notice=notice, message=""),))

    [found] = changes_of(snapshot).terminations
    assert (found.reason, found.notice) == (T.NOTICE, notice)
    newer = replace(notice, detail="newer")
    [found] = changes_of(replace(snapshot, notices=(newer,))).terminations
    assert found.notice == newer


@pytest.mark.parametrize("after", [None, timedelta(), -SECOND])
def test_an_announced_end_that_is_due_is_asked_for(after: timedelta | None) -> None:
    held, snapshot = ending(NoticeKind.INTERRUPTION, after, replicas=2)

    assert ended(changes_of(snapshot)) == [(held.id, T.NEVER_JOINED)]


@pytest.mark.parametrize("after", [SECOND, timedelta(minutes=5)])
def test_an_announced_end_that_is_near_moves_the_replicas_first(after: timedelta) -> None:
    held, snapshot = ending(NoticeKind.INTERRUPTION, after, replicas=2)
    [notice] = snapshot.notices

    changes = changes_of(snapshot)

    assert changes.drains == [Drain(held.id, US, "node-sk-1", T.NOTICE, after, notice)]
    assert (changes.terminations, changes.blocked) == ([], [])
    _, empty = ending(NoticeKind.INTERRUPTION, after)
    [end] = changes_of(empty).terminations
    assert end.notice == empty.notices[0]


def of_held(reason: BlockedReason, held: Instance, action: ActionKind, **changes: Any) -> Blocked:
    return replace(Blocked(reason, action, US, None, held.id, held.key, S.TERMINATING), **changes)


def test_with_time_to_spare_a_machine_serves_until_it_is_replaced() -> None:
    held, snapshot = ending(NoticeKind.MAINTENANCE, timedelta(minutes=5) + SECOND, replicas=2)

    changes = changes_of(snapshot)

    waits = of_held(R.SERVES_UNTIL_REPLACED, held, ActionKind.TERMINATE, notice=snapshot.notices[0])
    assert changes.blocked == [waits]
    assert (changes.drains, changes.terminations) == ([], [])


def test_a_machine_that_moves_its_own_replicas_is_left_to_it_and_ended_once_empty() -> None:
    held, snapshot = ending(NoticeKind.LEAVING, replicas=2, is_leaving=True)

    changes = changes_of(snapshot)

    assert changes.blocked == [of_held(R.REPLICAS_MOVING, held, ActionKind.TERMINATE, notice=snapshot.notices[0])]
    assert (changes.drains, changes.terminations) == ([], [])
    remembered = replace(snapshot, notices=(), instances=(replace(held, notice=snapshot.notices[0]),))
    assert changes_of(remembered).blocked == changes.blocked, "whether its end is read again or not"
    _, empty = ending(NoticeKind.LEAVING)
    assert ended(changes_of(empty)) == [(held.id, T.NEVER_JOINED)]


def test_a_machine_that_its_operator_drains_serves_until_others_carry_its_replicas() -> None:
    held, snapshot = ending(NoticeKind.DRAIN, replicas=2)
    [notice] = snapshot.notices

    waiting = changes_of(snapshot)
    assert waiting.blocked == [of_held(R.NOT_ALL_JOINED, held, ActionKind.DRAIN, notice=notice)]
    assert (waiting.drains, waiting.terminations) == ([], [])
    moving = changes_of(snapshot, ready=READY)
    assert moving.drains == [Drain(held.id, US, "node-sk-1", T.NOTICE, timedelta(minutes=2), notice)]
    assert moving.terminations == []
    _, empty = ending(NoticeKind.DRAIN)
    [end] = changes_of(empty).terminations
    assert (end.instance_id, end.reason, end.notice) == (held.id, T.NEVER_JOINED, notice)


def test_a_notice_that_is_far_ahead_does_not_hold_up_an_end_of_ours() -> None:
    held, snapshot = ending(NoticeKind.MAINTENANCE, timedelta(hours=9), replicas=2)

    assert ended(changes_of(snapshot)) == [(held.id, T.NEVER_JOINED)]


@pytest.mark.parametrize(("kind", "after"), [(NoticeKind.INTERRUPTION, SECOND), (NoticeKind.LEAVING, None)])
def test_an_announced_end_waits_for_a_cell_that_is_silent(kind: NoticeKind, after: timedelta | None) -> None:
    held, snapshot = ending(kind, after, replicas=2)
    joined = (replace(held, node_id="node-sk-1"),)
    silent = replace(snapshot, cells=(a_cell(US, answered=False),), instances=joined)

    changes = changes_of(silent)

    waits = of_held(R.CELL_SILENT, held, ActionKind.TERMINATE, notice=snapshot.notices[0])
    assert (changes.blocked, changes.terminations) == ([waits], [])
    down = replace(silent, health=(RegionHealth(US, HealthState.DOWN, NOON),))
    is_ended = kind is NoticeKind.LEAVING
    assert [t.instance_id for t in changes_of(down).terminations] == [held.id] * is_ended, "its cloud ends it in time"


# Orphans.


@pytest.mark.parametrize(
    ("age", "is_ended"), [(timedelta(minutes=10) + SECOND, True), (timedelta(minutes=10), False), (None, False)]
)
def test_an_orphan_is_ended_once_no_launch_can_be_in_flight(age: timedelta | None, is_ended: bool) -> None:  # noqa: FBT001
    launched = None if age is None else NOON - age
    orphan = CloudInstance("c-9", InstanceId("sk-o"), OFFER.key, CloudState.RUNNING, None, launched)
    snapshot = a_fleet(orphans=(orphan,))

    changes = changes_of(snapshot)

    if is_ended:
        assert changes.terminations == [Terminate(orphan.instance_id, orphan.key, "c-9", T.ORPHAN)]
        assert changes.blocked == []
        return
    assert changes.terminations == []
    assert changes.blocked == [
        Blocked(
            R.ORPHAN_WATCHED, ActionKind.TERMINATE, US, instance_id=orphan.instance_id, key=orphan.key, message="c-9"
        )
    ]


def test_an_orphan_in_a_region_that_does_not_answer_is_left_and_others_are_not() -> None:
    old = NOON - timedelta(hours=1)
    orphans = tuple(
        CloudInstance("c", InstanceId(f"sk-{region}"), an_offer(region).key, CloudState.RUNNING, None, old)
        for region in (US, EU)
    )

    changes = changes_of(a_fleet(orphans=orphans, unreachable=frozenset({US})))

    assert ended(changes) == [(f"sk-{EU}", T.ORPHAN)]
    assert changes.blocked == []


def test_a_reserved_machine_is_launched_like_any_other() -> None:
    reserved = an_offer(US, "0", market=Market.RESERVED, stock=1)

    assert len(changes_of(a_fleet(), placed(reserved)).launches) == 1
