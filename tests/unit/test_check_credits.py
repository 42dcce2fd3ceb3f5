"""Credits of the certificate: what they count on is there, allowed, and shared by all that count on it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.catalog import Market, Offer, Region, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import RegionId
from state.model.inventory import Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import SpecRule, Unit, Violation
from state.model.plan import Finding, Plan, PlanRule
from state.model.snapshot import Snapshot
from state.model.spec import FailureDomain
from tests.builders import NOON, an_offer, cells
from tests.certified import EU_OFFER, US_OFFER, a_case, an_error, line, survives
from tests.plans import (
    AZ,
    CHAT,
    CODE,
    EU,
    US,
    a_launch,
    a_plan,
    a_snapshot,
    having,
    only,
    placed,
    replicas,
    running,
)

# Credits.


def stocked(offer: Offer, stock: int | None = 1) -> Offer:
    return replace(offer, stock=stock)


def credited(
    milli: int, *spare: Offer, share: float = 0.5, us: int = 3, eu: int = 1, **chat: Any
) -> tuple[Plan, Snapshot]:
    """Return a placement that survives the loss of US only with *milli* credited, and what is sold beside."""
    plan, snapshot = a_case(
        line(EU, us * 1000), line(US, eu * 1000, credited=milli), us=us, eu=eu, replacement_credit=share, **chat
    )
    sold = {o.key: o for o in (US_OFFER, EU_OFFER, *spare)}
    return plan, replace(
        snapshot, offers=tuple(sold.values()), cell_settings=cells(*{o.key.region for o in sold.values()})
    )


AZURE = stocked(an_offer(AZ))


def no_credit(actual: int, allowed: int, domain: object = US) -> Finding:
    return an_error(PlanRule.CREDIT, domain, CHAT, actual, allowed)


def test_a_credit_within_the_spec_and_the_stock_is_fine() -> None:
    assert check_plan(*credited(1000, AZURE)) == ()
    assert check_plan(*credited(1000, stocked(EU_OFFER))) == (), "beside the machines that stand there"


def test_finds_a_credit_above_the_share_of_the_spec() -> None:
    two = stocked(an_offer(AZ), 2)

    assert only(*credited(1001, two)) == no_credit(1001, 1000)
    assert only(*credited(1000, two, share=0.4)) == no_credit(1000, 800)
    assert (
        check_plan(*credited(1000, two, share=0.499999)) == (no_credit(1000, 1000),)
        or check_plan(*credited(1000, two, share=0.499999)) == ()
    )
    assert only(*credited(1000, two, share=0)) == no_credit(1000, 0)


def test_finds_a_credit_for_stock_that_is_not_there() -> None:
    assert only(*credited(1000)) == no_credit(1000, 0)
    assert only(*credited(1000, stocked(an_offer(AZ), 0))) == no_credit(1000, 0)
    assert only(*credited(1000, stocked(an_offer(AZ), None))) == no_credit(1000, 0)
    assert only(*credited(1000, stocked(an_offer(AZ, market=Market.SPOT)))) == no_credit(1000, 0)
    assert only(*credited(1000, stocked(an_offer(AZ, gpu="H100")))) == no_credit(1000, 0)
    assert only(*credited(1000, stocked(US_OFFER))) == no_credit(1000, 0), "it is lost with the region"
    small = replace(AZURE, machine=replace(AZURE.machine, vcpus=0))
    assert only(*credited(1000, small)) == no_credit(1000, 0)


def test_finds_a_credit_below_nothing() -> None:
    plan, snapshot = credited(-1, AZURE, us=4, eu=3)

    assert only(plan, snapshot) == no_credit(-1, 1000)
    assert check_plan(*credited(1, AZURE, us=4, eu=3)) == (), "and a thousandth is one"


def test_a_credit_counts_in_the_unit_of_the_demand() -> None:
    rate: dict[str, Any] = {"of": {"demand": {"requests_per_second": 2}}}
    shapes = [{"gpu": "L4", "requests_per_second": 1}]

    assert check_plan(*credited(1000, AZURE, shapes=shapes, **rate)) == ()
    assert only(*credited(1000, stocked(an_offer(AZ), 0), shapes=shapes, **rate)) == no_credit(1000, 0)


def test_a_machine_counts_with_all_the_replicas_that_it_holds_and_several_offers_add_up() -> None:
    wide = stocked(an_offer(AZ, gpus=2))

    both = stocked(an_offer(AZ)), stocked(an_offer(AZ, zone="b"))

    for spare in ((wide,), both):
        assert check_plan(*two_left(2000, *spare)) == ()
        assert only(*two_left(2001, *spare)) == no_credit(2001, 2000)


def two_left(milli: int, *spare: Offer) -> tuple[Plan, Snapshot]:
    """Return a placement of four in US and two in EU, for a demand of four of which all may be credited."""
    plan, snapshot = credited(milli, *spare, share=1, us=4, eu=2, demand=4)
    lines = (line(EU, 4000, 4000), line(US, 2000, 4000, credited=milli))
    return having(plan, certificate=lines), snapshot


def test_stock_that_the_plan_buys_is_not_credited_as_well() -> None:
    plan, snapshot = credited(1000, stocked(EU_OFFER, 1))
    held = tuple(i for i in snapshot.instances if i.region == US)
    buying = replace(plan, actions=(a_launch(EU_OFFER),), instances=a_plan([], [], a_launch(EU_OFFER)).instances)

    assert only(buying, replace(snapshot, instances=held)) == no_credit(1000, 0)
    two = tuple(replace(o, stock=2) if o.key == EU_OFFER.key else o for o in snapshot.offers)
    assert check_plan(buying, replace(snapshot, instances=held, offers=two)) == ()


def test_machines_in_another_zone_do_not_stand_for_those_that_are_bought() -> None:
    """A zone's new machines use its stock, however many stand in other zones of the same price."""
    zone_b = stocked(an_offer(EU, zone="b"))
    plan, snapshot = credited(1000, stocked(EU_OFFER, 0), zone_b, us=3, eu=1)
    machines = (*(m for m in plan.placement.machines if m.offer.key.region == US), placed(zone_b))
    launch = a_launch(zone_b)
    moving = having(replace(plan, actions=(launch,), instances=a_plan([], [], launch).instances), machines=machines)

    assert only(moving, snapshot) == no_credit(1000, 0)


