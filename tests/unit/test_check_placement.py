"""Rules on where replicas are: each finds the plan that breaks exactly it, and none the plan just inside its bound."""

from dataclasses import replace
from typing import Any

import pytest

from providers.regions import KNOWN, round_trip_ms
from scheduler.check import check_plan
from state.model.catalog import Market, Offer, Region
from state.model.ids import RegionId
from state.model.inventory import Role
from state.model.plan import Plan, PlanRule
from state.model.snapshot import Snapshot
from tests.builders import a_head_offer, an_offer
from tests.placed_case import OFFER, SPOT, a_case, an_error, chat
from tests.plans import AZ, CHAT, CODE, EU, US, only, placed, replicas

BERLIN = RegionId("static/berlin")


# Packing.


def packed(offer: Offer, machines: int, carried: int, shape: dict[str, Any]) -> tuple[Plan, Snapshot]:
    wanted = chat(carried, shapes=[{"gpu": "L4"} | shape])
    return a_case([placed(offer, machines)], [replicas(offer, carried)], chat=wanted)


@pytest.mark.parametrize(
    ("shape", "per_machine"),
    [
        ({"count": 1}, 4),
        ({"count": 2}, 2),
        ({"count": 3}, 1),
        ({"count": 0.5}, 8),
        ({"count": 0.3}, 12),
        ({"count": 0.6}, 4),
        ({"count": 0.5, "cpus": 8}, 4),
        ({"count": 0.5, "cpus": 0}, 8),
        ({"count": 0.5, "memory_gib": 20}, 6),
        ({"count": 0.5, "memory_gib": 42.6}, 3),
        ({"count": 4, "cpus": 32, "memory_gib": 128, "gpu_memory_gib": 24}, 1),
    ],
)
def test_a_machine_holds_as_many_replicas_as_its_gpus_cpus_and_memory_and_no_more(
    shape: dict[str, Any], per_machine: int
) -> None:
    wide = an_offer(US, gpus=4)
    gpus = round(shape["count"] * 1000)
    too_many = 2 * per_machine + 1

    assert check_plan(*packed(wide, 2, 2 * per_machine, shape)) == ()
    assert only(*packed(wide, 2, too_many, shape)) == an_error(
        PlanRule.PACKING, f"{US}/l4.4", CHAT, too_many * gpus, 8000
    )


@pytest.mark.parametrize(
    "shape", [{"gpu": "H100"}, {"gpu_memory_gib": 24.5}, {"cpus": 8.5}, {"memory_gib": 32.5}, {"count": 2}]
)
def test_finds_a_replica_that_no_such_machine_can_hold(shape: dict[str, Any]) -> None:
    found = only(*packed(OFFER, 4, 1, shape))

    assert (found.rule, found.subject) == (PlanRule.PACKING, f"{US}/l4.1")


def test_shapes_share_the_machines() -> None:
    wide = an_offer(US, gpus=4)

    def both(one: int, two: int) -> tuple[Plan, Snapshot]:
        wanted = chat(one + two, shapes=[{"gpu": "L4", "count": 2}, {"gpu": "L4", "count": 1, "cpus": 2}])
        return a_case([placed(wide, 2)], [replicas(wide, one), replicas(wide, two, shape=1)], chat=wanted)

    assert check_plan(*both(3, 2)) == ()
    assert only(*both(3, 3)) == an_error(PlanRule.PACKING, f"{US}/l4.4", CHAT, 9000, 8000)


@pytest.mark.parametrize(
    ("need", "fits", "too_many"), [({"cpus": 8.0}, 4, 5), ({"memory_gib": 32.0}, 4, 5), ({"cpus": 6.4}, 5, 6)]
)
def test_applications_share_cpus_and_memory(need: dict[str, float], fits: int, too_many: int) -> None:
    wide = an_offer(US, gpus=4)

    def of(code: int) -> tuple[Plan, Snapshot]:
        shape = {"gpu": "L4", "count": 0.5, "cpus": 0.0} | need
        wanted = {"chat": chat(1, shapes=[shape]), "code": chat(code, shapes=[shape])}
        carried = [replicas(wide, 1), replicas(wide, code, application=CODE)]
        return a_case([placed(wide)], carried, **wanted)

    assert check_plan(*of(fits - 1)) == ()
    assert overfull(*of(too_many - 1)) == {CHAT, CODE}


def overfull(plan: Plan, snapshot: Snapshot) -> set[Any]:
    """Return the applications of the one place where replicas do not fit."""
    found = check_plan(plan, snapshot)
    assert len({(f.rule, f.subject, f.actual, f.allowed) for f in found}) == 1
    assert found[0].rule is PlanRule.PACKING
    return {f.application for f in found}


