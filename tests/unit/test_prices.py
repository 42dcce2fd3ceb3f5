"""Prices: what was agreed upon, what spot costs now, and which prices are doubted."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from providers.emulator.regions import CATALOG
from providers.price_catalogue import PRICES_MAX_AGE, PRICES_RETRY, CachedPrices, PricesError, load_prices
from providers.prices import LIST_PRICES, Negotiated, PriceList, live_spot, with_negotiated
from providers.reservations import Reservation, find_reservation, reserved_offers
from scheduler.documents.price_file import read_negotiated
from scheduler.documents.yaml_document import DocumentError
from state.clock import ManualClock
from state.model.catalog import Market, Price
from state.model.units import Usd
from tests.builders import NOON, a_region, an_offer

HOUR = timedelta(hours=1)
LISTED = PriceList(
    {
        ("aws", "us-east-1", "p5.48xlarge", Market.ON_DEMAND): Price(Usd.of(100), "list", NOON),
        ("aws", "us-east-1", "p5.48xlarge", Market.SPOT): Price(Usd.of(40), "list", NOON),
        ("aws", "eu-west-1", "p5.48xlarge", Market.ON_DEMAND): Price(Usd.of(110), "list", NOON),
        ("gcp", "us-central1-a", "a3-highgpu-8g", Market.ON_DEMAND): Price(Usd.of(90), "list", NOON),
    }
)
FILE = """\
prices:
  - {provider: aws, region: us-*, instance_type: p5.*, discount: 0.25, source: agreement of 2026}
  - {provider: gcp, region: us-central1, usd_per_hour: 60}
