from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.check import check_plan
from scheduler.explain.resilience import price_of_resilience
from scheduler.plan import make_plan
from scheduler.solve import solve
from state.model.catalog import Market, Offer, Quota, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement, RefusalCause, SpecRule, Unit, Violation
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot
from state.model.spec import FailureDomain
from state.model.units import Usd
from tests.builders import (
    NOON,
    a_head_offer,
    a_key,
    a_spec,
    an_instance,
    an_offer,
    application,
    cells,
    wanted,
    with_heads,
)

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"


def a_snapshot(*offers: Offer, budget: float = 1000, heads: bool = True, **apps: dict[str, Any]) -> Snapshot:
    sold = with_heads(*offers) if heads else offers
    regions = sorted({o.key.region for o in sold})
    spec = a_spec(budget, **(apps or {"chat": application()}))
    return Snapshot(NOON, wanted(spec), offers=sold, cell_settings=cells(*regions))


def where(placement: Placement) -> dict[str, int]:
    found: dict[str, int] = {}
    for replicas in placement.replicas:
        name = f"{replicas.application} {replicas.region}{' spot' if replicas.is_spot else ''}"
        found[name] = found.get(name, 0) + replicas.count
    return found


def causes(placement: Placement) -> dict[RefusalCause, int]:
    return {cause: count for _, cause, count in placement.refusals}


def test_buys_the_cheapest() -> None:
    placement = solve(a_snapshot(an_offer(US, "2"), an_offer(EU, "1"), an_offer(AZ, "3")))

    assert where(placement) == {f"chat {EU}": 2}
    assert placement.per_hour == Usd.of("2.1")


def test_a_head_is_bought_once_per_region() -> None:
    placement = solve(a_snapshot(an_offer(US, "2"), an_offer(EU, "2"), chat=application(regions={"min": 2})))

    assert [m.offer.key.region for m in placement.machines if m.role is Role.HEAD] == [US, EU]


def test_stays_in_the_jurisdictions_asked_for() -> None:
    placement = solve(
        a_snapshot(an_offer(US, "1"), an_offer(EU, "5"), chat=application(regions={"jurisdictions": ["EU"]}))
    )

    assert where(placement) == {f"chat {EU}": 2}
    assert causes(placement)[RefusalCause.JURISDICTION] == 1


def test_survives_the_loss_of_any_region_and_certifies_it() -> None:
    placement = solve(a_snapshot(an_offer(US), an_offer(EU), an_offer(AZ), chat=application(survive={"any": "region"})))

    assert where(placement) == {f"chat {US}": 1, f"chat {EU}": 1, f"chat {AZ}": 1}
    assert {(line.domain, line.remaining_milli) for line in placement.certificate} == {
        (US, 2000),
        (EU, 2000),
        (AZ, 2000),
    }


def test_survives_the_loss_of_a_provider_with_all_its_regions() -> None:
    offers = (an_offer(US, "1"), an_offer("aws/us-west-2", "1"), an_offer(AZ, "9"))

    regional = solve(a_snapshot(*offers, chat=application(survive={"any": "region"})))
    provider = solve(a_snapshot(*offers, chat=application(survive={"any": "provider"})))

    assert AZ not in {r.region for r in regional.replicas}
    assert where(provider)[f"chat {AZ}"] == 2


def test_a_share_of_the_demand_may_be_enough_after_a_loss() -> None:
    chat = application(demand={"replicas": 4}, survive={"any": "region", "share": 0.5})
    placement = solve(a_snapshot(an_offer(US, "1"), an_offer(EU, "1"), chat=chat))

    assert where(placement) == {f"chat {US}": 2, f"chat {EU}": 2}


@pytest.mark.parametrize(("spot", "expected"), [("never", ""), ("allowed", " spot"), ("preferred", " spot")])
def test_buys_spot_only_where_it_may(spot: str, expected: str) -> None:
    offers = (an_offer(US, "2"), an_offer(US, "1", market=Market.SPOT))

    placement = solve(a_snapshot(*offers, chat=application(market={"spot": spot})))

    assert where(placement) == {f"chat {US}{expected}": 2}


def test_spot_that_is_allowed_must_be_cheaper_by_more_than_its_interruptions() -> None:
    offers = (an_offer(US, "1"), an_offer(US, "0.95", market=Market.SPOT))

    allowed = solve(a_snapshot(*offers, chat=application(market={"spot": "allowed"})))
    preferred = solve(a_snapshot(*offers, chat=application(market={"spot": "preferred"})))

    assert where(allowed) == {f"chat {US}": 2}
    assert where(preferred) == {f"chat {US} spot": 2}


