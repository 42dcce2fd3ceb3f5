"""Whole items: closing what is missing, dropping what is not needed, and exchanging some for others.

These are the moves of a local search on the choice of one application; each keeps what is missing from growing.
"""

import numpy as np

from scheduler.solve.problem import Problem
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.scratch import (
    FIRST_DOMAIN,
    FIRST_REGION,
    HELD,
    IN_FIRST_DOMAIN,
    IN_FIRST_REGION,
    IN_SECOND_DOMAIN,
    IN_SECOND_REGION,
    ITEMS,
    ON_DEMAND,
    TOTAL,
    Rules,
    Scratch,
    assign,
    fits_shape,
    missing,
    missing_with,
    plainly_missing,
    rules_of,
    summarise,
    unserved_of,
)
from scheduler.solve.search.solution_state import EVERY_RULE, RULES_MISSED, penalty

ROUNDS = 4
"""Most rounds of polish; later ones find next to nothing."""


@compiled
def spent(d: Scratch) -> float:
    """Return what the choice costs."""
    cost = 0.0
    for k in range(d.now[HELD]):
        cost += d.cost[d.held[k]] * d.x[d.held[k]]
    return cost


@compiled
def close(p: Problem, d: Scratch, a: int, stop_at: float) -> float:
    """While any rule is missed, add the item that helps most for its cost; stop past *enough*. Return the cost."""
    rules = rules_of(p, a)
    gap = missing(p, d, a)
    cost = spent(d)
    while gap > 0 and cost < stop_at:
        summarise(d)
        levels = EVERY_RULE if d.now[TOTAL] < rules.demand else RULES_MISSED
        chosen, score, left = -1, np.inf, gap
        for k in range(d.now[ITEMS]):
            i = d.order[k]
            lower = max(d.cost[i], d.cost[i] * gap / (levels * d.capacity_per_replica[i]))
            if d.x[i] >= d.limit[i] or lower >= score:
                continue
            if rules.one_shape and not fits_shape(d.replicas_in, d.shape_in, d.region[i], d.shape[i]):
                continue
            after = _with_one(rules, d, i, 1) if rules.is_plain else missing_with(p, d, a, i, 1)
            if after < gap and d.cost[i] * gap / (gap - after) < score:
                chosen, score, left = i, d.cost[i] * gap / (gap - after), after
        if chosen < 0:
            break
        many = min(d.limit[chosen] - d.x[chosen], max(1, gap // (2 * (gap - left))))
        assign(d, chosen, many)
        cost += many * d.cost[chosen]
        gap = missing(p, d, a)
    return cost + penalty(p, a, gap, unserved_of(p, d, a))


@compiled
def _with_one(rules: Rules, d: Scratch, i: int, n: int) -> int:
    """Return what would be missing with *n* more of an item, after `summarise`."""
    more = n * d.capacity_per_replica[i]
    domain = d.in_domain[d.domain[i]] + more
    domain = max(domain, d.top[IN_SECOND_DOMAIN] if d.domain[i] == d.top[FIRST_DOMAIN] else d.top[IN_FIRST_DOMAIN])
    region = d.in_region[d.region[i]] + more
    region = max(region, d.top[IN_SECOND_REGION] if d.region[i] == d.top[FIRST_REGION] else d.top[IN_FIRST_REGION])
    bought = d.now[ON_DEMAND] + (0 if d.is_spot[i] else more)
    return plainly_missing(rules, d.now[TOTAL] + more, bought, domain, region)


@compiled
def drop(p: Problem, d: Scratch, a: int, gap: int) -> float:
    """Take off what can go without more than *gap* missing, the dearest first; return what that saves."""
    rules = rules_of(p, a)
    saved = 0.0
    while True:
        summarise(d)
        chosen, dearest = -1, 0.0
        for k in range(d.now[HELD]):
            i = d.held[k]
            if d.x[i] <= 0 or d.cost[i] <= dearest:
                continue
            after = _with_one(rules, d, i, -1) if rules.is_plain else missing_with(p, d, a, i, -1)
            if after <= gap:
                chosen, dearest = i, d.cost[i]
        if chosen < 0:
            return saved
        assign(d, chosen, -1)
        saved += dearest


@compiled
def exchange(p: Problem, d: Scratch, a: int, gap: int, budget: int) -> None:
    """Add an item, drop what it makes needless, and keep that where it pays; until nothing pays."""
    rules = rules_of(p, a)
    again = True
    for _ in range(ROUNDS):
        if not again:
            return
        again = False
        dearest = _dearest(d)
        for k in range(min(d.now[ITEMS], budget)):
            i = d.order[k]
            if d.x[i] >= d.limit[i] or d.cost[i] >= (d.capacity_per_replica[i] + rules.slack / 4) * dearest:
                continue
            if rules.one_shape and not fits_shape(d.replicas_in, d.shape_in, d.region[i], d.shape[i]):
                continue
            held = _remember(d)
            assign(d, i, 1)
            if drop(p, d, a, gap) > d.cost[i] + 1e-6:
                again = True
            else:
                _restore(d, held)
        again = _replace(p, d, a, gap) or again


@compiled
def _replace(p: Problem, d: Scratch, a: int, gap: int) -> bool:
    """Drop an item, close the gap without it, and keep that where it pays; return whether any did."""
    paid = False
    for k in range(d.now[HELD]):
        i = d.held[k]
        if d.x[i] <= 0 or d.cost[i] <= 0:
            continue
        before = spent(d)
        held = _remember(d)
        limit = d.limit[i]
        assign(d, i, -1)
        d.limit[i] = d.x[i]
        close(p, d, a, before)
        d.limit[i] = limit
        drop(p, d, a, gap)
        if spent(d) < before - 1e-6 and missing(p, d, a) <= gap:
            paid = True
        else:
            _restore(d, held)
    return paid


@compiled
def _dearest(d: Scratch) -> float:
    """Return the highest cost per capacity among what is chosen."""
    dearest = 0.0
    for k in range(d.now[HELD]):
        i = d.held[k]
        if d.x[i] > 0:
            dearest = max(dearest, d.cost[i] / d.capacity_per_replica[i])
    return dearest


@compiled
def _remember(d: Scratch) -> int:
    """Note how much of each item is held; return how many items are listed."""
    for k in range(d.now[HELD]):
        d.best[d.held[k]] = d.x[d.held[k]]
    return int(d.now[HELD])


@compiled
def _restore(d: Scratch, held: int) -> None:
    """Undo what came after `_remember`.

    What was added goes first: a region's shape is that of the first replica in it.
    """
    for step in range(2):
        for k in range(d.now[HELD]):
            i = d.held[k]
            before = d.best[i] if k < held else 0
            if (d.x[i] > before) if step == 0 else (d.x[i] < before):
                assign(d, i, before - d.x[i])
    d.now[HELD] = held
