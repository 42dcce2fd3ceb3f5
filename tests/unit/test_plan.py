from dataclasses import replace
from datetime import timedelta

from inference.base import Placed
from providers.errors import DeniedError, QuotaError, ShortageError
from state.model.health import HealthState
from state.model.history import OutcomeKind
from state.model.ids import InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import Launch, Route, Serve, Terminate
from state.model.units import Usd
from tests.builders import NOON, a_spec, an_offer, application
from tests.world import World

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"


def a_world(replicas: int = 4, **changes: object) -> World:
    world = World(an_offer(US, "1"), an_offer(EU, "1.1"), an_offer(AZ, "1.2"))
    want(world, replicas, **changes)
    return world


def want(world: World, replicas: int, **changes: object) -> None:
    world.want(a_spec(chat=application(demand={"replicas": replicas}, **{"survive": {"any": "region"}, **changes})))


def ready(world: World) -> int:
    cells = (cell.status((Placed("chat", "Chat"),)) for cell in world.cells.values())
    return sum(a.replicas_ready for c in cells for a in c.applications)


def test_a_second_tick_with_nothing_changed_does_nothing_at_all() -> None:
    world = a_world()
    world.settle()
    applied, tables, launches = [c.applied for c in world.cells.values()], len(world.gateway.history), world.launches()
    events = world.store.last_event_number()

    for _ in range(20):
        plan = world.tick()
        assert plan.is_settled

    assert [c.applied for c in world.cells.values()] == applied
    assert (len(world.gateway.history), world.launches()) == (tables, launches)
    assert world.store.last_event_number() == events


def test_a_change_of_counts_alone_restarts_no_replica() -> None:
    world = a_world(4)
    world.settle()
    before = {r: c.config for r, c in world.cells.items() if c.config}

    want(world, 6)
    world.settle()

    for region, config in before.items():
        assert config is not None
        after = world.cells[region].config or ""
        strip = [part for part in after.split(",") if "num_replicas" not in part]
        assert strip == [part for part in config.split(",") if "num_replicas" not in part]


def test_capacity_never_falls_below_the_demand_while_a_fleet_moves() -> None:
    world = a_world(4, survive={"any": "none"})
    world.settle()
    assert set(world.running()) == {f"{US}/a/l4.1/on_demand"}
    cheaper = an_offer(EU, "0.2")
    world.cloud("gcp").catalogue = tuple(
        replace(o, price=cheaper.price) if o.key == cheaper.key else o for o in world.cloud("gcp").catalogue
    )

    seen = []
    for _ in range(30):
        world.tick()
        seen.append(ready(world))

    assert set(world.running()) == {f"{EU}/a/l4.1/on_demand"}
    assert min(seen) >= 4
    assert world.running(Role.HEAD) == {f"{EU}/a/cpu.4/on_demand": 1}


def test_a_new_shape_in_a_cell_is_ready_before_the_old_one_goes() -> None:
    l4, t4 = an_offer(US, "1", gpu="L4"), an_offer(US, "3", gpu="T4")
    world = World(l4, t4)
    shapes = [{"gpu": "L4"}, {"gpu": "T4"}]
    want(world, 2, shapes=shapes, survive={"any": "none"})
    world.settle()
    assert set(world.running()) == {f"{US}/a/l4.1/on_demand"}
    cloud = world.cloud("aws")
    cheap = an_offer(price="0.1").price
    cloud.catalogue = tuple(replace(o, price=cheap) if o.key == t4.key else o for o in cloud.catalogue)

    seen = []
    for _ in range(30):
        world.tick()
        seen.append(ready(world))

    assert set(world.running()) == {f"{US}/a/t4.1/on_demand"}
    assert min(seen) >= 2
    health = world.store.load().health
    assert {h.state for h in health} == {HealthState.HEALTHY}


def test_a_change_that_restarts_replicas_is_made_in_one_cell_at_a_time() -> None:
    world = a_world(2, disruption={"max_unavailable": 0.5})
    world.settle()

    want(world, 2, shapes=[{"gpu": "L4", "cpus": 2}], disruption={"max_unavailable": 0.5})
    restarts = []
    for _ in range(10):
        plan = world.tick()
        restarts.append(sum(isinstance(a, Serve) and a.restarts for a in plan.actions))

    assert max(restarts) == 1
    assert sum(restarts) == 3


def test_an_application_in_one_cell_alone_can_still_be_changed() -> None:
    world = World(an_offer(US, "1"))
    want(world, 2, survive={"any": "none"})
    world.settle()

    want(world, 2, shapes=[{"gpu": "L4", "cpus": 2}], survive={"any": "none"})
    world.settle()

    assert '"num_cpus":2' in (world.cells[RegionId(US)].config or "")


