"""Measure one size in this process, and print what was measured as a line of JSON."""

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.solver.instances import SIZES, Instance, make
from benchmarks.solver.peers import all_peers
from scheduler.solve.assemble import assemble
from scheduler.solve.bound import lagrangean_bound, paid_back
from scheduler.solve.highs import Unsolved, minimise, relaxed
from scheduler.solve.problem import NO_DOMAIN, Problem
from scheduler.solve.program import build
from scheduler.solve.search import engine
from scheduler.solve.search.insert import SearchState
from scheduler.solve.search.merge import MERGED_APPLICATIONS, merged
from scheduler.solve.search.prices import Prices, new_prices
from scheduler.solve.solution import Solution, broken_rules
from state.model.settings import PROOF

RESOLVE_ROUNDS = {"S": 60, "M": 60, "L": 100, "XL": 200}
CURVE = {"S": (0.1, 0.3, 1, 3), "M": (0.1, 0.3, 1, 3), "L": (0.1, 0.5, 1, 4), "XL": (0.1, 1, 3)}
"""Multiples of the usual work, for the plot."""
MORE = {"S": 10, "M": 10, "L": 15, "XL": 40}
"""The multiple whose time is about ten times as long; what it finds is the best known."""
OTHER_SEEDS = {"S": 7, "M": 5}


def main() -> None:
    """Measure the size that the command line names."""
    name, prices, quick = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "1"
    small = make(SIZES["S"], prices)
    for warmed in (_formulated(small),):  # load the compiled code
        search = _searched(warmed, 0.01)
        _death(warmed, search, 5)
    instance = make(SIZES[name], prices)
    started = time.process_time()
    p = _formulated(instance)
    search = _searched(p, 1)
    seconds = time.process_time() - started
    cost, short = _cost(search), int((search.solution.short > 0).sum())
    found = broken_rules(p, Solution(search.solution.placed, search.solution.machines, None))
    if found:
        sys.exit(f"a rule is broken: {found}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts: dict[str, Any] = {
        "size": name,
        "applications": p.applications,
        "groups": p.groups,
        "pairs": p.pairs,
        "replicas": int(search.solution.placed.sum()),
        "source": instance.source,
        "seed": instance.size.seed,
        "seconds": seconds,
        "cost": cost,
        "shortages": short,
        "peak_memory_mib": memory,
        **_death(_formulated(instance, moving=True), search, RESOLVE_ROUNDS[name]),
    }
    facts |= {"best_known": cost, "bound": None, "bound_kind": "best_known", "exact": None, "curve": []}
    if not quick:
        _against_more_time(p, name, facts)
        _against_a_bound(p, name, search, facts)
        facts["other_seeds"] = _other_seeds(name, prices)
    facts["gap"] = cost / (facts["bound"] or facts["best_known"]) - 1
    facts["peers"] = [vars(peer) for peer in all_peers(p)]
    print(json.dumps(facts))


def _other_seeds(name: str, prices: Path) -> list[dict[str, float]]:
    """Return how far other instances of a small size end from what ten times the work finds: one alone is luck."""
    found = []
    for seed in range(1, 1 + OTHER_SEEDS.get(name, 0)):
        p = _formulated(make(replace(SIZES[name], seed=seed), prices))
        started = time.process_time()
        cost = _cost(_searched(p, 1))
        seconds = time.process_time() - started
        best = min(cost, _cost(_searched(p, MORE[name])))
        found.append({"seed": seed, "seconds": seconds, "cost": cost, "best_known": best, "gap": cost / best - 1})
    return found


def _formulated(instance: Instance, *, moving: bool = False) -> Problem:
    """Return the problem; moves cost nothing where nothing exists."""
    p = assemble(instance.table, instance.applications, instance.bounds, instance.limits)
    return p if moving else p._replace(start_replica=np.zeros_like(p.start_replica))


def _searched(p: Problem, scale: float) -> SearchState:
    """Return a placement found as the solver would find it with nothing existing."""
    if p.applications <= MERGED_APPLICATIONS:
        return merged(p, np.zeros(len(p.head), np.int64), scale)
    return engine.cold(p, engine.schedule_for(p, scale))


