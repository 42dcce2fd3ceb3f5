"""What the problem covers beyond one application on one kind of machine."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inference.ray.config import application_config
from providers.regions import KNOWN, round_trip_ms
from scheduler.check import check_plan
from scheduler.documents.latency_file import read_latencies
from scheduler.documents.yaml_document import DocumentError
from scheduler.plan import make_plan
from scheduler.solve import solve
from scheduler.solve.formulate import formulate
from scheduler.solve.search.solve import solve_by_search
from scheduler.solve.supply import build_supply
from state.model.catalog import Market, Offer
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement, RefusalCause, SpecRule, Unit, Violation
from state.model.serving import ApplicationShare
from state.model.settings import PROOF, TICK, SolveBudget
from state.model.snapshot import Snapshot
from state.model.units import Usd
from tests.builders import NOON, a_spec, an_instance, an_offer, application, cells, wanted, with_heads

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"
ROOT = Path(__file__).parents[2]


def a_snapshot(*offers: Offer, budget: float = 1000, **apps: dict[str, Any]) -> Snapshot:
    sold_here = with_heads(*offers)
    regions = sorted({o.key.region for o in sold_here})
    spec = a_spec(budget, **(apps or {"chat": application()}))
    return Snapshot(NOON, wanted(spec), offers=sold_here, cell_settings=cells(*regions))


def checked(snapshot: Snapshot, budget: SolveBudget = TICK) -> Placement:
    """A placement that the checker has nothing against."""
    snapshot = replace(snapshot, solve_budget=budget)
    placement = solve(snapshot)
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()
    return placement


def machines(placement: Placement) -> dict[str, int]:
    return {f"{m.offer.key}": m.count for m in placement.machines if m.role is Role.WORKER}


def test_parts_of_a_gpu_share_it() -> None:
    apps: dict[str, Any] = {
        name: application(demand={"replicas": 2}, shapes=[{"gpu": "L4", "count": 0.25}]) for name in ("a", "b")
    }

    assert machines(checked(a_snapshot(an_offer(US), **apps))) == {f"{US}/a/l4.1/on_demand": 1}


@pytest.mark.parametrize("count", [1.5, 0.0001])
def test_parts_of_several_gpus_are_refused(count: float) -> None:
    with pytest.raises(ValueError, match="GPUs"):
        a_spec(chat=application(shapes=[{"gpu": "L4", "count": count}]))


def test_a_gang_takes_whole_machines_of_one_zone() -> None:
    chat = application(demand={"replicas": 1}, shapes=[{"gpu": "L4", "count": 8, "machines": 2}])
    split = (an_offer(US, "1", gpus=8, zone="a", stock=1), an_offer(US, "1", gpus=8, zone="b", stock=1))
    whole = an_offer(US, "3", gpus=8, zone="c", stock=2)

    assert checked(a_snapshot(*split, chat=chat)).unmet
    assert machines(checked(a_snapshot(*split, whole, chat=chat))) == {f"{US}/c/l4.8/on_demand": 2}


def test_a_gang_is_served_as_one_bundle_per_machine() -> None:
    spec = a_spec(chat=application(shapes=[{"gpu": "L4", "count": 8, "machines": 2}]))
    chat = spec.applications["chat"]
    share = ApplicationShare(ApplicationName("chat"), "Chat", '{"name": "chat"}', chat.shapes[0], 3)

    (deployment,) = application_config(share)["deployments"]

    assert [bundle["GPU"] for bundle in deployment["placement_group_bundles"]] == [8, 8]
    assert deployment["placement_group_strategy"] == "STRICT_SPREAD"


def test_survives_the_loss_of_a_zone() -> None:
    chat = application(demand={"replicas": 2}, survive={"any": "zone"})
    offers = (an_offer(US, "1", zone="a"), an_offer(US, "1", zone="b"), an_offer(US, "5", zone="c"))

    placement = checked(a_snapshot(*offers, chat=chat))

    assert {line.domain: line.remaining_milli for line in placement.certificate} == {f"{US}/a": 2000, f"{US}/b": 2000}


def test_a_reservation_is_used_first_and_only_within_its_window() -> None:
    reserved = replace(an_offer(US, "0", market=Market.RESERVED, stock=1), valid_until=NOON + timedelta(hours=1))
    ended = replace(reserved, valid_until=NOON)
    chat = application(demand={"replicas": 2})

    assert machines(checked(a_snapshot(an_offer(US, "1"), reserved, chat=chat))) == {
        f"{US}/a/l4.1/reserved": 1,
        f"{US}/a/l4.1/on_demand": 1,
    }
    placement = checked(a_snapshot(an_offer(US, "1"), ended, chat=chat))
    assert machines(placement) == {f"{US}/a/l4.1/on_demand": 2}
    assert ("chat", RefusalCause.RESERVATION_NOT_IN_FORCE, 1) in placement.refusals


def test_what_is_sold_in_lots_is_bought_in_lots() -> None:
    lot = replace(an_offer(US, "1"), minimum=4)
    chat = application(demand={"replicas": 2})

    assert machines(checked(a_snapshot(lot, an_offer(EU, "3"), chat=chat))) == {f"{US}/a/l4.1/on_demand": 4}
    assert machines(checked(a_snapshot(lot, an_offer(EU, "1.5"), chat=chat))) == {f"{EU}/a/l4.1/on_demand": 2}


def test_shares_bound_a_provider_from_both_sides() -> None:
    rules = {"shares": {"azure": {"min": 0.25}, "aws": {"max": 0.5}}}
    offers = (an_offer(US, "1"), an_offer(EU, "2"), an_offer(AZ, "3"))

    placement = checked(a_snapshot(*offers, chat=application(demand={"replicas": 8}, regions=rules)))

    carried = {r.region: r.count for r in placement.replicas}
    assert carried[RegionId(AZ)] == 2
    assert carried[RegionId(US)] <= 5  # half, give or take one replica
    assert placement.violations == ()


def test_a_share_that_cannot_be_kept_is_reported() -> None:
    placement = checked(a_snapshot(an_offer(US), chat=application(regions={"shares": {"azure": {"min": 0.5}}})))

    assert placement.violations == (
        Violation(ApplicationName("chat"), SpecRule.SHARE_MIN, "azure", 0, 1000, Unit.REPLICAS),
    )


def test_a_regions_whole_spot_pool_may_vanish() -> None:
    market = {"spot": "preferred", "survive_spot_loss": 1.0}
    offers = (
        an_offer(US, "5"), an_offer(US, "1", market=Market.SPOT), an_offer(EU, "1.1", market=Market.SPOT),
    )  # fmt: skip

    placement = checked(a_snapshot(*offers, chat=application(demand={"replicas": 2}, market=market)))

    assert {(r.region, r.is_spot, r.count) for r in placement.replicas} == {(US, True, 2), (EU, True, 2)}


def test_spot_that_is_taken_back_often_is_dearer_than_it_looks() -> None:
    spot = an_offer(US, "0.8", market=Market.SPOT)
    chat = application(market={"spot": "allowed"})

    calm = solve(a_snapshot(an_offer(US, "1"), replace(spot, interruptions_per_hour=0.01), chat=chat))
    rough = solve(a_snapshot(an_offer(US, "1"), replace(spot, interruptions_per_hour=0.2), chat=chat))

    assert machines(calm) == {f"{US}/a/l4.1/spot": 2}
    assert machines(rough) == {f"{US}/a/l4.1/on_demand": 2}


def test_an_offer_that_is_often_refused_is_dearer_than_it_looks() -> None:
    offers = (replace(an_offer(US, "1"), stockout_probability=0.9), an_offer(EU, "1.1"))

    assert machines(solve(a_snapshot(*offers))) == {f"{EU}/a/l4.1/on_demand": 2}


def test_measured_round_trips_go_before_the_fit_and_both_ways() -> None:
    near = {"max_ms": 60, "clients": [{"near": US}]}
    snapshot = a_snapshot(an_offer(EU), an_offer(AZ, "9"), chat=application(latency=near))

    assert machines(solve(snapshot)) == {f"{AZ}/a/l4.1/on_demand": 2}
    quick = replace(snapshot, latencies=((RegionId(EU), RegionId(US), 50.0),))
    assert machines(solve(quick)) == {f"{EU}/a/l4.1/on_demand": 2}


def test_the_farthest_client_counts_where_it_is_asked_for() -> None:
    clients = [{"near": US, "weight": 99}, {"near": EU, "weight": 1}]
    chat = application(latency={"max_ms": 60, "clients": clients})
    strict = application(latency={"max_ms": 60, "worst_ms": 60, "clients": clients})

    assert machines(solve(a_snapshot(an_offer(US), chat=chat)))
    assert ("chat", RefusalCause.LATENCY_WORST, 1) in solve(a_snapshot(an_offer(US), chat=strict)).refusals


def test_distance_is_paid_for() -> None:
    latency = {"max_ms": 500, "usd_per_ms": 0.01, "clients": [{"near": AZ}]}

    placement = solve(a_snapshot(an_offer(EU, "1"), an_offer(AZ, "1.5"), chat=application(latency=latency)))

    assert machines(placement) == {f"{AZ}/a/l4.1/on_demand": 2}


def test_replacements_are_credited_only_where_stock_for_them_is_known() -> None:
    survive = {"any": "region", "replacement_credit": 0.5}
    chat = application(demand={"replicas": 2}, survive=survive)
    known = (an_offer(US, "1", stock=5), an_offer(EU, "1", stock=5))

    placement = checked(a_snapshot(*known, chat=chat))

    assert sum(r.count for r in placement.replicas) == 2
    assert {(line.remaining_milli, line.credited_milli) for line in placement.certificate} == {(1000, 1000)}
    unknown = checked(a_snapshot(an_offer(US, "1"), an_offer(EU, "1"), chat=chat))
    assert {(line.remaining_milli, line.credited_milli) for line in unknown.certificate} == {(2000, 0)}
    assert sum(r.count for r in unknown.replicas) == 4, "without known stock nothing is credited"


def test_a_replica_with_heavy_weights_stays_where_it_runs() -> None:
    key = an_offer(US, "1").key
    existing = tuple(an_instance(f"sk-{n}", key=key) for n in range(2))
    apps: dict[str, Any] = {"chat": application(demand={"replicas": 1}, weights_gib=500)}
    snapshot = replace(a_snapshot(an_offer(US, "1"), an_offer(EU, "0.2"), **apps), instances=existing)
    placed = solve(replace(snapshot, offers=with_heads(an_offer(US, "1")))).replicas

    assert {r.region for r in solve(replace(snapshot, placed=placed)).replicas} == {US}
    assert {r.region for r in solve(snapshot).replicas} == {EU}


def many(count: int, **changes: Any) -> dict[str, Any]:
    return {
        f"app-{n:02}": application(demand={"replicas": 1 + n % 4}, priority=n % 3, survive={"any": "region"}, **changes)
        for n in range(count)
    }


def supply(stock: int) -> tuple[Offer, ...]:
    return tuple(
        an_offer(region, str(price), gpus=gpus, stock=stock)
        for region, price in ((US, 1.0), (EU, 1.1), (AZ, 1.2), ("aws/eu-west-1", 1.3), ("gcp/us-east4", 1.4))
        for gpus in (1, 4)
    )


@pytest.mark.parametrize("smaller", [{"exact_applications": 2}, {"exact_pairs": 9}])
def test_the_budget_sets_for_which_sizes_the_exact_program_comes_first(smaller: dict[str, Any]) -> None:
    snapshot = a_snapshot(*supply(40), **many(3))

    assert checked(snapshot).gap is not None
    assert checked(snapshot, SolveBudget(**smaller)).gap is None
    assert checked(snapshot, SolveBudget(exact_beyond_small=True, **smaller)).gap is not None
    assert checked(snapshot, SolveBudget(exact_beyond_small=True, proof_applications=2, **smaller)).gap is None


def test_a_fleet_too_large_for_the_exact_program_is_placed_whole() -> None:
    snapshot = a_snapshot(*supply(40), **many(40))

    placement = checked(snapshot)

    assert placement.unmet == () and placement.violations == ()
    assert placement.gap is None
    assert solve(snapshot) == placement


def test_the_search_sheds_the_lowest_priority_first_where_supply_is_short() -> None:
    placement = checked(a_snapshot(*supply(4), **many(40)))

    short = {u.application for u in placement.unmet}
    priority = {f"app-{n:02}": n % 3 for n in range(40)}
    assert short
    assert not any(priority[name] == 2 for name in short)


def test_the_search_keeps_the_budget_by_shedding_the_lowest_priority() -> None:
    placement = checked(a_snapshot(*supply(40), budget=20, **many(40)))

    lost = {u.application: u.missing_milli for u in placement.unmet}
    assert Usd.of(16) < placement.per_hour <= Usd.of(20)
    assert {int(name[-2:]) % 3 for name in lost} == {0}


def test_the_search_is_near_the_proven_optimum() -> None:
    snapshot = a_snapshot(*supply(40), **many(12))
    assert snapshot.wanted is not None
    spec = snapshot.wanted.spec

    exact = solve(snapshot)
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    answer = solve_by_search(formulation, 1.0)

    cost = int((formulation.problem.price * answer.machines).sum())
    proven = sum(m.offer.price.per_hour.micros * m.count for m in exact.machines if m.role is Role.WORKER)
    assert exact.gap is not None and exact.gap <= 1e-3
    assert proven <= cost * 1.02
    assert cost <= proven * 1.05


def test_without_nodes_for_a_proof_there_is_still_a_placement() -> None:
    placement = checked(a_snapshot(*supply(40), **many(20)), SolveBudget(exact_nodes=0))

    assert placement.unmet == () and placement.violations == ()


def test_what_the_exact_program_adds_is_a_gap() -> None:
    placement = checked(a_snapshot(*supply(40), **many(15)), PROOF)

    assert placement.gap is not None


def test_equal_input_has_equal_output_in_another_process() -> None:
    program = (
        "from tests.unit.test_solve_whole import a_snapshot, many, supply\n"
        "from scheduler.solve import solve\n"
        "print([(r.application, r.region, r.instance_type, r.count)"
        " for r in solve(a_snapshot(*supply(9), **many(40))).replicas])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True,
            text=True, check=True, timeout=300,
        ).stdout.splitlines()[-1]
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(outputs) == 1
    mine = [
        (r.application, r.region, r.instance_type, r.count) for r in solve(a_snapshot(*supply(9), **many(40))).replicas
    ]
    assert outputs == {str(mine)}


FLEET = (
    "from tests.builders import NOON, a_spec, an_offer, application, cells, wanted, with_heads\n"
    "from state.model.snapshot import Snapshot\n"
    "def supply(stock): return [an_offer(r, '1', stock=stock) for r in ('aws/us-east-1', 'azure/eastus')]\n"
    "def many(n): return {f'app-{k}': application() for k in range(n)}\n"
    "def a_snapshot(*offers, **apps):\n"
    "    sold = with_heads(*offers)\n"
    "    spec = wanted(a_spec(**apps))\n"
    "    return Snapshot(NOON, spec, offers=sold, cell_settings=cells('aws/us-east-1', 'azure/eastus'))"
)


def test_small_fleets_never_load_the_compiler() -> None:
    program = (
        f"import sys\n{FLEET}\n"
        "from scheduler.solve import solve\n"
        "solve(a_snapshot(*supply(9), **many(3)))\n"
        "print('numba' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )

    assert ran.stdout.splitlines()[-1] == "False"


def test_a_table_of_round_trips_is_read_and_wrong_ones_are_reported_with_their_line(tmp_path: Path) -> None:
    table = tmp_path / "latency.csv"
    table.write_text("from_provider,from_region,to_provider,to_region,p50_ms\naws,us-east-1,gcp,us-east4,2.5\n")
    assert read_latencies(table) == ((RegionId("aws/us-east-1"), RegionId("gcp/us-east4"), 2.5),)

    table.write_text(table.read_text() + "aws,us-east-1,gcp,us-east5,soon\n")
    with pytest.raises(DocumentError, match=r"latency.csv:3: p50_ms: 'soon' is no duration"):
        read_latencies(table)
    table.write_text("from,to\n")
    with pytest.raises(DocumentError, match="from_provider: is missing"):
        read_latencies(table)
    with pytest.raises(DocumentError, match="No such file"):
        read_latencies(tmp_path / "none.csv")


def test_names_are_those_of_the_spec() -> None:
    assert ApplicationName("chat") in {r.application for r in solve(a_snapshot(an_offer(US))).replicas}


def test_the_fit_fills_what_was_not_measured_as_well_as_stated() -> None:
    table = ROOT.parent / "shared" / "data" / "latency_ms.csv"
    if not table.exists():
        pytest.skip("the table of measured round trips is not here")
    errors = sorted(
        abs(ms - round_trip_ms(where(here), where(there)))
        for here, there, ms in read_latencies(table)
        if here != there and here in KNOWN and there in KNOWN
    )

    assert len(errors) > 500
    assert errors[len(errors) // 2] < 25  # milliseconds; 20 over all regions that were measured


def where(region: RegionId) -> tuple[float, float]:
    return (KNOWN[region].latitude, KNOWN[region].longitude)
