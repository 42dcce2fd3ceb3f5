"""Breakers: what is lost soon after it was accepted is not bought in a loop."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from scheduler import shortages
from scheduler.cli.render import words
from scheduler.observe import observe
from scheduler.simulation.world import World
from state.model.catalog import Market, OfferKey, Shortage, ShortageKind
from state.model.ids import RegionId
from state.model.inventory import Instance, Role
from state.model.settings import ShortagePolicy
from state.model.weather import LOSSES_FOR, LOSSES_KEPT, Loss, PoolWeather
from tests.builders import AT_ONCE, NOON, a_key, a_spec, an_instance, an_offer, application

POLICY = ShortagePolicy()
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KEY = a_key()
SOON, LATE = MINUTE, POLICY.early_end_max


def pool(*losses: Loss, key: OfferKey = KEY) -> PoolWeather:
    return PoolWeather(key, NOON, losses=losses)


def breakers(*pools: PoolWeather, now: datetime = NOON, held: tuple[Instance, ...] = ()) -> tuple[Shortage, ...]:
    return shortages.from_losses(pools, held, now, POLICY)


def early(count: int, every: timedelta = MINUTE, lived: timedelta = SOON) -> list[Loss]:
    return [Loss(NOON - (count - 1 - n) * every, lived) for n in range(count)]


def test_three_early_losses_in_a_row_open_an_offers_breaker_and_two_do_not() -> None:
    assert breakers(pool(*early(2))) == ()
    [breaker] = breakers(pool(*early(3)))

    assert (breaker.kind, breaker.since, breaker.until) == (ShortageKind.LAUNCHES_FAIL, NOON, NOON + HOUR)
    assert shortages.covers(breaker, an_offer()) is (an_offer().key == KEY)
    assert (breaker.region, breaker.zone, breaker.instance_type, breaker.market) == (
        KEY.region, KEY.zone, KEY.instance_type, KEY.market,
    )  # fmt: skip


def test_a_machine_that_lived_on_breaks_the_row() -> None:
    first, second, third = early(3)

    assert breakers(pool(first, second, replace(third, lived=LATE))) == ()
    assert breakers(pool(replace(first, lived=LATE), second, third)) == ()
    assert len(breakers(pool(replace(first, lived=LATE), *early(3)))) == 1


def test_each_further_loss_doubles_the_time_up_to_six_hours() -> None:
    lengths = [breakers(pool(*early(count)))[0].until - NOON for count in range(3, 10)]

    assert lengths == [HOUR, 2 * HOUR, 4 * HOUR, *[6 * HOUR] * 4]


def test_a_breaker_closes_at_its_end() -> None:
    assert len(breakers(pool(*early(3)), now=NOON + HOUR - MINUTE)) == 1
    assert breakers(pool(*early(3)), now=NOON + HOUR) == ()


@pytest.mark.parametrize(
    ("requested", "age", "is_closed"),
    [(2 * MINUTE, LATE, True), (2 * MINUTE, LATE - MINUTE, False), (-HOUR, HOUR + 20 * MINUTE, False)],
)
def test_a_machine_requested_since_that_lives_on_closes_the_breaker(
    requested: timedelta, age: timedelta, *, is_closed: bool
) -> None:
    held = replace(an_instance(key=KEY, requested=NOON + requested), carried_at=NOON + requested + MINUTE)
    now = NOON + requested + age

    assert (breakers(pool(*early(3)), now=now, held=(held,)) == ()) is is_closed
    waiting = replace(held, carried_at=None)
    assert breakers(pool(*early(3)), now=now, held=(waiting,)) != (), "it never was of use"
    head = replace(waiting, role=Role.HEAD, joined_at=NOON)
    assert (breakers(pool(*early(3)), now=now, held=(head,)) == ()) is is_closed


def test_a_machine_that_never_was_of_use_counts_however_long_it_lived() -> None:
    late = [Loss(NOON - n * 20 * MINUTE, 20 * MINUTE, useless=True) for n in (2, 1, 0)]

    [breaker] = breakers(pool(*late))

    assert (breaker.kind, breaker.until) == (ShortageKind.LAUNCHES_FAIL, NOON + HOUR)
    useful = replace(late[1], useless=False)
    assert breakers(pool(late[0], useful, late[2])) == ()
    many = [pool(*late, key=replace(KEY, instance_type=f"t{n}")) for n in range(4)]
    assert any(b.instance_type is None for b in breakers(*many)), "and for its region"


def test_ten_early_losses_of_a_region_in_an_hour_open_its_breaker_until_the_first_is_an_hour_old() -> None:
    keys = [replace(KEY, instance_type=f"t{n}") for n in range(5)]
    pools = [pool(*early(2, 10 * MINUTE), key=key) for key in keys]

    [breaker] = breakers(*pools)

    assert (breaker.region, breaker.zone, breaker.instance_type, breaker.market) == (KEY.region, None, None, None)
    assert breaker.until == NOON + 50 * MINUTE
    assert breakers(*pools[:4], pool(early(1)[0], key=keys[4])) == ()
    elsewhere = replace(keys[4], region=RegionId("aws/eu-west-1"))
    assert breakers(*pools[:4], pool(*early(2), key=elsewhere)) == ()


def test_only_the_newest_losses_of_some_hours_are_kept() -> None:
    known = pool(*early(3))

    assert known.faded(NOON + LOSSES_FOR - 3 * MINUTE).losses == known.losses
    assert known.faded(NOON + LOSSES_FOR).losses == ()
    assert POLICY.region_losses_max == LOSSES_KEPT


def dying_world(market: Market = Market.ON_DEMAND) -> World:
    """Return a world in which the cheapest offer's machines die; each other cloud's live on."""
    world = World(an_offer("aws/us-east-1", "1", market=market), an_offer("gcp/us-central1", "3"))
    world.want(a_spec(chat=application(market={"spot": "allowed"}, demand={"replicas": 1})))
    # Else the other cloud's machine is kept after two losses, since a saving that has not lasted moves nothing.
    world.ports = replace(world.ports, cost_model=AT_ONCE)
    return world


def end_workers_older_than(world: World, age: timedelta) -> None:
    for seen, role in world.cloud("aws").alive():
        if role is Role.WORKER and seen.launched_at and world.clock.now() - seen.launched_at >= age:
            world.cloud("aws").end(seen.instance_id, "Client.InternalError")


@pytest.mark.parametrize(
    ("age", "market"), [(timedelta(seconds=10), Market.ON_DEMAND), (3 * MINUTE, Market.SPOT)], ids=["dies", "reclaimed"]
)
def test_machines_that_die_soon_are_started_three_times_and_then_the_other_cloud_serves(
    age: timedelta, market: Market
) -> None:
    world = dying_world(market)
    for _ in range(6 * 60):
        end_workers_older_than(world, age)
        world.tick()

    starts = [i for i in world.store.instances() if i.key.provider == "aws" and i.role is Role.WORKER]
    assert len(starts) <= 4, "three in a row, and one more when the breaker has closed after an hour"
    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 1}
    shown = [words.shortage(s, world.clock.now()) for s in observe(world.ports).shortages]
    assert any("breaker open" in line for line in shown)


def test_machines_that_die_wherever_they_are_bought_stay_below_the_bounds() -> None:
    offers = [an_offer("aws/us-east-1", str(1 + n / 10), gpus=n) for n in range(1, 9)]
    world = World(*offers)
    world.want(a_spec(chat=application(demand={"replicas": 1})))
    for _ in range(6 * 60):
        end_workers_older_than(world, timedelta(seconds=10))
        world.tick()

    starts = [i for i in world.store.instances() if i.role is Role.WORKER]
    assert len(starts) <= POLICY.region_losses_max + 2
