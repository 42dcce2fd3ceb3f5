"""Prices beside their peers: which of two is wrong is shown by others of the same GPU, not by where a price is from."""

import csv
from collections.abc import Iterator
from dataclasses import replace

import pytest

from providers.peers import beside_peers
from providers.prices import live_spot
from scheduler.cli.render import words
from scheduler.observe import observe
from scheduler.service.offers import OfferQuery, list_offers
from scheduler.simulation.world import World
from state.model.catalog import Doubt, DoubtKind, Market, Offer, OfferKey, Price, PriceBasis, ShortageKind
from state.model.ids import region_id
from state.model.units import Usd
from tests.builders import NOON, a_machine, a_spec, an_offer, application
from tests.cli_in_process import ROOT

DATA = ROOT.parent / "shared" / "data" / "offers.csv"
REGIONS = ("aws/us-east-1", "aws/us-west-2", "aws/eu-west-1", "gcp/us-central1", "gcp/europe-west4", "azure/eastus")
WRONG, RIGHT = 0.25, 25.0
SPOT, ON_DEMAND = Market.SPOT, Market.ON_DEMAND


def b200(region: str, price: float, market: Market = SPOT, live: float | None = None) -> Offer:
    offer = an_offer(region, str(price), gpu="B200", gpus=8, market=market)
    return live_spot(offer, live, "live", NOON)


def peers(*but: str) -> list[Offer]:
    """Return a fleet's offers with right prices: 8 x B200 at $113 on demand and $30 spot."""
    others = [region for region in REGIONS if region not in but]
    return [b200(r, 113, ON_DEMAND) for r in REGIONS] + [b200(r, 30) for r in others]


def judged(offer: Offer, among: list[Offer]) -> Price:
    every = {o.key: o for o in beside_peers([*among, offer])}
    return every[offer.key].price


HERE = REGIONS[0]


@pytest.mark.parametrize(
    ("listed", "live", "used"),
    [
        pytest.param(WRONG, RIGHT, PriceBasis.LIVE, id="a wrong list price"),
        pytest.param(RIGHT, WRONG, PriceBasis.LISTED, id="a wrong live price"),
        pytest.param(RIGHT, 400.0, PriceBasis.LISTED, id="a live price above on-demand"),
        pytest.param(400.0, RIGHT, PriceBasis.LIVE, id="a list price above on-demand"),
        pytest.param(20.0, RIGHT, PriceBasis.LIVE, id="two right ones"),
    ],
)
def test_the_price_that_its_peers_bear_out_is_used_whichever_source_it_has(
    listed: float, live: float, used: PriceBasis
) -> None:
    found = judged(b200(HERE, listed, live=live), peers(HERE))

    assert found.basis is used
    assert found.per_hour == Usd.of(RIGHT)
    assert found.doubt is None


@pytest.mark.parametrize(("listed", "live"), [(WRONG, RIGHT), (RIGHT, WRONG)])
def test_a_source_that_is_wrong_everywhere_is_found_by_on_demand_beside_it(listed: float, live: float) -> None:
    among = [b200(r, 113, ON_DEMAND) for r in REGIONS]
    every = beside_peers([*among, *(b200(r, listed, live=live) for r in REGIONS)])

    assert {o.price.per_hour for o in every if o.key.market is SPOT} == {Usd.of(RIGHT)}
    assert not any(o.price.is_doubted for o in every)


def test_on_demand_that_is_wrong_in_all_regions_of_one_cloud_is_found_by_the_others() -> None:
    prices = {r: WRONG if r.startswith("aws") else 113 for r in REGIONS}
    every = beside_peers([b200(r, usd, ON_DEMAND) for r, usd in (*prices.items(), ("azure/westeurope", 113))])

    assert {o.key.provider for o in every if o.price.is_doubted} == {"aws"}, "three regions, and one error"


def test_on_demand_with_few_peers_is_compared_with_spot() -> None:
    wrong, right = b200(HERE, WRONG, ON_DEMAND), b200(HERE, 113, ON_DEMAND)
    among = [b200(r, 30) for r in REGIONS]

    assert judged(wrong, among).doubt == Doubt(DoubtKind.BELOW_PEERS, Usd.of(WRONG / 8), Usd.of(30 / 8), 5)
    assert not judged(right, among).is_doubted


@pytest.mark.parametrize(
    ("usd", "kind", "usual"),
    [
        (0.25, DoubtKind.BELOW_PEERS, 30.0),
        (2.0, DoubtKind.BELOW_PEERS, 30.0),
        (130.0, DoubtKind.ABOVE_ON_DEMAND, 113.0),
        (400.0, DoubtKind.ABOVE_PEERS, 30.0),
    ],
)
def test_a_spot_price_is_doubted_in_figures(usd: float, kind: DoubtKind, usual: float) -> None:
    doubt = judged(b200(HERE, usd), peers(HERE)).doubt

    assert doubt is not None
    assert (doubt.kind, doubt.per_gpu, doubt.usual) == (kind, Usd.of(usd / 8), Usd.of(usual / 8))


@pytest.mark.parametrize("usd", [4.0, 30.0, 60.0, 113.0, 124.0])
def test_a_spot_price_within_the_bands_is_not_doubted(usd: float) -> None:
    found = judged(b200(HERE, usd), peers(HERE))

    assert (found.doubt, found.peers) == (None, 6 - 1)


def test_with_too_few_peers_neither_of_two_is_doubted_and_the_price_states_it() -> None:
    few = [b200(r, 113, ON_DEMAND) for r in REGIONS[:3]] + [b200(r, 30) for r in REGIONS[1:3]]

    for listed, live in ((WRONG, RIGHT), (RIGHT, WRONG)):
        found = judged(b200(HERE, listed, live=live), few)
        assert (found.basis, found.doubt, found.peers) == (PriceBasis.LIVE, None, 0)


