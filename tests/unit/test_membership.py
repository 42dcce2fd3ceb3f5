"""What cells report of our machines: when they joined, first carried a replica, and since when they are missing."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.observe.inventory import Readings, SyncedInventory
from scheduler.observe.membership import with_membership
from scheduler.observe.signals import region_signals
from state.model.health import RegionSignals
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.serving import ApplicationStatus, CellStatus, DeployState
from state.model.settings import Thresholds
from tests.builders import NOON
from tests.changes import HEAD, OFFER, a_cell, a_node
from tests.plans import CHAT, EU, US, running

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LATER = NOON + MINUTE
SILENT = a_cell(US, answered=False)


def worker(name: str = "sk-1", **changes: Any) -> Instance:
    return running(OFFER, name, **changes)


def head(**changes: Any) -> Instance:
    return running(HEAD, "sk-h", Role.HEAD, **changes)


def after(instance: Instance, cell: CellStatus, now: datetime = LATER) -> Instance:
    """Return what becomes of a machine, and require that only a change is recorded."""
    found = with_membership(SyncedInventory((instance,), (), ()), (cell,), now)
    [current] = found.live
    assert found.learned == ((current,) if current != instance else ())
    return current


def test_a_machine_that_is_seen_has_joined_and_that_is_recorded_once() -> None:
    held = worker()
    cell = a_cell(US, a_node(held))

    joined = after(held, cell)

    assert joined == replace(held, node_id="node-sk-1", joined_at=LATER, version=held.version + 1)
    assert after(joined, cell, LATER + MINUTE) == joined
    assert after(held, a_cell(US, a_node(worker("sk-2")))) == held, "another's node is not its own"
    assert after(held, a_cell(EU, a_node(held))) == held, "nor is one of another cell"


def test_when_a_node_first_carried_a_replica_is_kept() -> None:
    joined = replace(worker(), node_id="node-sk-1", joined_at=NOON)

    carried = after(joined, a_cell(US, a_node(joined, 2)))

    assert carried.carried_at == LATER
    assert after(carried, a_cell(US, a_node(joined, 0)), LATER + MINUTE) == carried
    assert after(joined, a_cell(US, a_node(joined, 0))) == joined


def test_a_machine_that_had_joined_is_missing_since_the_first_answer_without_it() -> None:
    joined = replace(worker(), node_id="node-sk-1", joined_at=NOON)

    missing = after(joined, a_cell(US))

    assert missing == replace(joined, left_cell_since=LATER, version=joined.version + 1)
    assert after(missing, a_cell(US), LATER + MINUTE) == missing
    assert after(missing, a_cell(US, a_node(joined)), LATER + MINUTE).left_cell_since is None
    assert after(worker(), a_cell(US)) == worker(), "one that never joined is not missing"


def test_silence_is_not_absence_of_a_worker_and_is_of_a_head() -> None:
    joined = replace(worker(), node_id="node-sk-1", joined_at=NOON)
    assert after(joined, SILENT) == joined
    assert after(replace(joined, left_cell_since=NOON), SILENT).left_cell_since is None, "it is judged anew"

    lead = replace(head(), node_id="node-sk-h", joined_at=NOON)
    assert after(lead, SILENT).left_cell_since == LATER
    assert after(replace(lead, left_cell_since=NOON), SILENT).left_cell_since == NOON
    assert after(head(), SILENT) == head()


def test_a_node_that_comes_back_under_another_id_has_joined_anew() -> None:
    before = replace(worker(), node_id="old", joined_at=NOON, carried_at=NOON, left_cell_since=NOON, drain_until=LATER)

    again = after(before, a_cell(US, a_node(before)))

    assert (again.node_id, again.joined_at, again.carried_at) == ("node-sk-1", LATER, None)
    assert (again.left_cell_since, again.drain_until) == (None, None)


def test_a_machine_that_was_only_requested_has_not_joined() -> None:
    held = worker(status=InstanceStatus.REQUESTED)

    assert after(held, a_cell(US, a_node(held))) == held


def test_what_else_was_learned_of_a_machine_is_kept_under_one_version() -> None:
    new, other = worker(version=7), worker("sk-2", version=3)
    synced = SyncedInventory((new,), (other, new), ())

    found = with_membership(synced, (a_cell(US, a_node(new)),), LATER)

    joined = replace(new, node_id="node-sk-1", joined_at=LATER)
    assert found.live == (joined,)
    assert found.learned == (other, joined)


# Signals of a region.


def signals(*live: Instance, cell: CellStatus | None = None, now: datetime = NOON, silent: bool = False) -> Any:
    cells = () if cell is None else (cell,)
    readings = Readings((), frozenset({US} if silent else ()), (), now)
    [found] = region_signals((US,), live, cells, readings, Thresholds())
    return found


OLD = NOON - timedelta(hours=1)
LEAD = replace(head(), node_id="node-sk-h", joined_at=OLD)


def member(name: str, **changes: Any) -> Instance:
    facts: dict[str, Any] = {"node_id": f"node-{name}", "joined_at": OLD}
    return replace(worker(name), **(facts | changes))


def test_machines_that_a_cell_answers_without_are_counted_beside_those_that_had_joined() -> None:
    away: dict[str, Any] = {"left_cell_since": NOON - SECOND}
    live = (LEAD, member("sk-1"), member("sk-2", **away), worker("sk-3"), member("sk-4", **away, drain_until=NOON))
    chat = ApplicationStatus(CHAT, DeployState.RUNNING, 4, 3, "{}")
    cell = a_cell(US, applications=(chat,), proxies=("us:8000",))

    assert signals(*live, cell=cell) == RegionSignals(US, True, True, 4, 3, 4, 3, 1, True)
    shut = replace(cell, proxies=())
    assert signals(*live, cell=shut) == RegionSignals(US, True, True, 4, 0, 4, 3, 1, False)


@pytest.mark.parametrize(("age", "absent"), [(5 * MINUTE, 0), (5 * MINUTE + SECOND, 1), (None, 0)])
def test_while_its_head_has_only_just_started_no_machine_of_a_cell_is_missed(
    age: timedelta | None, absent: int
) -> None:
    lead = replace(LEAD, joined_at=None if age is None else NOON - age)

    found = signals(lead, member("sk-1", left_cell_since=NOON - MINUTE), cell=a_cell(US))

    assert (found.workers_joined, found.workers_absent) == (1, absent)


def test_a_head_that_has_not_answered_yet_starts_and_one_that_had_joined_is_silent() -> None:
    assert signals(cell=SILENT).head_answered is None, "nothing is there"
    assert signals(head(status=InstanceStatus.REQUESTED, running_at=None), cell=SILENT).head_answered is None
    assert signals(head(running_at=NOON - 15 * MINUTE), cell=SILENT).head_answered is None
    assert signals(head(running_at=NOON - 15 * MINUTE - SECOND), cell=SILENT).head_answered is False
    assert signals(LEAD, cell=SILENT).head_answered is False
    assert signals(worker(), cell=None, silent=True) == RegionSignals(US, False, False)
