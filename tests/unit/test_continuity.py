"""What serves goes on serving: machines out of sight, heads that restart, replicas that crash, machines drained."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.simulation.world import TICK, World
from state.model.health import HealthState
from state.model.ids import RegionId
from state.model.inventory import CloudInstance, Notice, NoticeKind, Role, TerminationReason
from state.model.plan import Drain, Launch, Route, Terminate
from state.model.units import Usd
from tests.builders import a_spec, an_offer, application

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def a_world(*regions: str, replicas: int = 4, load: timedelta = timedelta(), **changes: object) -> World:
    """Return a settled world with one offer in each of *regions*."""
    world = World(*(an_offer(region) for region in regions))
    want(world, replicas, **changes)
    for cell in world.cells.values():
        cell.serve.load = load
    world.converge(120)
    # Longer than a machine that never joined would be waited for.
    world.run(20 * MINUTE)
    return world


def want(world: World, replicas: int, **changes: object) -> None:
    world.want(a_spec(chat=application(**({"demand": {"replicas": replicas}} | changes))))


def workers(world: World, region: str = US) -> list[CloudInstance]:
    cloud = world.cloud(region.partition("/")[0])
    return sorted(
        (seen for seen, role in cloud.alive() if role is Role.WORKER and seen.key.region == region),
        key=lambda seen: seen.instance_id,
    )


def served(world: World) -> int:
    """Return how many ready replicas get requests."""
    routed = world.routed()
    return sum(sum(cell.carried().values()) for region, cell in world.cells.items() if region in routed)


class Watch:
    """What happened while a world ran."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.starts = self.ends = self.drains = self.routes = 0
        self.lowest = served(world)
        self.short = timedelta()
        self.reasons: list[TerminationReason] = []

    def run(self, duration: timedelta, floor: int = 0, until: Callable[[], bool] = lambda: False) -> None:
        """Let *duration* pass, or until a condition holds, and count what is done and how long too little serves."""
        for _ in range(int(duration / TICK)):
            plan = self.world.tick()
            for cell in self.world.cells.values():
                cell.status(())
            self.starts += sum(isinstance(a, Launch) for a in plan.actions)
            self.drains += sum(isinstance(a, Drain) for a in plan.actions)
            self.routes += sum(isinstance(a, Route) for a in plan.actions)
            ends = [a for a in plan.actions if isinstance(a, Terminate)]
            self.ends += len(ends)
            self.reasons += [a.reason for a in ends]
            self.lowest = min(self.lowest, served(self.world))
            self.short += TICK if served(self.world) < floor else timedelta()
            if until():
                return


# Machines that are missing from their cell.


@pytest.mark.parametrize("away", [5 * SECOND, 45 * SECOND, 4 * MINUTE])
def test_a_machine_that_is_missing_from_its_cell_for_a_look_is_not_ended(away: timedelta) -> None:
    world = a_world(US)
    world.cells[RegionId(US)].leave_for(workers(world)[0].address or "", away)

    watch = Watch(world)
    watch.run(30 * MINUTE)

    assert (watch.starts, watch.ends) == (0, 0)
    assert served(world) == 4


@pytest.mark.parametrize("rejoin", [timedelta(), 10 * SECOND, MINUTE])
def test_a_head_that_restarts_takes_no_machine_with_it(rejoin: timedelta) -> None:
    world = a_world(US, EU)
    head = {s.instance_id for s, role in world.cloud("aws").alive() if role is Role.HEAD}
    before = {s.instance_id for s in workers(world)}
    world.cells[RegionId(US)].restart_head(25 * SECOND, rejoin)

    watch = Watch(world)
    watch.run(30 * MINUTE)

    assert (watch.starts, watch.ends) == (0, 0)
    assert {s.instance_id for s in workers(world)} == before
    assert {s.instance_id for s, role in world.cloud("aws").alive() if role is Role.HEAD} == head
    assert served(world) == 4


def test_a_machine_that_stays_away_from_its_cell_is_replaced_after_minutes_of_answers_without_it() -> None:
    world = a_world(US)
    lost = workers(world)[0]
    world.cells[RegionId(US)].leave_for(lost.address or "", 1000 * MINUTE)

    watch = Watch(world)
    watch.run(5 * MINUTE)
    assert watch.ends == 0
    watch.run(MINUTE)
    assert watch.reasons[:1] == [TerminationReason.LEFT_CELL]
    world.converge()
    assert (served(world), len(workers(world))) == (4, 4)
    assert lost.instance_id not in {s.instance_id for s in workers(world)}