def test_keeps_a_floor_on_demand() -> None:
    offers = (an_offer(US, "2"), an_offer(US, "1", market=Market.SPOT))
    chat = application(demand={"replicas": 4}, market={"spot": "preferred", "on_demand_floor": 0.5})

    assert where(solve(a_snapshot(*offers, chat=chat))) == {f"chat {US}": 2, f"chat {US} spot": 2}


def test_no_region_carries_more_than_its_share() -> None:
    chat = application(demand={"replicas": 8}, regions={"max_share": 0.5})

    placement = solve(a_snapshot(an_offer(US, "1"), an_offer(EU, "5"), chat=chat))

    assert where(placement)[f"chat {EU}"] >= 3


def test_floors_hold_for_a_jurisdiction_and_for_a_region() -> None:
    chat = application(demand={"replicas": 4}, regions={"floors": {"EU": 1, AZ: 2}})

    placement = solve(a_snapshot(an_offer(US, "1"), an_offer(EU, "3"), an_offer(AZ, "4"), chat=chat))

    assert where(placement) == {f"chat {US}": 1, f"chat {EU}": 1, f"chat {AZ}": 2}


def test_stands_only_as_far_from_its_clients_as_allowed() -> None:
    near_frankfurt = {"max_ms": 60, "clients": [{"near": "aws/eu-central-1"}]}

    placement = solve(a_snapshot(an_offer(US, "1"), an_offer(EU, "5"), chat=application(latency=near_frankfurt)))

    assert where(placement) == {f"chat {EU}": 2}
    assert causes(placement)[RefusalCause.LATENCY_EXPECTED] == 1


def test_keeps_within_a_quota_that_others_use_too() -> None:
    snapshot = a_snapshot(an_offer(US, "1"), an_offer(EU, "5"))
    quota = Quota(RegionId(US), "gpu", Market.ON_DEMAND, limit=24, used=16, unit="vcpus")

    placement = solve(replace(snapshot, quotas=(quota,)))

    assert where(placement) == {f"chat {US}": 1, f"chat {EU}": 1}


def test_our_own_machines_do_not_count_twice_against_a_quota() -> None:
    ours = an_instance("sk-a", key=an_offer(US).key)
    snapshot = replace(a_snapshot(an_offer(US, "1"), an_offer(EU, "5")), instances=(ours,))
    quota = Quota(RegionId(US), "gpu", Market.ON_DEMAND, limit=16, used=8, unit="vcpus")

    assert where(solve(replace(snapshot, quotas=(quota,)))) == {f"chat {US}": 2}


def test_goes_elsewhere_while_a_shortage_lasts_and_back_after() -> None:
    cheap = an_offer(US, "1")
    key = cheap.key
    shortage = Shortage(
        key.region, key.zone, key.instance_type, key.market, ShortageKind.STOCK_OUT, NOON, NOON + timedelta(1)
    )
    snapshot = replace(a_snapshot(cheap, an_offer(EU, "5")), shortages=(shortage,))

    assert where(solve(snapshot)) == {f"chat {EU}": 2}
    assert where(solve(replace(snapshot, taken_at=NOON + timedelta(2)))) == {f"chat {US}": 2}


@pytest.mark.parametrize("state", [HealthState.DOWN, HealthState.RECOVERING])
def test_a_region_that_is_down_or_coming_back_does_not_count(state: HealthState) -> None:
    snapshot = replace(
        a_snapshot(an_offer(US, "1"), an_offer(EU, "5")), health=(RegionHealth(RegionId(US), state, NOON),)
    )

    assert where(solve(snapshot)) == {f"chat {EU}": 2}


def test_a_region_that_does_not_answer_keeps_what_it_has_and_gets_no_more() -> None:
    ours = an_instance("sk-a", key=an_offer(US).key)
    head = replace(an_instance("sk-h", key=a_head_offer(US).key, role=Role.HEAD), machine=a_head_offer(US).machine)
    snapshot = a_snapshot(an_offer(US, "1"), an_offer(EU, "5"), chat=application(demand={"replicas": 3}))

    placement = solve(replace(snapshot, instances=(ours, head), unreachable=frozenset({RegionId(US)})))

    assert where(placement) == {f"chat {US}": 1, f"chat {EU}": 2}


