"""The solver against brute force on tiny instances, infeasible ones included."""

import os
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.check import check_plan
from scheduler.plan import make_plan
from scheduler.solve import solve
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_spec, an_offer, application, cells, wanted, with_heads

REGIONS = ("aws/us-east-1", "azure/eastus", "gcp/us-central1")
HEAD_MICROS = 100_000
MOVE = 1.15
TOLERANCE = 1e-6

machines = st.tuples(
    st.integers(1, 40),  # tenths of a dollar per hour
    st.integers(0, 3),  # stock
    st.sampled_from((1, 2)),  # GPUs
)


def a_snapshot(sold: tuple[tuple[int, int, int], ...], need: int, survive: str, budget: float) -> Snapshot:
    offers = with_heads(
        *(
            an_offer(region, str(tenths / 10), gpus=gpus, stock=stock)
            for region, (tenths, stock, gpus) in zip(REGIONS, sold, strict=True)
        )
    )
    spec = a_spec(budget, chat=application(demand={"replicas": need}, survive={"any": survive}))
    return Snapshot(NOON, wanted(spec), offers=offers, cell_settings=cells(*REGIONS))


def brute_force(sold: tuple[tuple[int, int, int], ...], need: int, survive: str, budget: float) -> int | None:
    """Return the least cost in micro-dollars by trying every count of machines; None where nothing will do.

    Each machine is filled with replicas, which is never worse.
    """
    best: int | None = None
    for counts in product(*(range(stock + 1) for _, stock, _ in sold)):
        capacity = [count * gpus for count, (_, _, gpus) in zip(counts, sold, strict=True)]
        lost = max(capacity) if survive != "none" else 0
        if sum(capacity) < need or sum(capacity) - lost < (need if survive != "none" else 0):
            continue
        cost = sum(n * tenths * 100_000 + HEAD_MICROS * (n > 0) for n, (tenths, _, _) in zip(counts, sold, strict=True))
        if cost <= budget * 1_000_000 and (best is None or cost < best):
            best = cost
    return best


@given(
    st.tuples(machines, machines, machines),
    st.integers(1, 5),
    st.sampled_from(("none", "region", "provider")),
    st.sampled_from((3.0, 8.0, 100.0)),
)
@settings(max_examples=int(os.environ.get("SKERRY_EXAMPLES", "300")), deadline=None)
def test_the_solver_is_as_good_as_brute_force(
    sold: tuple[tuple[int, int, int], ...], need: int, survive: str, budget: float
) -> None:
    snapshot = a_snapshot(sold, need, survive, budget)

    placement = solve(snapshot)

    best = brute_force(sold, need, survive, budget)
    is_whole = not placement.unmet and not placement.violations
    assert is_whole == (best is not None)
    if best is not None:
        # Each provider here has one region, so surviving either is the same.
        assert placement.per_hour.micros <= best * (1 + (placement.gap or 0.0) + TOLERANCE)
        assert placement.per_hour.micros >= best
    assert placement.per_hour.micros <= budget * 1_000_000
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()


@given(st.tuples(machines, machines, machines), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_what_cannot_be_placed_whole_is_placed_as_far_as_it_goes(
    sold: tuple[tuple[int, int, int], ...], need: int
) -> None:
    placement = solve(a_snapshot(sold, need, "none", 100.0))

    there = sum(stock * gpus for _, stock, gpus in sold)
    assert sum(replicas.count for replicas in placement.replicas) >= min(need, there)
    assert sum(u.missing_milli for u in placement.unmet) == 1000 * max(0, need - there)
