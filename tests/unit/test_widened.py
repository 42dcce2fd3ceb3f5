"""Offers that are refused alike: others like them are not asked in turn."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from providers.errors import InvalidError, ProviderError, ShortageError, UnreachableError
from scheduler import shortages
from scheduler.simulation.world import World
from state.model.catalog import Market, Offer, Shortage, ShortageKind
from state.model.inventory import NoticeKind, Role
from state.model.settings import ShortagePolicy
from tests.builders import NOON, a_head_offer, a_spec, an_offer, application
from tests.plans import EU, US

POLICY = ShortagePolicy()
MINUTE = timedelta(minutes=1)
SLOWLY = timedelta(seconds=30)
MANY = tuple(an_offer(US, "1", gpus=gpus) for gpus in range(1, 9))
SOLD = tuple(an_offer(US, "1", gpus=gpus, zone=zone) for gpus in (1, 2, 4) for zone in "ab")


def short(offer: Offer, kind: ShortageKind = ShortageKind.INVALID_REQUEST, ago: timedelta = MINUTE) -> Shortage:
    key, since = offer.key, NOON - ago
    return Shortage(key.region, key.zone, key.instance_type, key.market, kind, since, since + POLICY.initial_backoff)


def wide(*known: Shortage) -> tuple[Shortage, ...]:
    return shortages.widened(known, NOON, POLICY)


def test_a_request_that_is_invalid_for_four_offers_is_so_for_the_region_for_longer_each_time() -> None:
    assert wide(*map(short, SOLD[:3])) == ()

    [found] = wide(*map(short, SOLD[:3]), short(SOLD[3], ago=2 * MINUTE))

    assert (found.region, found.kind) == (US, ShortageKind.INVALID_REQUEST)
    assert (found.since, found.until) == (NOON - MINUTE, NOON - MINUTE + POLICY.initial_backoff)
    assert shortages.covers(found, SOLD[5])
    assert shortages.covers(found, a_head_offer(US))
    assert not shortages.covers(found, an_offer(EU))
    lengths = [wide(*map(short, MANY[:count]))[0].until - (NOON - MINUTE) for count in (4, 5, 6, 7)]
    assert lengths == [POLICY.initial_backoff * factor for factor in (1, 2, 4, 4)]


def test_what_is_long_over_or_of_another_kind_or_width_does_not_count() -> None:
    three, fourth = [short(offer) for offer in SOLD[:3]], short(SOLD[3])

    assert wide(*three, replace(fourth, since=NOON - timedelta(hours=1))) == ()
    assert wide(*three, replace(fourth, kind=ShortageKind.QUOTA)) == ()
    assert wide(*three, replace(fourth, instance_type=None)) == ()
    assert wide(*three, replace(fourth, region=EU)) == ()
    assert wide(*(short(offer, ago=POLICY.initial_backoff) for offer in SOLD[:4])) == (), "the last one is long ago"


def a_world(*offers: Offer, **rules: Any) -> World:
    world = World(*offers)
    world.want(a_spec(chat=application(**({"demand": {"replicas": 2}} | rules))))
    return world


@pytest.mark.parametrize(("error", "calls_max"), [(ShortageError, 24), (InvalidError, 12)])
def test_forty_offers_are_not_asked_one_after_the_other(error: type[ProviderError], calls_max: int) -> None:
    sizes = [an_offer(US, str(1 + n / 100), gpus=n % 8 + 1, zone="abcdef"[n // 8]) for n in range(40)]
    world = a_world(*sizes, an_offer("gcp/us-central1", "3"))
    calls = 0

    def refuse(_order: Any) -> Any:
        nonlocal calls
        calls += 1
        raise error("aws", "launch", "Code")

    world.cloud("aws").launch = refuse  # type: ignore[method-assign, assignment]
    for _ in range(9):  # boot and a minute
        world.tick()

    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 2}
    world.run(timedelta(hours=1), SLOWLY)
    assert calls <= calls_max


def test_launches_that_no_answer_comes_to_are_failures_and_another_cloud_serves() -> None:
    world = a_world(an_offer(US, "1"), an_offer("gcp/us-central1", "3"))

    def lost(_order: Any) -> Any:
        raise UnreachableError("aws", "launch", "500")

    world.cloud("aws").launch = lost  # type: ignore[method-assign, assignment]
    world.run(timedelta(minutes=12))

    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 2}


def test_machines_that_end_late_without_ever_joining_are_not_started_in_a_loop() -> None:
    world = a_world(an_offer(US, "1"), an_offer("gcp/us-central1", "3"))
    started: dict[str, Any] = {}
    for _ in range(2 * 60):
        cell = world.cells[US]
        for machine, role in world.cloud("aws").alive():
            begun = started.setdefault(machine.instance_id, world.clock.now())
            if role is Role.WORKER:
                cell.leave_for(machine.address or "", timedelta(hours=1))
                if world.clock.now() - begun >= 11 * MINUTE:
                    world.cloud("aws").end(machine.instance_id, "host error")
        world.tick(SLOWLY)

    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 2}
    assert world.launches() <= 12


@pytest.mark.parametrize("kind", [NoticeKind.LEAVING, NoticeKind.MAINTENANCE])
def test_a_pool_whose_machines_are_taken_back_after_minutes_is_left(kind: NoticeKind) -> None:
    market = Market.SPOT if kind is NoticeKind.LEAVING else Market.ON_DEMAND
    world = a_world(an_offer(US, "1", market=market), an_offer("gcp/us-central1", "3"), market={"spot": "allowed"})
    begun: dict[Any, Any] = {}
    for _ in range(2 * 90):
        cloud, now = world.cloud("aws"), world.clock.now()
        for machine, role in cloud.alive():
            since = begun.setdefault(machine.instance_id, now)
            if role is Role.WORKER and now - since == 3 * MINUTE:
                cloud.reclaim(machine.instance_id, timedelta(minutes=1))
                cloud.announced[-1] = replace(cloud.announced[-1], kind=kind)
            if role is Role.WORKER and now - since >= 4 * MINUTE:
                cloud.end(machine.instance_id, "taken back")
        world.tick(SLOWLY)

    assert world.launches() <= 14
    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 2}
