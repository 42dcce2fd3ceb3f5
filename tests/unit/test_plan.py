"""What is launched, ended, routed and remembered."""

from dataclasses import replace
from datetime import timedelta

from providers.errors import DeniedError, QuotaError, ShortageError
from scheduler.simulation.world import World
from state.model.catalog import ShortageKind
from state.model.history import OutcomeKind
from state.model.ids import InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.plan import BlockedReason, Launch, Route, Terminate
from state.model.settings import Thresholds
from state.model.units import Usd
from tests.builders import AT_ONCE, NOON, a_spec, an_offer, application
from tests.fleets import AZ, EU, US, a_world, ready, want


def test_starts_no_more_machines_at_once_than_max_surge() -> None:
    world = a_world(12, survive={"any": "none"}, disruption={"max_surge": 3})

    for _ in range(10):
        plan = world.tick()
        starting = [a for a in plan.actions if isinstance(a, Launch) and a.role is Role.WORKER]
        assert len(starting) <= 3
    world.converge()

    assert sum(world.running().values()) == 12


def test_a_plan_has_a_limit_on_launches() -> None:
    world = a_world(60, survive={"any": "none"}, disruption={"max_surge": 1000})

    plan = world.tick()

    assert len([a for a in plan.actions if isinstance(a, Launch)]) == world.ports.limits.launches_per_plan
    assert BlockedReason.LAUNCH_LIMIT in {blocked.reason for blocked in plan.blocked}


def test_goes_elsewhere_when_the_cheapest_is_out_of_stock_and_does_not_ask_again_soon() -> None:
    world = World(an_offer(US, "1", stock=1), an_offer(EU, "2"))
    want(world, 3, survive={"any": "none"})

    world.converge()

    assert world.running() == {f"{US}/a/l4.1/on_demand": 1, f"{EU}/a/l4.1/on_demand": 2}
    [shortage] = world.store.load().shortages
    assert (shortage.region, shortage.zone, shortage.instance_type) == (US, "a", "l4.1")
    assert shortage.kind is ShortageKind.STOCK_OUT
    assert shortage.message.startswith("aws launch: OutOfStock")


def test_where_the_cloud_reports_zones_with_stock_the_others_are_not_tried() -> None:
    world = World(*(an_offer(US, "1", zone=zone) for zone in "abc"), an_offer(EU, "5"))
    refused = ShortageError("aws", "launch", "InsufficientInstanceCapacity")
    refused.available_in = ("c",)
    world.fail_next("aws", refused)
    want(world, 1, survive={"any": "none"})

    world.converge()

    assert world.running() == {f"{US}/c/l4.1/on_demand": 1}
    [shortage] = world.store.load().shortages
    assert (shortage.zone, shortage.instance_type, shortage.available_zones) == (None, "l4.1", ("c",))


def test_a_quota_refusal_covers_the_family_for_an_hour() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", QuotaError("aws", "launch", "VcpuLimitExceeded"))
    want(world, 1, survive={"any": "none"})

    world.converge()

    shortages = [s for s in world.store.load().shortages if s.family]
    assert shortages
    assert all(s.until - s.since >= timedelta(hours=1) for s in shortages)


def test_a_denied_region_is_not_asked_again_at_every_tick() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", *(DeniedError("aws", "launch", "AuthFailure") for _ in range(50)))
    want(world, 2, survive={"any": "none"})

    world.converge()

    assert set(world.running()) == {f"{EU}/a/l4.1/on_demand"}
    assert len(world.cloud("aws").fail_next) > 40


def test_a_refusal_is_recorded_with_its_reason() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", ShortageError("aws", "launch", "OutOfStock"), ShortageError("aws", "launch", "OutOfStock"))
    want(world, 1, survive={"any": "none"})

    plan = world.tick()

    outcomes = world.store.outcomes(plan.id)
    assert {o.kind for o in outcomes} == {OutcomeKind.REFUSED}
    assert all("OutOfStock" in o.message for o in outcomes)


def test_launch_ids_are_derived_and_stand_in_the_plan() -> None:
    one, other = a_world(), a_world()

    assert one.tick().actions == other.tick().actions
    assert len(set(one.cloud("aws").launched)) == len(one.cloud("aws").launched)


def test_an_orphan_is_observed_for_ten_minutes_and_then_ended() -> None:
    world = a_world(2)
    world.converge()
    key = an_offer(US).key
    cloud = world.cloud("aws")
    owner = world.store.installation()
    from providers.base import LaunchOrder

    cloud.launch(LaunchOrder(InstanceId("sk-orphan"), key, Role.WORKER, owner, "", None))
    cloud.launch(LaunchOrder(InstanceId("sk-foreign"), key, Role.WORKER, "sk-other-owner", "", None))

    world.run(timedelta(minutes=9))
    assert "sk-orphan" in {seen.instance_id for seen, _ in cloud.alive()}
    world.run(timedelta(minutes=3))

    there = {seen.instance_id for seen, _ in cloud.alive()}
    assert "sk-orphan" not in there
    assert "sk-foreign" in there, "what is not ours is never touched"


