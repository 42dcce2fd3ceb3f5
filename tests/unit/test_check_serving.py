"""Rules on what serves: each finds the plan that breaks exactly it, and none the plan just inside its bound."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.plan import Drain, Finding, Plan, PlanRule, Route, Serve, Severity, Terminate
from state.model.serving import (
    ApplicationRoute,
    ApplicationShare,
    ApplicationStatus,
    Backend,
    CellStatus,
    DeployState,
    KeptApplication,
    NodeStatus,
    RoutingTable,
)
from state.model.snapshot import Snapshot
from state.model.spec import Shape
from tests.builders import NOON, an_offer, application
from tests.plans import CHAT, CODE, EU, US, a_plan, a_snapshot, having, only, placed, replicas, running

OFFERS = {US: an_offer(US), EU: an_offer(EU)}


def a_cell(region: RegionId, ready: int, name: ApplicationName = CHAT, **changes: Any) -> CellStatus:
    status = ApplicationStatus(name, DeployState.RUNNING, ready, ready, "{}")
    return replace(CellStatus(region, True, (status,)), **changes)


def a_share(count: int, name: ApplicationName = CHAT) -> ApplicationShare:
    return ApplicationShare(name, "Chat", "{}", Shape(gpu="L4"), count)


def serving(*actions: Any, us: int = 2, eu: int = 2, demand: int = 4, **chat: Any) -> tuple[Plan, Snapshot]:
    """Return a fleet with ready replicas in two regions, and a plan that acts on them."""
    held = tuple(running(o, f"sk-{r}-{n}") for r, o in OFFERS.items() for n in range(9))
    counts = {US: max(us, demand), EU: max(eu, demand)}
    plan = a_plan(
        [placed(o, 9) for o in OFFERS.values()], [replicas(OFFERS[r], n) for r, n in counts.items()], *actions
    )
    wanted = application(**({"demand": {"replicas": demand}} | chat.pop("of", {}) | chat))
    cells = (a_cell(US, us), a_cell(EU, eu))
    return plan, a_snapshot(*OFFERS.values(), chat=wanted, instances=held, cells=cells)


def too_few(actual: int, allowed: int) -> Finding:
    return Finding(PlanRule.MIN_READY, Severity.ERROR, "", CHAT, actual, allowed)


def test_a_change_that_leaves_the_demand_ready_is_fine_and_one_less_is_found() -> None:
    assert check_plan(*serving(Serve(US, (a_share(1),)), us=3)) == (too_few(3000, 4000),)
    assert check_plan(*serving(Serve(US, (a_share(2),)), us=3)) == ()
    assert check_plan(*serving(Serve(US, (a_share(9),)))) == ()
    assert only(*serving(Serve(US))) == too_few(2000, 4000)
    assert only(*serving(Serve(US), Serve(EU))) == too_few(0, 4000)


def test_the_disruption_policy_may_allow_less() -> None:
    half: dict[str, Any] = {"disruption": {"max_unavailable": 0.5}}

    assert check_plan(*serving(Serve(US), **half)) == ()
    assert only(*serving(Serve(US), Serve(EU, (a_share(1),)), **half)) == too_few(1000, 2000)
    assert check_plan(*serving(Serve(US), us=1, eu=3, disruption={"max_unavailable": 0.25})) == ()
    assert only(*serving(Serve(US), us=1, eu=3, disruption={"max_unavailable": 0.2})) == too_few(3000, 3200)


def test_where_less_is_ready_than_the_demand_nothing_more_may_go() -> None:
    assert check_plan(*serving(Serve(US, (a_share(2),)), demand=9)) == ()
    assert only(*serving(Serve(US, (a_share(1),)), demand=9)) == too_few(3000, 4000)
    assert check_plan(*serving(Serve(US), us=0, eu=0)) == (), "nothing is ready, and nothing gets less"


def test_what_a_cell_keeps_stays_ready() -> None:
    kept = (KeptApplication(CHAT, "{}"),)

    assert check_plan(*serving(Serve(US, kept=kept))) == ()
    assert only(*serving(Serve(US, kept=(KeptApplication(CODE, "{}"),)))) == too_few(2000, 4000)
    assert only(*serving(Serve(US, (a_share(2, CODE),)))) == too_few(2000, 4000)
    assert check_plan(*serving(Serve(US, (a_share(1), a_share(1))))) == (), "shares of several shapes add up"


def test_silent_cells_and_other_applications_do_not_count() -> None:
    plan, snapshot = serving(Serve(US))
    silent = (a_cell(US, 2, answered=False), a_cell(EU, 2))
    others = (a_cell(US, 2, CODE), a_cell(EU, 2))
    first_of_others = (others[0], a_cell(EU, 4))

    assert check_plan(plan, replace(snapshot, cells=silent)) == ()
    assert check_plan(plan, replace(snapshot, cells=others)) == ()
    assert check_plan(plan, replace(snapshot, cells=first_of_others)) == ()
    both = replace(a_cell(US, 2), applications=(*others[0].applications, *a_cell(US, 2).applications))
    assert only(plan, replace(snapshot, cells=(both, a_cell(EU, 2)))) == too_few(2000, 4000)
    after_silent = (silent[0], a_cell(EU, 4))
    assert only(
        a_plan(plan.placement.machines, plan.placement.replicas, Serve(EU)), replace(snapshot, cells=after_silent)
    ) == too_few(0, 4000)


def test_capacity_is_that_of_the_placed_shape_and_of_the_least_where_none_is_placed() -> None:
    shapes = [{"gpu": "L4", "requests_per_second": n} for n in (20, 10, 30)]
    chat: dict[str, Any] = {"of": {"demand": {"requests_per_second": 50}}, "shapes": shapes}

    def case(us: int, eu: int, shape: int) -> tuple[Plan, Snapshot]:
        plan, snapshot = serving(Serve(US), us=us, eu=eu, **chat)
        there = tuple(replace(r, shape=shape, count=9) for r in plan.placement.replicas if r.region == EU)
        return having(plan, replicas=there), snapshot

    assert only(*case(1, 2, 0)) == too_few(40_000, 50_000)
    assert check_plan(*case(9, 3, 0)) == ()
    assert check_plan(*case(9, 2, 2)) == ()
    assert only(*case(9, 4, 1)) == too_few(40_000, 50_000)
    assert only(*case(1, 1, 2)) == too_few(30_000, 40_000), "the cell that is left counts its one at the least shape"


def test_nothing_wanted_needs_nothing_ready() -> None:
    plan, snapshot = serving(Serve(US), Serve(EU))

    assert check_plan(plan, replace(snapshot, wanted=None)) == ()


def a_table(*names: ApplicationName, backends: bool = True) -> RoutingTable:
    to = (Backend(US, "10.0.0.1:8000", 256),) if backends else ()
    return RoutingTable(tuple(ApplicationRoute(name, f"/{name}", to) for name in names))


def routed(old: RoutingTable | None, *new: Any) -> tuple[Plan, Snapshot]:
    plan, snapshot = serving(*new)
    return plan, replace(snapshot, routing=old)


@pytest.mark.parametrize("new", [a_table(), a_table(CODE), a_table(CHAT, backends=False)])
def test_finds_routes_that_are_replaced_by_none(new: RoutingTable) -> None:
    missing = Finding(PlanRule.ROUTES, Severity.ERROR, "", CHAT)

    assert only(*routed(a_table(CHAT), Route(new))) == missing
    assert only(*routed(a_table(CHAT, CODE), Serve(US, (a_share(2),)), Route(new))) == missing
    assert check_plan(*routed(a_table(CHAT))) == (), "nothing is sent"


def test_routes_of_what_is_not_wanted_or_had_none_may_go() -> None:
    assert check_plan(*routed(a_table(CHAT), Route(a_table(CHAT)))) == ()
    assert check_plan(*routed(a_table(CODE), Route(a_table()))) == ()
    assert check_plan(*routed(a_table(CHAT, backends=False), Route(a_table()))) == ()
    assert check_plan(*routed(None, Route(a_table()))) == ()
    plan, snapshot = routed(a_table(CHAT), Route(a_table()))
    assert check_plan(plan, replace(snapshot, wanted=None)) == ()


def a_drain(name: str, region: RegionId = US, **changes: Any) -> Drain:
    reason, within = TerminationReason.NOT_PLACED, timedelta(minutes=2)
    return replace(Drain(InstanceId(name), region, f"node-{name}", reason, within), **changes)


def draining(*actions: Any, us: int = 4, demand: int = 6, **nodes: Any) -> tuple[Plan, Snapshot]:
    """Return a fleet with a node of two replicas for each two of four in a region, and two in another."""
    plan, snapshot = serving(*actions, us=us, demand=demand)
    carried = [NodeStatus(InstanceId(f"sk-{US}-{n}"), "10.0.0.5", f"n{n}", False, 2) for n in range(2)]
    carried = [replace(node, **nodes) for node in carried]
    cell = replace(snapshot.cells[0], nodes=tuple(carried))
    return plan, replace(snapshot, cells=(cell, snapshot.cells[1]))


FIRST, SECOND = f"sk-{US}-0", f"sk-{US}-1"


def test_one_machine_may_be_drained_and_another_beside_it_only_where_the_rest_carries_the_demand() -> None:
    assert check_plan(*draining(a_drain(FIRST))) == ()
    both = draining(a_drain(FIRST), a_drain(SECOND))
    assert only(*both) == too_few(2000, 6000)
    assert check_plan(*draining(a_drain(FIRST), a_drain(SECOND), demand=2)) == ()
    assert only(*draining(a_drain(FIRST), a_drain(SECOND), demand=3)) == too_few(2000, 3000)
    assert check_plan(*draining(a_drain(FIRST), a_drain(SECOND), replicas=0)) == (), "they carry nothing"


def test_what_leaves_or_ends_already_counts_with_a_drain() -> None:
    plan, snapshot = draining(a_drain(FIRST))

    leaving = tuple(replace(n, is_leaving=n.instance_id == SECOND) for n in snapshot.cells[0].nodes)
    left = replace(snapshot, cells=(replace(snapshot.cells[0], nodes=leaving), snapshot.cells[1]))
    assert only(plan, left) == too_few(2000, 6000)
    held = tuple(replace(i, status=InstanceStatus.TERMINATING) if i.id == SECOND else i for i in snapshot.instances)
    ending = replace(snapshot, instances=held)
    assert only(plan, ending) == too_few(2000, 6000)

    def announced(kind: NoticeKind, minutes: float | None) -> Snapshot:
        at = None if minutes is None else NOON + timedelta(minutes=minutes)
        return replace(ending, notices=(Notice(InstanceId(SECOND), US, kind, at),))

    assert check_plan(plan, announced(NoticeKind.DRAIN, None)) == (), "it serves until others do"
    assert check_plan(plan, announced(NoticeKind.MAINTENANCE, 5.1)) == ()
    assert only(plan, announced(NoticeKind.MAINTENANCE, 5)) == too_few(2000, 6000)


def test_drains_before_an_announced_end_are_not_ours_to_time() -> None:
    notice = Notice(InstanceId(FIRST), US, NoticeKind.INTERRUPTION, NOON)
    drains = [a_drain(name, notice=replace(notice, instance_id=InstanceId(name))) for name in (FIRST, SECOND)]

    assert check_plan(*draining(*drains)) == ()
    asked = [replace(drain, notice=replace(notice, kind=NoticeKind.DRAIN)) for drain in drains]
    assert only(*draining(*asked)) == too_few(2000, 6000)
    assert only(*draining(drains[0], a_drain(SECOND))) == too_few(2000, 6000), "a chosen one waits for them"


def test_replicas_of_a_region_that_does_not_serve_take_no_part() -> None:
    plan, snapshot = draining(a_drain(FIRST), a_drain(SECOND))

    for state, found in ((HealthState.SUSPECT, 0), (HealthState.DOWN, 0), (HealthState.RECOVERING, 1)):
        sick = replace(snapshot, health=(RegionHealth(US, state, NOON),))
        assert len([f for f in check_plan(plan, sick) if f.rule is PlanRule.MIN_READY]) == found
    silent = replace(snapshot, cells=(replace(snapshot.cells[0], answered=False), snapshot.cells[1]))
    assert check_plan(plan, silent) == ()


def test_a_machine_that_carries_replicas_is_not_ended() -> None:
    plan, snapshot = draining()
    held = snapshot.instances[0]
    assert held.id == FIRST
    end = Terminate(held.id, held.key, held.cloud_id, TerminationReason.NOT_PLACED)
    ends = replace(plan, actions=(end,), instances=(replace(held, status=InstanceStatus.TERMINATING),))

    assert only(ends, snapshot) == Finding(PlanRule.SERVING_MACHINE, Severity.ERROR, FIRST, None, 2, 0)
    _, empty = draining(replicas=0)
    assert check_plan(ends, empty) == ()
    decided = replace(snapshot, instances=(replace(held, status=InstanceStatus.TERMINATING), *snapshot.instances[1:]))
    assert check_plan(ends, decided) == (), "its end was decided before"
    silent = replace(snapshot, cells=(replace(snapshot.cells[0], answered=False), snapshot.cells[1]))
    assert check_plan(ends, silent) == ()
    assert check_plan(replace(ends, placement=Placement()), replace(snapshot, wanted=None)) == ()