def test_a_move_must_save_more_than_it_costs() -> None:
    ours = tuple(replace(an_instance(f"sk-{n}", key=an_offer(US).key), price_per_hour=Usd.of("1")) for n in range(2))
    head = replace(
        an_instance("sk-h", key=a_head_offer(US).key, role=Role.HEAD),
        machine=a_head_offer(US).machine,
        price_per_hour=Usd.of("0.1"),
    )
    little = a_snapshot(an_offer(US, "1"), an_offer(EU, "0.95"))
    much = a_snapshot(an_offer(US, "1"), an_offer(EU, "0.7"))

    assert where(solve(replace(little, instances=(*ours, head)))) == {f"chat {US}": 2}
    assert where(solve(replace(much, instances=(*ours, head)))) == {f"chat {EU}": 2}


def test_packs_several_replicas_into_one_machine() -> None:
    chat = application(demand={"replicas": 6}, shapes=[{"gpu": "L4", "count": 1}])

    placement = solve(a_snapshot(an_offer(US, "8", gpus=8), an_offer(EU, "2", gpus=1), chat=chat))

    assert [(m.count, m.offer.key.instance_type) for m in placement.machines if m.role is Role.WORKER] == [(1, "l4.8")]


def test_counts_only_packings_that_exist() -> None:
    # Three replicas of three GPUs need two machines of eight, though nine GPUs are fewer than sixteen.
    chat = application(demand={"replicas": 3}, shapes=[{"gpu": "L4", "count": 3, "cpus": 1}])

    placement = solve(a_snapshot(an_offer(US, "8", gpus=8), chat=chat))

    assert [m.count for m in placement.machines if m.role is Role.WORKER] == [2]


def test_sizes_that_do_not_divide_one_another_are_kept_apart() -> None:
    # One replica of 5 GPUs has a machine of 8 alone, or two of 3 share one.
    a = application(demand={"replicas": 2}, shapes=[{"gpu": "L4", "count": 5}])
    b = application(demand={"replicas": 3}, shapes=[{"gpu": "L4", "count": 3}])

    placement = solve(a_snapshot(an_offer(US, "8", gpus=8), a=a, b=b))

    assert [m.count for m in placement.machines if m.role is Role.WORKER] == [4]


def test_runs_one_shape_of_an_application_per_cell() -> None:
    chat = application(
        demand={"requests_per_second": 10},
        shapes=[{"gpu": "L4", "requests_per_second": 4}, {"gpu": "T4", "requests_per_second": 2}],
    )
    offers = (an_offer(US, "2", gpu="L4", stock=2), an_offer(US, "1", gpu="T4", stock=9))

    placement = solve(a_snapshot(*offers, chat=chat))

    assert len({r.shape for r in placement.replicas}) == 1


def test_a_gpu_with_too_little_memory_will_not_do() -> None:
    chat = application(shapes=[{"gpu": "L4", "gpu_memory_gib": 40}])

    placement = solve(a_snapshot(an_offer(US), chat=chat))

    assert placement.unmet[0].causes == ((RefusalCause.NO_SHAPE_FITS, 1),)


def test_places_the_important_one_when_there_is_not_enough_and_counts_the_causes() -> None:
    low, high = application(priority=1), application(priority=900)

    placement = solve(a_snapshot(an_offer(US, stock=3), an_offer(EU, market=Market.SPOT), high=high, low=low))

    assert where(placement) == {f"high {US}": 2, f"low {US}": 1}
    assert [(u.application, u.missing_milli) for u in placement.unmet] == [("low", 1000)]
    assert dict(placement.unmet[0].causes) == {RefusalCause.SPOT_NOT_ALLOWED: 1, RefusalCause.STOCK_OUT: 1}


def test_serves_the_demand_even_where_it_cannot_survive_and_reports_what_is_not_kept() -> None:
    chat = application(survive={"any": "region"}, regions={"min": 2})

    placement = solve(a_snapshot(an_offer(US), chat=chat))

    assert where(placement) == {f"chat {US}": 2}
    assert not placement.unmet
    assert placement.violations == (
        Violation(ApplicationName("chat"), SpecRule.REGIONS_MIN, "", 1000, 2000, Unit.REGIONS),
        Violation(ApplicationName("chat"), SpecRule.SURVIVE, US, 0, 2000, Unit.REPLICAS),
    )


def test_never_spends_more_than_the_budget() -> None:
    placement = solve(a_snapshot(an_offer(US, "1"), budget=1.5))

    assert where(placement) == {f"chat {US}": 1}
    assert placement.per_hour <= Usd.of("1.5")
    assert placement.unmet[0].missing_milli == 1000