def test_spot_above_on_demand_is_not_doubted_where_on_demand_itself_has_no_peers() -> None:
    assert judged(b200(HERE, RIGHT), [b200(HERE, WRONG, ON_DEMAND)]).doubt is None


def test_prices_are_compared_for_each_gpu_whatever_the_machine_is() -> None:
    among = peers()
    single = an_offer(HERE, "4", gpu="B200", gpus=1, market=SPOT)

    assert judged(single, among).doubt is None
    assert judged(replace(single, price=replace(single.price, per_hour=Usd.of("0.2"))), among).is_doubted


def test_the_same_type_elsewhere_in_its_cloud_has_a_narrower_band() -> None:
    among = [an_offer(region_id("aws", f"r-{n}"), "0.8") for n in range(4)]

    doubt = judged(an_offer("aws/odd", "0.31"), among).doubt
    assert doubt == Doubt(DoubtKind.BELOW_PEERS, Usd.of("0.31"), Usd.of("0.8"), 4)
    assert not judged(an_offer("aws/odd", "0.33"), among).is_doubted
    larger = replace(an_offer("aws/odd", "0.31"), key=replace(an_offer("aws/odd").key, instance_type="other"))
    assert not judged(larger, among).is_doubted


def test_a_head_is_compared_with_its_type_alone() -> None:
    def head(region: str, usd: str) -> Offer:
        key = OfferKey(region_id("aws", region), "a", "cpu.4", ON_DEMAND)
        return Offer(key, a_machine(None, 0), Price(Usd.of(usd), "list", NOON))

    every = beside_peers([head("a", "0.1"), head("b", "0.1"), head("c", "0.11"), head("d", "0.01")])

    assert [o.price.is_doubted for o in every] == [False, False, False, True]


def test_a_price_that_was_agreed_upon_is_not_doubted_and_a_discount_is_compared_before_it() -> None:
    offer = b200(HERE, 20, ON_DEMAND)
    fixed = replace(offer, price=replace(offer.price, basis=PriceBasis.AGREED))
    discount = replace(offer, price=replace(offer.price, basis=PriceBasis.AGREED, listed=Usd.of(113)))
    wrong = replace(offer, price=replace(offer.price, basis=PriceBasis.AGREED, listed=Usd.of(WRONG)))
    among = [o for o in peers() if o.key != offer.key]

    assert [judged(o, among).is_doubted for o in (offer, fixed, discount, wrong)] == [True, False, False, True]


def real_offers() -> Iterator[Offer]:
    with DATA.open() as table:
        for number, row in enumerate(csv.DictReader(table)):
            if row["provider"] not in {"aws", "gcp", "azure"} or not row["gpu_count"] or float(row["gpu_count"]) < 1:
                continue
            gpus = int(float(row["gpu_count"]))
            machine = replace(a_machine(row["gpu"], gpus))
            for market in (ON_DEMAND, SPOT):
                if usd := row[f"{market}_usd_per_hour"]:
                    zone = row["zone"] or f"z{number}"
                    key = OfferKey(region_id(row["provider"], row["region"]), zone, row["instance_type"], market)
                    yield Offer(key, machine, Price(Usd.of(usd), row["source"], NOON))


@pytest.mark.skipif(not DATA.exists(), reason="the real price lists are not beside the project")
def test_no_real_price_of_2026_is_doubted_and_each_is_at_a_hundredth_of_it() -> None:
    every = list(real_offers())

    doubted = [o for o in beside_peers(every) if o.price.is_doubted]

    assert len(every) > 3000
    assert len(doubted) <= len(every) * 0.005, [(str(o.key), o.price.doubt) for o in doubted]
    compared = [o for o in beside_peers(every) if o.price.peers and not o.price.is_doubted][::100]
    for offer in compared:
        cheap = replace(offer, price=replace(offer.price, per_hour=Usd(offer.price.per_hour.micros // 100)))
        assert judged(cheap, [o for o in every if o.key != offer.key]).is_doubted


def wrong_world() -> World:
    """Return a world in which one of six regions lists 8 x B200 at $0.25, and live prices say $25."""
    world = World(*peers(HERE), b200(HERE, WRONG))
    world.want(a_spec(chat=application(shapes=[{"gpu": "B200"}], market={"spot": "allowed"}, demand={"replicas": 8})))
    return world


def test_a_wrong_price_neither_attracts_the_fleet_nor_shuts_the_right_one_out() -> None:
    world = wrong_world()

    world.converge()
    assert not any(key.startswith(HERE) for key in world.running()), "the others cost less than it may"
    [short] = [s for s in observe(world.ports).shortages if s.kind is ShortageKind.PRICE_DOUBTED]
    assert short.doubt is not None
    assert words.doubt(short.doubt) == "$0.0312, far below its peers' $3.75 in 5 regions"

    world = wrong_world()
    cloud = world.cloud("aws")
    cloud.catalogue = tuple(
        live_spot(o, RIGHT, "live", NOON) if o.key == b200(HERE, WRONG).key else o for o in cloud.catalogue
    )
    world.converge()
    assert world.running() == {f"{HERE}/a/b200.8/spot": 1}, "$25 is the cheapest"


def test_listed_offers_show_what_is_doubted_and_why() -> None:
    report = list_offers(wrong_world().ports, OfferQuery(region=HERE, market=SPOT))

    [offer] = report.offers
    assert offer.price.doubt is not None
    assert words.price_source(offer.price) == "test; doubted: $0.0312, far below its peers' $3.75 in 5 regions"
