"""Explanations are figures: each is held against solving the other way round by hand."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.cli.render.explanations import (
    conflict_json,
    conflict_lines,
    price_lines,
    question_fault,
    what_if_lines,
    why_not_lines,
)
from scheduler.explain.binding import LimitKind, limits, rule_prices
from scheduler.explain.conflict import WayOutKind, conflict
from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.rules import Requirement, RequirementKind, requirements, without
from scheduler.explain.what_if import NoSuchFieldError, QuestionFault, what_if
from scheduler.explain.why_not import why_not
from state.model.catalog import Market, Offer, Quota
from state.model.ids import ApplicationName, RegionId
from state.model.placement import RefusalCause, SpecRule, Unit
from state.model.snapshot import Snapshot
from state.model.spec import Choice
from state.model.units import Usd
from tests.builders import NOON, a_spec, an_instance, an_offer, application, cells, wanted, with_heads

CHAT = ApplicationName("chat")
US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"


def a_snapshot(*offers: Offer, budget: float = 1000, **apps: dict[str, Any]) -> Snapshot:
    sold = with_heads(*offers)
    regions = sorted({o.key.region for o in sold})
    spec = a_spec(budget, **(apps or {"chat": application()}))
    return Snapshot(NOON, wanted(spec), offers=sold, cell_settings=cells(*regions))


def test_a_rule_costs_what_the_fleet_would_cost_less_without_it() -> None:
    chat = application(regions={"jurisdictions": ["EU"]}, market={"spot": "never"})
    offers = (an_offer(US, "1"), an_offer(EU, "3"), an_offer(EU, "2.5", market=Market.SPOT))

    prices = rule_prices(a_snapshot(*offers, chat=chat), "chat")

    assert [(rule.path, cost) for rule, cost in prices] == [
        ("applications.chat.regions.jurisdictions", Usd.of(4)),  # two replicas at 1 and not at 3
        ("applications.chat.market.spot", Usd.of(1)),
    ]
    assert price_lines(prices, ())[0] == "chat: only in EU: costs $4.00/h"


def test_one_machine_more_of_a_quota_saves_what_the_next_best_costs_more() -> None:
    snapshot = a_snapshot(an_offer(US, "1"), an_offer(EU, "4"), chat=application(demand={"replicas": 3}))
    quota = Quota(RegionId(US), "gpu", Market.ON_DEMAND, 8, 0, "vcpus")

    (found,) = limits(replace(snapshot, quotas=(quota,)))

    assert (found.kind, found.quota, found.gpu, found.limit) == (LimitKind.QUOTA, quota, "L4", 8)
    assert found.saves == Usd.of(3)
    line = f"quota of gpu (on_demand) in {US}: 8 vcpus: used up; one more L4 machine of quota saves $3.00/h"
    assert price_lines((), (found,)) == [line]


def test_one_machine_more_in_stock_saves_what_the_next_best_costs_more() -> None:
    chat = application(demand={"replicas": 3})

    (found,) = limits(a_snapshot(an_offer(US, "1", stock=1), an_offer(EU, "4"), chat=chat))

    # With one of three in the EU still, its cell stays.
    assert (found.kind, found.offer, found.limit) == (LimitKind.STOCK, an_offer(US).key, 1)
    assert found.saves == Usd.of(3)


def test_what_does_not_bind_is_not_named() -> None:
    assert limits(a_snapshot(an_offer(US, "1", stock=9), an_offer(EU, "4"))) == ()


@pytest.mark.parametrize(
    ("rules", "place", "cause"),
    [
        ({"regions": {"jurisdictions": ["US"]}}, EU, RefusalCause.JURISDICTION),
        ({"shapes": [{"gpu": "H100"}, {"gpu": "L4", "gpu_memory_gib": 80}]}, EU, RefusalCause.NO_SHAPE_FITS),
        ({"latency": {"max_ms": 30, "clients": [{"near": US}]}}, "gcp", RefusalCause.LATENCY_EXPECTED),
    ],
)
def test_gives_the_cause_why_an_offer_may_not_be_used(rules: dict[str, Any], place: str, cause: RefusalCause) -> None:
    answer = why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1"), chat=application(**rules)), "chat", place)

    assert dict(answer.causes) == {cause: 1}
    assert answer.costs_more is None
    assert why_not_lines(answer, "chat")[-1] == "chat may use none of them."


def test_gives_what_a_place_would_cost_more() -> None:
    answer = why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1.5")), "chat", EU)

    # One of two replicas there, and one more head.
    assert answer.costs_more == Usd.of("0.6")
    assert not answer.is_used
    assert why_not_lines(answer, "chat") == [
        f"Running one replica there costs $0.60/h more; the cheapest there is {EU}/a/l4.1/on_demand at $1.50/h."
    ]


def test_reports_that_a_place_is_used() -> None:
    assert why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1.5")), "chat", US).is_used


def test_a_place_whose_name_only_begins_alike_is_not_meant() -> None:
    assert why_not(a_snapshot(an_offer("aws/us-east-1", "1")), "chat", "aws/us-east").offers == 0


def test_what_if_is_a_priced_difference() -> None:
    offers = (an_offer(US, "2"), an_offer(US, "1", market=Market.SPOT))
    snapshot = a_snapshot(*offers, chat=application(market={"spot": "preferred"}))

    answer = what_if(snapshot, "applications.chat.market.spot=never")

    assert answer.difference == Usd.of(2)
    assert dict(answer.moved) == {f"{US}/a/l4.1/on_demand": 2, f"{US}/a/l4.1/spot": -2}
    assert what_if_lines(answer, "x=y")[0] == "With x=y: $4.10/h instead of $2.10/h, $2.00/h more, bought from scratch."


def test_what_if_reports_what_could_not_be_kept() -> None:
    answer = what_if(a_snapshot(an_offer(US, "2")), "applications.chat.survive.any=region")

    assert answer.difference is None
    assert [v.rule for v in answer.after.placement.violations] == [SpecRule.SURVIVE]
    assert what_if_lines(answer, "x=y")[0] == "With x=y not everything can be kept."


@pytest.mark.parametrize(
    ("change", "fault", "words"),
    [
        ("applications.chat.market.spott=never", QuestionFault.UNKNOWN_FIELD, "the spec has nothing named spott"),
        ("applications.missing.market.spot=never", QuestionFault.UNKNOWN_FIELD, "the spec has nothing named missing"),
        ("applications.chat.market.spot=maybe", QuestionFault.BAD_VALUE, "'maybe' is not known; use one of 'never',"),
        ("applications.chat.market.spot", QuestionFault.NO_ASSIGNMENT, "write a field and a value"),
        ("applications.chat.demand.replicas=[", QuestionFault.NOT_YAML, "is not a YAML value"),
    ],
)
def test_a_wrong_question_is_reported_as_one(change: str, fault: QuestionFault, words: str) -> None:
    with pytest.raises(NoSuchFieldError) as caught:
        what_if(a_snapshot(an_offer(US, "2")), change)

    assert caught.value.fault is fault
    assert words in question_fault(caught.value)


def test_the_smallest_conflict_leaves_out_what_has_nothing_to_do_with_it() -> None:
    chat = application(
        survive={"any": "region"},
        regions={"jurisdictions": ["EU"], "max_share": 0.9},
        latency={"max_ms": 500, "clients": [{"near": EU}]},
    )

    found = conflict(a_snapshot(an_offer(US, "1"), an_offer(AZ, "1"), an_offer(EU, "2"), chat=chat))

    assert found is not None
    survive = Requirement(RequirementKind.SURVIVE, CHAT, 1.0, ("region",))
    only_eu = Requirement(RequirementKind.JURISDICTIONS, CHAT, names=("EU",))
    assert found.requirements == (survive, only_eu)
    assert [(way.kind, way.requirements) for way in found.ways_out] == [
        (WayOutKind.GIVE_UP, (survive,)),
        (WayOutKind.GIVE_UP, (only_eu,)),
    ]
    assert conflict_lines(found)[1:3] == [
        "  chat: 100% of the demand carried after the loss of any region",
        "  chat: only in EU",
    ]


def test_the_way_out_of_a_budget_is_what_it_would_take() -> None:
    found = conflict(a_snapshot(an_offer(US, "2"), budget=3, chat=application(demand={"replicas": 2})))

    assert found is not None
    demand = Requirement(RequirementKind.DEMAND, CHAT, 2.0, unit=Unit.REPLICAS)
    assert found.requirements == (Requirement(RequirementKind.BUDGET, amount=3.0), demand)
    assert [(way.kind, way.requirements, way.per_hour) for way in found.ways_out] == [
        (WayOutKind.LOWER, (replace(demand, amount=1),), Usd.of("2.1")),
        (WayOutKind.RAISE_BUDGET, (Requirement(RequirementKind.BUDGET, amount=4.1),), Usd.of("4.1")),
    ]
    shown = conflict_json(found)
    assert shown is not None
    assert [way["message"] for way in shown["ways_out"]] == [
        "lower to chat: the demand of 1 replicas",
        "raise the budget to $4.10/h",
    ]


def test_every_requirement_can_be_given_up_and_has_words() -> None:
    chat = application(
        survive={"any": "region"},
        latency={"max_ms": 500, "clients": [{"near": EU}]},
        regions={
            "jurisdictions": ["EU"], "max_share": 0.9, "min": 2, "floors": {"EU": 1}, "shares": {"gcp": {"min": 0.1}},
        },
        market={"spot": "never"},
    )  # fmt: skip
    spot = application(market={"spot": "preferred", "on_demand_floor": 0.5, "survive_spot_loss": 0.5})
    spec = a_spec(chat=chat, spot=spot).model_copy(update={"providers": Choice(deny=("azure",))})
    spec = spec.model_copy(update={"regions": Choice(allow=("gcp/europe-west4",))})

    found = requirements(spec)

    assert {requirement.kind for requirement in found} == set(RequirementKind) - {RequirementKind.DEMAND}
    for requirement in found:
        left = requirements(without(requirement, spec))
        if requirement.kind is not RequirementKind.BUDGET:  # a budget is raised beyond any price
            assert left == tuple(other for other in found if other != requirement)


def test_nothing_conflicts_where_everything_can_be_kept() -> None:
    assert conflict(a_snapshot(an_offer(US, "2"))) is None


def test_from_scratch_our_own_machines_leave_their_stock_and_quota() -> None:
    # Two of two machines run, so that nothing more is in stock and the quota is used up by ourselves.
    key = an_offer(US).key
    ours = tuple(replace(an_instance(f"sk-{n}", key=key), price_per_hour=Usd.of(1)) for n in range(2))
    quota = Quota(RegionId(US), "gpu", Market.ON_DEMAND, 16, 16, "vcpus")
    snapshot = a_snapshot(an_offer(US, "1", stock=0), an_offer(EU, "4"))

    found = from_scratch(replace(snapshot, instances=ours, quotas=(quota,)))

    assert found.per_hour == Usd.of("2.1")
    assert conflict(replace(snapshot, instances=ours, quotas=(quota,))) is None