def test_a_machine_that_is_neither_wanted_nor_joined_is_ended_once() -> None:
    world = a_world(3, survive={"any": "none"})
    world.settle()
    cell = world.cells[RegionId(US)]
    alive = cell._alive  # noqa: SLF001  the fake's own source of machines
    late = {seen.instance_id for seen, role in alive() if role is Role.WORKER}
    cell._alive = lambda: (pair for pair in alive() if pair[0].instance_id not in late)  # noqa: SLF001
    world.run(timedelta(minutes=14))

    want(world, 1, survive={"any": "none"})
    for _ in range(20):
        ended = [a.instance_id for a in world.tick().actions if isinstance(a, Terminate)]
        assert len(ended) == len(set(ended))


def test_the_loss_of_a_regions_only_machine_to_a_known_end_is_no_loss_of_the_region() -> None:
    world = a_world(2)
    world.settle()
    [seen] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]
    world.cloud("aws").boot = timedelta(minutes=5)

    world.cloud("aws").end(seen.instance_id, "spot interruption")
    world.run(timedelta(minutes=4))

    assert {h.state for h in world.store.load().health} == {HealthState.HEALTHY}
    assert [i for i in world.store.load().instances if i.region == US and i.status == "requested"]


def test_requests_leave_a_cell_before_its_application_does() -> None:
    world = a_world(4, survive={"any": "none"})
    world.settle()
    cheaper = an_offer(EU, "0.2")
    world.cloud("gcp").catalogue = tuple(
        replace(o, price=cheaper.price) if o.key == cheaper.key else o for o in world.cloud("gcp").catalogue
    )

    for _ in range(30):
        plan = world.tick()
        leaving = [a for a in plan.actions if isinstance(a, Serve) and a.region == US]
        if leaving:
            break

    assert leaving, "the cell that is left is told so"
    assert US not in world.routed(), "and by then it gets no requests"


def test_starts_no_more_machines_at_once_than_max_surge() -> None:
    world = a_world(12, survive={"any": "none"}, disruption={"max_surge": 3})

    for _ in range(10):
        plan = world.tick()
        starting = [a for a in plan.actions if isinstance(a, Launch) and a.role is Role.WORKER]
        assert len(starting) <= 3
    world.settle()

    assert sum(world.running().values()) == 12


def test_a_plan_has_a_limit_on_launches() -> None:
    world = a_world(60, survive={"any": "none"}, disruption={"max_surge": 1000})

    plan = world.tick()

    assert len([a for a in plan.actions if isinstance(a, Launch)]) == world.outside.limits.launches_per_plan
    assert any("as many launches as one plan may have" in text for text in plan.waiting)


def test_goes_elsewhere_when_the_cheapest_is_out_of_stock_and_does_not_ask_again_soon() -> None:
    world = World(an_offer(US, "1", stock=1), an_offer(EU, "2"))
    want(world, 3, survive={"any": "none"})

    world.settle()

    assert world.running() == {f"{US}/a/l4.1/on_demand": 1, f"{EU}/a/l4.1/on_demand": 2}
    [shortage] = world.store.load().shortages
    assert (shortage.region, shortage.zone, shortage.instance_type) == (US, "a", "l4.1")
    assert shortage.reason.startswith("aws launch: OutOfStock")


def test_a_quota_refusal_covers_the_family_for_an_hour() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", QuotaError("aws", "launch", "VcpuLimitExceeded"))
    want(world, 1, survive={"any": "none"})

    world.settle()

    shortages = [s for s in world.store.load().shortages if s.family]
    assert shortages
    assert all(s.until - s.since >= timedelta(hours=1) for s in shortages)


def test_a_denied_region_is_not_asked_again_at_every_tick() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", *(DeniedError("aws", "launch", "AuthFailure") for _ in range(50)))
    want(world, 2, survive={"any": "none"})

    world.settle()

    assert set(world.running()) == {f"{EU}/a/l4.1/on_demand"}
    assert len(world.cloud("aws").fail_next) > 40


def test_a_refusal_is_recorded_with_its_reason() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "2"))
    world.fail_next("aws", ShortageError("aws", "launch", "OutOfStock"), ShortageError("aws", "launch", "OutOfStock"))
    want(world, 1, survive={"any": "none"})

    plan = world.tick()

    outcomes = world.store.outcomes(plan.id)
    assert {o.kind for o in outcomes} == {OutcomeKind.REFUSED}
    assert all("OutOfStock" in o.detail for o in outcomes)


def test_launch_ids_are_derived_and_stand_in_the_plan() -> None:
    one, other = a_world(), a_world()

    assert one.tick().actions == other.tick().actions
    assert len(set(one.cloud("aws").launched)) == len(one.cloud("aws").launched)


