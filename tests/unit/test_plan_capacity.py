"""From the placement's machines and those that exist to launches, drains and ends: each step and what blocks it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.plan.capacity import CapacityChanges, capacity_changes
from scheduler.plan.ready import Readiness
from state.model.catalog import Market
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId, derive_id
from state.model.inventory import (
    CloudInstance,
    CloudState,
    Impairment,
    Instance,
    Notice,
    NoticeKind,
    Role,
    TerminationReason,
)
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement
from state.model.plan import ActionKind, Blocked, BlockedReason, Drain, Launch, Terminate
from state.model.serving import ApplicationStatus, CellStatus, DeployState, NodeStatus
from state.model.settings import CellSettings, Limits
from state.model.snapshot import Snapshot
from state.model.units import Usd
from tests.builders import NOON, a_head_offer, an_offer, application
from tests.plans import CHAT, CHOICE, CODE, EU, US, a_launch, a_record, a_snapshot, placed, running

OFFER, HEAD = an_offer(US), a_head_offer(US)
EU_OFFER, EU_HEAD = an_offer(EU, "2"), a_head_offer(EU)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
R, T, S = BlockedReason, TerminationReason, InstanceStatus
PLAN = PlanId("plan-7")


def a_readiness(**changes: Any) -> Readiness:
    return replace(Readiness({}, {}, {}, {}), **changes)


def changes_of(
    snapshot: Snapshot, *machines: MachineCount, ready: Readiness | None = None, unsettled: Any = ()
) -> CapacityChanges:
    return capacity_changes(
        Placement(machines), snapshot, ready or a_readiness(), PLAN, frozenset(RegionId(r) for r in unsettled)
    )


def chat(**changes: Any) -> dict[str, Any]:
    return application(**({"disruption": {"max_surge": 20}} | changes))


def a_fleet(*held: Instance, budget: float = 1000, **changes: Any) -> Snapshot:
    fields = {"chat": chat()} | changes
    return a_snapshot(OFFER, HEAD, EU_OFFER, EU_HEAD, budget=budget, instances=held, **fields)


def a_node(instance: Instance, replicas: int = 0, **changes: Any) -> NodeStatus:
    return replace(NodeStatus(instance.id, "10.0.0.5", f"node-{instance.id}", False, replicas), **changes)


def a_cell(region: RegionId, *nodes: NodeStatus, **changes: Any) -> CellStatus:
    return replace(CellStatus(region, answered=True, nodes=nodes), **changes)


def why(changes: CapacityChanges) -> list[tuple[BlockedReason, InstanceId | None]]:
    return [(b.reason, b.instance_id) for b in changes.blocked]


def ended(changes: CapacityChanges) -> list[tuple[InstanceId, TerminationReason]]:
    return [(t.instance_id, t.reason) for t in changes.terminations]


# Launches.


def test_what_is_placed_and_does_not_exist_is_launched_heads_first_and_recorded() -> None:
    snapshot = a_fleet()

    changes = changes_of(snapshot, placed(OFFER, 2), placed(HEAD, 1, Role.HEAD))

    assert [(launch.role, launch.key) for launch in changes.launches] == [
        (Role.HEAD, HEAD.key),
        (Role.WORKER, OFFER.key),
        (Role.WORKER, OFFER.key),
    ]
    head, first, second = changes.launches
    assert first == Launch(
        instance_id=InstanceId(derive_id("sk", "test", PLAN, str(OFFER.key), "worker", "0")),
        key=OFFER.key,
        machine=OFFER.machine,
        role=Role.WORKER,
        price_per_hour=OFFER.price.per_hour,
        cell=next(cell for cell in snapshot.cell_settings if cell.region == US),
        choice=CHOICE,
    )
    assert second.instance_id == derive_id("sk", "test", PLAN, str(OFFER.key), "worker", "1")
    assert changes.instances == [
        replace(a_record(launch), plan_id=PLAN, choice=CHOICE, address=launch.cell.head_address if n == 0 else None)
        for n, launch in enumerate((head, first, second))
    ]
    assert changes.blocked == []


def test_only_what_is_missing_is_launched_and_what_ends_or_does_not_count_is_missing() -> None:
    snapshot = a_fleet(running(OFFER, "sk-1"), running(OFFER, "sk-2", status=S.TERMINATING, reason=T.NOT_PLACED))

    assert len(changes_of(snapshot, placed(OFFER, 3)).launches) == 2
    assert len(changes_of(snapshot, placed(OFFER, 2), placed(OFFER, 1, Role.HEAD)).launches) == 2
    down = replace(snapshot, health=(RegionHealth(US, HealthState.DOWN, NOON),))
    assert len(changes_of(down, placed(OFFER, 3)).launches) == 3


def test_nothing_is_launched_where_nothing_is_wanted() -> None:
    changes = changes_of(replace(a_fleet(), wanted=None), placed(OFFER))

    assert (changes.launches, changes.blocked) == ([], [])


def test_a_region_that_is_not_set_up_gets_nothing() -> None:
    with pytest.raises(AssertionError, match="aws/us-east-1 is not set up"):
        changes_of(replace(a_fleet(), cell_settings=()), placed(OFFER))


def blocked_launch(reason: BlockedReason, key: Any = OFFER.key) -> Blocked:
    return Blocked(reason, ActionKind.LAUNCH, key.region, key=key)


def test_a_region_that_must_be_left_alone_gets_nothing_and_others_do() -> None:
    machines = placed(OFFER, 2), placed(EU_OFFER)
    for blind in (
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
    ):
        changes = changes_of(a_fleet(**blind), *machines)

        assert [launch.key for launch in changes.launches] == [EU_OFFER.key]
        assert changes.blocked == [blocked_launch(R.REGION_LEFT_ALONE)]


@pytest.mark.parametrize(("limit", "launches"), [(3, 3), (2, 2), (0, 0)])
def test_a_plan_launches_no_more_than_its_limit(limit: int, launches: int) -> None:
    changes = changes_of(a_fleet(limits=Limits(launches_per_plan=limit)), placed(OFFER, 3))

    assert len(changes.launches) == launches
    assert changes.blocked == ([] if launches == 3 else [blocked_launch(R.LAUNCH_LIMIT)])


def test_no_more_workers_start_at_once_than_all_applications_allow_together() -> None:
    held = (
        a_record(a_launch(OFFER, "sk-starts"), cloud_id="c"),
        a_record(a_launch(HEAD, "sk-head", Role.HEAD), cloud_id="c"),
        running(OFFER, "sk-run"),
    )
    both = {"chat": chat(disruption={"max_surge": 2}), "code": chat(disruption={"max_surge": 1})}
    snapshot = a_fleet(*held, **both)

    changes = changes_of(snapshot, placed(OFFER, 6), placed(HEAD, 1, Role.HEAD), placed(EU_HEAD, 1, Role.HEAD))

    assert [launch.role for launch in changes.launches] == [Role.HEAD, Role.WORKER, Role.WORKER]
    assert changes.blocked == [blocked_launch(R.MAX_SURGE)]


@pytest.mark.parametrize("status", [S.REQUESTED, S.RUNNING, S.TERMINATING])
def test_a_new_head_waits_until_the_old_one_has_given_its_address_back(status: InstanceStatus) -> None:
    old = replace(running(a_head_offer(US, zone="b"), "sk-head", Role.HEAD, status=status), reason=T.NOT_PLACED)

    changes = changes_of(a_fleet(old), placed(HEAD, 1, Role.HEAD))
    assert changes.launches == []
    assert blocked_launch(R.HEAD_ADDRESS_IN_USE, HEAD.key) in changes.blocked

    elsewhere = replace(old, key=EU_HEAD.key)
    assert len(changes_of(a_fleet(elsewhere), placed(HEAD, 1, Role.HEAD)).launches) == 1
    worker = replace(old, role=Role.WORKER)
    assert len(changes_of(a_fleet(worker), placed(HEAD, 1, Role.HEAD)).launches) == 1


@pytest.mark.parametrize(("budget", "launches"), [(4.0, 2), (3.999999, 1), (3.0, 1), (2.9, 0)])
def test_launches_stay_within_the_budget_beside_what_may_cost_money(budget: float, launches: int) -> None:
    held = (running(OFFER, "sk-1"), running(OFFER, "sk-2", status=S.TERMINATING, reason=T.NOT_PLACED))

    changes = changes_of(a_fleet(*held, budget=budget), placed(OFFER, 3))

    assert len(changes.launches) == launches
    assert changes.blocked == ([] if launches == 2 else [blocked_launch(R.BUDGET)])


def test_what_blocks_one_offer_does_not_block_a_cheaper_one() -> None:
    changes = changes_of(a_fleet(budget=1.5), placed(EU_OFFER), placed(OFFER))

    assert [launch.key for launch in changes.launches] == [OFFER.key]
    assert changes.blocked == [blocked_launch(R.BUDGET, EU_OFFER.key)]


# Launches with an unknown outcome.


def unknown(name: str = "sk-1", offer: Any = OFFER, **changes: Any) -> Instance:
    return replace(a_record(a_launch(offer, name)), choice=CHOICE, price_per_hour=Usd.of("0.7"), **changes)


def test_a_launch_with_an_unknown_outcome_is_repeated_under_its_id_and_price() -> None:
    snapshot = a_fleet(unknown())

    changes = changes_of(snapshot, placed(OFFER))

    assert changes.launches == [
        Launch(
            InstanceId("sk-1"),
            OFFER.key,
            OFFER.machine,
            Role.WORKER,
            Usd.of("0.7"),
            next(cell for cell in snapshot.cell_settings if cell.region == US),
            CHOICE,
            is_repeat=True,
        )
    ]
    assert changes.instances == []


@pytest.mark.parametrize(
    "changes",
    [{"cloud_id": "c-1"}, {"status": S.RUNNING}, {"status": S.TERMINATING, "reason": T.NOT_PLACED}],
)
def test_what_was_listed_or_is_to_end_is_not_requested_again(changes: dict[str, Any]) -> None:
    placement = placed(OFFER) if changes.get("status") is not S.TERMINATING else placed(EU_OFFER)
    repeats = [a for a in changes_of(a_fleet(unknown(**changes)), placement).launches if a.is_repeat]

    assert repeats == []


@pytest.mark.parametrize(
    "changes",
    [
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
        {"health": (RegionHealth(US, HealthState.DOWN, NOON),)},
        {"cell_settings": (CellSettings(EU, "10.0.0.1"),)},
    ],
)
def test_nothing_is_repeated_where_nothing_may_start(changes: dict[str, Any]) -> None:
    other = unknown("sk-2", EU_OFFER)
    found = changes_of(a_fleet(unknown(), other, **changes), placed(OFFER), placed(EU_OFFER))

    assert [a.instance_id for a in found.launches if a.is_repeat] == ["sk-2"], "and the others still are"


def test_what_is_not_placed_any_more_is_ended_and_not_repeated() -> None:
    changes = changes_of(a_fleet(unknown("sk-1"), unknown("sk-2"), unknown("sk-3")), placed(OFFER))

    assert [a.instance_id for a in changes.launches] == ["sk-3"]
    assert ended(changes) == [("sk-1", T.NOT_PLACED), ("sk-2", T.NOT_PLACED)]
    as_head = changes_of(a_fleet(unknown("sk-1")), placed(OFFER, 1, Role.HEAD))
    assert [a.is_repeat for a in as_head.launches] == [False]


# Machines without use.


def test_a_machine_that_is_not_placed_and_carries_nothing_is_ended_and_recorded() -> None:
    held = running(OFFER, "sk-1")

    changes = changes_of(a_fleet(held))

    assert changes.terminations == [Terminate(held.id, held.key, "c-sk-1", T.NOT_PLACED)]
    assert changes.instances == [
        replace(held, status=S.TERMINATING, reason=T.NOT_PLACED, version=held.version + 1, message="")
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
        ready={(CHAT, EU): 2},
        wanted={(CHAT, EU): 2},
        milli_each={(CHAT, EU): 1000},
    )

    assert ended(changes_of(snapshot, placed(OFFER), ready=ready)) == [("sk-1", T.NOT_PLACED)]
    short = replace(ready, ready={(CHAT, EU): 1})
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


READY = a_readiness(joined=frozenset({US}), wanted={(CHAT, US): 1})


def test_a_machine_with_replicas_is_drained_before_it_ends() -> None:
    held, snapshot = busy()

    changes = changes_of(snapshot, ready=READY)

    assert changes.drains == [Drain(held.id, US, "node-sk-1", T.NOT_PLACED)]
    assert (changes.terminations, changes.instances, changes.blocked) == ([], [], [])


@pytest.mark.parametrize(
    ("ready", "unsettled", "status", "expected"),
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
    ready: Readiness, unsettled: Any, status: Any, expected: Blocked | None
) -> None:
    held, snapshot = busy(*([status] if status else []))

    changes = changes_of(snapshot, ready=ready, unsettled=unsettled)

    if expected is None:
        assert (len(changes.drains), changes.blocked) == (1, [])
        return
    about = {"action": ActionKind.TERMINATE, "region": US, "instance_id": held.id, "key": held.key}
    assert changes.blocked == [replace(expected, status=S.RUNNING, **about)]  # type: ignore[arg-type]
    assert (changes.drains, changes.terminations) == ([], [])


def test_a_cell_that_does_not_answer_is_not_asked_to_drain() -> None:
    held, snapshot = busy()
    silent = replace(snapshot, cells=(replace(snapshot.cells[0], answered=False),))

    changes = changes_of(silent, ready=READY)

    assert (changes.drains, ended(changes)) == ([], [(held.id, T.NOT_PLACED)])


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
        held, status=S.TERMINATING, reason=T.NEVER_JOINED, version=held.version + 1, message=""
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

    found = changes_of(snapshot, placed(OFFER)).terminations

    message = f"{gpus:g} of 1" if is_short else ""
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


# Ends that were decided earlier, or are announced.


def ending(
    kind: NoticeKind | None = None, after: timedelta | None = None, replicas: int = 0, **changes: Any
) -> tuple[Instance, Snapshot]:
    held = running(OFFER, "sk-1", status=S.TERMINATING, reason=T.NEVER_JOINED, message="text")
    at = None if after is None else NOON + after
    notices = () if kind is None else (Notice(held.id, US, kind, at, "soon"),)
    facts = {"cells": (a_cell(US, a_node(held, replicas)),), "notices": notices} | changes
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

    assert changes.drains == [Drain(held.id, US, "node-sk-1", T.NOTICE, notice)]
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
    held, snapshot = ending(NoticeKind.LEAVING, replicas=2)

    changes = changes_of(snapshot)

    assert changes.blocked == [of_held(R.REPLICAS_MOVING, held, ActionKind.TERMINATE, notice=snapshot.notices[0])]
    assert (changes.drains, changes.terminations) == ([], [])
    _, empty = ending(NoticeKind.LEAVING)
    assert ended(changes_of(empty)) == [(held.id, T.NEVER_JOINED)]


def test_a_machine_that_its_operator_drains_serves_until_others_carry_its_replicas() -> None:
    held, snapshot = ending(NoticeKind.DRAIN, replicas=2)
    [notice] = snapshot.notices

    waiting = changes_of(snapshot)
    assert waiting.blocked == [of_held(R.NOT_ALL_JOINED, held, ActionKind.DRAIN, notice=notice)]
    assert (waiting.drains, waiting.terminations) == ([], [])
    moving = changes_of(snapshot, ready=READY)
    assert moving.drains == [Drain(held.id, US, "node-sk-1", T.NOTICE, notice)]
    assert moving.terminations == []
    _, empty = ending(NoticeKind.DRAIN)
    assert ended(changes_of(empty)) == [(held.id, T.NEVER_JOINED)]


def test_a_notice_that_is_far_ahead_does_not_hold_up_an_end_of_ours() -> None:
    held, snapshot = ending(NoticeKind.MAINTENANCE, timedelta(hours=9), replicas=2)

    assert ended(changes_of(snapshot)) == [(held.id, T.NEVER_JOINED)]


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
