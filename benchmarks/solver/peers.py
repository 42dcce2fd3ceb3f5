"""The same instances by the methods of others, with the same rules: how they choose is theirs, the accounting is ours.

*Greedy with failover* (SkyPilot, SkyServe): each application takes the cheapest offer per unit of capacity that has
stock, then the next. *First-fit decreasing* (Karpenter): the largest replicas first, into room that is paid for before
anything is bought, then a consolidation that takes every application out once and keeps what got cheaper. *Per-replica
program* (Melange): a binary for each replica and offer, solved by CBC through PuLP. None of them knows the loss of a
region, so the first two spread over three domains, each with half of what must remain.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pulp

from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, UNIT, Problem
from scheduler.solve.search.solution_state import MACHINES, SolutionState, apply_delta, headroom, new_solution

CBC_SECONDS = 60
CBC_BINARIES = 60_000


@dataclass(frozen=True)
class Peer:
    """What a method came to."""

    name: str
    seconds: float
    cost: float | None
    """Dollars per hour; None where it found nothing."""
    shortages: int | None


def all_peers(p: Problem) -> list[Peer]:
    """Return what each method comes to."""
    return [
        _timed("greedy cheapest-first with failover", p, _greedy),
        _timed("first-fit decreasing with consolidation", p, _first_fit),
        _per_replica(p),
    ]


def _timed(name: str, p: Problem, method: Callable[[Problem, SolutionState], None]) -> Peer:
    started = time.process_time()
    solution = new_solution(p)
    method(p, solution)
    seconds = time.process_time() - started
    return Peer(
        name,
        seconds,
        float(solution.cost[MACHINES]) / 1e6,
        sum(shortages_of(p, solution, a) > 0 for a in range(p.applications)),
    )


def _greedy(p: Problem, b: SolutionState) -> None:
    for a in range(p.applications):
        _fill(p, b, a, lambda j: p.price[p.group[j]] * p.size[j] / p.capacity_per_replica[j])


def _first_fit(p: Problem, b: SolutionState) -> None:
    largest = np.array([p.size[p.first[a] : p.first[a + 1]].min(initial=UNIT) for a in range(p.applications)])
    order = np.argsort(-largest, kind="stable")

    def marginal(j: int) -> float:
        g = p.group[j]
        free = b.machines[g] * UNIT - b.used[g] >= p.size[j]
        return 0.0 if free else float(p.price[g] * p.size[j] / p.capacity_per_replica[j])

    for a in order:
        _fill(p, b, int(a), marginal)
    for a in order:  # consolidation: one at a time, kept where the bill falls
        pairs = np.arange(p.first[a], p.first[a + 1])
        had = {int(j): int(b.placed[j]) for j in pairs[b.placed[pairs] > 0]}
        before, missed = int(b.cost[MACHINES]), int(shortages_of(p, b, int(a)))
        for j, count in had.items():
            apply_delta(p, b, int(a), j, -count)
        _fill(p, b, int(a), marginal)
        if b.cost[MACHINES] > before or shortages_of(p, b, int(a)) > missed:
            for j in pairs[b.placed[pairs] > 0]:
                apply_delta(p, b, int(a), int(j), -int(b.placed[j]))
            for j, count in had.items():
                apply_delta(p, b, int(a), j, count)


def shortages_of(p: Problem, b: SolutionState, a: int) -> int:
    """Return what one application lacks."""
    pairs = slice(int(p.first[a]), int(p.first[a + 1]))
    capacity = b.placed[pairs] * p.capacity_per_replica[pairs]
    domains = np.bincount(_domains(p, a), capacity) if len(capacity) else np.zeros(1)
    short = max(0, int(p.demand[a]) - int(capacity.sum()))
    if p.kind[a] != NO_DOMAIN:
        short = max(short, int(p.required[a] - capacity.sum() + domains.max()))
    return short


def _domains(p: Problem, a: int) -> np.ndarray:
    groups = p.group[p.first[a] : p.first[a + 1]]
    return p.provider[groups] if p.kind[a] == PROVIDER else p.region[groups]


def _fill(p: Problem, b: SolutionState, a: int, cost: Callable[[int], float]) -> None:
    """Take offers in the order of their cost until the demand is served, half of what must remain in each domain."""
    low, high = int(p.first[a]), int(p.first[a + 1])
    survives = p.kind[a] != NO_DOMAIN and p.required[a] > 0
    level = -(-int(p.required[a]) // 2) if survives else 1 << 60
    target = max(int(p.demand[a]), int(p.required[a]) + level if survives else 0)
    domains = _domains(p, a)
    inside: dict[int, int] = {}
    regions: dict[int, int] = {}
    region_max = int(p.share[a]) * target // PPM + int(p.slack[a])
    spot_left = target - int(p.on_demand[a])
    total = 0
    for strict in (True, False):  # where three domains are not enough, the limit goes
        for j in sorted(range(low, high), key=lambda j: (cost(j), j)):
            if total >= target:
                return
            capacity, domain = int(p.capacity_per_replica[j]), int(domains[j - low])
            region = int(p.region[p.group[j]])
            here = min(target - total, region_max - regions.get(region, 0))
            if strict:
                here = min(here, level - inside.get(domain, 0) + capacity - 1)
            if p.is_spot[p.group[j]]:
                here = min(here, spot_left)
            count = min(int(headroom(p, b, j)), -(-here // capacity))
            if count <= 0:
                continue
            apply_delta(p, b, a, j, count)
            total += count * capacity
            inside[domain] = inside.get(domain, 0) + count * capacity
            regions[region] = regions.get(region, 0) + count * capacity
            if p.is_spot[p.group[j]]:
                spot_left -= count * capacity


def _per_replica(p: Problem) -> Peer:
    """A binary for each replica slot and pair; slots for the demand and what must remain of it."""
    name = "per-replica program with CBC"
    started = time.process_time()
    slots = [_slots(p, a) for a in range(p.applications)]
    binaries = sum(n * int(p.first[a + 1] - p.first[a]) for a, n in enumerate(slots))
    if binaries > CBC_BINARIES:
        return Peer(f"{name}: {binaries} binaries, not tried", 0.0, None, None)
    model = pulp.LpProblem("melange", pulp.LpMinimize)
    machines = [pulp.LpVariable(f"y{g}", 0, int(p.high[g]), cat="Integer") for g in range(p.groups)]
    x = {
        j: [pulp.LpVariable(f"x{j}_{n}", cat="Binary") for n in range(slots[a])]
        for a in range(p.applications)
        for j in range(int(p.first[a]), int(p.first[a + 1]))
    }
    model += pulp.lpSum(float(p.price[g]) / 1e6 * machines[g] for g in range(p.groups))
    for a in range(p.applications):
        pairs = range(int(p.first[a]), int(p.first[a + 1]))
        for n in range(slots[a]):
            model += pulp.lpSum(x[j][n] for j in pairs) <= 1
        carried = {j: int(p.capacity_per_replica[j]) * pulp.lpSum(x[j]) for j in pairs}
        model += pulp.lpSum(carried.values()) >= int(p.demand[a])
        domains = _domains(p, a)
        for domain in np.unique(domains) if p.kind[a] != NO_DOMAIN else ():
            others = [carried[j] for j in pairs if domains[j - pairs.start] != domain]
            model += pulp.lpSum(others) >= int(p.required[a])
    for g in range(p.groups):
        users = [float(p.size[j]) / UNIT * pulp.lpSum(x[j]) for j in map(int, np.flatnonzero(p.group == g))]
        if users:
            model += pulp.lpSum(users) <= machines[g]
    waited = time.perf_counter()
    model.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=CBC_SECONDS, threads=1))
    seconds = time.process_time() - started + time.perf_counter() - waited
    # PuLP calls what CBC has when its time is up "Optimal" too; `sol_status` tells whether there is a point at all.
    if model.sol_status not in {pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible}:
        return Peer(name, seconds, None, None)
    cost = sum(float(p.price[g]) / 1e6 * round(machines[g].value() or 0) for g in range(p.groups))
    return Peer(name, seconds, cost, 0)


def _slots(p: Problem, a: int) -> int:
    smallest = int(p.capacity_per_replica[p.first[a] : p.first[a + 1]].min(initial=1 << 60))
    return min(200, -(-2 * max(int(p.demand[a]), int(p.required[a])) // smallest) + 2)
