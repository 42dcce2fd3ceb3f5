"""solve_by_search: a posed problem to counts that keep every hard rule, the budget and real packing included."""

from dataclasses import replace
from typing import Final

import numpy as np

from scheduler.solve.credit import domain_of, left_milli, stock_left
from scheduler.solve.exact import head_prices
from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import IntArray, Problem
from scheduler.solve.search.engine import cold, schedule_for, warm
from scheduler.solve.search.insert import SearchState
from scheduler.solve.search.merge import MERGED_APPLICATIONS, merged
from scheduler.solve.search.solution_state import apply_delta
from scheduler.solve.solution import Solution, better, spent

CREDIT_TRIES: Final = 2


def solve_by_search(formulation: Formulation, scale: float) -> Solution:
    """Return an answer near the optimum.

    A credit is counted on in full at first; where the answer leaves less in stock, on what is left, then on none.
    """
    p = formulation.problem
    best = _searched(formulation, scale)
    for _ in range(CREDIT_TRIES):
        credit = _left(formulation.problem, best)
        if (credit >= p.credit).all():
            break
        p = p._replace(required=p.required + p.credit - credit, credit=credit)
        other = _searched(replace(formulation, problem=p), scale)
        best = better(formulation.problem, other, best)
    return best


def _searched(formulation: Formulation, scale: float) -> Solution:
    p = formulation.problem
    schedule = schedule_for(p, scale)
    if p.current.any():
        search = warm(p, schedule)
    elif p.applications <= MERGED_APPLICATIONS:
        search = merged(p, head_prices(formulation), scale)
    else:
        search = cold(p, schedule)
    keep_to_budget(formulation, search)
    return Solution(search.solution.placed.copy(), search.solution.machines.copy(), None)


def _left(p: Problem, found: Solution) -> IntArray:
    """Return by application what stock is left for it after the worst loss, its credit at most."""
    left = p.credit.copy()
    for a in np.flatnonzero(p.credit > 0):
        pairs = np.arange(p.first[a], p.first[a + 1])
        used = p.group[pairs[found.replicas[pairs] > 0]]
        for domain in {domain_of(p, int(a), int(g)) for g in used}:
            left[a] = min(left[a], left_milli(p, int(a), domain, stock_left(p, found.machines)))
    return np.asarray(left, np.int64)


def keep_to_budget(formulation: Formulation, search: SearchState) -> None:
    """Take replicas off until the budget holds: those of the lowest priority first, the dearest of them first."""
    p, solution = formulation.problem, search.solution
    heads = head_prices(formulation)

    def over() -> bool:
        return spent(p, Solution(solution.placed, solution.machines, None), heads) > p.budget

    if not over():
        return
    unit = p.price[p.group] * p.size / p.capacity_per_replica
    order = np.argsort(p.weight, kind="stable")
    for keeps_demand in (True, False):  # what only a loss would need goes before demand
        for a in order:
            pairs = np.arange(p.first[a], p.first[a + 1])
            for j in sorted(pairs[solution.placed[pairs] > 0], key=lambda j: -unit[j]):
                count = int(solution.placed[j])
                if keeps_demand:
                    carried = int((solution.placed[pairs] * p.capacity_per_replica[pairs]).sum())
                    count = min(count, max(0, carried - int(p.demand[a])) // int(p.capacity_per_replica[j]))
                apply_delta(p, solution, int(a), int(j), -count)
                if over():
                    continue
                for _ in range(count):  # as many of these as the budget allows
                    apply_delta(p, solution, int(a), int(j), 1)
                    if over():
                        apply_delta(p, solution, int(a), int(j), -1)
                        break
                return
