"""Rules on what serves: each finds the plan that breaks exactly it, and none the plan just inside its bound."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.ids import ApplicationName, RegionId
from state.model.plan import Finding, Plan, PlanRule, Route, Serve, Severity
from state.model.serving import (
    ApplicationRoute,
    ApplicationShare,
    ApplicationStatus,
    Backend,
    CellStatus,
    DeployState,
    KeptApplication,
    RoutingTable,
)
from state.model.snapshot import Snapshot
from state.model.spec import Shape
from tests.builders import an_offer, application
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
