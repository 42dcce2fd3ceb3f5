"""From prices to a placement, in stages: every application gets whole replicas with its share of what is scarce.

A share is the mean choice at the prices, rounded at random, and what is not shared out. After each stage the prices
are updated for those still to come; what is short at the end is placed anew with the headroom that is left.
"""

import numpy as np

from scheduler.solve.problem import UNIT, FloatArray, IntArray, Problem
from scheduler.solve.search.insert import SearchState, enter_solution, insert, remove
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.prices import priced, scarcity, update_prices
from scheduler.solve.search.random_numbers import uniform
from scheduler.solve.search.scratch import ITEMS, add_candidate, clear
from scheduler.solve.search.solution_state import headroom, most_machines
from scheduler.solve.search.subproblem import solve_subproblem

ROUGH = 20
"""How many items a polish tries here: everything is looked at again."""


@compiled
def solo_choice(p: Problem, w: SearchState, budget: int) -> None:
    """Note what each application would choose if it were alone at the prices, and what it would pay."""
    d = w.scratch
    for a in range(len(p.demand)):
        d.now[ITEMS] = 0
        for j in range(p.first[a], p.first[a + 1]):
            add_candidate(p, d, a, j, priced(p, w.prices, j), p.high[p.group[j]] * UNIT // p.size[j])
        w.ideal[a] = solve_subproblem(p, d, a, w.prices.spread, budget)
        for i in range(d.now[ITEMS]):
            w.solo_choice[d.pair[i]] = d.x[i]
        clear(d)


@compiled
def round_stage(p: Problem, w: SearchState, order: IntArray, stages: int, passes: int) -> None:
    """Place the applications of *order* in so many stages, and update the prices for the others after each."""
    many = len(order)
    reserved = np.zeros(len(p.price), np.float64)
    for stage in range(stages):
        first, last = many * stage // stages, many * (stage + 1) // stages
        if first == last:
            continue
        if stage > 0:
            update_prices(p, w.solution, w.scratch, w.prices, order[first:], passes)
        reserved[:] = 0.0
        for k in range(first, many):
            for j in range(p.first[order[k]], p.first[order[k] + 1]):
                reserved[p.group[j]] += w.prices.mean[j] * p.size[j]
        for k in range(first, last):
            a = order[k]
            for j in range(p.first[a], p.first[a + 1]):
                reserved[p.group[j]] -= w.prices.mean[j] * p.size[j]
            _enter_share(p, w, a, reserved)
    for k in range(many):
        if w.solution.short[order[k]] > 0:
            remove(p, w.solution, order[k])
            insert(p, w, order[k], 1.0, 0.0, ROUGH)


@compiled
def _enter_share(p: Problem, w: SearchState, a: int, reserved: FloatArray) -> None:
    """Place an application with its share of what is scarce, and what is not shared out."""
    b, d = w.solution, w.scratch
    d.now[ITEMS] = 0
    for j in range(p.first[a], p.first[a + 1]):
        limit = headroom(p, b, j)
        g = p.group[j]
        if scarcity(p, w.prices, g) > 0:
            unclaimed = (most_machines(p, b, g) * UNIT - b.used[g] - reserved[g]) / p.size[j]
            mine = max(w.prices.mean[j], unclaimed)
            limit = min(limit, int(mine) + (uniform(w.seed) < mine - int(mine)))
        if limit > 0:
            add_candidate(p, d, a, j, priced(p, w.prices, j), limit)
    enter_solution(p, w, a, ROUGH)