def test_a_gang_has_its_machines_alone() -> None:
    wide = an_offer(US, gpus=4)

    def beside(machines: int, gangs: int, others: int) -> tuple[Plan, Snapshot]:
        wanted = {"chat": chat(gangs, shapes=[{"gpu": "L4", "count": 2, "machines": 2}])}
        carried = [replicas(wide, gangs, zone="a")]
        if others:
            wanted["code"] = chat(others)
            carried.append(replicas(wide, others, application=CODE, zone="a"))
        return a_case([placed(wide, machines)], carried, **wanted)

    assert check_plan(*beside(3, 1, 4)) == ()
    assert overfull(*beside(3, 1, 5)) == {CHAT, CODE}
    assert check_plan(*beside(4, 2, 0)) == ()
    assert only(*beside(3, 2, 0)) == an_error(PlanRule.PACKING, f"{US}/a/l4.4", CHAT, 8000, 12_000)
    assert overfull(*beside(2, 1, 1)) == {CHAT, CODE}
    small = a_case(
        [placed(OFFER, 2)],
        [replicas(OFFER, 1, zone="a")],
        chat=chat(1, shapes=[{"gpu": "L4", "count": 2, "machines": 2}]),
    )
    assert only(*small).rule is PlanRule.PACKING, "its part does not fit on one machine"


def test_replicas_run_on_machines_of_their_own_type_market_region_and_zone() -> None:
    machines = [placed(OFFER)]
    elsewhere = (
        replicas(an_offer(US, gpus=2)),
        replicas(an_offer(US, market=Market.SPOT)),
        replicas(an_offer(US, market=Market.RESERVED)),
        replicas(an_offer(EU)),
        replicas(OFFER, zone="b"),
    )
    wanted = chat(1, market={"spot": "allowed"})

    assert check_plan(*a_case(machines, [replicas(OFFER, zone="a")], chat=wanted)) == ()
    for carried in elsewhere:
        place = f"{US}/b" if carried.zone else carried.region
        assert only(*a_case(machines, [carried], chat=wanted)) == an_error(
            PlanRule.PACKING, f"{place}/{carried.instance_type}", CHAT, 1000, 0
        )


def test_zones_of_a_region_count_together_where_they_do_not_matter() -> None:
    other = an_offer(US, zone="b")

    assert check_plan(*a_case([placed(OFFER), placed(other)], [replicas(OFFER, 2)], chat=chat(2))) == ()


def test_a_head_carries_no_replica_and_an_idle_machine_is_no_fault() -> None:
    assert only(*a_case([placed(OFFER, 1, Role.HEAD)], [replicas(OFFER)], chat=chat(1))).rule is PlanRule.PACKING
    machines = [placed(a_head_offer(US), 1, Role.HEAD), placed(OFFER), placed(an_offer(EU))]
    assert check_plan(*a_case(machines, [replicas(OFFER)], chat=chat(1))) == ()


# Where replicas and machines may be.


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"regions": {"deny": [US]}}, US),
        ({"regions": {"allow": [EU]}}, US),
        ({"providers": {"deny": ["aws"]}}, "aws"),
        ({"providers": {"allow": ["gcp"]}}, "aws"),
        ({"regions": {"deny": [EU]}}, None),
        ({"regions": {"allow": [US, EU]}}, None),
        ({"providers": {"allow": ["aws"]}}, None),
        ({"providers": {"deny": ["gcp"]}}, None),
    ],
)
def test_machines_are_where_the_spec_allows(changes: dict[str, Any], subject: str | None) -> None:
    plan, snapshot = a_case([placed(OFFER)], [replicas(OFFER)], chat=chat(1))
    assert snapshot.wanted is not None
    document = snapshot.wanted.spec.model_dump(exclude_none=True) | changes
    spec = type(snapshot.wanted.spec).model_validate(document)
    snapshot = replace(snapshot, wanted=replace(snapshot.wanted, spec=spec))

    expected = () if subject is None else (an_error(PlanRule.ALLOWED, subject, None),)
    assert check_plan(plan, snapshot) == expected


@pytest.mark.parametrize(("jurisdictions", "is_found"), [(["EU"], True), (["EU", "US"], False), ([], False)])
def test_replicas_are_under_their_jurisdictions(jurisdictions: list[str], is_found: bool) -> None:  # noqa: FBT001
    case = a_case([placed(OFFER)], [replicas(OFFER)], chat=chat(1, regions={"jurisdictions": jurisdictions}))

    assert check_plan(*case) == ((an_error(PlanRule.JURISDICTION, US),) if is_found else ())


