"""Why an application may not use an offer that others may: regions, markets, sizes and zones."""

from datetime import timedelta
from typing import Any

import pytest

from scheduler import shortages
from scheduler.solve.latency import atlas
from scheduler.solve.refusals import is_zoneless, refusal_of, refusals, region_causes
from scheduler.solve.supply import OfferGroup, build_supply
from state.model.catalog import NO_ZONE, Market, Offer, Shortage, ShortageKind
from state.model.ids import RegionId
from state.model.placement import RefusalCause
from state.model.settings import ShortagePolicy
from state.model.spec import Application
from tests.builders import NOON, a_spec, an_offer, application, with_heads
from tests.plans import AZ, EU, US, a_snapshot

C = RefusalCause


def chat(**changes: Any) -> Application:
    return a_spec(chat=application(**changes)).applications["chat"]


def groups(*offers: Offer) -> tuple[OfferGroup, ...]:
    snapshot = a_snapshot(*with_heads(*offers))
    assert snapshot.wanted is not None
    return build_supply(snapshot, snapshot.wanted.spec).groups


def causes(wanted: Application, *regions: RegionId, **fields: Any) -> dict[RegionId, RefusalCause]:
    return region_causes(wanted, regions, atlas(a_snapshot(an_offer(US), **fields)))


def test_a_region_is_refused_by_jurisdiction_before_distance() -> None:
    near = {"max_ms": 30, "clients": [{"near": US}]}
    both = chat(regions={"jurisdictions": ["EU"]}, latency=near)

    assert causes(both, US, EU) == {US: C.JURISDICTION, EU: C.LATENCY_EXPECTED}
    assert causes(chat(), US, EU) == {}


@pytest.mark.parametrize(
    ("bounds", "cause"),
    [
        ({"max_ms": 60.0}, None),
        ({"max_ms": 59.9}, C.LATENCY_EXPECTED),
        ({"max_ms": 60.0, "worst_ms": 100.0}, None),
        ({"max_ms": 60.0, "worst_ms": 99.9}, C.LATENCY_WORST),
    ],
)
def test_a_region_may_be_as_far_as_the_bounds_and_no_farther(bounds: dict[str, float], cause: Any) -> None:
    clients = [{"near": US, "weight": 1}, {"near": AZ, "weight": 1}]
    measured = ((RegionId(US), RegionId(EU), 20.0), (RegionId(AZ), RegionId(EU), 100.0))

    found = causes(chat(latency={"clients": clients, **bounds}), EU, latencies=measured)

    assert found == ({} if cause is None else {EU: cause})


def test_spot_is_refused_where_it_is_never_allowed() -> None:
    [on_demand, spot] = sorted(groups(an_offer(US), an_offer(US, market=Market.SPOT)), key=lambda g: g.market)
    never, allowed = chat(market={"spot": "never"}), chat(market={"spot": "allowed"})

    assert [refusal_of(never, g, {}) for g in (on_demand, spot)] == [None, C.SPOT_NOT_ALLOWED]
    assert [refusal_of(allowed, g, {}) for g in (on_demand, spot)] == [None, None]
    assert refusal_of(never, spot, {US: C.JURISDICTION}) is C.JURISDICTION


def test_refused_offers_are_counted_by_cause_and_zone() -> None:
    loose = (an_offer(AZ, "1", zone=NO_ZONE), an_offer(AZ, "1", gpus=2, zone=NO_ZONE), an_offer(EU, "1", zone=NO_ZONE))
    zoned = (an_offer(AZ, "2", zone="1"), an_offer(AZ, "2", zone="2"))
    unfit = (an_offer(EU, "1", gpu="T4", zone="b"), an_offer(US, "1", gpu="T4", zone="a"))
    sold = groups(*loose, *zoned, *unfit)
    survives = chat(survive={"any": "zone"})

    assert refusals(survives, sold, {}) == {C.ZONE_UNKNOWN: 2, C.NO_SHAPE_FITS: 2}
    assert refusals(chat(), sold, {}) == {C.NO_SHAPE_FITS: 2}
    refused_zones = refusals(survives, sold, {AZ: C.LATENCY_EXPECTED})
    assert refused_zones == {C.LATENCY_EXPECTED: 4, C.NO_SHAPE_FITS: 2}, "no zone there is of use"
    assert [is_zoneless(g) for g in groups(loose[0], zoned[0])].count(True) == 1


def test_demand_waits_for_stock_a_while_after_it_was_refused() -> None:
    policy = ShortagePolicy()

    def urgency(before: timedelta, kind: ShortageKind = ShortageKind.STOCK_OUT, count: int = 1) -> float:
        short = Shortage(US, None, None, None, kind, NOON - before, NOON)
        return shortages.urgency((short,) * count, NOON, policy)

    second = timedelta(seconds=1)
    assert urgency(timedelta()) == 1
    assert urgency(policy.urgent_for - second) == 1
    assert urgency(policy.urgent_for) == 0
    assert urgency(-second) == 0, "it lies ahead"
    assert urgency(timedelta(), ShortageKind.DENIED) == 0
    assert shortages.urgency((), NOON, policy) == 0
    assert [urgency(timedelta(), count=count) for count in (1, 2, 3, 12)] == [1, 1, 1.5, 6]