def test_machines_that_all_leave_a_cell_at_once_are_their_regions_loss_and_come_back_to_it() -> None:
    world = a_world(US, EU, replicas=4)
    region = next(r for r in (US, EU) if workers(world, r))
    for seen in workers(world, region):
        world.cells[RegionId(region)].leave_for(seen.address or "", 1000 * MINUTE)

    watch = Watch(world)
    watch.run(MINUTE)
    assert watch.ends == 0
    watch.run(MINUTE)
    assert {h.region: h.state for h in world.store.load().health}[RegionId(region)] is HealthState.DOWN
    watch.run(10 * MINUTE)
    assert served(world) == 4, "another region carries them"
    assert not workers(world, region), "and what is of no use has ended"


def test_a_head_that_restarts_before_its_cell_ever_served_is_kept_and_one_that_stays_silent_is_replaced() -> None:
    world = World(an_offer(US, stock=0))
    want(world, 2)
    world.cloud("aws").stock[an_offer(US).key] = 1
    cell = world.cells[RegionId(US)]
    cell.serve.load = 1000 * MINUTE
    world.run(20 * MINUTE)
    [head] = [s.instance_id for s, role in world.cloud("aws").alive() if role is Role.HEAD]

    cell.restart_head(25 * SECOND, 10 * SECOND)
    world.run(4 * MINUTE)
    assert [s.instance_id for s, role in world.cloud("aws").alive() if role is Role.HEAD] == [head]

    cell.is_silent = True
    world.run(4 * MINUTE)
    assert [s.instance_id for s, role in world.cloud("aws").alive() if role is Role.HEAD] == [head]
    watch = Watch(world)
    watch.run(2 * MINUTE)
    assert watch.reasons[:1] == [TerminationReason.LEFT_CELL]


# Replicas that crash.


@pytest.mark.parametrize("down_for", [63 * SECOND, 180 * SECOND])
@pytest.mark.parametrize("crashed", [2, 4])
def test_replicas_that_serve_restarts_buy_nothing_and_move_nothing(crashed: int, down_for: timedelta) -> None:
    world = a_world(US, EU, replicas=4)
    region = next(r for r in (US, EU) if workers(world, r))
    world.cells[RegionId(region)].serve.crash(crashed, down_for)

    watch = Watch(world)
    watch.run(20 * MINUTE)

    assert (watch.starts, watch.ends, watch.drains) == (0, 0, 0)
    assert {h.state for h in world.store.load().health} == {HealthState.HEALTHY}
    assert served(world) == 4


def test_replicas_that_never_come_back_are_replaced_elsewhere() -> None:
    world = a_world(US, EU, replicas=4)
    region = next(r for r in (US, EU) if workers(world, r))
    world.cells[RegionId(region)].serve.crash(4, 1000 * MINUTE)

    Watch(world).run(20 * MINUTE)

    assert {h.region: h.state for h in world.store.load().health}[RegionId(region)] is HealthState.DOWN
    assert served(world) == 4


# Machines that are drained.


def cheaper(world: World, price: str, zone: str) -> None:
    cloud = world.cloud("aws")
    cloud.catalogue = tuple(
        replace(o, price=replace(o.price, per_hour=Usd.of(price))) if o.machine.gpus and o.key.zone == zone else o
        for o in cloud.catalogue
    )


@pytest.mark.parametrize("load", [timedelta(), MINUTE, 3 * MINUTE, 20 * MINUTE])
def test_four_machines_of_a_cell_are_drained_without_going_below_the_floor(load: timedelta) -> None:
    world = World(an_offer(US, "1"), an_offer(US, "2", zone="b"))
    world.cells[RegionId(US)].serve.load = load
    want(world, 4)
    world.converge(200)
    cheaper(world, "0.3", "b")

    watch = Watch(world)
    watch.run(4 * 60 * MINUTE, floor=4, until=lambda: {s.key.zone for s in workers(world)} == {"b"})

    assert {s.key.zone for s in workers(world)} == {"b"}
    assert (watch.lowest, watch.short) == (4, timedelta())
    assert watch.drains == 4
    world.converge(200)