def test_a_region_of_our_own_has_the_jurisdiction_of_the_settings_and_an_unknown_one_none() -> None:
    offer = an_offer(BERLIN)
    plan, snapshot = a_case([placed(offer)], [replicas(offer)], chat=chat(1, regions={"jurisdictions": ["EU"]}))

    assert only(plan, snapshot) == an_error(PlanRule.JURISDICTION, BERLIN)
    assert check_plan(plan, replace(snapshot, own_regions=(Region(BERLIN, "EU", 52.5, 13.4),))) == ()
    assert only(plan, replace(snapshot, own_regions=(Region(BERLIN, "US", 52.5, 13.4),))).subject == BERLIN


def far(max_ms: float, worst_ms: float | None = None, *clients: dict[str, Any]) -> dict[str, Any]:
    return {"max_ms": max_ms, "worst_ms": worst_ms, "clients": list(clients) or [{"near": str(EU)}]}


def timed(latency: dict[str, Any], *measured: tuple[RegionId, RegionId, float]) -> tuple[Plan, Snapshot]:
    plan, snapshot = a_case([placed(OFFER)], [replicas(OFFER)], chat=chat(1, latency=latency))
    return plan, replace(snapshot, latencies=measured)


def test_replicas_are_as_near_to_their_clients_as_measured() -> None:
    there, back = (EU, US, 90.0), (US, EU, 80.0)
    late = an_error(PlanRule.LATENCY, US)

    assert check_plan(*timed(far(90), there, back)) == ()
    assert only(*timed(far(89.9), there, back)) == late
    assert check_plan(*timed(far(80), back)) == ()
    assert only(*timed(far(79.9), back)) == late
    assert check_plan(*timed(far(90.0), (EU, US, 90.0 * (1 + 1e-12)))) == (), "the order of a sum is no distance"
    assert check_plan(*timed(far(70), (EU, US, 99.0), (EU, US, 70.0))) == (), "the last measurement counts"
    assert only(*timed(far(89), (EU, AZ, 1.0), (AZ, US, 1.0), there)) == late


def test_without_a_measurement_the_distance_counts() -> None:
    us, eu = KNOWN[US], KNOWN[EU]
    trip = round_trip_ms((eu.latitude, eu.longitude), (us.latitude, us.longitude))
    point = {"latitude": eu.latitude, "longitude": eu.longitude}

    for client in ({"near": str(EU)}, point):
        assert check_plan(*timed(far(trip + 0.01, None, client))) == ()
        assert only(*timed(far(trip - 0.01, None, client))) == an_error(PlanRule.LATENCY, US)


def test_clients_count_by_their_weight_and_the_farthest_by_itself() -> None:
    clients = ({"near": str(EU), "weight": 3}, {"near": str(AZ), "weight": 1})
    measured = ((EU, US, 90.0), (AZ, US, 10.0))

    assert check_plan(*timed(far(70, 90, *clients), *measured)) == ()
    assert only(*timed(far(69.9, None, *clients), *measured)) == an_error(PlanRule.LATENCY, US)
    assert only(*timed(far(70, 89.9, *clients), *measured)) == an_error(PlanRule.LATENCY, US)


def test_a_client_on_the_equator_or_the_meridian_is_where_it_is() -> None:
    us = KNOWN[US]
    for latitude, longitude in ((0, us.longitude), (us.latitude, 0)):
        trip = round_trip_ms((latitude, longitude), (us.latitude, us.longitude))
        point = {"latitude": latitude, "longitude": longitude}
        assert check_plan(*timed(far(trip + 0.001, None, point))) == ()
        assert only(*timed(far(trip - 0.001, None, point))) == an_error(PlanRule.LATENCY, US)


def test_a_distance_that_is_not_known_is_too_far() -> None:
    here = [{"latitude": 0, "longitude": 0}]
    offer = an_offer(BERLIN)
    unknown = chat(1, latency=far(10_000, None, *here))
    plan, snapshot = a_case([placed(offer)], [replicas(offer)], chat=unknown)
    assert only(plan, snapshot) == an_error(PlanRule.LATENCY, BERLIN)
    assert check_plan(plan, replace(snapshot, own_regions=(Region(BERLIN, "EU", 0, 0),))) == ()

    assert only(*timed(far(10_000, None, {"near": "static/nowhere"}))) == an_error(PlanRule.LATENCY, US)
    both = ({"near": "static/nowhere"}, {"near": str(US)})
    assert only(*timed(far(10_000, None, *both))) == an_error(PlanRule.LATENCY, US)


@pytest.mark.parametrize(("spot", "is_found"), [("never", True), ("allowed", False), ("preferred", False)])
def test_replicas_are_on_spot_only_where_that_is_allowed(spot: str, is_found: bool) -> None:  # noqa: FBT001
    case = a_case([placed(SPOT)], [replicas(SPOT)], chat=chat(1, market={"spot": spot}))

    assert check_plan(*case) == ((an_error(PlanRule.SPOT, US),) if is_found else ())
