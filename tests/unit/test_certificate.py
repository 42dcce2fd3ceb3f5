"""The certificate's credits, the rules that a placement breaks, and the causes of demand that is not met."""

from dataclasses import replace
from typing import Any

import pytest

from providers.regions import known_regions
from scheduler.solve import solve
from scheduler.solve.certificate import certificate, violations
from scheduler.solve.formulate import formulate
from scheduler.solve.supply import build_supply
from state.model.catalog import Market, Offer, Quota
from state.model.ids import ApplicationName, RegionId
from state.model.placement import Placement, RefusalCause, ReplicaCount, SpecRule, Unit, Violation
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec
from tests.builders import NOON, a_spec, an_offer, application, cells, wanted, with_heads

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"
CHAT = ApplicationName("chat")


def a_snapshot(*offers: Offer, budget: float = 1000, **apps: dict[str, Any]) -> Snapshot:
    sold = with_heads(*offers)
    regions = sorted({o.key.region for o in sold})
    return Snapshot(NOON, wanted(a_spec(budget, **apps)), offers=sold, cell_settings=cells(*regions))


def replicas(region: str, count: int, *, spot: bool = False, name: ApplicationName = CHAT) -> ReplicaCount:
    return ReplicaCount(name, RegionId(region), 0, "l4.1", spot, count, 1000)


def broken(spec: CapacitySpec, *placed: ReplicaCount) -> list[Violation]:
    placement = Placement(replicas=placed)
    placement = replace(placement, certificate=certificate(spec, placement))
    return list(violations(spec, placement, known_regions(())))


@pytest.mark.parametrize(
    ("rules", "placed", "rule", "subject", "actual", "required"),
    [
        ({"regions": {"max_share": 0.5}}, [(US, 8), (EU, 2)], SpecRule.MAX_SHARE, US, 8000, 5000),
        ({"market": {"spot": "preferred", "on_demand_floor": 0.5}}, [(US, 4), (US, -6)],
         SpecRule.ON_DEMAND_FLOOR, "", 4000, 5000),
        ({"market": {"spot": "preferred", "survive_spot_loss": 0.5}}, [(US, 4), (EU, -6)],
         SpecRule.SURVIVE_SPOT_LOSS, EU, 4000, 5000),
        ({"regions": {"shares": {"azure": {"min": 0.3}}}}, [(US, 8), (AZ, 2)], SpecRule.SHARE_MIN, "azure", 2000, 3000),
        ({"regions": {"shares": {"aws": {"max": 0.5}}}}, [(US, 8), (AZ, 2)], SpecRule.SHARE_MAX, "aws", 8000, 5000),
        ({"regions": {"floors": {"EU": 3}}}, [(US, 8), (EU, 2)], SpecRule.FLOOR, "EU", 2000, 3000),
        ({"survive": {"any": "region", "share": 0.5}}, [(US, 8), (EU, 2)], SpecRule.SURVIVE, US, 2000, 5000),
    ],
)  # fmt: skip
def test_each_rule_that_is_broken_is_reported_in_figures(
    rules: dict[str, Any], placed: list[tuple[str, int]], rule: SpecRule, subject: str, actual: int, required: int
) -> None:
    spec = a_spec(chat=application(demand={"replicas": 10}, **rules))

    # A negative count stands for spot machines.
    found = broken(spec, *(replicas(region, abs(count), spot=count < 0) for region, count in placed))

    assert found == [Violation(CHAT, rule, subject, actual, required, Unit.REPLICAS)]


@pytest.mark.parametrize(
    ("rules", "placed"),
    [
        ({"regions": {"max_share": 0.5}}, [(US, 6), (EU, 4)]),  # half of ten, give or take one replica
        ({"market": {"spot": "preferred", "on_demand_floor": 0.5}}, [(US, 5), (US, -5)]),
        ({"market": {"spot": "preferred", "survive_spot_loss": 0.5}}, [(US, 5), (EU, -5)]),
        ({"regions": {"shares": {"azure": {"min": 0.3}}}}, [(US, 7), (AZ, 3)]),
        ({"regions": {"shares": {"aws": {"max": 0.5}}}}, [(US, 6), (AZ, 4)]),
        ({"regions": {"floors": {"EU": 3}}}, [(US, 7), (EU, 3)]),
        ({"survive": {"any": "region", "share": 0.5}}, [(US, 5), (EU, 5)]),
    ],
)
def test_a_rule_that_is_just_kept_is_not_reported(rules: dict[str, Any], placed: list[tuple[str, int]]) -> None:
    spec = a_spec(chat=application(demand={"replicas": 10}, **rules))

    assert broken(spec, *(replicas(region, abs(count), spot=count < 0) for region, count in placed)) == []


def test_spare_stock_is_credited_once_to_all_that_share_it() -> None:
    credit = application(demand={"replicas": 2}, survive={"any": "region", "replacement_credit": 1.0})
    # Three spare machines in each region once two of five are used; two applications may count on three in all.
    snapshot = a_snapshot(an_offer(US, "1", stock=5), an_offer(EU, "1", stock=5), one=credit, two=credit)
    assert snapshot.wanted is not None
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    names = [ApplicationName("one"), ApplicationName("two")]
    machines = solve(a_snapshot(an_offer(US, "1", stock=5), chat=application(demand={"replicas": 4}))).machines

    placement = Placement(machines, tuple(replicas(US, 2, name=name) for name in names))
    lines = certificate(spec, placement, formulation)

    credited = {line.application: line.credited_milli for line in lines if line.domain == US}
    # Five in the other region, by two applications: two each, since half a machine carries nothing.
    assert credited == {names[0]: 2000, names[1]: 2000}
    few = a_snapshot(an_offer(US, "1", stock=5), an_offer(EU, "1", stock=3), one=credit, two=credit)
    formulation = formulate(few, spec, build_supply(few, spec))
    lines = certificate(spec, placement, formulation)
    assert sum(line.credited_milli for line in lines if line.domain == US) <= 3000


def causes(snapshot: Snapshot) -> dict[RefusalCause, int]:
    (unmet,) = solve(snapshot).unmet
    return dict(unmet.causes)


def test_demand_beyond_the_stock_names_the_stock() -> None:
    assert causes(a_snapshot(an_offer(US, stock=1), chat=application())) == {RefusalCause.STOCK_OUT: 1}


def test_demand_beyond_a_quota_names_the_quota() -> None:
    snapshot = a_snapshot(an_offer(US), chat=application())
    quota = Quota(RegionId(US), "gpu", Market.ON_DEMAND, limit=8, used=0, unit="vcpus")

    assert causes(replace(snapshot, quotas=(quota,))) == {RefusalCause.QUOTA: 1}


def test_demand_beyond_the_budget_names_the_budget_also_for_a_head_that_is_not_there() -> None:
    # 1.15 is left of the budget: a machine in the other region would do, were it not for its head.
    offers = (an_offer(US, "1", stock=1), an_offer(EU, "1.1"))

    found = causes(a_snapshot(*offers, budget=2.25, chat=application()))

    assert found == {RefusalCause.STOCK_OUT: 1, RefusalCause.BUDGET: 1}


def test_demand_that_is_met_has_no_causes() -> None:
    assert solve(a_snapshot(an_offer(US), chat=application())).unmet == ()
