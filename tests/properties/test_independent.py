"""Decisions against an independent model of the spec's page, on random small specs: the exact way and the search."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.check import check_plan
from scheduler.plan import make_plan
from scheduler.solve import solve
from state.model.settings import SolveBudget
from tests.model.optimum import optimum
from tests.model.small_specs import PROOF, SEARCH, a_case
from tests.model.verify import faults, paid, what_is_missed

EXAMPLES = int(os.environ.get("SKERRY_EXAMPLES", "40"))
WHOLE = 1e-4
seeds = st.integers(0, 1_000_000)


@given(seeds)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
def test_the_exact_way_misses_as_little_as_the_model_rule_by_rule_and_costs_the_same(seed: int) -> None:
    """Whether everything fits or not. The examples are the same in each run, since no solver is free of faults."""
    snapshot = a_case(seed).snapshot

    placement = solve(snapshot)

    best = optimum(snapshot)
    assert [float(amount) for amount in what_is_missed(snapshot, placement)] == pytest.approx(best.missed, abs=1e-4)
    assert float(paid(snapshot, placement)) == pytest.approx(best.cost, rel=1e-5, abs=20)
    assert placement.is_whole == (max(best.missed) < WHOLE)


@pytest.mark.parametrize("budget", [PROOF, SEARCH], ids=["exact", "search"])
@given(seed=seeds)
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_breaks_a_rule_is_reported_and_nothing_else_and_the_plan_passes_the_check(
    seed: int, budget: SolveBudget
) -> None:
    snapshot = replace(a_case(seed).snapshot, solve_budget=budget)

    placement = solve(snapshot)

    assert faults(snapshot, placement) == []
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()
