"""How a fleet changes: what is ready never falls below the demand."""

from dataclasses import replace
from datetime import timedelta

from scheduler.simulation.world import World
from state.model.health import HealthState
from state.model.ids import RegionId
from state.model.inventory import Role
from state.model.plan import Serve, Terminate
from tests.builders import AT_ONCE, an_offer
from tests.fleets import EU, US, a_world, ready, want


def test_a_second_tick_with_nothing_changed_does_nothing_at_all() -> None:
    world = a_world()
    world.converge()
    applied, tables, launches = [c.applied for c in world.cells.values()], len(world.gateway.history), world.launches()
    events = world.store.last_event_number()

    for _ in range(20):
        plan = world.tick()
        assert plan.is_converged

    assert [c.applied for c in world.cells.values()] == applied
    assert (len(world.gateway.history), world.launches()) == (tables, launches)
    assert world.store.last_event_number() == events


def test_a_change_of_counts_alone_restarts_no_replica() -> None:
    world = a_world(4)
    world.converge()
    before = {r: c.config for r, c in world.cells.items() if c.config}

    want(world, 6)
    world.converge()

    after = {r: c.config for r, c in world.cells.items() if c.config}
    assert after.keys() == before.keys()
    assert after != before
    for region, config in before.items():
        assert without_counts(after[region]) == without_counts(config)


def without_counts(config: str | None) -> list[str]:
    return [part for part in (config or "").split(",") if "num_replicas" not in part]


def test_capacity_never_falls_below_the_demand_while_a_fleet_moves() -> None:
    world = a_world(4, survive={"any": "none"})
    world.converge()
    assert set(world.running()) == {f"{US}/a/l4.1/on_demand"}
    world.ports = replace(world.ports, cost_model=AT_ONCE)
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
    world.converge()
    assert set(world.running()) == {f"{US}/a/l4.1/on_demand"}
    world.ports = replace(world.ports, cost_model=AT_ONCE)
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
    world.converge()

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
    world.converge()

    want(world, 2, shapes=[{"gpu": "L4", "cpus": 2}], survive={"any": "none"})
    world.converge()

    assert '"num_cpus":2' in (world.cells[RegionId(US)].config or "")


def test_a_machine_that_is_neither_wanted_nor_joined_is_ended_once() -> None:
    world = a_world(3, survive={"any": "none"})
    world.converge()
    cell = world.cells[RegionId(US)]
    alive = cell._alive  # noqa: SLF001  the fake's own source of machines
    late = {seen.instance_id for seen, role in alive() if role is Role.WORKER}
    cell._alive = lambda: (pair for pair in alive() if pair[0].instance_id not in late)  # noqa: SLF001
    world.run(timedelta(minutes=14))

    want(world, 1, survive={"any": "none"})
    ended = [a.instance_id for _ in range(20) for a in world.tick().actions if isinstance(a, Terminate)]

    assert ended
    assert len(ended) == len(set(ended))


def test_the_loss_of_a_regions_only_machine_to_a_known_end_is_no_loss_of_the_region() -> None:
    world = a_world(2)
    world.converge()
    [seen] = [seen for seen, role in world.cloud("aws").alive() if role is Role.WORKER]
    world.cloud("aws").boot = timedelta(minutes=5)

    world.cloud("aws").end(seen.instance_id, "spot interruption")
    world.run(timedelta(minutes=4))

    assert {h.state for h in world.store.load().health} == {HealthState.HEALTHY}
    assert [i for i in world.store.load().instances if i.region == US and i.status == "requested"]


def test_requests_leave_a_cell_before_its_application_does() -> None:
    world = a_world(4, survive={"any": "none"})
    world.converge()
    world.ports = replace(world.ports, cost_model=AT_ONCE)
    cheaper = an_offer(EU, "0.2")
    world.cloud("gcp").catalogue = tuple(
        replace(o, price=cheaper.price) if o.key == cheaper.key else o for o in world.cloud("gcp").catalogue
    )

    for _ in range(30):
        plan = world.tick()
        leaving = [a for a in plan.actions if isinstance(a, Serve) and a.region == US]
        if leaving:
            break

    assert leaving, "the cell that is left gets its configuration"
    assert US not in world.routed(), "and by then it gets no requests"