def test_a_stray_is_watched_for_ten_minutes_and_then_ended() -> None:
    world = a_world(2)
    world.settle()
    key = an_offer(US).key
    cloud = world.cloud("aws")
    owner = world.store.installation()
    from providers.base import LaunchOrder

    cloud.launch(LaunchOrder(InstanceId("sk-stray"), key, Role.WORKER, owner, "", None))
    cloud.launch(LaunchOrder(InstanceId("sk-foreign"), key, Role.WORKER, "sk-other-owner", "", None))

    world.run(timedelta(minutes=9))
    assert "sk-stray" in {seen.instance_id for seen, _ in cloud.alive()}
    world.run(timedelta(minutes=3))

    there = {seen.instance_id for seen, _ in cloud.alive()}
    assert "sk-stray" not in there
    assert "sk-foreign" in there, "what is not ours is never touched"


def test_a_machine_that_never_joins_its_cell_is_replaced() -> None:
    world = a_world(2, survive={"any": "none"})
    world.settle()
    [first, *_] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]
    cell = world.cells[RegionId(US)]
    alive = cell._alive  # noqa: SLF001  the fake's own source of machines

    cell._alive = lambda: (pair for pair in alive() if pair[0].instance_id != first.instance_id)  # noqa: SLF001
    world.run(timedelta(minutes=20))
    cell._alive = alive  # noqa: SLF001
    world.settle()

    ended = next(i for i in world.store.instances() if i.id == first.instance_id)
    assert ended.status == "gone"
    assert sum(world.running().values()) == 2


def test_a_reclaimed_spot_machine_is_replaced() -> None:
    world = a_world(3)
    world.settle()
    [seen, *_] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]

    world.cloud("aws").end(seen.instance_id, "spot interruption")
    world.settle()

    ended = next(i for i in world.store.instances() if i.id == seen.instance_id)
    assert (ended.status, ended.reason) == ("gone", "spot interruption")
    assert ready(world) >= 3


def test_a_lost_head_is_replaced_at_the_same_address() -> None:
    world = a_world(3)
    world.settle()
    [head] = [seen for seen, role in world.cloud("aws").alive() if role is Role.HEAD]

    world.cloud("aws").end(head.instance_id, "host failure")
    world.settle()

    [new] = [seen for seen, role in world.cloud("aws").alive() if role is Role.HEAD]
    assert new.instance_id != head.instance_id
    assert new.address == head.address


def test_a_lost_region_is_routed_away_from_replaced_elsewhere_and_taken_back_in_steps() -> None:
    world = a_world(4)
    world.settle()

    world.lose(EU)
    world.run(timedelta(seconds=40))
    assert EU not in world.routed()
    assert sum(world.running().values()) == 4, "nothing is bought on a suspicion"
    world.run(timedelta(minutes=2))
    assert world.running() == {f"{US}/a/l4.1/on_demand": 4, f"{AZ}/a/l4.1/on_demand": 4}

    world.cloud("gcp").silent.clear()
    world.run(timedelta(minutes=45), every=timedelta(seconds=30))
    assert world.settle().placement.breaches == ()


def test_withdrawing_ends_everything_and_routes_nothing() -> None:
    world = a_world()
    world.settle()

    world.store.withdraw("test", world.clock.now())
    world.settle()

    assert world.running() == world.running(Role.HEAD) == {}
    assert world.routed() == set()
    assert world.store.load().instances == ()


def test_a_failed_look_never_empties_the_routes() -> None:
    world = a_world()
    world.settle()
    before = world.routed()

    for cell in world.cells.values():
        cell.is_silent = True
    world.run(timedelta(minutes=5))

    assert world.routed() == before


def test_shares_of_traffic_follow_ready_replicas() -> None:
    world = World(an_offer(US, "1", gpus=4, stock=1), an_offer(EU, "0.4", gpus=1, stock=2))
    want(world, 6, survive={"any": "none"})
    world.settle()

    table = world.gateway.table()
    assert table is not None
    weights = {r: sum(b.weight for b in table.routes[0].backends if b.region == r) for r in world.routed()}
    assert abs(weights[RegionId(US)] / weights[RegionId(EU)] - 2) < 0.1


def test_a_double_launch_by_hand_is_seen_as_what_it_is() -> None:
    world = a_world(2, survive={"any": "none"})
    world.settle()
    live = world.store.load().instances
    twin = CloudInstance("c-twin", live[0].id, live[0].key, CloudState.RUNNING, None, NOON)

    # Two machines under one id: the record is one, and the second is no stray of another id.
    from scheduler.recognise import recognise

    result = recognise(live, (twin,), frozenset(), world.clock.now())
    assert {i.id for i in result.live} == {i.id for i in live}


def test_never_spends_more_than_the_budget_while_it_moves() -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "1"))
    world.want(a_spec(4.3, chat=application(demand={"replicas": 4})))
    world.settle()
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
    assert [Launch] * 9 == kinds[0]