"""


def agreed(tmp_path: Path, text: str = FILE) -> tuple[Negotiated, ...]:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    return read_negotiated(path)


def test_agreed_prices_stand_for_those_that_they_match_and_no_others(tmp_path: Path) -> None:
    paid = with_negotiated(LISTED, agreed(tmp_path))

    def usd(provider: str, location: str, instance_type: str, market: Market = Market.ON_DEMAND) -> float:
        price = paid.price(provider, (location,), instance_type, market)
        assert price is not None
        return price.per_hour.dollars

    assert usd("aws", "us-east-1", "p5.48xlarge") == 75
    assert usd("aws", "us-east-1", "p5.48xlarge", Market.SPOT) == 40
    assert usd("aws", "eu-west-1", "p5.48xlarge") == 110
    assert usd("gcp", "us-central1-a", "a3-highgpu-8g") == 60


def test_a_negotiated_price_has_its_source_and_its_list_price(tmp_path: Path) -> None:
    price = with_negotiated(LISTED, agreed(tmp_path)).price("aws", ("us-east-1",), "p5.48xlarge", Market.ON_DEMAND)

    assert price is not None
    assert price.source == "agreement of 2026, on list"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{provider: aws}", "exactly one of usd_per_hour and discount"),
        ("{provider: aws, discount: 1.5}", "write a number below 1"),
        ("{provider: aws, usd_per_hour: -1}", "write a number above 0"),
        ("{provider: aws, discount: 0.1, regions: us}", "regions"),
    ],
)
def test_a_wrong_agreement_is_reported_with_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(DocumentError) as raised:
        agreed(tmp_path, f"prices:\n  - {{provider: gcp, discount: 0.5}}\n  - {line}\n")

    assert words in str(raised.value)
    assert "prices.yaml:3" in str(raised.value)


@pytest.mark.parametrize(("usd", "expected"), [(0.5, 0.5), (None, 0.3), (0.0, 0.3), (0.05, 0.05), (61, 0.3)], ids=str)
def test_a_live_price_counts_within_the_bands_whatever_the_catalogue_has(usd: float | None, expected: float) -> None:
    spot = an_offer(price="0.3", market=Market.SPOT)

    found = live_spot(spot, usd, "live", NOON)

    assert found.price.per_hour.dollars == expected
    assert found.alternatives == ((spot.price,) if expected != 0.3 else ()), "peers show which is wrong"


def test_only_spot_has_a_live_price() -> None:
    offer = an_offer(price="0.3")

    assert live_spot(offer, 0.5, "live", NOON) == offer


def test_an_agreed_price_stays_and_an_agreed_discount_is_one_on_the_live_price(tmp_path: Path) -> None:
    spot = an_offer(price="40", market=Market.SPOT)
    every = agreed(tmp_path, "prices:\n  - {provider: aws, market: spot, discount: 0.25}\n")
    discount = replace(spot, price=every[0].price(spot.price))
    fixed = replace(spot, price=replace(every[0], usd_per_hour=20).price(spot.price))

    assert live_spot(fixed, 30, "live", NOON) == fixed
    live = live_spot(discount, 20, "live", NOON).price
    assert (live.per_hour, live.listed) == (Usd.of(15), Usd.of(20))


def held(name: str, free: int = 1, begins: float | None = None, ends: float | None = None) -> Reservation:
    key = an_offer().key
    times = (None if hours is None else NOON + hours * HOUR for hours in (begins, ends))
    return Reservation(name, key.zone, key.instance_type, free, *times)


def test_the_reservation_that_ends_first_is_used_up_first() -> None:
    key = an_offer().key
    several = [
        held("forever"),
        held("long", ends=9),
        held("short", ends=2),
        held("over", ends=-1),
        held("full", 0, ends=1),
    ]

    found = find_reservation(several, key.zone, key.instance_type, NOON)

    assert found is not None
    assert found.id == "short"
    assert find_reservation([held("later", begins=1)], key.zone, key.instance_type, NOON) is None


def test_reservations_in_force_count_together_and_a_later_one_stands_for_its_time() -> None:
    machines = {an_offer().key.instance_type: an_offer().machine}
    region = a_region()

    [now] = reserved_offers(region, machines, [held("a", 2, ends=5), held("b", 3), held("later", 9, begins=1)], NOON)
    [later] = reserved_offers(region, machines, [held("later", 9, begins=1, ends=4), held("over", 1, ends=-1)], NOON)

    assert (now.stock, now.valid_from, now.valid_until) == (5, None, NOON + 5 * HOUR)
    assert (later.stock, later.valid_from, later.valid_until) == (9, NOON + HOUR, NOON + 4 * HOUR)
    assert not later.is_in_force(NOON)
    assert reserved_offers(region, {}, [held("a")], NOON) == []


def test_a_reservation_of_an_unknown_type_is_left_out() -> None:
    strange = replace(held("a"), instance_type="x9.large")

    assert reserved_offers(a_region(), {an_offer().key.instance_type: an_offer().machine}, [strange], NOON) == []


def test_prices_that_cannot_be_loaded_are_retried_and_reported(tmp_path: Path) -> None:
    clock, folder = ManualClock(NOON), tmp_path / "catalog"
    prices = CachedPrices(("aws",), folder, clock, ())

    assert prices().prices == {}
    assert "cannot be read" in prices().problem

    folder.mkdir()
    shutil.copy(CATALOG / "aws.csv", folder)
    assert prices().prices == {}, "it is not read at every call"
    clock.sleep(PRICES_RETRY)
    loaded = prices()
    assert loaded.prices
    assert loaded.problem == ""

    (folder / "aws.csv").unlink()
    clock.sleep(PRICES_MAX_AGE)
    assert prices().prices == loaded.prices
    assert prices().degraded[LIST_PRICES]


def test_a_catalogue_without_one_of_the_clouds_is_refused(tmp_path: Path) -> None:
    shutil.copy(CATALOG / "aws.csv", tmp_path)
    (tmp_path / "gcp.csv").write_text((CATALOG / "gcp.csv").read_text().splitlines()[0] + "\n")

    with pytest.raises(PricesError, match="no prices of gcp"):
        load_prices(("aws", "gcp"), tmp_path, NOON)
