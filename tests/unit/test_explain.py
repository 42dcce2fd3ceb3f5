"""Explanations are figures: each is held against solving the other way round by hand."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.cli.explain_command import conflict_lines, price_lines, what_if_lines, why_not_lines
from scheduler.explain.binding import bindings, rule_prices
from scheduler.explain.conflict import conflict
from scheduler.explain.what_if import NoSuchFieldError, what_if
from scheduler.explain.why_not import why_not
from state.model.catalog import Market, Offer, Quota
from state.model.ids import RegionId
from state.model.snapshot import Snapshot
from state.model.units import Usd
from tests.builders import NOON, a_spec, an_offer, application, cells, wanted, with_heads

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

    found = bindings(replace(snapshot, quotas=(quota,)))

    assert [(b.more, b.saves) for b in found] == [(f"one more L4 machine of quota in {US}", Usd.of(3))]


def test_one_machine_more_in_stock_saves_what_the_next_best_costs_more() -> None:
    chat = application(demand={"replicas": 3})

    found = bindings(a_snapshot(an_offer(US, "1", stock=1), an_offer(EU, "4"), chat=chat))

    # With one of three in the EU still, its cell stays.
    assert [(b.words, b.saves) for b in found] == [(f"stock of {US}/a/l4.1/on_demand: 1", Usd.of(3))]


def test_what_does_not_bind_is_not_named() -> None:
    assert bindings(a_snapshot(an_offer(US, "1", stock=9), an_offer(EU, "4"))) == ()


@pytest.mark.parametrize(
    ("rules", "place", "cause"),
    [
        ({"regions": {"jurisdictions": ["US"]}}, EU, "jurisdiction"),
        ({"shapes": [{"gpu": "H100"}, {"gpu": "L4", "gpu_memory_gib": 80}]}, EU, "no shape fits the machine"),
        ({"latency": {"max_ms": 30, "clients": [{"near": US}]}}, "gcp", "latency above max_ms"),
    ],
)
def test_says_why_an_offer_may_not_be_used(rules: dict[str, Any], place: str, cause: str) -> None:
    answer = why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1"), chat=application(**rules)), "chat", place)

    assert dict(answer.causes) == {cause: 1}
    assert answer.costs_more is None
    assert why_not_lines(answer, "chat")[-1] == "chat may use none of them."


def test_says_what_a_place_would_cost_more() -> None:
    answer = why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1.5")), "chat", EU)

    # One of two replicas there, and one more head.
    assert answer.costs_more == Usd.of("0.6")
    assert not answer.is_used
    assert why_not_lines(answer, "chat") == [
        f"Running one replica there costs $0.60/h more; the cheapest there is {EU}/a/l4.1/on_demand at $1.50/h."
    ]


def test_says_that_a_place_is_used() -> None:
    assert why_not(a_snapshot(an_offer(US, "1"), an_offer(EU, "1.5")), "chat", US).is_used


def test_a_place_whose_name_only_begins_alike_is_not_meant() -> None:
    assert why_not(a_snapshot(an_offer("aws/us-east-1", "1")), "chat", "aws/us-east").offers == 0


def test_what_if_is_a_priced_difference() -> None:
    offers = (an_offer(US, "2"), an_offer(US, "1", market=Market.SPOT))
    snapshot = a_snapshot(*offers, chat=application(market={"spot": "preferred"}))

    answer = what_if(snapshot, "applications.chat.market.spot=never")

    assert answer.difference == Usd.of(2)
    assert dict(answer.moved) == {f"{US}/a/l4.1/on_demand": 2, f"{US}/a/l4.1/spot": -2}
    assert what_if_lines(answer, "x=y")[0] == "With x=y: $4.10/h instead of $2.10/h, $2.00/h more, bought afresh."


def test_what_if_says_what_could_not_be_kept() -> None:
    answer = what_if(a_snapshot(an_offer(US, "2")), "applications.chat.survive.any=region")

    assert answer.difference is None
    assert any("would leave" in line for line in what_if_lines(answer, "x=y"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("applications.chat.market.spott=never", "there is no spott"),
        ("applications.nobody.market.spot=never", "there is no nobody"),
        ("applications.chat.market.spot=maybe", "Input should be"),
        ("applications.chat.market.spot", "write a field and a value"),
        ("applications.chat.demand.replicas=[", "is no value"),
    ],
)
def test_a_wrong_question_is_said_to_be_one(change: str, words: str) -> None:
    with pytest.raises(NoSuchFieldError, match=words.replace("(", ".")):
        what_if(a_snapshot(an_offer(US, "2")), change)


def test_the_smallest_conflict_leaves_out_what_has_nothing_to_do_with_it() -> None:
    chat = application(
        survive={"any": "region"},
        regions={"jurisdictions": ["EU"], "max_share": 0.9},
        latency={"max_ms": 500, "clients": [{"near": EU}]},
    )

    found = conflict(a_snapshot(an_offer(US, "1"), an_offer(AZ, "1"), an_offer(EU, "2"), chat=chat))

    assert found is not None
    assert found.requirements[:2] == (
        "chat: any region may be lost and 100% is still carried",
        "chat: only in EU",
    )
    assert len(found.requirements) == 3
    assert [way.words for way in found.ways_out] == [
        "give up: chat: any region may be lost and 100% is still carried",
        "give up: chat: only in EU",
    ]
    assert conflict_lines(found)[0] == "These cannot be kept together:"


def test_the_way_out_of_a_budget_is_what_it_would_take() -> None:
    found = conflict(a_snapshot(an_offer(US, "2"), budget=3, chat=application(demand={"replicas": 2})))

    assert found is not None
    assert found.requirements[0] == "the budget of $3/h"
    assert [(way.words, way.per_hour) for way in found.ways_out] == [
        ("lower the demand of chat to 1", Usd.of("2.1")),
        ("raise the budget to $4.10/h", Usd.of("4.1")),
    ]


def test_nothing_conflicts_where_everything_can_be_kept() -> None:
    assert conflict(a_snapshot(an_offer(US, "2"))) is None
