"""Quotas of every width: a zone's, a family's, a region's, an account's; the solver, the check and explain agree."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from scheduler.cli.render.explanations import limit_json, price_lines
from scheduler.explain.binding import limits
from scheduler.plan import make_plan
from scheduler.simulation.world import World
from scheduler.solve import solve
from state.model.catalog import Market, Offer, Quota, QuotaScope
from state.model.ids import RegionId, every_region
from state.model.inventory import Role
from state.model.placement import Placement, RefusalCause
from state.model.plan import PlanRule, Severity
from state.model.snapshot import Snapshot
from tests.builders import a_head_offer, a_spec, an_instance, an_offer, application, with_heads
from tests.plans import a_snapshot

US, OTHER, EU = RegionId("aws/us-east-1"), RegionId("aws/us-west-2"), RegionId("gcp/europe-west4")
SOLD = (
    an_offer(US, "1", zone="a"),
    an_offer(US, "1", zone="b"),
    an_offer(US, "1.5", zone="a", market=Market.SPOT),
    an_offer(OTHER, "2"),
    an_offer(EU, "9"),
)
WIDE = Quota(US, None, None, 2, 0, "gpus")
QUOTAS = {
    "zone": replace(WIDE, scope=QuotaScope.ZONE, zone="a"),
    "market": replace(WIDE, market=Market.ON_DEMAND),
    "region": replace(WIDE, scope=QuotaScope.REGION),
    "account": replace(WIDE, region=every_region("aws"), scope=QuotaScope.ACCOUNT, name="GPUS_ALL_REGIONS"),
}


def wanting(count: int, *quotas: Quota, offers: tuple[Offer, ...] = SOLD, **changes: Any) -> Snapshot:
    chat = application(demand={"replicas": count}, market={"spot": "allowed"}, disruption={"max_surge": 20})
    return a_snapshot(*with_heads(*offers), chat=chat, quotas=quotas, **changes)


def placed(placement: Placement) -> dict[str, int]:
    return {str(m.offer.key): m.count for m in placement.machines if m.role is Role.WORKER}


def checked(snapshot: Snapshot) -> Placement:
    placement = solve(snapshot)
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()
    return placement


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zone", {"aws/us-east-1/b/l4.1/on_demand": 4, "aws/us-east-1/a/l4.1/on_demand": 2}),
        ("market", {"aws/us-east-1/a/l4.1/on_demand": 1, "aws/us-east-1/b/l4.1/on_demand": 1,
                    "aws/us-east-1/a/l4.1/spot": 4}),
        ("region", {"aws/us-east-1/a/l4.1/on_demand": 1, "aws/us-east-1/b/l4.1/on_demand": 1,
                    "aws/us-west-2/a/l4.1/on_demand": 4}),
        ("account", {"aws/us-east-1/a/l4.1/on_demand": 1, "aws/us-east-1/b/l4.1/on_demand": 1,
                     "gcp/europe-west4/a/l4.1/on_demand": 4}),
    ],
)  # fmt: skip
def test_a_quota_counts_what_it_is_as_wide_as_and_nothing_else(name: str, expected: dict[str, int]) -> None:
    stocked = tuple(replace(offer, stock=4) if offer.key.zone == "b" else offer for offer in SOLD)
    sold = stocked if name == "zone" else SOLD

    assert placed(checked(wanting(6, QUOTAS[name], offers=sold))) == expected


@pytest.mark.parametrize("name", QUOTAS)
def test_the_check_finds_a_placement_above_each(name: str) -> None:
    snapshot = wanting(4)
    only_a = replace(snapshot, offers=tuple(o for o in snapshot.offers if o.key.zone == "a" and o.key.region == US))
    plan = make_plan(solve(only_a), only_a)

    [found] = check_plan(plan, replace(only_a, quotas=(QUOTAS[name],)))

    assert (found.rule, found.severity, found.actual, found.allowed) == (PlanRule.QUOTA, Severity.ERROR, 4, 2)
    expected = {"zone": f"{US}/a", "market": f"{US}/on_demand", "region": str(US), "account": "aws/*"}
    assert found.subject == expected[name]


@pytest.mark.parametrize("name", QUOTAS)
def test_each_that_is_used_up_is_named_and_priced(name: str) -> None:
    quota = QUOTAS[name]
    only_a = (SOLD[0], SOLD[2] if name == "market" else SOLD[4])

    [found] = limits(wanting(3, quota, offers=only_a))

    assert (found.quota, found.limit, found.gpu) == (quota, 2, "L4")
    names = {
        "zone": f"of everything in {US}/a",
        "market": f"of everything (on_demand) in {US}",
        "region": f"of everything in {US}",
        "account": "GPUS_ALL_REGIONS in aws's account",
    }
    [line] = price_lines((), (found,))
    assert line.startswith(f"quota {names[name]}: 2 gpus: used up; one more L4 machine of quota saves ")
    facts = limit_json(found)["quota"]
    assert (facts["scope"], facts["zone"], facts["name"]) == (quota.scope, quota.zone, quota.name)


def test_what_is_short_by_a_quota_of_the_account_says_so() -> None:
    [short] = solve(wanting(6, QUOTAS["account"], offers=SOLD[:1])).unmet

    assert (short.missing_milli, dict(short.causes)) == (4000, {RefusalCause.QUOTA: 1})


def test_heads_take_their_share_of_a_wide_quota_and_workers_have_the_rest() -> None:
    head = replace(an_instance("sk-h", key=a_head_offer(US).key, role=Role.HEAD), machine=a_head_offer(US).machine)
    ours = an_instance("sk-1", key=SOLD[0].key)
    cores = Quota(US, None, Market.ON_DEMAND, 20, 12, "vcpus", QuotaScope.REGION, name="cores")

    placement = checked(wanting(4, cores, offers=SOLD[:1], instances=(head, ours)))

    assert placed(placement) == {"aws/us-east-1/a/l4.1/on_demand": 2}, "8 of 20 are ours, and 4 are the head's"


def test_a_limit_of_the_account_is_kept_without_a_single_refused_launch() -> None:
    world = World(an_offer(US, "1"), an_offer(OTHER, "1.1"), an_offer(EU, "9"))
    world.cloud("aws").limits = (QUOTAS["account"],)
    world.want(a_spec(chat=application(demand={"replicas": 6}, disruption={"max_surge": 20})))

    world.converge()

    assert sum(count for key, count in world.running().items() if key.startswith("aws/")) == 2
    assert sum(world.running().values()) == 6
    assert world.launches() == 6 + 2, "two heads"
