"""The search as a whole: cold from prices, or warm from what exists.

It counts work, not seconds, so that equal problems have equal answers.
"""

from typing import Final, NamedTuple

import numpy as np

from scheduler.solve.problem import IntArray, Problem
from scheduler.solve.search.insert import SearchState, enter_counts, new_search
from scheduler.solve.search.prices import new_prices, update_prices
from scheduler.solve.search.rounding import ROUGH, round_stage, solo_choice
from scheduler.solve.search.ruin_and_recreate import REMOVED_MAX, RecreateSettings, best_response, recreate
from scheduler.solve.search.solution_state import new_solution

SEED: Final = 1
REPAIRS: Final = 4
TRIES: Final = 8
"""Rounds for each application that is short, in each mending."""
SEARCH: Final = RecreateSettings(
    temperature=0.02,
    noise=0.05,
    short=0.1,
    overpaying=0.2,
    scarcity_share=1.0,
    users_max=8,
    groups=2,
    budget=6,
    close_rate=0.0,
)
FEW: Final = SEARCH._replace(close_rate=0.4)
"""With a hundred applications a machine that is half empty is worth money; with a thousand another one fills it."""
FEW_APPLICATIONS: Final = 300
SMALL: Final = SEARCH._replace(noise=0.3, temperature=0.1, close_rate=0.7)
"""For a handful of applications, whole machines decide: bolder moves find the few good sets of them."""
SMALL_FLEET: Final = 50
PLACE_SHORT: Final = RecreateSettings(
    temperature=0.0,
    noise=0.3,
    short=1.0,
    overpaying=0.0,
    scarcity_share=0.5,
    users_max=1,
    groups=4,
    budget=20,
    close_rate=0.0,
)
AFTER_LOSS: Final = RecreateSettings(
    temperature=0.0,
    noise=0.05,
    short=0.7,
    overpaying=0.5,
    scarcity_share=0.5,
    users_max=3,
    groups=1,
    budget=20,
    close_rate=0.0,
)


STEADY: Final = 4
"""After a loss a replica that is started counts so many times its cost: fewer are, for next to nothing."""


class Schedule(NamedTuple):
    """How much a search does, in passes and rounds: the same on every machine."""

    passes: int
    """Over all applications, to find prices."""
    stages: int
    """In which the placement is made from them."""
    price_passes: int
    """Passes between stages."""
    rounds: int
    """Of ruin and recreate."""


def schedule_for(p: Problem, scale: float = 1.0) -> Schedule:
    """Return work in proportion to a problem's size: of small ones more is done for each application."""
    many = max(p.applications, 1)
    if many < FEW_APPLICATIONS:  # few large ones leave no prices to update between stages
        return Schedule(passes=70, stages=1, price_passes=0, rounds=round(scale * max(1_800, 18 * many)))
    if many < 3_000:  # noqa: PLR2004
        return Schedule(passes=60, stages=12, price_passes=8, rounds=round(scale * 1_800))
    return Schedule(passes=40, stages=6, price_passes=5, rounds=round(scale * 2_600))


def cold(p: Problem, schedule: Schedule, seed: int = SEED) -> SearchState:
    """Return a placement found without one to start from."""
    search = new_search(p, new_solution(p), new_prices(p), seed, REMOVED_MAX)
    order = by_importance(p)
    prices = search.prices
    update_prices(p, search.solution, search.scratch, prices, order, schedule.passes)
    group, quota = prices.group.copy(), prices.quota.copy()
    solo_choice(p, search, ROUGH)
    round_stage(p, search, order, schedule.stages, schedule.price_passes)
    prices.group[:], prices.quota[:] = group, quota
    best_response(p, search, order, 1.0)
    repair(p, search)
    recreate(p, search, schedule.rounds, settings_for(p))
    repair(p, search)
    return search


def settings_for(p: Problem) -> RecreateSettings:
    """Return how ruin and recreate goes about a problem of this size."""
    if p.applications < SMALL_FLEET:
        return SMALL
    return FEW if p.applications < FEW_APPLICATIONS else SEARCH


def repair(p: Problem, search: SearchState) -> None:
    """Try to place what is short by making headroom for it; what has no headroom at all stays short."""
    for _ in range(REPAIRS):
        short = int((search.solution.short > 0).sum())
        if short == 0:
            return
        recreate(p, search, TRIES * short, PLACE_SHORT)


def warm(p: Problem, schedule: Schedule) -> SearchState:
    """Return a placement found from what exists: it is kept as far as possible, and changed where that pays."""
    return keep_existing_and_repair(p, schedule.rounds // 4)


def keep_existing_and_repair(p: Problem, rounds: int) -> SearchState:
    """Return what exists, with applications that miss something placed anew, then *rounds* of improvement."""
    steady = p._replace(start_replica=p.start_replica * STEADY)
    search = new_search(steady, new_solution(steady), new_prices(steady), SEED, REMOVED_MAX)
    hit = keep_existing(steady, search)
    reassign(steady, search, hit, rounds)
    return search


def keep_existing(p: Problem, search: SearchState) -> IntArray:
    """Enter what runs now as far as it has headroom; return the applications that miss something then."""
    enter_counts(p, search, p.current)
    return np.flatnonzero(search.solution.short > 0)


def reassign(p: Problem, search: SearchState, hit: IntArray, rounds: int) -> None:
    """Place anew the applications that miss something, those that matter most first, then improve a little."""
    order = hit[np.argsort(-(p.weight * p.demand)[hit], kind="stable")]
    best_response(p, search, order.astype(np.int64), 0.0)
    recreate(p, search, rounds, AFTER_LOSS)


def by_importance(p: Problem) -> IntArray:
    """Return the applications in the order in which they are placed: by priority class and size."""
    return np.argsort(-(p.weight * p.demand), kind="stable").astype(np.int64)
