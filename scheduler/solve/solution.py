"""What a solver found: counts by pair and by group, and an exact check that they keep the problem's rules."""

from dataclasses import dataclass

import numpy as np

from scheduler.solve.problem import UNIT, IntArray, Problem


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


def broken_rules(p: Problem, solution: Solution) -> list[str]:
    """Return the hard rules that are broken, in whole numbers: no solver's tolerance counts here."""
    x, y = solution.replicas, solution.machines
    found = []
    if (x < 0).any() or (y < p.low).any() or (y > p.high).any():
        found.append("a count lies outside its bounds")
    alone = np.where(p.size > UNIT, x * (p.size // UNIT), -(-x // np.maximum(p.per_machine, 1)))
    if (alone > y[p.group]).any():
        found.append("replicas need more machines than there are")
    if ((y > 0) & (y < p.min_batch) & (p.low == 0)).any():
        found.append("fewer machines than are sold at once")
    size = p.quota_size * y[np.repeat(np.arange(p.groups), np.diff(p.quota_first))]
    used = np.zeros(len(p.quota_headroom), np.int64)
    np.add.at(used, p.quota, size)
    if (used > p.quota_headroom).any():
        found.append("a quota is exceeded")
    return found
