"""Insert one application into the solution, and remove it.

What a replica costs at the margin: nothing in a machine that is paid for anyway, else its share of a machine, of the
scarcity prices, and of the region's head where that does not exist yet; and its move, where it does not run there
already. The shares are an estimate, since others may fill the machine or not; the caller compares true totals.
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, FloatArray, IntArray, Problem
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.prices import Prices
from scheduler.solve.search.random_numbers import uniform
from scheduler.solve.search.scratch import (
    ITEMS,
    Scratch,
    add_candidate,
    assign,
    clear,
    fits_shape,
    missing,
    new_scratch,
    unserved_of,
)
from scheduler.solve.search.solution_state import SolutionState, apply_delta, headroom, headroom_on, set_short
from scheduler.solve.search.subproblem import solve_subproblem

ALONE = 0.5
"""How often no other application is expected to fill the rest of a new machine."""


class SearchState(NamedTuple):
    """Everything a search works with, beside the problem."""

    solution: SolutionState
    scratch: Scratch
    prices: Prices
    seed: IntArray
    owner: IntArray
    """The application of each pair."""
    user_first: IntArray
    """Pairs on group g: `user[user_first[g]:user_first[g + 1]]`."""
    user: IntArray
    solo_choice: IntArray
    """Of each pair, how many replicas its application would choose if it were alone at the prices."""
    ideal: FloatArray
    """What each application would pay then."""
    worst: IntArray
    """The applications, by falling excess over their cost alone."""
    out: IntArray
    """Applications that are removed."""
    saved_pair: IntArray
    saved_count: IntArray
    saved_short: IntArray
    saved_unserved: IntArray
    """By application."""
    closed: IntArray
    """[0]: the group of which a machine is closed for a round, or -1; [1]: how many of it there may be."""
    saved: IntArray
    """[0]: how many pairs are saved, to be restored."""


def new_search(p: Problem, solution: SolutionState, prices: Prices, seed: int, removed_max: int) -> SearchState:
    """Return the state of a search for *p*; at most *removed_max* applications are removed at a time."""
    order = np.argsort(p.group, kind="stable")
    user_first = np.searchsorted(p.group[order], np.arange(p.groups + 1)).astype(np.int64)
    widest = removed_max * int(np.max(np.diff(p.first), initial=1))
    return SearchState(
        solution=solution,
        scratch=new_scratch(p),
        prices=prices,
        seed=np.array([seed], np.int64),
        owner=p.owner,
        user_first=user_first,
        user=order.astype(np.int64),
        solo_choice=np.zeros(p.pairs, np.int64),
        ideal=np.zeros(p.applications, np.float64),
        worst=np.arange(p.applications, dtype=np.int64),
        out=np.zeros(removed_max, np.int64),
        saved_pair=np.zeros(widest, np.int64),
        saved_count=np.zeros(widest, np.int64),
        saved_short=np.zeros(p.applications, np.int64),
        saved_unserved=np.zeros(p.applications, np.int64),
        closed=np.array([-1, 0], np.int64),
        saved=np.zeros(1, np.int64),
    )


@compiled
def remove(p: Problem, b: SolutionState, a: int) -> None:
    """Take all replicas of an application out."""
    for j in range(p.first[a], p.first[a + 1]):
        if b.placed[j] > 0:
            apply_delta(p, b, a, j, -b.placed[j])


@compiled
def insert(p: Problem, w: SearchState, a: int, scarcity_share: float, noise: float, budget: int) -> None:
    """Place an application that is out, as cheaply as its planner can.

    *scarcity_share* is the share of the scarcity prices that counts, *noise* how far marginal costs are blurred.
    """
    add_candidates(p, w, a, scarcity_share, noise)
    enter_solution(p, w, a, budget)


@compiled
def add_candidates(p: Problem, w: SearchState, a: int, scarcity_share: float, noise: float) -> None:
    """Lay out all that an application may have, at what it costs at the margin."""
    b, d = w.solution, w.scratch
    machines, group_price, quota_price = b.machines, w.prices.group, w.prices.quota
    alone = uniform(w.seed) < ALONE
    d.now[ITEMS] = 0
    for j in range(p.first[a], p.first[a + 1]):
        g = p.group[j]
        size = p.size[j]
        price = p.price[g] + scarcity_share * group_price[g]
        for k in range(p.quota_first[g], p.quota_first[g + 1]):
            price += scarcity_share * p.quota_size[k] * quota_price[p.quota[k]]
        replicas_max = headroom(p, b, j)
        if replicas_max <= 0:
            continue
        if machines[g] >= p.existing[g]:
            price += p.start[g]
        if b.in_region[p.region[g]] == 0:
            price += p.head[p.region[g]]
        share = size / UNIT
        if alone and machines[g] == 0:
            share = max(share, p.capacity_per_replica[j] / max(p.demand[a], p.capacity_per_replica[j]))
        bought = price * share * (1.0 + noise * (2 * uniform(w.seed) - 1))
        free = min(replicas_max, headroom_on(p, b, j, machines[g]))
        kept = min(replicas_max, p.current[j])
        _add_pair(p, d, a, j, (replicas_max, free, kept), bought)


@compiled
def _add_pair(p: Problem, d: Scratch, a: int, j: int, counts: tuple[int, int, int], bought: float) -> None:
    """Add a pair as one item or more.

    *counts*: replicas that fit in all, in machines that are paid for, and of those that run already.
    """
    replicas_max, free, kept = counts
    at = 0
    while at < replicas_max:
        until = replicas_max
        if at < free:
            until = min(until, free)
        if at < kept:
            until = min(until, kept)
        cost = p.extra[j] + (0.0 if at < free else bought) + (0.0 if at < kept else p.start_replica[a])
        add_candidate(p, d, a, j, cost, until - at)
        at = until


@compiled
def enter_solution(p: Problem, w: SearchState, a: int, budget: int) -> None:
    """Solve an application's subproblem and enter the choice; solve again where two items used the same headroom."""
    b, d = w.solution, w.scratch
    for _ in range(3):
        solve_subproblem(p, d, a, w.prices.spread, budget)
        if not _enter(p, b, d, a):
            break
        remove(p, b, a)
        n = d.now[ITEMS]
        for i in range(n):
            d.limit[i] = d.best[i]
    set_short(p, b, a, missing(p, d, a), unserved_of(p, d, a))
    clear(d)