def test_heads_use_no_stock_and_lines_of_an_offer_add_up() -> None:
    plan, snapshot = credited(1000, stocked(EU_OFFER, 1))
    as_head = having(plan, machines=(*plan.placement.machines, placed(EU_OFFER, 1, Role.HEAD)))
    assert check_plan(as_head, snapshot) == ()

    launch = a_launch(EU_OFFER)
    more = replace(plan, actions=(launch,), instances=a_plan([], [], launch).instances)
    two_lines = having(more, machines=(*plan.placement.machines, placed(EU_OFFER)))
    assert only(two_lines, snapshot) == no_credit(1000, 0)


def test_where_zones_fall_alone_another_zone_of_the_region_has_stock() -> None:
    def case(zone: str) -> tuple[Plan, Snapshot]:
        sold = stocked(an_offer(US, zone=zone))
        plan, snapshot = credited(1000, sold, kind="zone")
        carried = (replicas(US_OFFER, 3, zone="a"), replicas(EU_OFFER, 1, zone="a"))
        zone_lines = (
            line(f"{EU}/a", 3000, kind=FailureDomain.ZONE),
            line(f"{US}/a", 1000, credited=1000, kind=FailureDomain.ZONE),
        )
        return having(plan, replicas=carried, certificate=zone_lines), snapshot

    assert check_plan(*case("b")) == ()
    assert only(*case("a")) == no_credit(1000, 0, f"{US}/a")


def test_a_machine_that_ends_and_a_head_do_not_stand_for_those_that_are_bought() -> None:
    for changes in ({"status": InstanceStatus.TERMINATING}, {"role": Role.HEAD}):
        plan, snapshot = credited(1000, stocked(EU_OFFER, 1))
        held = tuple(replace(i, **changes) if i.region == EU else i for i in snapshot.instances)
        launch = a_launch(EU_OFFER)
        buying = replace(plan, actions=(launch,), instances=a_plan([], [], launch).instances)

        assert only(buying, replace(snapshot, instances=held)) == no_credit(1000, 0)


def test_stock_under_a_shortage_or_in_a_region_that_does_not_count_is_not_there() -> None:
    plan, snapshot = credited(1000, AZURE)
    ends = NOON + timedelta(minutes=3)
    short = Shortage(AZ, None, None, None, ShortageKind.STOCK_OUT, NOON, ends)
    bad = no_credit(1000, 0)

    assert only(plan, replace(snapshot, shortages=(short,))) == bad
    assert check_plan(plan, replace(snapshot, shortages=(replace(short, until=NOON),))) == ()
    assert check_plan(plan, replace(snapshot, shortages=(replace(short, region=EU),))) == ()
    assert only(plan, replace(snapshot, unreachable=frozenset({AZ}))) == bad
    for state in HealthState:
        health = (RegionHealth(AZ, state, NOON),)
        expected = () if state is HealthState.HEALTHY else (bad,)
        assert check_plan(plan, replace(snapshot, health=health)) == expected


def test_stock_counts_where_the_application_may_go() -> None:
    bad = no_credit(1000, 0)

    assert check_plan(*credited(1000, AZURE, regions={"jurisdictions": ["US", "EU"]})) == ()
    berlin = stocked(an_offer("static/berlin"))
    plan, snapshot = credited(1000, berlin, regions={"jurisdictions": ["US", "EU"]})
    assert only(plan, snapshot) == bad
    own = (Region(RegionId("static/berlin"), "EU", 52.5, 13.4),)
    assert check_plan(plan, replace(snapshot, own_regions=own)) == ()
    plan, snapshot = credited(1000, AZURE)
    assert only(plan, replace(snapshot, cell_settings=cells(US, EU))) == bad
    near = {"max_ms": 200, "clients": [{"near": str(US)}]}
    plan, snapshot = credited(1000, AZURE, latency=near)
    assert check_plan(plan, snapshot) == ()
    assert only(plan, replace(snapshot, latencies=((US, AZ, 201.0),))) == bad


