"""What ends and when: machines without use, of no use to their cell, and that carry replicas."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.plan.ready import Readiness
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, InstanceId
from state.model.inventory import (
    Impairment,
    Instance,
    Role,
)
from state.model.plan import ActionKind, Blocked, Drain, Terminate
from state.model.serving import ApplicationStatus, DeployState
from state.model.snapshot import Snapshot
from tests.builders import NOON, an_offer
from tests.changes import (
    EU_OFFER,
    HEAD,
    MINUTE,
    OFFER,
    READY,
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
from tests.plans import CHAT, CODE, EU, US, a_launch, a_record, placed, running

# Machines without use.


def test_a_machine_that_is_not_placed_and_carries_nothing_is_ended_and_recorded() -> None:
    held = running(OFFER, "sk-1")

    changes = changes_of(a_fleet(held))

    assert changes.terminations == [Terminate(held.id, held.key, "c-sk-1", T.NOT_PLACED)]
    assert changes.instances == [
        replace(
            held, status=S.TERMINATING, reason=T.NOT_PLACED, version=held.version + 1, message="", ending_since=NOON
        )
    ]
    assert (changes.drains, changes.blocked) == ([], [])


def test_where_nothing_is_wanted_everything_ends_at_once() -> None:
    held = running(OFFER, "sk-1"), running(HEAD, "sk-h", Role.HEAD)
    cell = a_cell(US, a_node(held[0], 3))

    changes = changes_of(replace(a_fleet(*held, cells=(cell,)), wanted=None))

    assert ended(changes) == [("sk-h", T.FLEET_DESTROYED), ("sk-1", T.FLEET_DESTROYED)]
    assert changes.drains == []


def test_those_that_start_end_first_then_those_that_carry_least() -> None:
    many, few = running(OFFER, "sk-1"), running(OFFER, "sk-2")
    starting = a_record(a_launch(OFFER, "sk-9"), cloud_id="c")
    cell = a_cell(US, a_node(many, 3), a_node(few, 0))
    snapshot = a_fleet(many, few, starting, cells=(cell,))

    assert ended(changes_of(snapshot, placed(OFFER, 2))) == [("sk-9", T.NOT_PLACED)]
    assert ended(changes_of(snapshot, placed(OFFER, 1))) == [("sk-9", T.NOT_PLACED), ("sk-2", T.NOT_PLACED)]
    equal = a_fleet(running(OFFER, "sk-b"), running(OFFER, "sk-a"))
    assert ended(changes_of(equal, placed(OFFER, 1))) == [("sk-a", T.NOT_PLACED)]


def test_offers_and_roles_are_counted_apart() -> None:
    held = (running(OFFER, "sk-1"), running(EU_OFFER, "sk-2"))

    assert ended(changes_of(a_fleet(*held), placed(OFFER))) == [("sk-2", T.NOT_PLACED)]
    assert ended(changes_of(a_fleet(held[0]), placed(OFFER, 1, Role.HEAD))) == [("sk-1", T.NOT_PLACED)]
    assert ended(changes_of(a_fleet(*held), placed(OFFER), placed(EU_OFFER))) == []
    several = a_fleet(held[0], running(OFFER, "sk-3"))
    assert ended(changes_of(several, placed(OFFER), placed(OFFER))) == []


@pytest.mark.parametrize("state", list(HealthState))
def test_machines_of_a_region_that_may_come_back_are_kept(state: HealthState) -> None:
    snapshot = a_fleet(running(OFFER, "sk-1"), health=(RegionHealth(US, state, NOON),))
    ends = state in {HealthState.HEALTHY, HealthState.DOWN}

    assert ended(changes_of(snapshot)) == ([("sk-1", T.NOT_PLACED)] if ends else [])
    silent = replace(snapshot, unreachable=frozenset({US}))
    assert ended(changes_of(silent)) == []


def test_in_a_region_that_is_down_even_what_is_placed_ends_once_others_carry_its_applications() -> None:
    held = running(OFFER, "sk-1")
    snapshot = a_fleet(held, health=(RegionHealth(US, HealthState.DOWN, NOON),))
    ready = a_readiness(
        floor={CHAT: 2000},
        ready={(CHAT, EU): 2, (CHAT, US): 5},
        wanted={(CHAT, EU): 2, (CHAT, US): 5},
        milli_each={(CHAT, EU): 1000, (CHAT, US): 1000},
    )

    assert ended(changes_of(snapshot, placed(OFFER), ready=ready)) == [("sk-1", T.NOT_PLACED)]
    short = replace(ready, ready={(CHAT, EU): 1, (CHAT, US): 5})
    found = changes_of(snapshot, placed(OFFER), ready=short)
    assert [b for b in found.blocked if b.instance_id] == [
        Blocked(R.NOT_CARRIED_ELSEWHERE, ActionKind.TERMINATE, US, CHAT, held.id, held.key, S.RUNNING)
    ]
    passing = replace(ready, wanted={(CHAT, EU): 1})
    assert ended(changes_of(snapshot, placed(OFFER), ready=passing)) == [], "what will not stay there does not carry"
    two = replace(short, floor={ApplicationName("aaa"): 0, CHAT: 2000, CODE: 1})
    assert [b.application for b in changes_of(snapshot, ready=two).blocked] == [CHAT]


def test_a_head_stays_until_its_cell_has_no_workers() -> None:
    head, worker = running(HEAD, "sk-h", Role.HEAD), running(OFFER, "sk-1")

    kept = changes_of(a_fleet(head, worker), placed(OFFER))
    assert kept.blocked == [Blocked(R.CELL_HAS_WORKERS, ActionKind.TERMINATE, US, None, head.id, head.key, S.RUNNING)]
    assert kept.terminations == []
    ending = replace(worker, status=S.TERMINATING, reason=T.NOT_PLACED)
    assert ("sk-h", T.NOT_PLACED) in ended(changes_of(a_fleet(head, ending)))
    elsewhere = running(EU_OFFER, "sk-2")
    assert ended(changes_of(a_fleet(head, elsewhere), placed(EU_OFFER))) == [("sk-h", T.NOT_PLACED)]


def test_a_head_ends_in_the_plan_that_ends_its_last_workers() -> None:
    head, worker = running(HEAD, "sk-h", Role.HEAD), running(an_offer(US, zone="0"), "sk-1")

    assert ended(changes_of(a_fleet(head, worker))) == [("sk-1", T.NOT_PLACED), ("sk-h", T.NOT_PLACED)]


# Machines that carry replicas.


def serving(state: DeployState = DeployState.RUNNING, ready: int = 1, name: ApplicationName = CHAT) -> Any:
    return ApplicationStatus(name, state, ready, ready, "{}")


def busy(*statuses: ApplicationStatus) -> tuple[Instance, Snapshot]:
    """Return a machine that is not placed and carries replicas, in a cell of which these are the applications."""
    held = running(OFFER, "sk-1")
    cell = a_cell(US, a_node(held, 2), applications=statuses or (serving(),))
    return held, a_fleet(held, cells=(cell,))


def test_a_machine_with_replicas_is_drained_before_it_ends() -> None:
    held, snapshot = busy()

    changes = changes_of(snapshot, ready=READY)

    assert changes.drains == [Drain(held.id, US, "node-sk-1", T.NOT_PLACED, 2 * MINUTE)]
    assert changes.instances == [replace(held, drain_until=NOON + 2 * MINUTE, version=held.version + 1)]
    assert (changes.terminations, changes.blocked) == ([], [])


@pytest.mark.parametrize(
    ("ready", "changing", "status", "expected"),
    [
        (replace(READY, joined=frozenset({EU})), (), None, Blocked(R.NOT_ALL_JOINED)),
        (READY, (US,), None, Blocked(R.CELL_CHANGING)),
        (READY, (EU,), None, None),
        (
            replace(READY, floor={CHAT: 2000}, ready={(CHAT, US): 2}, milli_each={(CHAT, US): 1000}),
            (),
            None,
            Blocked(R.NOT_CARRIED_ELSEWHERE, application=CHAT),
        ),
        (READY, (), serving(ready=2), Blocked(R.REPLICAS_ABOVE_TARGET, application=CHAT, ready=2, target=1)),
        (
            READY,
            (),
            serving(DeployState.DEPLOYING),
            Blocked(R.APPLICATION_NOT_STABLE, application=CHAT, state=DeployState.DEPLOYING),
        ),
        (READY, (), serving(ready=1, name=CODE), Blocked(R.REPLICAS_ABOVE_TARGET, application=CODE, ready=1, target=0)),
    ],
)
def test_replicas_move_only_from_a_stable_cell_with_room(
    ready: Readiness, changing: Any, status: Any, expected: Blocked | None
) -> None:
    held, snapshot = busy(*([status] if status else []))

    changes = changes_of(snapshot, ready=ready, changing=changing)

    if expected is None:
        assert (len(changes.drains), changes.blocked) == (1, [])
        return
    about = {"action": ActionKind.TERMINATE, "region": US, "instance_id": held.id, "key": held.key}
    assert changes.blocked == [replace(expected, status=S.RUNNING, **about)]  # type: ignore[arg-type]
    assert (changes.drains, changes.terminations) == ([], [])


def test_what_a_machine_carries_is_not_known_while_its_cell_is_silent_unless_it_never_joined() -> None:
    held, snapshot = busy()
    silent = replace(snapshot, cells=(replace(snapshot.cells[0], answered=False),))

    changes = changes_of(silent, ready=READY)
    assert (changes.drains, ended(changes)) == ([], [(held.id, T.NOT_PLACED)])

    joined = replace(silent, instances=(replace(held, node_id="node-sk-1"),))
    changes = changes_of(joined, ready=READY)
    assert [b.reason for b in changes.blocked] == [R.CELL_SILENT]
    assert (changes.drains, changes.terminations) == ([], [])
    head = running(HEAD, "sk-h", Role.HEAD, node_id="node-sk-h")
    unseen = replace(silent, instances=(held, head))
    found = changes_of(unseen, placed(HEAD, 1, Role.HEAD), ready=READY)
    assert (ended(found), [b.reason for b in found.blocked]) == ([], [R.CELL_SILENT]), "it may have joined meanwhile"
    down = replace(joined, health=(RegionHealth(US, HealthState.DOWN, NOON),))
    assert ended(changes_of(down, ready=READY)) == [(held.id, T.NOT_PLACED)], "its region's health has judged it"


# Machines of no use to their cell.


def faulty(
    since: timedelta = timedelta(minutes=20), role: Role = Role.WORKER, *nodes: Any, **changes: Any
) -> tuple[Instance, Snapshot]:
    offer = HEAD if role is Role.HEAD else OFFER
    held = running(offer, "sk-1", role, running_at=NOON - since)
    cell = a_cell(US, *nodes)
    return held, a_fleet(held, **({"cells": (cell,)} | changes))


def test_a_machine_that_never_joins_its_cell_is_replaced_after_a_quarter_of_an_hour() -> None:
    late = timedelta(minutes=15) + SECOND
    for since, expected in ((late - SECOND, []), (late, [("sk-1", T.NEVER_JOINED)])):
        _, snapshot = faulty(since)
        assert ended(changes_of(snapshot, placed(OFFER))) == expected

    held, snapshot = faulty(late)
    found = changes_of(snapshot, placed(OFFER))
    assert found.instances[0] == replace(
        held, status=S.TERMINATING, reason=T.NEVER_JOINED, version=held.version + 1, message="", ending_since=NOON
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"cells": ()},
        {"cells": (a_cell(US, answered=False),)},
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
    ],
)
def test_nothing_is_concluded_of_a_machine_while_its_cell_or_cloud_is_silent(changes: dict[str, Any]) -> None:
    _, snapshot = faulty(**changes)

    assert ended(changes_of(snapshot, placed(OFFER))) == []


def test_a_machine_that_starts_or_has_joined_is_no_fault() -> None:
    held, snapshot = faulty()
    joined = replace(snapshot, cells=(a_cell(US, a_node(held)),))
    starting = replace(snapshot, instances=(replace(held, status=S.REQUESTED),))
    unseen = replace(snapshot, instances=(replace(held, running_at=None),))

    for case in (joined, starting, unseen):
        assert ended(changes_of(case, placed(OFFER))) == []


@pytest.mark.parametrize(("gpus", "is_short"), [(0.0, True), (0.5, True), (1.0, False), (None, False)])
def test_a_machine_that_joined_with_fewer_gpus_than_its_type_has_is_replaced(
    gpus: float | None,
    is_short: bool,  # noqa: FBT001
) -> None:
    held, snapshot = faulty(MINUTE)
    snapshot = replace(snapshot, cells=(a_cell(US, a_node(held, gpus=gpus)),))

    changes = changes_of(snapshot, placed(OFFER))
    found = changes.terminations

    message = f"{gpus:g} of 1" if is_short else ""
    assert [i.message for i in changes.instances] == [message] * is_short
    assert [(t.reason, t.message) for t in found] == ([(T.GPUS_MISSING, message)] if is_short else [])


@pytest.mark.parametrize(
    ("since", "replicas", "is_ended"),
    [
        (MINUTE + SECOND, 0, True),
        (MINUTE, 0, False),
        (None, 0, True),
        (MINUTE + SECOND, 1, False),
    ],
)
def test_an_impaired_machine_is_replaced_once_it_carries_nothing(
    since: timedelta | None,
    replicas: int,
    is_ended: bool,  # noqa: FBT001
) -> None:
    held, snapshot = faulty(MINUTE)
    found_at = None if since is None else NOON - since
    snapshot = replace(
        snapshot,
        cells=(a_cell(US, a_node(held, replicas)),),
        impairments=(Impairment(InstanceId("sk-0"), "other", None), Impairment(held.id, "bad disk", found_at)),
    )

    found = changes_of(snapshot, placed(OFFER)).terminations

    assert [(t.reason, t.message) for t in found] == ([(T.IMPAIRED, "bad disk")] if is_ended else [])


def test_a_head_that_never_answers_is_replaced_and_one_whose_region_has_served_is_not() -> None:
    silent = {"cells": (a_cell(US, answered=False),)}
    _, snapshot = faulty(timedelta(minutes=20), Role.HEAD, **silent)

    assert ended(changes_of(snapshot, placed(HEAD, 1, Role.HEAD))) == [("sk-1", T.NEVER_JOINED)]
    early = faulty(timedelta(minutes=15), Role.HEAD, **silent)[1]
    answers = faulty(timedelta(minutes=20), Role.HEAD)[1]
    served = replace(snapshot, health=(RegionHealth(US, HealthState.HEALTHY, NOON),))
    for case in (early, answers, served):
        assert ended(changes_of(case, placed(HEAD, 1, Role.HEAD))) == []


def test_a_lost_machine_goes_before_those_that_work() -> None:
    lost, good = running(OFFER, "sk-z", running_at=NOON - timedelta(hours=1)), running(OFFER, "sk-a")
    starting = a_record(a_launch(OFFER, "sk-new"), cloud_id="c")
    snapshot = a_fleet(lost, good, starting, cells=(a_cell(US, a_node(good)),))

    assert ended(changes_of(snapshot, placed(OFFER, 2))) == [("sk-z", T.NEVER_JOINED)]
    assert ended(changes_of(snapshot, placed(OFFER, 3))) == [("sk-z", T.NEVER_JOINED)]
    assert ended(changes_of(snapshot, placed(OFFER, 1))) == [("sk-z", T.NEVER_JOINED), ("sk-new", T.NOT_PLACED)]
