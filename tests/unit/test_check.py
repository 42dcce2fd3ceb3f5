"""Each rule finds the plan that breaks it; a check that finds nothing anywhere would prove nothing."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from scheduler.observe.snapshot import observe
from scheduler.plan import make_plan
from scheduler.simulation.world import World
from scheduler.solve import solve
from state.model.ids import InstanceId, RegionId
from state.model.plan import Drain, Launch, Plan, Route, Serve, Terminate
from state.model.serving import RoutingTable
from state.model.snapshot import Snapshot
from state.model.units import Usd
from tests.builders import a_key, a_spec, an_offer, application

US = "aws/us-east-1"


def decided(ticks: int = 0) -> tuple[Plan, Snapshot]:
    world = World(an_offer(US), an_offer("gcp/us-central1"), an_offer("azure/eastus"))
    chat = application(demand={"replicas": 4}, survive={"any": "region"}, regions={"jurisdictions": ["US"]})
    world.want(a_spec(50, chat=chat))
    for _ in range(ticks):
        world.tick()
    snapshot = observe(world.ports)
    return make_plan(solve(snapshot), snapshot), snapshot


def rules(plan: Plan, snapshot: Snapshot) -> set[str]:
    return {finding.rule for finding in check_plan(plan, snapshot)}


def with_actions(plan: Plan, *actions: Any) -> Plan:
    return replace(plan, actions=(*plan.actions, *actions))


def first_launch(plan: Plan) -> Launch:
    return next(action for action in plan.actions if isinstance(action, Launch))


def test_a_plan_of_the_planner_breaks_nothing() -> None:
    for ticks in (0, 1, 2, 3, 4, 6):
        assert check_plan(*decided(ticks)) == ()


def test_finds_one_launch_twice() -> None:
    plan, snapshot = decided()

    assert "double launch" in rules(with_actions(plan, first_launch(plan)), snapshot)


def test_finds_a_launch_of_what_is_held_already() -> None:
    plan, snapshot = decided()
    held = next(i for i in plan.instances if i.id == first_launch(plan).instance_id)

    assert "double launch" in rules(plan, replace(snapshot, instances=(held,)))


def test_finds_a_launch_that_is_not_on_record() -> None:
    plan, snapshot = decided()

    assert "double launch" in rules(replace(plan, instances=()), snapshot)


def test_finds_more_machines_than_were_placed() -> None:
    plan, snapshot = decided()
    launch = next(a for a in plan.actions if isinstance(a, Launch) and a.role == "worker")
    extra = [replace(launch, instance_id=InstanceId(f"sk-extra{n}")) for n in range(3)]
    recorded = [replace(plan.instances[0], id=e.instance_id) for e in extra]

    many = replace(with_actions(plan, *extra), instances=(*plan.instances, *recorded))
    assert "double launch" in rules(many, snapshot)


def test_finds_a_repeat_that_repeats_nothing() -> None:
    plan, snapshot = decided()
    repeat = replace(first_launch(plan), instance_id=InstanceId("sk-other"), is_repeat=True)

    assert "double launch" in rules(with_actions(plan, repeat), snapshot)


def test_finds_too_many_launches_and_too_many_actions() -> None:
    plan, snapshot = decided()
    limits = replace(snapshot.limits, launches_per_plan=2, actions_per_plan=3)

    assert {"launch limit", "plan size"} <= rules(plan, replace(snapshot, limits=limits))


def test_finds_a_plan_above_the_budget() -> None:
    plan, snapshot = decided()
    launch = first_launch(plan)
    dear = replace(launch, price_per_hour=Usd.of(49))

    assert "budget" in rules(replace(plan, actions=(dear, *plan.actions[1:])), snapshot)


def test_finds_a_launch_without_a_price() -> None:
    plan, snapshot = decided()
    free = replace(first_launch(plan), price_per_hour=Usd())

    assert "price" in rules(replace(plan, actions=(free, *plan.actions[1:])), snapshot)


@pytest.mark.parametrize(
    "action",
    [
        Terminate(InstanceId("sk-x"), a_key(US), "c", "test"),
        Serve(RegionId(US), '{"applications":[]}', "test"),
        Drain(InstanceId("sk-x"), RegionId(US), "n", "test"),
    ],
)
def test_finds_any_action_in_a_region_that_did_not_answer(action: Any) -> None:
    plan, snapshot = decided(6)

    assert "blind region" in rules(with_actions(plan, action), replace(snapshot, unreachable=frozenset({RegionId(US)})))


def test_finds_the_end_of_a_machine_that_is_not_ours() -> None:
    plan, snapshot = decided(6)

    assert "foreign machine" in rules(with_actions(plan, Terminate(InstanceId("sk-x"), a_key(), "c", "")), snapshot)


def test_finds_an_end_that_is_not_on_record() -> None:
    plan, snapshot = decided(6)
    ours = snapshot.instances[0]

    assert "foreign machine" in rules(with_actions(plan, Terminate(ours.id, ours.key, "c", "")), snapshot)


def test_finds_a_certificate_that_is_wrong_missing_or_silent_about_a_breach() -> None:
    plan, snapshot = decided()
    placement = plan.placement
    wrong = replace(placement.certificate[0], remaining_milli=99_000)
    fewer = replace(placement.replicas[0], count=placement.replicas[0].count - 1)

    for changed in (
        replace(placement, certificate=(wrong, *placement.certificate[1:])),
        replace(placement, certificate=()),
        replace(placement, replicas=(fewer, *placement.replicas[1:])),
    ):
        assert "certificate" in rules(replace(plan, placement=changed), snapshot)


def test_finds_replicas_that_their_machines_cannot_hold() -> None:
    plan, snapshot = decided()
    more = replace(plan.placement.replicas[0], count=9)
    placement = replace(plan.placement, replicas=(more, *plan.placement.replicas[1:]))

    assert "packing" in rules(replace(plan, placement=placement), snapshot)


def test_finds_a_replica_under_another_law() -> None:
    plan, snapshot = decided()
    abroad = replace(plan.placement.replicas[0], region=RegionId("gcp/europe-west4"))
    placement = replace(plan.placement, replicas=(abroad, *plan.placement.replicas[1:]))

    assert "jurisdiction" in rules(replace(plan, placement=placement), snapshot)


def test_finds_a_change_that_leaves_too_little_ready() -> None:
    plan, snapshot = decided(6)
    regions = [cell.region for cell in snapshot.cells if cell.applications]

    emptied = [Serve(region, '{"applications":[]}', "test") for region in regions[:2]]
    assert "min available" in rules(with_actions(plan, *emptied), snapshot)


def test_finds_routes_that_are_replaced_by_none() -> None:
    plan, snapshot = decided(6)

    assert "routes" in rules(with_actions(plan, Route(RoutingTable(), "test")), snapshot)
