"""What a placement must report: each rule of the spec, at its bound and beyond."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.placement import Placement, ReplicaCount, SpecRule, Unit, UnmetDemand, Violation
from state.model.plan import Plan, PlanRule
from state.model.snapshot import Snapshot
from tests.builders import an_offer, application
from tests.placed_case import OFFER, SPOT, a_case, an_error, chat
from tests.plans import CHAT, CODE, EU, US, having, only, placed, replicas

# What the placement must report: each rule of the spec at its bound and beyond.


def spread(us: int, eu: int, demand: int = 4, **changes: Any) -> tuple[Plan, Snapshot]:
    """Return a placement over two regions, and a third that sells."""
    offers = [offer for offer, count in ((OFFER, us), (an_offer(EU), eu)) if count]
    counts = [count for count in (us, eu) if count]
    machines = [placed(offer, count) for offer, count in zip(offers, counts, strict=True)]
    carried = [replicas(offer, count) for offer, count in zip(offers, counts, strict=True)]
    return a_case(machines, carried, chat=chat(demand, **changes))


def on_spot(spot: int, on_demand: int, demand: int = 4, **market: Any) -> tuple[Plan, Snapshot]:
    machines = [placed(SPOT, spot), placed(OFFER, on_demand)]
    carried = [replicas(SPOT, spot), replicas(OFFER, on_demand)]
    return a_case(machines, carried, chat=chat(demand, market={"spot": "allowed"} | market))


CASES = [
    (SpecRule.REGIONS_MIN, "", spread(2, 2, regions={"min": 2}), spread(4, 0, regions={"min": 2})),
    (SpecRule.REGIONS_MIN, "", spread(2, 2, regions={"min": 2}), spread(2, 2, regions={"min": 3})),
    # Three tenths as a float lie below three tenths: the bound itself is allowed.
    (
        SpecRule.MAX_SHARE,
        US,
        spread(4, 6, 10, regions={"max_share": 0.5}),
        spread(7, 3, 10, regions={"max_share": 0.5}),
    ),
    (
        SpecRule.MAX_SHARE,
        EU,
        spread(6, 4, 10, regions={"max_share": 0.5}),
        spread(3, 7, 10, regions={"max_share": 0.5}),
    ),
    (
        SpecRule.FLOOR,
        "US",
        spread(2, 2, regions={"floors": {"US": 2}}),
        spread(2, 2, regions={"floors": {"US": 2.001}}),
    ),
    (SpecRule.FLOOR, EU, spread(2, 2, regions={"floors": {EU: 2}}), spread(3, 1, regions={"floors": {EU: 2}})),
    (SpecRule.FLOOR, "gcp", spread(2, 2, regions={"floors": {"gcp": 2}}), spread(3, 1, regions={"floors": {"gcp": 2}})),
    (
        SpecRule.SHARE_MIN,
        "EU",
        spread(3, 1, regions={"shares": {"EU": {"min": 0.25}}}),
        spread(3, 1, regions={"shares": {"EU": {"min": 0.250001}}}),
    ),
    (
        SpecRule.SHARE_MAX,
        "EU",
        spread(6, 4, 10, regions={"shares": {"EU": {"max": 0.3}}}),
        spread(6, 4, 10, regions={"shares": {"EU": {"max": 0.299999}}}),
    ),
    (SpecRule.ON_DEMAND_FLOOR, "", on_spot(3, 1, on_demand_floor=0.25), on_spot(3, 1, on_demand_floor=0.250001)),
    (SpecRule.SURVIVE_SPOT_LOSS, US, on_spot(3, 1, survive_spot_loss=0.25), on_spot(3, 1, survive_spot_loss=0.250001)),
]


@pytest.mark.parametrize(("rule", "subject", "kept", "broken"), CASES, ids=[f"{c[0].name}-{c[1]}" for c in CASES])
def test_a_rule_of_the_spec_that_is_not_kept_is_reported_or_found(
    rule: SpecRule, subject: str, kept: tuple[Plan, Snapshot], broken: tuple[Plan, Snapshot]
) -> None:
    plan, snapshot = broken

    assert check_plan(*kept) == ()
    assert only(plan, snapshot) == an_error(PlanRule.REPORTED_VIOLATION, f"{rule} {subject}".strip())
    violation = Violation(CHAT, rule, subject, 0, 0, Unit.REPLICAS)
    assert check_plan(having(plan, violations=(violation,)), snapshot) == ()


def test_a_place_without_a_floor_may_have_nothing() -> None:
    assert check_plan(*spread(4, 0, regions={"shares": {"EU": {"max": 0.5}}})) == ()


@pytest.mark.parametrize("share", [0.07, 0.29, 0.3, 0.57, 0.58])
def test_a_share_at_its_very_bound_is_kept_whatever_its_float(share: float) -> None:
    count = round(share * 100) + 1

    assert check_plan(*spread(count, 100 - count, 100, regions={"shares": {"US": {"max": share}}})) == ()
    assert check_plan(*spread(100 - count, count, 100, regions={"max_share": max(share, 1 - share)})) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"application": CODE},
        {"rule": SpecRule.SHARE_MAX},
        {"subject": EU},
    ],
)
def test_a_violation_is_not_hidden_by_another_applications_rule_or_subject(other: dict[str, Any]) -> None:
    """One application's missing violation was once hidden by another's that names the same region."""
    reported = replace(Violation(CHAT, SpecRule.MAX_SHARE, US, 0, 0, Unit.REPLICAS), **other)
    plan, snapshot = spread(7, 3, 10, regions={"max_share": 0.5})
    assert snapshot.wanted is not None

    assert only(having(plan, violations=(reported,)), snapshot) == an_error(
        PlanRule.REPORTED_VIOLATION, f"{SpecRule.MAX_SHARE} {US}"
    )


def test_each_application_must_report_its_own_violation() -> None:
    unequal = {"max_share": 0.5}
    wanted = {"chat": chat(10, regions=unequal), "code": chat(10, regions=unequal)}
    eu = an_offer(EU)
    machines = [placed(OFFER, 14), placed(eu, 6)]
    carried = [replicas(o, n, application=a) for a in (CHAT, CODE) for o, n in ((OFFER, 7), (eu, 3))]
    plan, snapshot = a_case(machines, carried, **wanted)
    both = tuple(Violation(name, SpecRule.MAX_SHARE, US, 7000, 5000, Unit.REPLICAS) for name in (CHAT, CODE))

    assert check_plan(having(plan, violations=both), snapshot) == ()
    for kept, hidden in ((0, CODE), (1, CHAT)):
        assert only(having(plan, violations=(both[kept],)), snapshot) == an_error(
            PlanRule.REPORTED_VIOLATION, f"{SpecRule.MAX_SHARE} {US}", hidden
        )


def test_shares_hold_give_or_take_the_largest_replica() -> None:
    shapes = [{"gpu": "L4", "requests_per_second": 10}, {"gpu": "L4", "requests_per_second": 30}]
    eu = an_offer(EU)

    def case(us: int) -> tuple[Plan, Snapshot]:
        wanted = application(demand={"requests_per_second": 100}, shapes=shapes, regions={"max_share": 0.5})
        carried = [replicas(OFFER, us), replicas(eu, 10 - us)]
        return a_case([placed(OFFER, us), placed(eu, 10 - us)], carried, chat=wanted)

    assert check_plan(*case(8)) == ()
    assert only(*case(9)).subject == f"{SpecRule.MAX_SHARE} {US}"


def test_demand_without_a_place_is_reported_with_its_figure() -> None:
    plan, snapshot = spread(2, 1)
    unmet = UnmetDemand(CHAT, 1000, 4000, Unit.REPLICAS, ())

    assert only(plan, snapshot) == an_error(PlanRule.REPORTED_VIOLATION, "demand", CHAT, 0, 1000)
    assert check_plan(having(plan, unmet=(unmet,)), snapshot) == ()
    for wrong in (replace(unmet, missing_milli=999), replace(unmet, missing_milli=1001)):
        found = only(having(plan, unmet=(wrong,)), snapshot)
        assert (found.actual, found.allowed) == (wrong.missing_milli, 1000)
    others = replace(unmet, application=CODE)
    assert only(having(plan, unmet=(others,)), snapshot).application == CHAT
    surplus, wide = spread(3, 2)
    assert check_plan(surplus, wide) == (), "more than the demand is no fault"
    assert only(having(surplus, unmet=(unmet,)), wide) == an_error(PlanRule.REPORTED_VIOLATION, "demand", CHAT, 1000, 0)


def test_figures_are_those_of_the_spec_and_not_of_the_placement() -> None:
    plan, snapshot = spread(1, 1, 2)
    boasting: tuple[ReplicaCount, ...] = tuple(replace(r, milli_each=9000) for r in plan.placement.replicas)
    fewer = having(plan, replicas=boasting[:1])

    assert check_plan(having(plan, replicas=boasting), snapshot) == ()
    assert only(fewer, snapshot) == an_error(PlanRule.REPORTED_VIOLATION, "demand", CHAT, 0, 1000)


def test_nothing_placed_is_demand_without_a_place_alone() -> None:
    plan, snapshot = spread(1, 0, 1, regions={"min": 1})
    empty = replace(plan, placement=Placement(unmet=(UnmetDemand(CHAT, 1000, 1000, Unit.REPLICAS, ()),)))

    assert only(empty, snapshot) == an_error(PlanRule.REPORTED_VIOLATION, SpecRule.REGIONS_MIN)


def test_lines_of_one_region_add_up_and_a_line_of_nothing_is_no_region() -> None:
    plan, snapshot = on_spot(3, 1, survive_spot_loss=0.5)
    spot = plan.placement.replicas[0]
    in_two_lines = (replace(spot, count=2), replace(spot, count=1), *plan.placement.replicas[1:])
    broken = an_error(PlanRule.REPORTED_VIOLATION, f"{SpecRule.SURVIVE_SPOT_LOSS} {US}")
    assert only(having(plan, replicas=in_two_lines), snapshot) == broken

    plan, snapshot = spread(4, 0, regions={"min": 2})
    nothing = having(plan, replicas=(*plan.placement.replicas, replicas(an_offer(EU), 0)))
    found = {finding.subject for finding in check_plan(nothing, snapshot)}
    assert SpecRule.REGIONS_MIN in found
