"""What the weather expects of a pool: from its own launches, its neighbours', and what is assumed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.weather import ELSEWHERE_SHARE, PRIOR_HOURS, PRIOR_LAUNCHES, Weather
from state.model.catalog import Market, OfferKey
from state.model.inventory import Instance
from state.model.lifecycle import InstanceStatus
from state.model.weather import PoolWeather
from tests.builders import NOON, a_key, an_instance, an_offer

SPOT, ON_DEMAND = a_key(market=Market.SPOT), a_key()
HOUR = timedelta(hours=1)
ASSUMED = 0.05


def pool(key: OfferKey = SPOT, **changes: Any) -> PoolWeather:
    return replace(PoolWeather(key, NOON), **changes)


def weather(*pools: PoolWeather, held: tuple[Instance, ...] = ()) -> Weather:
    return Weather(pools, held, NOON)


def drawn(failures: float, launches: float, expected: float = 0.0) -> float:
    return (failures + expected * PRIOR_LAUNCHES) / (launches + PRIOR_LAUNCHES)


def test_the_doubt_of_each_level_is_drawn_towards_that_of_the_next_wider_one() -> None:
    own = pool(failures=3, launches=4)
    same_type = pool(a_key(zone="b", market=Market.SPOT), failures=1, launches=6)
    same_market = pool(a_key(instance_type="gpu.8", market=Market.SPOT), failures=5, launches=5)
    elsewhere = pool(a_key("gcp/us-central1", market=Market.SPOT), failures=0, launches=10)
    other_market = pool(ON_DEMAND, failures=9, launches=9)
    found = weather(own, same_type, same_market, elsewhere, other_market)

    everywhere = ELSEWHERE_SHARE * drawn(3 + 1 + 5 + 0, 4 + 6 + 5 + 10)
    in_market = drawn(3 + 1 + 5, 4 + 6 + 5, everywhere)
    of_type = drawn(3 + 1, 4 + 6, in_market)
    assert found.launch_failure(SPOT) == pytest.approx(drawn(3, 4, of_type))
    unknown_zone = a_key(zone="c", market=Market.SPOT)
    assert found.launch_failure(unknown_zone) == pytest.approx(of_type)
    unknown_type = a_key(instance_type="gpu.4", market=Market.SPOT)
    assert found.launch_failure(unknown_type) == pytest.approx(in_market)
    unknown_region = a_key("azure/eastus", market=Market.SPOT)
    assert found.launch_failure(unknown_region) == pytest.approx(everywhere)
    assert found.launch_failure(a_key(market=Market.RESERVED)) == 0


def test_interruptions_are_found_in_hours_and_assumed_beside() -> None:
    found = weather(pool(interruptions=3, spot_hours=40))

    assert found.interruptions_per_hour(SPOT, ASSUMED) == pytest.approx(
        (3 + ASSUMED * PRIOR_HOURS) / (40 + PRIOR_HOURS)
    )
    unknown = a_key(zone="b", market=Market.SPOT)
    assert found.interruptions_per_hour(unknown, ASSUMED) == pytest.approx(ASSUMED)
    assert found.interruptions_per_hour(ON_DEMAND, ASSUMED) is None


def a_machine(key: OfferKey = SPOT, hours: float | None = 10, **changes: Any) -> Instance:
    since = None if hours is None else NOON - timedelta(hours=hours)
    return replace(an_instance(key=key), running_at=since, **changes)


@pytest.mark.parametrize(
    ("held", "hours"),
    [
        (a_machine(), 10),
        (a_machine(hours=0.25), 0.25),
        (a_machine(hours=-1), 0),
        (a_machine(hours=None), 0),
        (a_machine(status=InstanceStatus.TERMINATING), 0),
        (a_machine(ON_DEMAND), 0),
    ],
    ids=["ten hours", "a quarter", "a clock that is behind", "not running yet", "ending", "on demand"],
)
def test_hours_that_spot_machines_run_now_count(held: Instance, hours: float) -> None:
    known = pool(spot_hours=5)

    [forecast] = [f for f in weather(known, held=(held,)).forecasts(ASSUMED) if f.key == SPOT]

    assert forecast.spot_hours == pytest.approx(5 + hours)


def test_a_spot_machine_makes_its_pool_known() -> None:
    [forecast] = weather(held=(a_machine(),)).forecasts(ASSUMED)

    assert (forecast.key, forecast.launches) == (SPOT, 0)
    assert forecast.spot_hours == pytest.approx(10)
    assert weather(held=(a_machine(ON_DEMAND),)).forecasts(ASSUMED) == ()


def test_a_forecast_has_the_mean_time_to_start_and_how_many_launches_it_rests_on() -> None:
    slow = pool(launches=4, starts=3, start_seconds=270.0)
    never = pool(ON_DEMAND, launches=2)

    by_key = {f.key: f for f in weather(slow, never).forecasts(ASSUMED)}

    assert by_key[SPOT].time_to_start == timedelta(seconds=90)
    assert by_key[SPOT].launches == 4
    assert by_key[ON_DEMAND].time_to_start is None
    assert list(by_key) == sorted(by_key)


def test_an_offer_is_priced_with_the_greater_doubt_and_its_pools_rate() -> None:
    offer = replace(an_offer(market=Market.SPOT), stockout_probability=0.9, interruptions_per_hour=0.2)
    key = offer.key
    found = weather(pool(key, failures=1, launches=2, interruptions=1, spot_hours=20))

    priced = found.priced(offer, ASSUMED)

    assert priced.stockout_probability == 0.9, "the cloud's own is greater"
    assert priced.interruptions_per_hour == pytest.approx((1 + 0.2 * PRIOR_HOURS) / (20 + PRIOR_HOURS))
    surer = found.priced(replace(offer, stockout_probability=0.0, interruptions_per_hour=None), ASSUMED)
    assert surer.stockout_probability == pytest.approx(found.launch_failure(key))
    assert surer.interruptions_per_hour == pytest.approx((1 + ASSUMED * PRIOR_HOURS) / (20 + PRIOR_HOURS))


def test_nothing_is_concluded_of_the_rate_of_a_pool_that_no_machine_was_in() -> None:
    offer = replace(an_offer(market=Market.SPOT), interruptions_per_hour=0.2)
    neighbour = pool(replace(offer.key, zone="b"), failures=2, launches=2)

    priced = weather(neighbour).priced(offer, ASSUMED)

    assert priced.interruptions_per_hour == 0.2
    assert priced.stockout_probability > 0
    assert weather().priced(offer, ASSUMED) is offer
    on_demand = an_offer()
    failed = weather(pool(on_demand.key, failures=1, launches=1)).priced(on_demand, ASSUMED)
    expected = drawn(1, 1, drawn(1, 1, drawn(1, 1, ELSEWHERE_SHARE * drawn(1, 1))))
    assert failed.interruptions_per_hour is None
    assert failed.stockout_probability == pytest.approx(expected)
