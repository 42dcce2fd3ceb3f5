"""The solution of a search: replicas per pair, use and machines per group, and its cost, to the micro-dollar.

Every change goes through `apply_delta`, which keeps stock, quotas and money consistent; the same with the opposite
sign undoes it. Machines follow from use, so no state holds a GPU that no machine has.
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, FloatArray, IntArray, Problem
from scheduler.solve.search.jit import compiled

RULES_MISSED = 4
"""Levels of rules: `scratch.missing` counts what is missed at each."""
EVERY_RULE = 2 * RULES_MISSED
"""What demand that is not served counts there: it misses every level, and once more as much."""
LEAST_MISSED = 16
"""To keep a rule that is missed by a little may take a replica in each of so many places."""
MACHINES, REPLICAS = 0, 1
"""Where `SolutionState.cost` keeps the cost of machines with their heads, and that of replicas."""


class SolutionState(NamedTuple):
    """What is placed."""

    placed: IntArray
    """Replicas, by pair."""
    used: IntArray
    """By group, in UNITs."""
    machines: IntArray
    quota_used: IntArray
    in_region: IntArray
    """Machines, by region: a region with any has a head."""
    cost: IntArray
    short: IntArray
    """By how much each application misses what it requires, all its rules together: `scratch.missing`."""
    unserved: IntArray
    """Of that, demand without a replica."""
    fitted: IntArray
    """Replicas of one size on a group: by the problem's `fit`."""
    weighted: FloatArray
    """[0]: the cost of everything that is short."""


def new_solution(p: Problem) -> SolutionState:
    """Return a state with nothing but the machines that must not be touched."""
    solution = SolutionState(
        placed=np.zeros(p.pairs, np.int64),
        used=np.zeros(p.groups, np.int64),
        machines=np.zeros(p.groups, np.int64),
        quota_used=np.zeros(len(p.quota_headroom), np.int64),
        in_region=np.zeros(len(p.head), np.int64),
        cost=np.zeros(2, np.int64),
        short=np.zeros(p.applications, np.int64),
        unserved=np.zeros(p.applications, np.int64),
        fitted=np.zeros(int(p.fit.max(initial=-1)) + 1, np.int64),
        weighted=np.zeros(1, np.float64),
    )
    fill_initial(p, solution)
    return solution


@compiled
def fill_initial(p: Problem, b: SolutionState) -> None:
    """Enter the machines that must not be touched, and everything else as short."""
    for g in range(len(p.price)):
        set_machines(p, b, g, machines_for(p, g, 0))
    for a in range(len(p.demand)):
        set_short(p, b, a, EVERY_RULE * p.demand[a], p.demand[a])


@compiled
def set_short(p: Problem, b: SolutionState, a: int, short: int, unserved: int) -> None:
    """Enter by how much an application misses its rules, and how much of its demand."""
    b.weighted[0] += penalty(p, a, short, unserved) - penalty(p, a, b.short[a], b.unserved[a])
    b.short[a] = short
    b.unserved[a] = unserved


@compiled
def penalty(p: Problem, a: int, short: int, unserved: int) -> float:
    """Return what it costs to be short: never less than for some replicas, so that the last ones are never saved."""
    cost = 0.0
    if short > 0:
        cost += p.soft_weight[a] * (short / RULES_MISSED + LEAST_MISSED * p.slack[a])
    if unserved > 0:
        cost += p.weight[a] * (unserved + LEAST_MISSED * p.slack[a])
    return cost


@compiled
def part_of(p: Problem, j: int, n: int) -> int:
    """Return what *n* replicas of a pair's size take of their group's machines, in UNITs.

    Machines that they fill are theirs; the rest takes places beside others, or a machine where that is less.
    """
    if p.size[j] >= UNIT:
        return int(n * p.size[j])
    full = n // p.per_machine[j]
    return int(full * UNIT + min(UNIT, (n - full * p.per_machine[j]) * p.mixed_size[j]))


@compiled
def headroom_on(p: Problem, b: SolutionState, j: int, machines: int) -> int:
    """Return how many more replicas of a pair so many machines of its group can hold."""
    g = p.group[j]
    here = b.fitted[p.fit[j]]
    free = machines * UNIT - (b.used[g] - part_of(p, j, here))
    if free <= 0:
        return 0
    if p.size[j] >= UNIT:
        return int(max(0, free // p.size[j] - here))
    rest = min(p.per_machine[j] - 1, free % UNIT // p.mixed_size[j])
    return int(max(0, free // UNIT * p.per_machine[j] + rest - here))


@compiled
def machines_for(p: Problem, g: int, used: int) -> int:
    """Return how many machines of a group have that many UNITs."""
    n = -(-used // UNIT)
    if n > 0:
        n = max(n, p.min_batch[g])
    return int(max(n, p.low[g]))


@compiled
def set_machines(p: Problem, b: SolutionState, g: int, n: int) -> None:
    """Enter a new number of machines of a group."""
    old = b.machines[g]
    if n == old:
        return
    r = p.region[g]
    more = max(0, n - p.existing[g]) - max(0, old - p.existing[g])
    b.cost[MACHINES] += p.price[g] * (n - old) + p.start[g] * more
    had = b.in_region[r]
    b.in_region[r] += n - old
    if had == 0:
        b.cost[MACHINES] += p.head[r]
    elif b.in_region[r] == 0:
        b.cost[MACHINES] -= p.head[r]
    for k in range(p.quota_first[g], p.quota_first[g + 1]):
        b.quota_used[p.quota[k]] += p.quota_size[k] * (n - old)
    b.machines[g] = n


@compiled
def apply_delta(p: Problem, b: SolutionState, a: int, j: int, n: int) -> None:
    """Place *n* more replicas of a pair; fewer, where *n* is negative."""
    old = b.placed[j]
    g = p.group[j]
    b.placed[j] = old + n
    here = b.fitted[p.fit[j]]
    b.used[g] += part_of(p, j, here + n) - part_of(p, j, here)
    b.fitted[p.fit[j]] = here + n
    set_machines(p, b, g, machines_for(p, g, b.used[g]))
    more = max(0, old + n - p.current[j]) - max(0, old - p.current[j])
    b.cost[REPLICAS] += p.extra[j] * n + p.start_replica[a] * more


@compiled
def most_machines(p: Problem, b: SolutionState, g: int) -> int:
    """Return how many machines of a group there may be, by stock and by what its quotas have left."""
    machines_max = p.high[g]
    for k in range(p.quota_first[g], p.quota_first[g + 1]):
        q = p.quota[k]
        machines_max = min(machines_max, b.machines[g] + (p.quota_headroom[q] - b.quota_used[q]) // p.quota_size[k])
    if machines_max < p.min_batch[g]:
        machines_max = 0
    return int(max(machines_max, p.low[g]))


@compiled
def headroom(p: Problem, b: SolutionState, j: int) -> int:
    """Return how many more replicas of a pair can be placed."""
    return headroom_on(p, b, j, most_machines(p, b, p.group[j]))


@compiled
def total(b: SolutionState) -> float:
    """Return what is to be made small: money, and what is short at its weight."""
    return float(float(b.cost[MACHINES] + b.cost[REPLICAS]) + b.weighted[0])