def _cost(search: SearchState) -> float:
    """Return dollars per hour: machines and expected interruptions."""
    return float(search.solution.cost.sum()) / 1e6


def _death(p: Problem, search: SearchState, rounds: int) -> dict[str, object]:
    """Let the region that carries most spend die, check what the others carry, and place again what it carried."""
    placed, machines = search.solution.placed, search.solution.machines
    spend = np.bincount(p.region, p.price * machines, minlength=len(p.head))
    dead = int(np.argmax(spend))
    gone = p.region == dead
    lost = placed * gone[p.group]
    left = placed - lost
    hit = np.unique(search.owner[lost > 0])
    after = p._replace(current=left, high=np.where(gone, 0, p.high), existing=np.where(gone, 0, machines))
    carried = np.bincount(search.owner, left * p.capacity_per_replica, minlength=p.applications)
    whole = search.solution.short[hit] == 0
    promised = np.where(p.kind[hit] == NO_DOMAIN, 0, p.required[hit])
    started = time.process_time()
    again = engine.keep_existing_and_repair(after, rounds)
    seconds = time.process_time() - started
    return {
        "resolve_seconds": seconds,
        "lost": int(lost.sum()),
        "started": int(np.maximum(again.solution.placed - left, 0).sum()),
        "resolve_shortages": int((again.solution.short > 0).sum()),
        "survivors_carry": bool((carried[hit] >= promised)[whole].all()),
        "share_of_spend": float(spend[dead] / spend.sum()),
    }


def _against_more_time(p: Problem, name: str, facts: dict[str, Any]) -> None:
    """Run the search with other amounts of work, and for ten times as long: what that finds is the best known."""
    for scale in (*CURVE[name], MORE[name]):
        started = time.process_time()
        search = _searched(p, scale)
        point = {"seconds": time.process_time() - started, "cost": _cost(search), "scale": scale}
        point["shortages"] = int((search.solution.short > 0).sum())
        facts["curve"].append(point)
    facts["best_known"] = min([facts["cost"], *(point["cost"] for point in facts["curve"])])


def _against_a_bound(p: Problem, name: str, search: SearchState, facts: dict[str, Any]) -> None:
    if name == "S":
        _exact(p, search, facts)
    elif name == "L":
        prices = _dual_prices(p)
        bound, _ = lagrangean_bound(p, prices, range(p.applications))
        facts["bound"] = (bound - paid_back(p, prices)) / 1e6
        facts["bound_kind"] = "integer_lagrangean"


def _dual_prices(p: Problem) -> Prices:
    """Return the shadow prices of stock and quotas in the linear relaxation: any would do for the bound, these well."""
    program, columns = build(p, np.zeros(len(p.head), np.int64))
    duals = relaxed(program)
    prices = new_prices(p)
    prices.group[:] = np.maximum(0.0, -duals.columns[columns.machines]) * 1e6
    for (what, number, _), row in columns.rows.items():
        if what == "stock":
            prices.group[number] += max(0.0, -duals.rows[row]) * 1e6
        elif what == "quota":
            prices.quota[number] = max(0.0, -duals.rows[row]) * 1e6
    return prices


def _exact(p: Problem, search: SearchState, facts: dict[str, Any]) -> None:
    """HiGHS on the whole, started from the search's answer; what it proves is the bound."""
    program, columns = build(p, np.zeros(len(p.head), np.int64))
    hint = columns.at(search.solution.placed, search.solution.machines)
    started = time.process_time()
    point = minimise(program, PROOF, start=hint)
    seconds = time.process_time() - started
    if isinstance(point, Unsolved):
        return
    facts["exact"] = {"seconds": seconds, "cost": point.objective, "gap": point.gap, "nodes": point.nodes}
    facts["best_known"] = min(facts["best_known"], point.objective)
    facts["bound"] = point.objective * (1 - point.gap)
    facts["bound_kind"] = "mip"


if __name__ == "__main__":
    main()
