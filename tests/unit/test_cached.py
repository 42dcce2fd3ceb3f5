"""What is asked of a cloud less often, and when it is asked again."""

from dataclasses import replace
from datetime import timedelta

from providers.base import LaunchOrder
from providers.cached import OFFERS_MAX_AGE, UNREACHABLE_MAX_AGE, CachedProvider
from providers.fake import FakeCloud
from state.clock import ManualClock
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Role
from tests.builders import NOON, an_offer

SECOND = timedelta(seconds=1)


def a_cached(*offers: Offer) -> tuple[CachedProvider, FakeCloud, ManualClock]:
    clock = ManualClock(NOON)
    cloud = FakeCloud("aws", offers, clock)
    return CachedProvider(cloud, clock), cloud, clock


def stocks(provider: CachedProvider) -> list[int | None]:
    return [offer.stock for offer in provider.offers().items]


def launch(provider: CachedProvider, offer: Offer) -> None:
    provider.launch(LaunchOrder(InstanceId("sk-1"), offer.key, Role.WORKER, "me", "true", None))


def test_offers_are_looked_at_again_when_they_are_old() -> None:
    provider, cloud, clock = a_cached(an_offer())
    provider.offers()
    cloud.catalogue = ()

    clock.sleep(OFFERS_MAX_AGE - SECOND)
    assert len(provider.offers().items) == 1
    clock.sleep(2 * SECOND)
    assert provider.offers().items == ()


def test_what_is_left_of_a_reservation_is_known_after_a_launch() -> None:
    reserved = replace(an_offer(), key=replace(an_offer().key, market=Market.RESERVED), stock=1)
    provider, _, _ = a_cached(reserved)
    assert stocks(provider) == [1]

    launch(provider, reserved)

    assert stocks(provider) == [0]


def test_a_launch_on_demand_asks_for_nothing_more() -> None:
    provider, cloud, _ = a_cached(an_offer())
    provider.offers()

    launch(provider, an_offer())
    cloud.catalogue = ()

    assert len(provider.offers().items) == 1


def test_a_region_that_falls_silent_keeps_its_last_offers_and_is_asked_again_soon() -> None:
    here, there = an_offer(), an_offer("aws/eu-central-1")
    provider, cloud, clock = a_cached(here, there)
    provider.offers()
    cloud.silent.add(RegionId("aws/us-east-1"))

    clock.sleep(OFFERS_MAX_AGE + SECOND)
    seen = provider.offers()
    assert set(seen.unreachable) == {RegionId("aws/us-east-1")}
    assert {offer.key for offer in seen.items} == {here.key, there.key}

    cloud.silent.clear()
    clock.sleep(UNREACHABLE_MAX_AGE)
    assert not provider.offers().unreachable
