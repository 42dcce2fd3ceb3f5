"""What the checker is as a whole: it finds nothing in the planner's plans, and an error refuses a plan."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import UnsafePlanError, check_plan
from scheduler.observe.snapshot import observe
from scheduler.plan import make_plan
from scheduler.simulation.world import World
from scheduler.solve import solve
from scheduler.tick import decide
from state.model.catalog import Market, Quota
from state.model.ids import ApplicationName, RegionId
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from tests.builders import a_spec, an_offer, application
from tests.plans import a_good_plan


def decided(ticks: int = 0) -> tuple[Plan, Snapshot]:
    world = World(an_offer("aws/us-east-1"), an_offer("gcp/us-central1"), an_offer("azure/eastus"))
    chat = application(demand={"replicas": 4}, survive={"any": "region"}, regions={"jurisdictions": ["US"]})
    world.want(a_spec(50, chat=chat))
    for _ in range(ticks):
        world.tick()
    snapshot = observe(world.ports)
    return make_plan(solve(snapshot), snapshot), snapshot


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 4, 6])
def test_a_plan_of_the_planner_breaks_nothing(ticks: int) -> None:
    assert check_plan(*decided(ticks)) == ()


def test_a_good_plan_by_hand_breaks_nothing() -> None:
    assert check_plan(*a_good_plan()) == ()


def test_a_plan_for_nothing_wanted_is_checked_too() -> None:
    plan, snapshot = a_good_plan()

    found = {finding.rule for finding in check_plan(plan, replace(snapshot, wanted=None))}
    assert found == set(), "what it launches is placed, recorded and priced"
    twice = replace(plan, actions=(*plan.actions, plan.actions[0]))
    assert {finding.rule for finding in check_plan(twice, replace(snapshot, wanted=None))} == {
        PlanRule.DOUBLE_LAUNCH,
        PlanRule.EXCESS_LAUNCH,
    }


@pytest.mark.parametrize(
    "changes",
    [{"application": ApplicationName("x")}, {"shape": 9}, {"shape": -1}, {"count": -1}],
)
def test_a_replica_of_nothing_in_the_spec_refuses_the_plan(changes: dict[str, Any]) -> None:
    plan, snapshot = a_good_plan()
    first, *others = plan.placement.replicas
    wrong = replace(first, **changes)

    found = check_plan(replace(plan, placement=replace(plan.placement, replicas=(wrong, *others))), snapshot)

    assert found == (Finding(PlanRule.UNKNOWN_REPLICA, Severity.ERROR, first.region, wrong.application),)


def test_an_error_names_its_rules_and_subjects_and_a_warning_refuses_nothing() -> None:
    wide = Finding(PlanRule.LAUNCHES_PER_PLAN, Severity.ERROR, "", actual=3, allowed=2)
    about = Finding(PlanRule.PRICE, Severity.ERROR, "aws/us-east-1/a/l4.1/on_demand")

    error = UnsafePlanError((wide, about))

    assert error.findings == (wide, about)
    assert str(error) == "launches_per_plan, price aws/us-east-1/a/l4.1/on_demand"


def test_a_plan_with_a_warning_alone_is_decided_on() -> None:
    plan, snapshot = decided(6)
    region = RegionId("aws/us-east-1")
    held = sum(i.region == region and i.machine.gpu is not None for i in snapshot.instances)
    assert held
    lowered = _lowered(snapshot, region)

    assert [finding.severity for finding in check_plan(plan, lowered)] == [Severity.WARNING]
    assert decide(lowered).placement.machines == plan.placement.machines


def _lowered(snapshot: Snapshot, region: RegionId) -> Snapshot:
    """Return a snapshot with a quota below what exists, in a region that must be left alone."""
    quota = Quota(region, "gpu", Market.ON_DEMAND, 0, 0, "gpus")
    return replace(snapshot, quotas=(quota,), unreachable=frozenset({region}))
