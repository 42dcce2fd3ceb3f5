"""Fractions of items: what an application would choose at given costs if replicas could be divided.

For a limit L on the capacity in any one failure domain, the total capacity must be T = max(demand, required + L),
and the cheapest way to it is to take items in the order of their cost per unit of capacity, as far as L allows:
the fractional optimum of a covering knapsack with bounded groups (Dantzig's rule). The cost is convex in L, so a walk
over a table of limits finds the best one. A floor on demand bounds what may be spot.
"""

import numpy as np

from scheduler.solve.problem import NO_DOMAIN, PPM, Problem
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.scratch import DOMAINS, ITEMS, REGIONS, Rules, Scratch, append_unique, clear, rules_of

LEVELS = np.array(
    [1000, 850, 750, 667, 600, 550, 500, 450, 400, 360, 334, 300, 280, 250, 225, 200, 180, 167, 150, 125, 100], np.int64
)
"""Limits on one domain, in thousandths of what must remain without it, or may be lost with it if that is more."""
MIDDLE = 6
UNLIMITED = 1 << 60
"""The limit where nothing limits."""


@compiled
def sort_items(d: Scratch) -> None:
    """Sort the items by cost per capacity; equal ones by place."""
    n = d.now[ITEMS]
    for i in range(n):
        d.key[i] = d.cost[i] / d.capacity_per_replica[i]
    order = np.argsort(d.key[:n], kind="mergesort")
    for k in range(n):
        d.order[k] = order[k]


@compiled
def has_levels(p: Problem, a: int) -> bool:
    """Return whether a limit on domains means anything to an application."""
    return bool(p.kind[a] != NO_DOMAIN and p.required[a] > 0)


@compiled
def level_of(p: Problem, a: int, step: int) -> int:
    """Return a limit on the capacity in one domain."""
    if not has_levels(p, a):
        return UNLIMITED
    return int(-(-max(p.required[a], p.demand[a] - p.required[a]) * LEVELS[step] // 1000))


@compiled
def fill(p: Problem, d: Scratch, a: int, spread: int) -> tuple[int, float]:
    """Choose fractions of items: leave them in `part`, and return over how many domains they spread, and the cost.

    *spread* is where to look first; the cost is convex in the limit, so its neighbours decide the direction.
    """
    sort_items(d)
    rules = rules_of(p, a)
    if rules.required == 0:
        return spread, _fill_level(rules, d, UNLIMITED, p.soft_weight[a])
    cost = _fill_level(rules, d, level_of(p, a, spread), p.soft_weight[a])
    for way in (1, -1):
        moved = False
        while 0 <= spread + way < len(LEVELS):
            other = _fill_level(rules, d, level_of(p, a, spread + way), p.soft_weight[a])
            if other >= cost:
                break
            cost = other
            spread += way
            moved = True
        if moved:
            break
    return spread, _fill_level(rules, d, level_of(p, a, spread), p.soft_weight[a])


@compiled
def _fill_level(rules: Rules, d: Scratch, level: int, weight: float) -> float:
    """Take fractions of items in their order, up to *level* in each domain, and return the cost."""
    clear(d)
    n = d.now[ITEMS]
    d.part[:n] = 0.0
    target = max(rules.demand, 0 if level == UNLIMITED else rules.required + level)
    most_in_region = rules.share * target // PPM + rules.slack
    rest = target
    spot = target - rules.on_demand
    spent = 0.0
    for k in range(n):
        i = d.order[k]
        r, domain = d.region[i], d.domain[i]
        headroom = min(rest, d.limit[i] * d.capacity_per_replica[i], level - d.in_domain[domain])
        if rules.share < PPM:
            headroom = min(headroom, most_in_region - d.in_region[r])
        if d.is_spot[i]:
            headroom = min(headroom, spot)
            spot -= max(headroom, 0)
        if headroom <= 0:
            continue
        if d.in_domain[domain] == 0:
            append_unique(d.domains, d.now, DOMAINS, domain)
        if d.in_region[r] == 0:
            append_unique(d.regions, d.now, REGIONS, r)
        d.in_domain[domain] += headroom
        d.in_region[r] += headroom
        d.part[i] = headroom / d.capacity_per_replica[i]
        spent += d.part[i] * d.cost[i]
        rest -= headroom
        if rest <= 0:
            break
    return spent + rest * weight