def test_a_region_without_a_machine_for_a_head_is_no_use() -> None:
    placement = solve(a_snapshot(an_offer(US), heads=False))

    assert placement.unmet
    assert causes(placement)[RefusalCause.NO_HEAD_MACHINE] == 1


def test_spreads_new_machines_over_zones_and_keeps_those_that_stand() -> None:
    ours = an_instance("sk-a", key=a_key(US, "b", "l4.1"))
    offers = (an_offer(US, zone="a"), an_offer(US, zone="b"), an_offer(US, zone="c"))
    snapshot = a_snapshot(*offers, chat=application(demand={"replicas": 3}))

    placement = solve(replace(snapshot, instances=(ours,)))

    workers = {m.offer.key.zone: m.count for m in placement.machines if m.role is Role.WORKER}
    assert workers == {"a": 1, "b": 1, "c": 1}


def test_wants_nothing_where_nothing_is_wanted() -> None:
    assert solve(Snapshot(NOON, None)) == Placement()


def test_the_price_of_resilience_rises_with_what_is_survived() -> None:
    prices = price_of_resilience(a_snapshot(an_offer(US, "1"), an_offer("aws/us-west-2", "1"), an_offer(AZ, "9")))

    by_kind = {price.survives: price.per_hour for price in prices}
    none, region, provider = by_kind[FailureDomain.NONE], by_kind[FailureDomain.REGION], by_kind[FailureDomain.PROVIDER]
    assert none is not None
    assert region is not None
    assert provider is not None
    assert none < region < provider


def test_what_cannot_be_survived_has_no_price() -> None:
    prices = price_of_resilience(a_snapshot(an_offer(US, "1")))

    assert [price.per_hour is None for price in prices] == [False, True, True, True]


@pytest.mark.parametrize("budget", [SolveBudget(), SolveBudget(exact_applications=0)], ids=["exact", "search"])
def test_a_part_of_a_gpu_lies_in_one_gpu(budget: SolveBudget) -> None:
    more_than_half = application(demand={"replicas": 2}, shapes=[{"gpu": "L4", "count": 0.6}])
    two = replace(a_snapshot(an_offer(US), a=more_than_half, b=more_than_half), solve_budget=budget)
    three = application(demand={"replicas": 3}, shapes=[{"gpu": "L4", "count": 0.6}])
    pairs = replace(a_snapshot(an_offer(US, gpus=2), chat=three), solve_budget=budget)

    assert [m.count for m in solve(two).machines if m.role is Role.WORKER] == [4]
    assert [m.count for m in solve(pairs).machines if m.role is Role.WORKER] == [2]
    assert solve(two).is_whole and solve(pairs).is_whole


@pytest.mark.parametrize("budget", [SolveBudget(), SolveBudget(exact_applications=0)], ids=["exact", "search"])
def test_where_one_region_is_left_it_carries_all_and_the_share_is_a_violation(budget: SolveBudget) -> None:
    chat = application(demand={"replicas": 8}, regions={"max_share": 0.5, "min": 2}, survive={"any": "region"})

    placement = solve(replace(a_snapshot(an_offer(US), chat=chat), solve_budget=budget))

    assert placement.unmet == ()
    assert [r.count for r in placement.replicas] == [8]
    assert {v.rule for v in placement.violations} == {SpecRule.SURVIVE, SpecRule.REGIONS_MIN, SpecRule.MAX_SHARE}


def test_demand_of_all_comes_before_what_one_must_survive() -> None:
    first = application(demand={"replicas": 2}, survive={"any": "region"}, priority=200)
    second = application(demand={"replicas": 2}, priority=1)

    placement = solve(a_snapshot(an_offer(US, stock=2), an_offer(EU, stock=2), first=first, second=second))

    assert placement.unmet == ()
    assert {v.rule for v in placement.violations} == {SpecRule.SURVIVE}


@pytest.mark.parametrize(("replicas", "share"), [(3, 0.67), (3, 0.55), (5, 0.56)])
def test_a_share_that_is_no_whole_number_of_replicas_is_planned_and_passes_the_check(
    replicas: int, share: float
) -> None:
    chat = application(demand={"replicas": replicas}, survive={"any": "region", "share": share})
    snapshot = a_snapshot(an_offer(US), an_offer(EU), chat=chat)

    placement = solve(snapshot)

    assert placement.is_whole
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()
