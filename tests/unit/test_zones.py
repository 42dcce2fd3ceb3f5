"""What is sold without a zone: in which losses it counts, and when an application that survives zones may use it."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from scheduler.plan import make_plan
from scheduler.solve import solve
from state.model.catalog import NO_ZONE, Offer
from state.model.placement import Placement, RefusalCause
from state.model.plan import PlanRule
from state.model.settings import SolveBudget
from tests.builders import an_offer, application, with_heads
from tests.certified import line
from tests.plans import AZ, CHAT, a_plan, a_snapshot, placed, replicas

EXACT, SEARCH = SolveBudget(), SolveBudget(exact_applications=0)
LOOSE = an_offer(AZ, "1", zone=NO_ZONE)
ZONED = (an_offer(AZ, "5", zone="1"), an_offer(AZ, "5", zone="2"))


def decided(*offers: Offer, budget: SolveBudget = EXACT, kind: str = "zone", **changes: Any) -> Placement:
    chat = application(demand={"replicas": 2}, survive={"any": kind}, disruption={"max_surge": 20}, **changes)
    snapshot = a_snapshot(*with_heads(*offers), chat=chat, solve_budget=budget)
    placement = solve(snapshot)
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()
    return placement


def zones(placement: Placement) -> dict[str | None, int]:
    return {r.zone: r.count for r in placement.replicas}


@pytest.mark.parametrize("budget", [EXACT, SEARCH], ids=["exact", "search"])
def test_beside_zones_a_machine_that_may_be_in_any_is_not_used_by_what_must_survive_one(budget: SolveBudget) -> None:
    placement = decided(LOOSE, *ZONED, budget=budget)

    assert zones(placement) == {"1": 2, "2": 2}
    assert (CHAT, RefusalCause.ZONE_UNKNOWN, 1) in placement.refusals


def test_it_is_used_where_no_zone_matters() -> None:
    for kind in ("none", "region"):
        placement = decided(LOOSE, *ZONED, an_offer("aws/us-east-1", "1"), kind=kind)
        assert not [cause for _, cause, _ in placement.refusals if cause is RefusalCause.ZONE_UNKNOWN]
        assert {m.offer.key.zone for m in placement.machines if m.offer.machine.gpus and m.offer.key.region == AZ} <= {
            NO_ZONE
        }


def test_where_nothing_is_sold_by_zone_the_region_is_lost_as_a_whole() -> None:
    placement = decided(LOOSE, an_offer("aws/us-east-1", "1"))

    left = {found.domain: found.remaining_milli for found in placement.certificate}
    assert left == {f"{AZ}/{NO_ZONE}": 2000, "aws/us-east-1/a": 2000}


def test_what_fits_no_shape_makes_no_zone_known() -> None:
    others = tuple(replace(offer, machine=replace(offer.machine, gpu="H100")) for offer in ZONED)

    assert zones(decided(LOOSE, *others, an_offer("aws/us-east-1", "1"))) == {NO_ZONE: 2, "a": 2}


def test_the_check_counts_what_may_be_in_any_zone_as_lost_with_each() -> None:
    chat = application(demand={"replicas": 2}, survive={"any": "zone", "share": 0.5})
    sold = (LOOSE, ZONED[0])
    machines = [placed(offer) for offer in sold]
    carried = [replicas(LOOSE, zone=NO_ZONE), replicas(ZONED[0], zone="1")]
    lines = (line(f"{AZ}/{NO_ZONE}", 1000, 1000), line(f"{AZ}/1", 1000, 1000))
    by_zone = tuple(replace(found, kind=found.kind.__class__.ZONE) for found in lines)
    plan = a_plan(machines, carried)
    plan = replace(plan, placement=replace(plan.placement, certificate=by_zone))

    [found] = check_plan(plan, a_snapshot(*sold, chat=chat))

    assert (found.rule, found.subject, found.actual, found.allowed) == (PlanRule.CERTIFICATE, f"{AZ}/1", 1000, 0)
