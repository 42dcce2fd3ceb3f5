"""The search as a whole: cold from prices, or warm from what stands.

It counts work, not seconds, so that equal problems have equal answers.
"""

from typing import Final, NamedTuple

import numpy as np

from scheduler.solve.problem import NO_DOMAIN, PROVIDER, ZONE, IntArray, Problem
from scheduler.solve.search.insert import SearchState, enter_current, new_bench
from scheduler.solve.search.ledger import new_books
from scheduler.solve.search.prices import new_prices, update_prices
from scheduler.solve.search.recreate import MOST_OUT, Knobs, recreate, respond
from scheduler.solve.search.rounding import ROUGH, round_stage, solo_choice

SEED: Final = 1
MENDINGS: Final = 4
TRIES: Final = 8
"""Rounds for each application that is short, in each mending."""
SEARCH: Final = Knobs(
    heat=0.02, noise=0.05, short=0.1, wronged=0.2, rent=1.0, together=8, groups=2, budget=6, closing=0.0
)
FEW: Final = SEARCH._replace(closing=0.4)
"""Of a hundred applications a machine that is half empty is worth money; of a thousand somebody always fills it."""
FEW_APPLICATIONS: Final = 300
SMALL: Final = SEARCH._replace(noise=0.3, heat=0.1, closing=0.7)
"""For a handful of applications, whole machines decide: bolder moves find the few good sets of them."""
SMALL_FLEET: Final = 50
MEND: Final = Knobs(heat=0.0, noise=0.3, short=1.0, wronged=0.0, rent=0.5, together=1, groups=4, budget=20, closing=0.0)
REPAIR: Final = Knobs(
    heat=0.0, noise=0.05, short=0.7, wronged=0.5, rent=0.5, together=3, groups=1, budget=20, closing=0.0
)


STEADY: Final = 4
"""After a loss a replica that is started counts so many times its cost: fewer are, for next to nothing."""


class Work(NamedTuple):
    """How much a search does."""

    passes: int
    """Over all applications, to find prices."""
    stages: int
    """In which the placement is made from them."""
    settling: int
    """Passes between stages."""
    rounds: int
    """Of ruin and recreate."""


def usual_work(p: Problem, scale: float = 1.0) -> Work:
    """Return work in proportion to a problem's size: of small ones more is done for each application."""
    many = max(p.applications, 1)
    if many < FEW_APPLICATIONS:  # few large ones leave nothing to settle between stages
        return Work(passes=70, stages=1, settling=0, rounds=round(scale * max(1_800, 18 * many)))
    if many < 3_000:  # noqa: PLR2004
        return Work(passes=60, stages=12, settling=8, rounds=round(scale * 1_800))
    return Work(passes=40, stages=6, settling=5, rounds=round(scale * 2_600))


def cold(p: Problem, work: Work, seed: int = SEED) -> SearchState:
    """Return a placement found without one to start from."""
    bench = new_bench(p, new_books(p), new_prices(p), seed, MOST_OUT)
    order = by_importance(p)
    prices = bench.prices
    update_prices(p, bench.books, bench.scratch, prices, order, work.passes)
    group, quota = prices.group.copy(), prices.quota.copy()
    solo_choice(p, bench, ROUGH)
    round_stage(p, bench, order, work.stages, work.settling)
    prices.group[:], prices.quota[:] = group, quota
    respond(p, bench, order, 1.0)
    repair(p, bench)
    recreate(p, bench, work.rounds, usual_knobs(p))
    repair(p, bench)
    return bench


def usual_knobs(p: Problem) -> Knobs:
    """Return how ruin and recreate goes about a problem of this size."""
    if p.applications < SMALL_FLEET:
        return SMALL
    return FEW if p.applications < FEW_APPLICATIONS else SEARCH


def repair(p: Problem, bench: SearchState) -> None:
    """Try to place what is short by making room for it; what has no room at all stays short."""
    for _ in range(MENDINGS):
        short = int((bench.books.short > 0).sum())
        if short == 0:
            return
        recreate(p, bench, TRIES * short, MEND)


def warm(p: Problem, work: Work) -> SearchState:
    """Return a placement found from what stands: it is kept as far as it can be, and changed where that pays."""
    return keep_standing_and_repair(p, work.rounds // 4)


def keep_standing_and_repair(p: Problem, rounds: int) -> SearchState:
    """Return what stands, with what misses something placed anew, and so many rounds of improvement."""
    steady = p._replace(start_replica=p.start_replica * STEADY)
    bench = new_bench(steady, new_books(steady), new_prices(steady), SEED, MOST_OUT)
    hit = keep_standing(steady, bench)
    reassign(steady, bench, hit, rounds)
    return bench


def keep_standing(p: Problem, bench: SearchState) -> IntArray:
    """Enter what runs now as far as it still has room; return the applications that miss something then."""
    short = shortages(p, p.current)
    enter_current(p, bench, short)
    return np.flatnonzero(bench.books.short > 0)


def reassign(p: Problem, bench: SearchState, hit: IntArray, rounds: int) -> None:
    """Place anew the applications that miss something, those that matter most first, then improve a little."""
    order = hit[np.argsort(-(p.weight * p.demand)[hit], kind="stable")]
    respond(p, bench, order.astype(np.int64), 0.0)
    recreate(p, bench, rounds, REPAIR)


def by_importance(p: Problem) -> IntArray:
    """Return the applications in the order in which they are placed: by priority class and size."""
    return np.argsort(-(p.weight * p.demand), kind="stable").astype(np.int64)


def shortages(p: Problem, counts: IntArray) -> IntArray:
    """Return by application the most by which demand, a loss or the floor on demand is missed."""
    owner = p.owner
    capacity = counts * p.each
    total = np.bincount(owner, capacity, minlength=p.applications).astype(np.int64)
    short = np.maximum(p.demand - total, 0)
    if not p.pairs:
        return np.maximum(p.demand, np.where(p.kind == NO_DOMAIN, 0, p.required)).astype(np.int64)
    kind, g = p.kind[owner], p.group
    domain = np.select([kind == ZONE, kind == PROVIDER], [p.zone[g], p.provider[g]], p.region[g])
    width = int(domain.max()) + 1
    inside = np.bincount(owner * width + domain, capacity, minlength=p.applications * width)
    most = inside.reshape(p.applications, width).max(axis=1).astype(np.int64)
    survived = np.where(p.kind == NO_DOMAIN, 0, p.required - total + most)
    spot = np.bincount(owner, capacity * p.is_spot[p.group], minlength=p.applications).astype(np.int64)
    missing: IntArray = np.maximum.reduce([short, survived, p.on_demand - total + spot])
    return missing
