"""Supply that is too large for one solve is cut by price per unit of demand, and what is cut is counted."""

import os
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.simulation.world import with_heads
from scheduler.solve import solve
from scheduler.solve.pruning import pruned
from scheduler.solve.supply import build_supply
from state.model.catalog import Market, Offer
from state.model.placement import RefusalCause
from state.model.settings import Limits
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_spec, an_instance, an_offer, application, cells, wanted

REGIONS = ("aws/us-east-1", "azure/eastus", "gcp/us-central1")
GPUS = ("L4", "T4", "A100")
EXAMPLES = settings(max_examples=int(os.environ.get("SKERRY_EXAMPLES", "60")), deadline=None)

sold = st.lists(
    st.tuples(
        st.sampled_from(REGIONS),
        st.sampled_from(GPUS),
        st.integers(1, 60),  # tenths of a dollar per hour
        st.sampled_from((Market.ON_DEMAND, Market.SPOT)),
    ),
    min_size=6,
    max_size=24,
    unique_by=lambda line: line[2],  # no ties: which offers lead is certain
)
fleets = st.lists(
    st.tuples(
        st.sampled_from(GPUS),
        st.integers(1, 4),
        st.sampled_from(("none", "region")),
        st.sampled_from(("never", "allowed")),
    ),
    min_size=1,
    max_size=3,
)


def offers_of(lines: list[tuple[str, str, int, Market]]) -> tuple[Offer, ...]:
    """Offers of one GPU each, every one an instance type of its own."""
    found = []
    for number, (region, gpu, tenths, market) in enumerate(lines):
        offer = an_offer(region, str(tenths / 10), gpu=gpu, market=market)
        found.append(replace(offer, key=replace(offer.key, instance_type=f"type-{number:02}")))
    return tuple(found)


def snapshot_of(
    lines: list[tuple[str, str, int, Market]], asked: list[tuple[str, int, str, str]], limit: int
) -> Snapshot:
    apps = {
        f"app-{n}": application(
            demand={"replicas": replicas}, shapes=[{"gpu": gpu}], survive={"any": survive}, market={"spot": spot}
        )
        for n, (gpu, replicas, survive, spot) in enumerate(asked)
    }
    offers = with_heads(*offers_of(lines), *(an_offer(region, "99", gpu="H100") for region in REGIONS))
    limits = Limits(offers_per_solve=limit)
    return Snapshot(NOON, wanted(a_spec(100_000, **apps)), offers=offers, cell_settings=cells(*REGIONS), limits=limits)


@given(sold, fleets)
@EXAMPLES
def test_the_offers_of_the_optimum_survive_the_cut(
    lines: list[tuple[str, str, int, Market]], asked: list[tuple[str, int, str, str]]
) -> None:
    # Every place and market has one offer that is cheapest for each of the applications.
    limit = len(REGIONS) * 2 * len(asked)

    whole = solve(snapshot_of(lines, asked, 10_000))
    cut = solve(snapshot_of(lines, asked, limit))

    assert cut.is_whole == whole.is_whole
    assert cut.unmet == () or {u.application for u in cut.unmet} == {u.application for u in whole.unmet}
    if whole.is_whole:
        assert abs(cut.per_hour.micros - whole.per_hour.micros) <= 2e-4 * whole.per_hour.micros


@given(sold, fleets, st.integers(0, 30))
@EXAMPLES
def test_every_offer_is_considered_or_counted_with_its_cause(
    lines: list[tuple[str, str, int, Market]], asked: list[tuple[str, int, str, str]], limit: int
) -> None:
    snapshot = snapshot_of(lines, asked, limit)
    assert snapshot.wanted is not None

    supply = build_supply(snapshot, snapshot.wanted.spec)

    considered = sum(len(group.offers) for group in supply.groups)
    gpu_offers = len(lines) + len(REGIONS)
    assert considered == min(limit, gpu_offers)
    assert supply.refused[RefusalCause.PRUNED] == gpu_offers - considered
    assert considered + supply.refused.total() == gpu_offers


@given(sold, fleets, st.integers(0, 5), st.sets(st.integers(0, 5), max_size=4))
@EXAMPLES
def test_offers_of_existing_machines_are_never_cut(
    lines: list[tuple[str, str, int, Market]], asked: list[tuple[str, int, str, str]], limit: int, held: set[int]
) -> None:
    offers = offers_of(lines)
    ours = tuple(an_instance(f"sk-{n}", key=offers[n].key) for n in sorted(held))
    snapshot = replace(snapshot_of(lines, asked, limit), instances=ours)
    assert snapshot.wanted is not None

    supply = build_supply(snapshot, snapshot.wanted.spec)

    kept = {offer.key for group in supply.groups for offer in group.offers}
    assert {instance.key for instance in ours} <= kept


def test_the_dearest_per_unit_of_demand_go_first_whatever_their_names() -> None:
    # Twice the GPUs at less than twice the price is cheaper per unit.
    offers = [
        an_offer("aws/us-east-1", "3.9", gpus=4),
        an_offer("aws/us-east-1", "1", gpus=1),
        an_offer("aws/us-east-1", "2.2", gpus=2),
        an_offer("aws/us-east-1", "0.1", gpu="T4"),
    ]

    kept = pruned(a_spec(chat=application()), sorted(offers, key=lambda o: o.key), set(), 2)

    assert [offer.key.instance_type for offer in kept] == ["l4.1", "l4.4"]
