"""Merging: several searches, and an exact program over nothing but what any of them chose.

Each search ends somewhere else; what good placements have in common, and the ways in which they differ, is a small
problem that HiGHS solves from the best of them. Source: Aggarwal, Orlin and Tai, Optimized crossover for the
independent set problem, Operations Research 45 (1997); Danna et al., RINS (2005). Bounded by nodes and not by seconds,
so that equal problems have equal answers.
"""

from typing import Final

import numpy as np

from scheduler.solve.exact import cheapest
from scheduler.solve.packing import without
from scheduler.solve.problem import BoolArray, IntArray, Problem
from scheduler.solve.program import build
from scheduler.solve.search.engine import SEED, cold, schedule_for
from scheduler.solve.search.insert import SearchState, enter_counts, remove
from scheduler.solve.search.solution_state import total
from scheduler.solve.solution import Solution
from state.model.settings import SolveBudget

MERGED_APPLICATIONS: Final = 25
"""Up to so many applications what several searches chose makes a program that is quickly solved."""
MERGED_PAIRS: Final = 400
"""Up to so many pairs all are in that program where a rule is missed."""
RUNS: Final = 3
ROUNDS: Final = 600
"""Of ruin and recreate, in all runs together."""
GAP: Final = 0.01


def merged(p: Problem, heads: IntArray, scale: float = 1.0) -> SearchState:
    """Return the best placement of several searches and of what they can be merged to.

    Args:
        p: The problem, of a small fleet.
        heads: List prices of heads, by region, for the budget.
        scale: How many times the usual work.
    """
    share = schedule_for(p)._replace(rounds=round(ROUNDS * scale) // RUNS)
    searches = [cold(p, share, SEED + run) for run in range(RUNS)]
    best = min(searches, key=lambda search: total(search.solution))
    used: BoolArray = np.logical_or.reduce([search.solution.placed > 0 for search in searches])
    if best.solution.short.any() and p.pairs <= MERGED_PAIRS:
        used[:] = True
    counts = _merge(p, heads, best, used, max(1, round(scale)))
    if counts is not None:
        before = best.solution.placed.copy()
        cost = total(best.solution)
        _enter(p, best, counts)
        if total(best.solution) > cost:
            _enter(p, best, before)
    return best


def _merge(p: Problem, heads: IntArray, best: SearchState, used: BoolArray, nodes: int) -> IntArray | None:
    """Return the counts of the best placement on the pairs that are used; None where none was found."""
    small = without(p, used)
    sold = np.zeros(p.groups, np.bool_)
    sold[small.group] = True
    small = small._replace(high=np.where(sold, p.high, p.low))
    program, columns = build(small, heads)
    start = Solution(best.solution.placed[used], best.solution.machines, None)
    point = cheapest(small, program, columns, SolveBudget(exact_nodes=nodes, gap=GAP), start)
    if point is None:
        return None
    counts = np.zeros(p.pairs, np.int64)
    counts[used] = [point.count(column) for column in columns.replicas]
    return counts


def _enter(p: Problem, search: SearchState, counts: IntArray) -> None:
    """Make the solution hold *counts*."""
    for a in range(p.applications):
        remove(p, search.solution, a)
    enter_counts(p, search, counts)