@pytest.mark.parametrize("denied", [{"regions": {"deny": [AZ]}}, {"providers": {"deny": ["azure"]}}])
def test_stock_does_not_count_where_the_fleet_may_not_go(denied: dict[str, Any]) -> None:
    plan, snapshot = credited(1000, AZURE)
    assert snapshot.wanted is not None
    spec = type(snapshot.wanted.spec).model_validate(snapshot.wanted.spec.model_dump(exclude_none=True) | denied)

    assert only(plan, replace(snapshot, wanted=replace(snapshot.wanted, spec=spec))) == no_credit(1000, 0)


def sharing(stock: int, code_offer: Offer | None = None, **code: Any) -> tuple[Plan, Snapshot]:
    """Return two applications that each count on one machine after the loss of US."""
    plan, snapshot = credited(1000, stocked(an_offer(AZ), stock), *([code_offer] if code_offer else []))
    machines = tuple(replace(m, count=2 * m.count) for m in plan.placement.machines)
    carried = (*plan.placement.replicas, *(replace(r, application=CODE) for r in plan.placement.replicas))
    lines = (*plan.placement.certificate, *(replace(x, application=CODE) for x in plan.placement.certificate))
    held = tuple(running(m.offer, f"sk-{m.offer.key.region}-{n}") for m in machines for n in range(m.count))
    both: dict[str, Any] = {"chat": survives(replacement_credit=0.5), "code": survives(replacement_credit=0.5, **code)}
    snapshot = a_snapshot(*snapshot.offers, instances=held, **both)
    return having(plan, machines=machines, replicas=carried, certificate=lines), snapshot


def test_applications_that_count_on_the_same_machine_share_it() -> None:
    """Spare stock was once counted for each application on its own: two counted on the one machine."""
    assert check_plan(*sharing(2)) == ()
    assert only(*sharing(1)) == an_error(PlanRule.CREDIT, US, None, 2, 1)


def test_applications_that_may_use_other_machines_need_not_share() -> None:
    either = {"shapes": [{"gpu": "L4"}, {"gpu": "H100"}]}

    assert check_plan(*sharing(1, stocked(an_offer(AZ, gpu="H100")), **either)) == ()
    both_l4 = stocked(an_offer(AZ, gpu="H100"), 0)
    assert only(*sharing(1, both_l4, **either)) == an_error(PlanRule.CREDIT, US, None, 2, 1)
    other_stock = stocked(an_offer(AZ, gpu="H100"), 9)
    assert check_plan(*sharing(1, other_stock, **either)) == ()


def test_only_credits_of_one_domain_are_needed_at_once() -> None:
    plan, snapshot = a_case(
        line(EU, 1000, 2000, credited=1000),
        line(US, 1000, 2000, credited=1000),
        us=1,
        eu=1,
        offers=(AZURE,),
        replacement_credit=0.5,
    )

    assert check_plan(plan, snapshot) == ()


def test_a_part_of_a_machine_needs_a_whole_one() -> None:
    plan, snapshot = sharing(1)
    halves = tuple(replace(x, credited_milli=x.credited_milli // 2) for x in plan.placement.certificate)
    lost = tuple(Violation(n, SpecRule.SURVIVE, US, 1500, 2000, Unit.REPLICAS) for n in (CHAT, CODE))

    found = only(having(plan, certificate=halves, violations=lost), snapshot)
    assert found == an_error(PlanRule.CREDIT, US, None, 2, 1)


def test_a_gang_s_machine_carries_its_part_of_a_replica() -> None:
    gang = {"shapes": [{"gpu": "L4", "machines": 2}]}
    zoned = {"us": 6, "eu": 2, "demand": 2}

    def case(stock: int) -> tuple[Plan, Snapshot]:
        plan, snapshot = credited(1000, stocked(an_offer(AZ), stock), **zoned, **gang)  # type: ignore[arg-type]
        carried = (replicas(US_OFFER, 3, zone="a"), replicas(EU_OFFER, 1, zone="a"))
        lines = (line(EU, 3000), line(US, 1000, credited=1000))
        return having(plan, replicas=carried, certificate=lines), snapshot

    assert check_plan(*case(2)) == ()
    assert only(*case(1)) == no_credit(1000, 500)


def test_a_gang_s_machine_carries_one_part_whatever_else_would_fit() -> None:
    plan, snapshot = credited(1000, stocked(an_offer(AZ, gpus=4)), us=6, eu=2, shapes=[{"gpu": "L4", "machines": 2}])
    carried = (replicas(US_OFFER, 3, zone="a"), replicas(EU_OFFER, 1, zone="a"))
    lines = (line(EU, 3000), line(US, 1000, credited=1000))

    assert only(having(plan, replicas=carried, certificate=lines), snapshot) == no_credit(1000, 500)