def test_a_machine_that_never_joins_its_cell_is_replaced() -> None:
    world = a_world(2, survive={"any": "none"})
    world.converge()
    [first, *_] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]
    cell = world.cells[RegionId(US)]
    alive = cell._alive  # noqa: SLF001  the fake's own source of machines

    cell._alive = lambda: (pair for pair in alive() if pair[0].instance_id != first.instance_id)  # noqa: SLF001
    world.run(timedelta(minutes=20))
    cell._alive = alive  # noqa: SLF001
    world.converge()

    ended = next(i for i in world.store.instances() if i.id == first.instance_id)
    assert ended.status == "gone"
    assert sum(world.running().values()) == 2


def test_a_reclaimed_spot_machine_is_replaced() -> None:
    world = a_world(3)
    world.converge()
    [seen, *_] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]

    world.cloud("aws").end(seen.instance_id, "spot interruption")
    world.converge()

    ended = next(i for i in world.store.instances() if i.id == seen.instance_id)
    assert (ended.status, ended.reason) == (InstanceStatus.GONE, TerminationReason.ENDED_BY_PROVIDER)
    assert ended.message == "spot interruption"
    assert ready(world) >= 3


def test_a_lost_head_is_replaced_at_the_same_address() -> None:
    world = a_world(3)
    world.converge()
    [head] = [seen for seen, role in world.cloud("aws").alive() if role is Role.HEAD]

    world.cloud("aws").end(head.instance_id, "host failure")
    world.converge()

    [new] = [seen for seen, role in world.cloud("aws").alive() if role is Role.HEAD]
    assert new.instance_id != head.instance_id
    assert new.address == head.address


def test_a_lost_region_is_routed_away_from_replaced_elsewhere_and_taken_back_in_steps() -> None:
    world = a_world(4)
    world.converge()

    world.lose(EU)
    world.run(timedelta(seconds=40))
    assert EU not in world.routed()
    assert sum(world.running().values()) == 4, "nothing is bought on a suspicion"
    world.run(timedelta(minutes=2))
    assert world.running() == {f"{US}/a/l4.1/on_demand": 4, f"{AZ}/a/l4.1/on_demand": 4}

    world.cloud("gcp").silent.clear()
    world.run(timedelta(minutes=45), every=timedelta(seconds=30))
    assert world.converge().placement.violations == ()


def test_withdrawing_ends_everything_and_routes_nothing() -> None:
    world = a_world()
    world.converge()

    world.store.withdraw("test", world.clock.now())
    world.converge()

    assert world.running() == world.running(Role.HEAD) == {}
    assert world.routed() == set()
    assert world.store.load().instances == ()


def test_a_failed_reading_never_empties_the_routes() -> None:
    world = a_world()
    world.converge()
    before = world.routed()

    for cell in world.cells.values():
        cell.is_silent = True
    world.run(timedelta(minutes=5))

    assert world.routed() == before


def test_shares_of_traffic_follow_ready_replicas() -> None:
    world = World(an_offer(US, "1", gpus=4, stock=1), an_offer(EU, "0.4", gpus=1, stock=2))
    want(world, 6, survive={"any": "none"})
    world.converge()

    table = world.gateway.table()
    assert table is not None
    weights = {r: sum(b.weight for b in table.routes[0].backends if b.region == r) for r in world.routed()}
    assert abs(weights[RegionId(US)] / weights[RegionId(EU)] - 2) < 0.1


def test_a_double_launch_by_hand_is_seen_as_what_it_is() -> None:
    world = a_world(2, survive={"any": "none"})
    world.converge()
    live = world.store.load().instances
    twin = CloudInstance("c-twin", live[0].id, live[0].key, CloudState.RUNNING, None, NOON)

    # Two machines under one id: the record is one, and the second is no orphan of another id.
    from scheduler.observe.inventory import Readings, sync_inventory

    readings = Readings((twin,), frozenset(), (), world.clock.now())
    result = sync_inventory(live, readings, Thresholds())
    assert {i.id for i in result.live} == {i.id for i in live}


def test_never_spends_more_than_the_budget_while_it_moves() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "1"))
    world.want(a_spec(4.3, chat=application(demand={"replicas": 4})))
    world.converge()
    world.ports = replace(world.ports, cost_model=AT_ONCE)
    cheaper = an_offer(EU, "0.2")
    world.cloud("gcp").catalogue = tuple(
        replace(o, price=cheaper.price) if o.key == cheaper.key else o for o in world.cloud("gcp").catalogue
    )

    for _ in range(40):
        plan = world.tick()
        live = world.store.load().instances
        assert sum(i.price_per_hour.micros for i in live) <= Usd.of("4.3").micros
        assert not [a for a in plan.actions if isinstance(a, Terminate) and ready(world) < 4]
    assert ready(world) >= 4


def test_routes_come_first_and_ends_come_last() -> None:
    world = a_world()
    kinds = [[type(action) for action in world.tick().actions] for _ in range(8)]
    world.store.withdraw("test", world.clock.now())
    last = [type(action) for action in world.tick().actions]

    assert last[0] is Route
    assert set(last[1:]) == {Terminate}
    assert [Launch] * 6 == kinds[0]
