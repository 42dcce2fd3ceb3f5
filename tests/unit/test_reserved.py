"""Reservations over time: a place for each launch, the books after their end, and replacements before it."""

from dataclasses import replace
from datetime import timedelta

from scheduler.simulation.world import World
from state.model.catalog import Market, Offer, Price, ReservedPlaces
from state.model.inventory import NoticeKind, Role
from state.model.plan import Launch
from state.model.units import Usd
from tests.builders import NOON, a_spec, an_offer, application
from tests.fleets import ready

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LISTED = an_offer(price="14")


def reserved(*places: ReservedPlaces) -> Offer:
    ends = [place.until for place in places if place.until is not None]
    return replace(
        an_offer(market=Market.RESERVED),
        price=Price(Usd(0), "paid for already", NOON),
        places=places,
        valid_until=min(ends, default=None),
    )


def a_world(*places: ReservedPlaces, replicas: int = 3, budget: float = 1000) -> World:
    world = World(LISTED, reserved(*places))
    world.want(a_spec(budget, chat=application(demand={"replicas": replicas})))
    return world


def markets(world: World) -> dict[str, int]:
    return {key.rpartition("/")[2]: count for key, count in world.running().items()}


def test_launches_of_one_plan_take_one_place_each_and_nothing_is_bought_beside_a_free_block() -> None:
    world = a_world(ReservedPlaces("cr-a", 1), ReservedPlaces("cr-b", 1), ReservedPlaces("cr-c", 1))

    plans = [world.tick() for _ in range(4)]
    world.converge()

    launches = [a for plan in plans for a in plan.actions if isinstance(a, Launch) and a.role is Role.WORKER]
    assert sorted(str(launch.reservation) for launch in launches) == ["cr-a", "cr-b", "cr-c"]
    assert markets(world) == {"reserved": 3}
    assert {i.reservation for i in world.store.load().instances if i.role is Role.WORKER} == {"cr-a", "cr-b", "cr-c"}


def test_what_the_reservations_do_not_have_is_bought_and_no_more() -> None:
    world = a_world(ReservedPlaces("cr-a", 2), replicas=3)

    world.converge()

    assert markets(world) == {"reserved": 2, "on_demand": 1}


def test_a_launch_with_an_unknown_outcome_keeps_its_place() -> None:
    world = a_world(ReservedPlaces("cr-a", 1), ReservedPlaces("cr-b", 1), replicas=2)
    world.cloud("aws").lose_answers = 2

    world.converge()

    assert markets(world) == {"reserved": 2}
    assert world.launches() == 2 + 1


def test_a_machine_whose_reservation_is_over_is_in_the_books_at_list_price() -> None:
    world = a_world(ReservedPlaces("cr-a", 2), replicas=2)
    world.converge()
    workers = [i for i in world.store.load().instances if i.role is Role.WORKER]
    assert {i.price_per_hour for i in workers} == {Usd(0)}

    world.cloud("aws").end_reservation(workers[0].key)
    world.tick()

    after = [i for i in world.store.load().instances if i.role is Role.WORKER]
    assert {(i.key.market, i.price_per_hour) for i in after} == {(Market.ON_DEMAND, Usd.of(14))}
    assert {i.launch_price for i in after} == {Usd(0)}, "what was agreed is kept apart"
    assert {i.id for i in after} == {i.id for i in workers}


def test_the_budget_counts_what_is_paid_after_the_end_of_a_reservation() -> None:
    world = a_world(ReservedPlaces("cr-a", 2), replicas=2, budget=20)
    world.converge()
    before, key = world.launches(), next(i.key for i in world.store.load().instances if i.role is Role.WORKER)

    world.cloud("aws").end_reservation(key)
    plan = world.tick()

    assert plan.placement.per_hour <= Usd.of(20)
    assert [unmet.missing_milli for unmet in plan.placement.unmet] == [1000]
    world.run(5 * MINUTE)
    assert world.launches() == before


def test_the_end_of_a_reservation_is_a_notice_and_its_machines_are_replaced_before() -> None:
    world = a_world(ReservedPlaces("block", 2, NOON + 2 * HOUR), replicas=2)
    world.converge()
    machines = {i.id for i in world.store.load().instances if i.role is Role.WORKER}
    served = []

    while world.clock.now() < NOON + 2 * HOUR - 31 * MINUTE:
        world.tick()
    assert {i.id for i in world.store.load().instances if i.role is Role.WORKER} == machines, "it is used to the last"
    while world.clock.now() < NOON + 2 * HOUR:
        world.tick()
        served.append(ready(world))

    assert min(served) >= 2
    assert markets(world) == {"on_demand": 2}
    ended = [i for i in world.store.instances() if i.id in machines]
    assert {i.notice.kind for i in ended if i.notice is not None} == {NoticeKind.EXPIRY}
    assert len([i for i in ended if i.notice is not None]) == 2


def test_a_reservation_is_not_sold_in_its_last_half_hour() -> None:
    world = a_world(ReservedPlaces("block", 2, NOON + 29 * MINUTE), replicas=2)

    world.converge()

    assert markets(world) == {"on_demand": 2}


def test_the_price_of_a_machine_follows_its_cloud() -> None:
    world = World(an_offer(price="2", market=Market.SPOT))
    world.want(a_spec(chat=application(market={"spot": "allowed"})))
    world.converge()
    cloud = world.cloud("aws")
    cloud.catalogue = tuple(
        replace(o, price=replace(o.price, per_hour=Usd.of("2.5"))) if o.machine.gpus else o for o in cloud.catalogue
    )

    world.tick()

    workers = [i for i in world.store.load().instances if i.role is Role.WORKER]
    assert {(i.price_per_hour, i.launch_price) for i in workers} == {(Usd.of("2.5"), Usd.of(2))}