@pytest.mark.parametrize("load", [timedelta(), 3 * MINUTE])
def test_four_machines_that_their_operator_drains_are_replaced_first(load: timedelta) -> None:
    world = a_world(US, load=load)
    at = world.clock.now() + 60 * MINUTE
    old = workers(world)
    for seen in old:
        world.cloud("aws").announced.append(Notice(seen.instance_id, RegionId(US), NoticeKind.DRAIN, at))

    watch = Watch(world)
    watch.run(
        60 * MINUTE, floor=4, until=lambda: not {s.instance_id for s in old} & {s.instance_id for s in workers(world)}
    )

    assert not {s.instance_id for s in old} & {s.instance_id for s in workers(world)}
    assert (watch.lowest, watch.short) == (4, timedelta())


def test_as_many_are_drained_at_once_as_may_go_unserved() -> None:
    world = World(an_offer(US, "1"), an_offer(US, "2", zone="b"))
    world.cells[RegionId(US)].serve.load = 3 * MINUTE
    want(world, 4, disruption={"max_unavailable": 0.5})
    world.converge(200)
    cheaper(world, "0.3", "b")
    at_once: list[int] = []
    while not at_once or {s.key.zone for s in workers(world)} != {"b"}:
        at_once.append(sum(isinstance(a, Drain) for a in world.tick().actions))

    assert max(at_once) == 2


def test_a_machine_whose_end_is_announced_serves_until_then_where_nothing_replaces_it() -> None:
    world = a_world(US)
    world.cloud("aws").stock[an_offer(US).key] = 0
    world.cloud("aws").reclaim(workers(world)[0].instance_id, 2 * MINUTE)

    watch = Watch(world)
    watch.run(110 * SECOND)
    assert watch.lowest == 4
    watch.run(20 * SECOND)
    assert watch.lowest == 3


# Regions in trouble.


def two_halves() -> World:
    """Return a settled world in which each of two regions serves half, and nothing more is in stock."""
    world = World(an_offer(US, stock=2), an_offer(EU, stock=2))
    want(world, 4)
    world.converge()
    assert len(workers(world, US)) == len(workers(world, EU)) == 2
    return world


def overload(world: World) -> float:
    """Return how many times what its replicas carry the busiest region gets, by the weights of the gateway."""
    table = world.gateway.table()
    assert table is not None
    weights = {r: sum(b.weight for b in table.routes[0].backends if b.region == r) for r in table.regions()}
    ready = {region: sum(cell.carried().values()) for region, cell in world.cells.items()}
    return max(4 * weight / sum(weights.values()) / ready[region] for region, weight in weights.items())


@pytest.mark.parametrize("is_read", [True, False])
def test_a_silent_region_keeps_its_traffic_while_the_others_do_not_carry_it(is_read: bool) -> None:  # noqa: FBT001
    world = two_halves()
    world.cells[RegionId(US)].is_silent = True
    if not is_read:
        world.cloud("aws").silent.add(RegionId(US))

    watch = Watch(world)
    watch.run(20 * MINUTE)
    assert {h.region: h.state for h in world.store.load().health}[RegionId(US)] is HealthState.DOWN
    assert (watch.lowest, watch.routes, overload(world)) == (4, 0, 1.0)

    world.cloud("gcp").stock[an_offer(EU).key] = 2
    watch.run(45 * MINUTE)
    assert world.routed() == {EU}, "once others carry it all, it loses its requests"
    assert (watch.lowest, overload(world)) == (4, 1.0)


def test_a_recovering_region_carries_at_once_what_the_others_do_not() -> None:
    world = two_halves()
    world.cells[RegionId(US)].is_silent = True
    world.run(2 * MINUTE)
    world.cells[RegionId(US)].is_silent = False
    busiest, states = 0.0, set()
    for _ in range(int(60 * MINUTE / TICK)):
        world.tick()
        states |= {h.state for h in world.store.load().health if h.region == US}
        busiest = max(busiest, overload(world))

    assert states == {HealthState.DOWN, HealthState.RECOVERING, HealthState.HEALTHY}
    assert busiest == 1.0, "no step of its recovery asks more of the others than they carry"


def test_one_region_recovers_while_another_is_down_and_nothing_is_lost() -> None:
    world = World(*(an_offer(region, stock=2) for region in (US, EU, AZ)))
    want(world, 4, survive={"any": "region"})
    world.converge()
    for region in (US, EU):
        world.cells[RegionId(region)].is_silent = True
        world.run(2 * MINUTE)
        world.cells[RegionId(US)].is_silent = False
    watch = Watch(world)
    watch.run(30 * MINUTE)

    assert watch.lowest >= 4
