"""What a solver found: counts by pair and by group, and an exact check that they keep the problem's rules."""

from dataclasses import dataclass

import numpy as np

from scheduler.solve.credit import domain_of, left_milli, stock_left
from scheduler.solve.problem import NO_DOMAIN, PPM, RULE_LEVELS, SPREAD, UNIT, IntArray, Problem


@dataclass(frozen=True, slots=True)
class Solution:
    """Counts that keep every hard rule, and how far from the optimum they can be at most."""

    replicas: IntArray
    """By pair."""
    machines: IntArray
    """By group."""
    gap: float | None
    """As a share; None where no bound is known."""


def spent(p: Problem, solution: Solution, heads: IntArray) -> int:
    """Return what the machines cost, in micro-dollars per hour; *heads* are the prices of heads by region."""
    opened = np.unique(p.region[solution.machines > 0])
    return int((p.price * solution.machines).sum() + heads[opened].sum())


def objective(p: Problem, solution: Solution) -> int:
    """Return what the solver makes small, in micro-dollars per hour, shortages apart."""
    more = np.maximum(solution.machines - p.existing, 0)
    started = np.maximum(solution.replicas - p.current, 0)
    opened = np.unique(p.region[solution.machines > 0])
    return int(
        (p.price * solution.machines + p.start * more).sum()
        + p.head[opened].sum()
        + (p.extra * solution.replicas + p.start_replica[p.owner] * started).sum()
    )


def machines_needed(p: Problem, replicas: IntArray) -> IntArray:
    """Return by group how many machines replicas need: full ones of one size, and the rest in places."""
    fits = int(p.fit.max(initial=-1)) + 1
    count = np.zeros(fits, np.int64)
    np.add.at(count, p.fit, replicas)
    parts = np.zeros(p.groups, np.int64)
    one = {int(f): j for j, f in enumerate(p.fit)}
    for f, j in one.items():
        if p.size[j] >= UNIT:
            part = int(count[f]) * int(p.size[j])
        else:
            full, rest = divmod(int(count[f]), int(p.per_machine[j]))
            part = full * UNIT + min(UNIT, rest * int(p.mixed_size[j]))
        parts[p.group[j]] += part
    return np.asarray(-(-parts // UNIT), np.int64)


def better(p: Problem, one: Solution, other: Solution) -> Solution:
    """Return the solution that misses less, in the order of the rules, or else the cheaper; *one* if they are equal."""
    first, second = (missed(p, one), objective(p, one)), (missed(p, other), objective(p, other))
    return one if first <= second else other


def missed(p: Problem, solution: Solution) -> tuple[float, ...]:
    """Return what a solution misses, the most important first: demand by priority class, then rules by level and class.

    In largest replicas, and in regions where they are too few. Credits count as far as stock is left.
    """
    x = solution.replicas
    by_level = [np.zeros(p.applications) for _ in range(1 + len(RULE_LEVELS))]
    for a in range(p.applications):
        for level, amount in enumerate(_missed_by(p, a, x, solution.machines)):
            by_level[level][a] = amount / (1 if level == 1 + SPREAD else max(int(p.slack[a]), 1))
    classes = sorted(set(p.priority.tolist()), reverse=True)
    return tuple(round(float(row[p.priority == c].sum()), 6) for row in by_level for c in classes)


def _missed_by(p: Problem, a: int, x: IntArray, machines: IntArray) -> tuple[int, int, int, int, int]:
    pairs = slice(int(p.first[a]), int(p.first[a + 1]))
    group, capacity = p.group[pairs], x[pairs] * p.capacity_per_replica[pairs]
    total, region = int(capacity.sum()), p.region[group]
    inside = np.bincount(region, capacity, minlength=len(p.head)).astype(np.int64)
    spot = np.bincount(region, capacity * p.is_spot[group], minlength=len(p.head)).astype(np.int64)
    survival = max(0, int(p.on_demand[a]) - total + int(spot.sum()))
    survival = max(survival, int((p.spot_left[a] - total + spot[spot > 0]).max(initial=0)))
    if p.kind[a] != NO_DOMAIN:
        domain = np.array([domain_of(p, a, int(g)) for g in group[capacity > 0]], np.int64)
        for d in np.unique(domain):
            lost = int(capacity[capacity > 0][domain == d].sum())
            credit = min(int(p.credit[a]), left_milli(p, a, int(d), stock_left(p, machines))) if p.credit[a] else 0
            survival = max(survival, int(p.required[a] + p.credit[a]) - total + lost - credit)
    floors, over = 0, int((inside - p.share[a] * total // PPM - p.slack[a]).max(initial=0))
    for f in range(int(p.floor_first[a]), int(p.floor_first[a + 1])):
        here = int(inside[p.place_has[p.floor_place[f]]].sum())
        floors = max(floors, int(p.floor_min[f]) - here)
        over = max(over, here - int(p.floor_max[f]) * total // PPM - int(p.slack[a]))
    scarce = max(0, int(p.min_regions[a]) - int((inside > 0).sum()))
    return max(0, int(p.demand[a]) - total), survival, floors, scarce, over


def broken_rules(p: Problem, solution: Solution) -> list[str]:
    """Return the hard rules that are broken, in whole numbers: no solver's tolerance counts here."""
    x, y = solution.replicas, solution.machines
    found = []
    if (x < 0).any() or (y < p.low).any() or (y > p.high).any():
        found.append("a count lies outside its bounds")
    if (machines_needed(p, x) > y).any():
        found.append("replicas need more machines than there are")
    if ((y > 0) & (y < p.min_batch) & (p.low == 0)).any():
        found.append("fewer machines than are sold at once")
    size = p.quota_size * y[np.repeat(np.arange(p.groups), np.diff(p.quota_first))]
    used = np.zeros(len(p.quota_headroom), np.int64)
    np.add.at(used, p.quota, size)
    if (used > p.quota_headroom).any():
        found.append("a quota is exceeded")
    return found
