"""The solver's certificate: what is left after each loss, what may be bought then, and the rules that are not kept."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from providers.regions import known_regions
from scheduler.solve.certificate import certificate, unit_of, violations
from scheduler.solve.formulate import formulate
from scheduler.solve.supply import build_supply
from state.model.catalog import Market, Offer, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.inventory import Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement, SpecRule, Survival, Unit, Violation
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec, FailureDomain
from tests.builders import NOON, a_head_offer, a_spec, an_offer, application
from tests.plans import AZ, CHAT, CODE, EU, US, a_snapshot, placed, replicas, running

REGION, ZONE, PROVIDER = FailureDomain.REGION, FailureDomain.ZONE, FailureDomain.PROVIDER
US_OFFER, EU_OFFER = an_offer(US), an_offer(EU)
KNOWN = known_regions()


def survives(demand: int = 2, kind: str = "region", **changes: Any) -> dict[str, Any]:
    survive = {"any": kind} | {k: changes.pop(k) for k in ("share", "replacement_credit") if k in changes}
    return application(**({"demand": {"replicas": demand}, "survive": survive} | changes))


def spread(us: int = 2, eu: int = 2, **changes: Any) -> Placement:
    counts = ((US_OFFER, us), (EU_OFFER, eu))
    return Placement(tuple(placed(o, n) for o, n in counts), tuple(replicas(o, n, **changes) for o, n in counts if n))


def test_each_domain_has_a_line_with_what_is_left_and_what_must_be() -> None:
    spec = a_spec(chat=survives(3, share=0.5), code=application())
    both = replace(spread(), replicas=(*spread(3, 1).replicas, *spread(9, 9, application=CODE).replicas))

    assert certificate(spec, both) == (
        Survival(CHAT, REGION, US, 1000, 1500),
        Survival(CHAT, REGION, EU, 3000, 1500),
    )
    assert certificate(a_spec(chat=survives(kind="none")), both) == ()


@pytest.mark.parametrize(
    ("kind", "domains"),
    [("zone", [f"{US}/a", f"{US}/b", f"{EU}/c"]), ("region", [US, EU]), ("provider", ["aws", "gcp"])],
)
def test_what_lies_in_one_domain_falls_together(kind: str, domains: list[str]) -> None:
    carried = (
        replicas(US_OFFER, 1, zone="a", milli_each=500),
        replicas(US_OFFER, 2, zone="b", milli_each=500),
        replicas(EU_OFFER, 2, zone="c"),
    )

    lines = certificate(a_spec(chat=survives(kind=kind)), Placement((), carried))

    remaining = {"zone": [3000, 2500, 1500]}.get(kind, [2000, 1500])
    assert [(line.domain, line.remaining_milli) for line in lines] == list(zip(domains, remaining, strict=True))
    assert {line.kind for line in lines} == {FailureDomain(kind)}
    no_zone = Placement((), (replicas(US_OFFER),))
    assert certificate(a_spec(chat=survives(kind="zone")), no_zone)[0].domain == f"{US}/"


# Credits.


def stocked(offer: Offer, stock: int | None = 1) -> Offer:
    return replace(offer, stock=stock)


def credited(placement: Placement, *offers: Offer, **changes: Any) -> dict[str, int]:
    """Return what the certificate credits chat with after each loss."""
    held = changes.pop("instances", tuple(running(US_OFFER, f"sk-{n}") for n in range(9)))
    facts = {name: changes.pop(name) for name in list(changes) if name in Snapshot.__dataclass_fields__}
    applications = {"chat": survives(4, replacement_credit=0.5)} | changes
    sold = {o.key: o for o in (US_OFFER, *offers)}
    heads = (a_head_offer(region) for region in (US, EU, AZ))
    snapshot = a_snapshot(*sold.values(), *heads, instances=held, **facts, **applications)
    assert snapshot.wanted is not None
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    lines = certificate(spec, placement, formulation)
    return {line.domain: line.credited_milli for line in lines if line.application == CHAT}


ALONE = Placement((placed(US_OFFER, 4),), (replicas(US_OFFER, 4),))


def test_known_stock_elsewhere_is_credited_up_to_the_share_of_the_spec() -> None:
    assert credited(ALONE, stocked(EU_OFFER, 1)) == {US: 1000}
    assert credited(ALONE, stocked(EU_OFFER, 9)) == {US: 2000}
    assert credited(ALONE, stocked(EU_OFFER), stocked(an_offer(AZ))) == {US: 2000}
    assert credited(ALONE, stocked(EU_OFFER, 9), chat=survives(4)) == {US: 0}


@pytest.mark.parametrize(
    "offer",
    [
        stocked(EU_OFFER, None),
        stocked(EU_OFFER, 0),
        stocked(an_offer(EU, market=Market.SPOT), 5),
        stocked(an_offer(EU, gpu="H100"), 5),
        stocked(an_offer(US, zone="b"), 5),
    ],
    ids=["unknown", "none", "spot", "another GPU", "the same region"],
)
def test_what_is_not_there_for_certain_is_not_credited(offer: Offer) -> None:
    assert credited(ALONE, offer, chat=survives(4, replacement_credit=0.5, market={"spot": "allowed"})) == {US: 0}


def test_without_a_view_of_the_stock_nothing_is_credited() -> None:
    [line] = certificate(a_spec(chat=survives(4, replacement_credit=0.5)), ALONE)

    assert line.credited_milli == 0


def test_stock_under_a_shortage_or_where_nothing_may_be_touched_is_not_credited() -> None:
    sold = stocked(EU_OFFER, 9)
    short = Shortage(EU, "a", "l4.1", Market.ON_DEMAND, ShortageKind.STOCK_OUT, NOON, NOON + timedelta(minutes=1))
    held = (running(EU_OFFER, "sk-eu"), running(a_head_offer(EU), "sk-eu-head", Role.HEAD))

    assert credited(ALONE, sold, instances=held) == {US: 2000}
    assert credited(ALONE, sold, instances=held, shortages=(short,)) == {US: 0}
    assert credited(ALONE, sold, instances=held, shortages=(replace(short, until=NOON),)) == {US: 2000}
    assert credited(ALONE, sold, instances=held, unreachable=frozenset({EU})) == {US: 0}
    for state in (HealthState.SUSPECT, HealthState.DOWN):
        assert credited(ALONE, sold, instances=held, health=(RegionHealth(EU, state, NOON),)) == {US: 0}


def test_stock_that_the_placement_uses_is_not_credited_and_what_stands_uses_none() -> None:
    sold = stocked(EU_OFFER, 2)
    both = replace(ALONE, machines=(*ALONE.machines, placed(EU_OFFER, 2)))
    held = running(EU_OFFER, "sk-eu")

    assert credited(both, sold, instances=()) == {US: 0}
    assert credited(both, sold, instances=(held,)) == {US: 1000}
    assert credited(both, sold, instances=(held, running(EU_OFFER, "sk-eu2"))) == {US: 2000}
    ending = replace(held, status=InstanceStatus.TERMINATING)
    assert credited(both, sold, instances=(ending,)) == {US: 0}
    as_head = replace(held, role=Role.HEAD)
    assert credited(both, sold, instances=(as_head,)) == {US: 0}
    heads = replace(ALONE, machines=(*ALONE.machines, placed(EU_OFFER, 2, Role.HEAD)))
    assert credited(heads, sold, instances=()) == {US: 2000}
    kept = (held, running(EU_OFFER, "sk-eu2"), running(EU_OFFER, "sk-eu3"))
    assert credited(both, sold, instances=kept) == {US: 2000}, "what leaves is no stock yet"
    twice = replace(ALONE, machines=(*ALONE.machines, placed(EU_OFFER), placed(EU_OFFER)))
    assert credited(twice, sold, instances=()) == {US: 0}


def test_where_zones_fall_alone_another_zone_of_the_region_has_stock() -> None:
    chat = survives(4, "zone", replacement_credit=0.5)
    zoned = replace(ALONE, replicas=(replicas(US_OFFER, 4, zone="a"),))
    other = stocked(an_offer(US, zone="b"))

    assert credited(zoned, other, chat=chat) == {f"{US}/a": 1000}
    assert credited(zoned, stocked(US_OFFER, 5), chat=chat) == {f"{US}/a": 0}
    provider = survives(4, "provider", replacement_credit=0.5)
    assert credited(ALONE, other, stocked(an_offer("aws/us-west-2"), 5), chat=provider) == {"aws": 0}


def test_machines_in_one_zone_do_not_stand_for_new_ones_in_another() -> None:
    zones = [stocked(an_offer(EU, zone=zone)) for zone in "ab"]
    held = tuple(running(zones[0], f"sk-{n}") for n in range(2))
    both = replace(ALONE, machines=(*ALONE.machines, placed(zones[0]), placed(zones[1])))

    assert credited(both, *zones, instances=held) == {US: 1000}, "zone b's one is bought"


def test_a_machine_counts_with_all_that_it_holds_of_the_best_shape() -> None:
    shapes = [{"gpu": "L4"}, {"gpu": "L4", "count": 0.5}, {"gpu": "L4", "count": 0.25, "cpus": 4}]
    chat = survives(4, replacement_credit=0.5, shapes=shapes)

    assert credited(ALONE, stocked(EU_OFFER), chat=chat) == {US: 2000}
    assert credited(ALONE, stocked(an_offer(EU, gpus=2))) == {US: 2000}


def test_a_gang_needs_all_its_machines_for_one_replica() -> None:
    chat = survives(4, replacement_credit=1, shapes=[{"gpu": "L4", "machines": 2}])
    gang = replace(ALONE, replicas=(replicas(US_OFFER, 4, zone="a"),))

    found = [credited(gang, stocked(EU_OFFER, n), chat=chat)[US] for n in (1, 2, 3, 4)]

    assert found == [0, 1000, 1000, 2000]


def test_applications_that_count_on_stock_share_it_evenly() -> None:
    sold = stocked(EU_OFFER, 3)
    chat = survives(4, replacement_credit=1)

    assert credited(ALONE, sold, chat=chat) == {US: 3000}
    assert credited(ALONE, sold, chat=chat, code=survives(4)) == {US: 3000}
    assert credited(ALONE, sold, chat=chat, code=survives(4, replacement_credit=0.1)) == {US: 1000}
    first = {"aaa": survives(4, replacement_credit=0.1, shapes=[{"gpu": "H100"}])}
    assert credited(ALONE, sold, chat=chat, **first) == {US: 1000}


# Violations.


def found_in(spec: CapacitySpec, placement: Placement) -> tuple[Violation, ...]:
    return violations(spec, placement, KNOWN)


def the(rule: SpecRule, subject: str, actual: int, required: int, unit: Unit = Unit.REPLICAS) -> Violation:
    return Violation(CHAT, rule, subject, actual, required, unit)


def of(demand: int = 4, **changes: Any) -> CapacitySpec:
    return a_spec(chat=application(**({"demand": {"replicas": demand}} | changes)))


def on_spot(spot: int, on_demand: int) -> Placement:
    there = an_offer(US, market=Market.SPOT)
    return Placement((), (replicas(there, spot), replicas(US_OFFER, on_demand)))


CASES = [
    (of(regions={"min": 2}), spread(), spread(4, 0), the(SpecRule.REGIONS_MIN, "", 1000, 2000, Unit.REGIONS)),
    (
        of(10, regions={"max_share": 0.5}),
        spread(6, 4),
        spread(7, 3),
        the(SpecRule.MAX_SHARE, US, 7000, 5000),
    ),
    (
        of(10, regions={"max_share": 0.3}),
        Placement((), tuple(replicas(an_offer(r), n) for r, n in ((US, 4), (EU, 4), (AZ, 2)))),
        Placement((), tuple(replicas(an_offer(r), n) for r, n in ((US, 4), (EU, 5), (AZ, 1)))),
        the(SpecRule.MAX_SHARE, EU, 5000, 3000),
    ),
    (of(regions={"floors": {"US": 2}}), spread(2, 2), spread(1, 3), the(SpecRule.FLOOR, "US", 1000, 2000)),
    (of(regions={"floors": {"gcp": 2.5}}), spread(1, 3), spread(2, 2), the(SpecRule.FLOOR, "gcp", 2000, 2500)),
    (
        of(regions={"shares": {EU: {"min": 0.5}}}),
        spread(2, 2),
        spread(3, 1),
        the(SpecRule.SHARE_MIN, EU, 1000, 2000),
    ),
    (
        of(10, regions={"shares": {"EU": {"max": 0.3}}}),
        spread(6, 4),
        spread(5, 5),
        the(SpecRule.SHARE_MAX, "EU", 5000, 3000),
    ),
    (
        of(market={"on_demand_floor": 0.5}),
        on_spot(2, 2),
        on_spot(3, 1),
        the(SpecRule.ON_DEMAND_FLOOR, "", 1000, 2000),
    ),
    (
        of(market={"survive_spot_loss": 0.5}),
        on_spot(2, 2),
        on_spot(3, 1),
        the(SpecRule.SURVIVE_SPOT_LOSS, US, 1000, 2000),
    ),
]


@pytest.mark.parametrize(("spec", "kept", "broken", "expected"), CASES, ids=[str(c[3].rule) for c in CASES])
def test_a_rule_is_violated_beyond_its_bound_and_not_at_it(
    spec: CapacitySpec, kept: Placement, broken: Placement, expected: Violation
) -> None:
    assert found_in(spec, kept) == ()
    assert found_in(spec, broken) == (expected,)


def test_every_place_of_a_spec_is_looked_at() -> None:
    rules = {"floors": {"EU": 0.5, "aws": 1}, "shares": {"US": {"max": 0.1}}}

    found = found_in(of(10, regions=rules), spread(10, 0))

    assert [(v.rule, v.subject) for v in found] == [(SpecRule.FLOOR, "EU"), (SpecRule.SHARE_MAX, "US")]


def test_a_loss_that_is_not_survived_is_a_violation_with_its_credit_counted() -> None:
    spec = a_spec(chat=survives(4), code=survives(4))
    lines = (
        Survival(CHAT, REGION, US, 2000, 4000, 1000),
        Survival(CODE, REGION, US, 1000, 4000),
        Survival(CHAT, REGION, EU, 3000, 4000, 1000),
    )
    placement = replace(spread(), certificate=lines)

    mine = [v for v in found_in(spec, placement) if v.application == CHAT]
    assert mine == [the(SpecRule.SURVIVE, US, 3000, 4000)]


def test_no_spot_no_loss_of_it_and_other_applications_do_not_count() -> None:
    spec = of(market={"survive_spot_loss": 1.0})
    others = Placement((), (replicas(an_offer(US, market=Market.SPOT), 9, application=CODE),))

    assert found_in(spec, spread(1, 0)) == ()
    assert found_in(spec, replace(others, replicas=(*others.replicas, *spread().replicas))) == ()


def test_a_share_holds_give_or_take_the_largest_replica_of_any_shape() -> None:
    shapes = [{"gpu": "L4", "requests_per_second": n} for n in (1, 2.5)]
    spec = a_spec(chat=application(demand={"requests_per_second": 10}, shapes=shapes, regions={"max_share": 0.5}))
    unit = Unit.REQUESTS_PER_SECOND

    assert found_in(spec, spread(7, 3)) == ()
    assert found_in(spec, spread(8, 2)) == (the(SpecRule.MAX_SHARE, US, 8000, 5000, unit),)


def test_the_unit_of_figures_is_that_of_the_demand() -> None:
    rate = a_spec(chat=application(demand={"requests_per_second": 4}, shapes=[{"gpu": "L4", "requests_per_second": 2}]))

    assert unit_of(of().applications["chat"]) is Unit.REPLICAS
    assert unit_of(rate.applications["chat"]) is Unit.REQUESTS_PER_SECOND
