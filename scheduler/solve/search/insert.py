"""Putting one application into the books, and taking it out.

What a replica costs at the margin: nothing in a machine that is paid for anyway, else its share of a machine, of the
scarcity prices, and of the region's head where that does not stand yet; and its move, where it does not run there
already. The shares are an estimate, since others may fill the machine or not; whoever calls compares true totals.
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, FloatArray, IntArray, Problem
from scheduler.solve.search.chance import uniform
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.ledger import SolutionState, most_machines, put, room, set_short
from scheduler.solve.search.planner import plan
from scheduler.solve.search.prices import Prices
from scheduler.solve.search.scratch import ITEMS, Scratch, add_candidate, clear, missing, new_desk, take

ALONE = 0.5
"""How often nobody else is expected to fill the rest of a new machine."""


class SearchState(NamedTuple):
    """Everything a search works with, beside the problem."""

    books: SolutionState
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
    """The applications, who is worst off first."""
    out: IntArray
    """Applications that were taken out."""
    kept_pair: IntArray
    kept_count: IntArray
    kept_short: IntArray
    """By application."""
    closed: IntArray
    """[0]: the group of which a machine is closed for a round, or -1; [1]: how many of it there may be."""
    kept: IntArray
    """[0]: how many pairs are kept aside, to be put back."""


def new_bench(p: Problem, books: SolutionState, prices: Prices, seed: int, most_out: int) -> SearchState:
    """Return a bench for *p*; at most *most_out* applications are out at a time."""
    order = np.argsort(p.group, kind="stable")
    user_first = np.searchsorted(p.group[order], np.arange(p.groups + 1)).astype(np.int64)
    widest = most_out * int(np.max(np.diff(p.first), initial=1))
    return SearchState(
        books=books,
        scratch=new_desk(p),
        prices=prices,
        seed=np.array([seed], np.int64),
        owner=p.owner,
        user_first=user_first,
        user=order.astype(np.int64),
        solo_choice=np.zeros(p.pairs, np.int64),
        ideal=np.zeros(p.applications, np.float64),
        worst=np.arange(p.applications, dtype=np.int64),
        out=np.zeros(most_out, np.int64),
        kept_pair=np.zeros(widest, np.int64),
        kept_count=np.zeros(widest, np.int64),
        kept_short=np.zeros(p.applications, np.int64),
        closed=np.array([-1, 0], np.int64),
        kept=np.zeros(1, np.int64),
    )


@compiled
def remove(p: Problem, b: SolutionState, a: int) -> None:
    """Take all replicas of an application out."""
    for j in range(p.first[a], p.first[a + 1]):
        if b.placed[j] > 0:
            put(p, b, a, j, -b.placed[j])


@compiled
def insert(p: Problem, w: SearchState, a: int, rent: float, noise: float, budget: int) -> None:
    """Place an application that is out, as cheaply as its planner can.

    *rent* is the share of the scarcity prices that counts, *noise* how far marginal costs are blurred.
    """
    lay_out_open(p, w, a, rent, noise)
    enter_plan(p, w, a, budget)


@compiled
def lay_out_open(p: Problem, w: SearchState, a: int, rent: float, noise: float) -> None:
    """Lay out all that an application may have, at what it costs at the margin."""
    b, d = w.books, w.scratch
    machines, used, group_price, quota_price = b.machines, b.used, w.prices.group, w.prices.quota
    alone = uniform(w.seed) < ALONE
    d.now[ITEMS] = 0
    for j in range(p.first[a], p.first[a + 1]):
        g = p.group[j]
        size = p.size[j]
        price = p.price[g] + rent * group_price[g]
        for k in range(p.quota_first[g], p.quota_first[g + 1]):
            price += rent * p.quota_size[k] * quota_price[p.quota[k]]
        most = (most_machines(p, b, g) * UNIT - used[g]) // size
        if most <= 0:
            continue
        if machines[g] >= p.standing[g]:
            price += p.start[g]
        if b.in_region[p.region[g]] == 0:
            price += p.head[p.region[g]]
        share = size / UNIT
        if alone and machines[g] == 0:
            share = max(share, p.each[j] / max(p.demand[a], p.each[j]))
        bought = price * share * (1.0 + noise * (2 * uniform(w.seed) - 1))
        free = min(most, max(0, machines[g] * UNIT - used[g]) // size)
        kept = min(most, p.current[j])
        _lay_out_pair(p, d, a, j, (most, free, kept), bought)


@compiled
def _lay_out_pair(p: Problem, d: Scratch, a: int, j: int, room: tuple[int, int, int], bought: float) -> None:
    """Lay out a pair as one item or more: *room* in all, in machines that are paid for, and for what runs already."""
    most, free, kept = room
    at = 0
    while at < most:
        until = most
        if at < free:
            until = min(until, free)
        if at < kept:
            until = min(until, kept)
        cost = p.extra[j] + (0.0 if at < free else bought) + (0.0 if at < kept else p.start_replica[a])
        add_candidate(p, d, a, j, cost, until - at)
        at = until


@compiled
def enter_plan(p: Problem, w: SearchState, a: int, budget: int) -> None:
    """Plan an application from what is on the desk, and enter that; where two items took the same room, plan again."""
    b, d = w.books, w.scratch
    for _ in range(3):
        plan(p, d, a, w.prices.spread, budget)
        if not _enter(p, b, d, a):
            break
        remove(p, b, a)
        n = d.now[ITEMS]
        for i in range(n):
            d.limit[i] = d.best[i]
    set_short(p, b, a, missing(p, d, a))
    clear(d)


@compiled
def _enter(p: Problem, b: SolutionState, d: Scratch, a: int) -> bool:
    """Enter the choice on the desk; return whether two items took the same room, so that something was cut.

    What was cut is left in `best` as the limit of the next attempt.
    """
    cut = False
    for i in range(d.now[ITEMS]):
        d.best[i] = d.limit[i]
        if d.x[i] <= 0:
            continue
        j = d.pair[i]
        n = min(d.x[i], room(p, b, j))
        if n < d.x[i]:
            cut = True
            d.best[i] = n
            take(d, i, n - d.x[i])
        if n > 0:
            put(p, b, a, j, n)
    return cut


@compiled
def enter_current(p: Problem, w: SearchState, short: IntArray) -> None:
    """Enter what runs now, as far as there is still room; *short* is what each application misses if all of it has."""
    b = w.books
    for a in range(len(p.demand)):
        cut = 0
        for j in range(p.first[a], p.first[a + 1]):
            if p.current[j] > 0:
                count = min(p.current[j], room(p, b, j))
                cut += (p.current[j] - count) * p.each[j]
                if count > 0:
                    put(p, b, a, j, count)
        set_short(p, b, a, short[a] + cut)


@compiled
def put_aside(p: Problem, w: SearchState, a: int, k: int) -> None:
    """Take an application out as the k-th, and remember how it stood."""
    b = w.books
    if k == 0:
        w.kept[0] = 0
    for j in range(p.first[a], p.first[a + 1]):
        if b.placed[j] > 0:
            w.kept_pair[w.kept[0]] = j
            w.kept_count[w.kept[0]] = b.placed[j]
            w.kept[0] += 1
    w.out[k] = a
    w.kept_short[a] = b.short[a]
    remove(p, b, a)


@compiled
def put_back(p: Problem, w: SearchState, n: int) -> None:
    """Put the *n* applications that are out back to where they stood."""
    b = w.books
    for k in range(n):
        remove(p, b, w.out[k])
    for k in range(w.kept[0]):
        put(p, b, w.owner[w.kept_pair[k]], w.kept_pair[k], w.kept_count[k])
    for k in range(n):
        set_short(p, b, w.out[k], w.kept_short[w.out[k]])
