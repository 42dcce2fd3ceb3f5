"""One application at given costs: which items, and how many of each.

The limit on one failure domain that is best for fractions, its neighbours, and multiples of the cheapest replica are
each filled with whole items in the order of their cost per capacity and closed with single replicas; the cheapest
filling is polished. What is not whole is what makes it hard: the fractional optimum is a few percent below.
"""

import numpy as np

from scheduler.solve.problem import PPM, IntArray, Problem
from scheduler.solve.search.fractions import LEVELS, UNLIMITED, level_of, sort_items
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.polish import close, drop, exchange, spent
from scheduler.solve.search.scratch import (
    ITEMS,
    ON_DEMAND,
    TOTAL,
    Scratch,
    assign,
    clear,
    fits_shape,
    in_place,
    missing,
    rules_of,
    unserved_of,
)
from scheduler.solve.search.solution_state import penalty

THOROUGH = 100
"""From this budget on every filling is polished, not only the cheapest."""
NEAR = 2
"""How many levels on each side of the best are rounded to whole replicas."""


@compiled
def solve_subproblem(p: Problem, d: Scratch, a: int, spread: IntArray, budget: int) -> float:
    """Choose items for one application and return what they cost, what stays missing at its weight included.

    *budget* is how many items the polish tries to add: 0 for none, and from `THOROUGH` on every filling is polished.
    *spread* remembers by application which level was best.
    """
    sort_items(d)
    n = d.now[ITEMS]
    _try_levels(p, d, a, spread[a], budget)
    clear(d)
    for i in range(n):
        if d.choice[i] > 0:
            assign(d, i, d.choice[i])
    if 0 < budget < THOROUGH:
        polished(p, d, a, budget)
    return value(p, d, a)


@compiled
def polished(p: Problem, d: Scratch, a: int, budget: int) -> float:
    """Polish the choice, and return its value."""
    gap = missing(p, d, a)
    drop(p, d, a, gap)
    exchange(p, d, a, gap, budget)
    return value(p, d, a)


@compiled
def _try_levels(p: Problem, d: Scratch, a: int, middle: int, budget: int) -> None:
    """Leave the cheapest whole filling of some levels in `choice`.

    They are the best fractional one, its neighbours, and the multiples of the cheapest replica around it: a few large
    replicas spread over domains in no other way.
    """
    level = level_of(p, a, middle)
    best = np.inf
    n = d.now[ITEMS]
    for k in range(2 * NEAR + 3 if level != UNLIMITED else 1):
        at = _level_to_try(p, d, a, middle, k)
        if at <= 0:
            continue
        stop_at = best if budget < THOROUGH else np.inf
        cost = _fill(p, d, a, at, stop_at)
        if cost < stop_at:
            cost = close(p, d, a, stop_at)
            if budget >= THOROUGH:
                cost = polished(p, d, a, budget)
        if cost < best:
            best = cost
            for i in range(n):
                d.choice[i] = d.x[i]


@compiled
def _level_to_try(p: Problem, d: Scratch, a: int, middle: int, k: int) -> int:
    """Return the k-th level to try."""
    level = level_of(p, a, middle)
    if level == UNLIMITED:
        return level
    if k < 3:  # noqa: PLR2004  three multiples
        one = d.capacity_per_replica[d.order[0]] if d.now[ITEMS] > 0 else 1
        return int((level // one + (k + 1) % 3) * one)
    step = middle + k - 3 - NEAR
    return level_of(p, a, step) if 0 <= step < len(LEVELS) else 0


@compiled
def value(p: Problem, d: Scratch, a: int) -> float:
    """Return what the choice costs, with what is missing at its weight."""
    return spent(d) + penalty(p, a, missing(p, d, a), unserved_of(p, d, a))


@compiled
def _fill(p: Problem, d: Scratch, a: int, level: int, stop_at: float) -> float:
    """Take whole items in their order, up to *level* in each domain; stop past *enough*. Return the cost."""
    clear(d)
    _assign_floors(p, d, a)
    target = max(p.demand[a], 0 if level == UNLIMITED else p.required[a] + level)
    rules = rules_of(p, a)
    region_max = rules.share * target // PPM + rules.slack
    cost = spent(d)
    for k in range(d.now[ITEMS]):
        i = d.order[k]
        rest = target - d.now[TOTAL]
        if rest <= 0:
            break
        if rules.one_shape and not fits_shape(d.replicas_in, d.shape_in, d.region[i], d.shape[i]):
            continue
        headroom = min((d.limit[i] - d.x[i]) * d.capacity_per_replica[i], level - d.in_domain[d.domain[i]])
        if rules.share < PPM:
            headroom = min(headroom, region_max - d.in_region[d.region[i]])
        if d.is_spot[i]:
            headroom = min(headroom, target - rules.on_demand - d.now[TOTAL] + d.now[ON_DEMAND])
        if not rules.is_plain:
            headroom = min(headroom, _headroom(p, d, a, i, target))
        many = min(headroom, rest) // d.capacity_per_replica[i]
        if many > 0:
            assign(d, i, many)
            cost += many * d.cost[i]
            if cost >= stop_at:
                break
    return cost


@compiled
def _headroom(p: Problem, d: Scratch, a: int, i: int, target: int) -> int:
    """Return how much more capacity may come where an item is, by the rules that few applications have."""
    r = d.region[i]
    headroom = UNLIMITED
    if p.min_regions[a] > 1:
        headroom = min(headroom, max(target // p.min_regions[a], p.slack[a]) + p.slack[a] - d.in_region[r])
    if d.is_spot[i] and p.spot_left[a] > 0:
        headroom = min(headroom, max(target - p.spot_left[a], 0) - d.spot_in[r])
    for f in range(p.floor_first[a], p.floor_first[a + 1]):
        if p.floor_max[f] < PPM and p.place_has[p.floor_place[f], r]:
            headroom = min(headroom, p.floor_max[f] * target // PPM + p.slack[a] - in_place(p, d, f))
    return int(max(headroom, 0))


@compiled
def _assign_floors(p: Problem, d: Scratch, a: int) -> None:
    """Meet the floors of places first, each with the cheapest items that lie there."""
    for f in range(p.floor_first[a], p.floor_first[a + 1]):
        for k in range(d.now[ITEMS]):
            i = d.order[k]
            rest = p.floor_min[f] - in_place(p, d, f)
            if rest <= 0:
                break
            if p.place_has[p.floor_place[f], d.region[i]] and (
                not p.one_shape[a] or fits_shape(d.replicas_in, d.shape_in, d.region[i], d.shape[i])
            ):
                many = min(d.limit[i], -(-rest // d.capacity_per_replica[i]))
                if many > 0:
                    assign(d, i, many)