@compiled
def _enter(p: Problem, b: SolutionState, d: Scratch, a: int) -> bool:
    """Enter the choice; return whether two items used the same headroom, so that something was cut.

    What was cut is left in `best` as the limit of the next attempt.
    """
    cut = False
    for i in range(d.now[ITEMS]):
        d.best[i] = d.limit[i]
        if d.x[i] <= 0:
            continue
        j = d.pair[i]
        n = min(d.x[i], headroom(p, b, j))
        if n < d.x[i]:
            cut = True
            d.best[i] = n
            assign(d, i, n - d.x[i])
        if n > 0:
            apply_delta(p, b, a, j, n)
    return cut


@compiled
def enter_counts(p: Problem, w: SearchState, counts: IntArray) -> None:
    """Enter replicas by pair into an empty solution as far as there is headroom, one shape in a region at most."""
    b, d = w.solution, w.scratch
    for a in range(len(p.demand)):
        d.now[ITEMS] = 0
        for j in range(p.first[a], p.first[a + 1]):
            count = min(counts[j], headroom(p, b, j)) if counts[j] > 0 else 0
            if count == 0:
                continue
            i = d.now[ITEMS]
            add_candidate(p, d, a, j, 0.0, count)
            if not p.one_shape[a] or fits_shape(d.replicas_in, d.shape_in, d.region[i], d.shape[i]):
                assign(d, i, count)
                apply_delta(p, b, a, j, count)
        set_short(p, b, a, missing(p, d, a), unserved_of(p, d, a))
        clear(d)


@compiled
def remove_and_save(p: Problem, w: SearchState, a: int, k: int) -> None:
    """Take an application out as the k-th, and remember how it stood."""
    b = w.solution
    if k == 0:
        w.saved[0] = 0
    for j in range(p.first[a], p.first[a + 1]):
        if b.placed[j] > 0:
            w.saved_pair[w.saved[0]] = j
            w.saved_count[w.saved[0]] = b.placed[j]
            w.saved[0] += 1
    w.out[k] = a
    w.saved_short[a] = b.short[a]
    w.saved_unserved[a] = b.unserved[a]
    remove(p, b, a)


@compiled
def restore_saved(p: Problem, w: SearchState, n: int) -> None:
    """Put the *n* applications that are out back to where they stood."""
    b = w.solution
    for k in range(n):
        remove(p, b, w.out[k])
    for k in range(w.saved[0]):
        apply_delta(p, b, w.owner[w.saved_pair[k]], w.saved_pair[k], w.saved_count[k])
    for k in range(n):
        set_short(p, b, w.out[k], w.saved_short[w.out[k]], w.saved_unserved[w.out[k]])
