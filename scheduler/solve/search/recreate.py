"""From a placement to a better one: best responses, and ruin and recreate.

*Best response*: one application after the other is taken out and put back
at what things cost now. *Ruin and recreate*: a few applications that share a group are taken out together and put
back in another order at blurred costs; the change is kept if the total falls. Or a machine is emptied and stays closed
while its users find other places: what room it has to spare looks free, so that nobody would leave it alone.
Source: Schrimpf et al., Record breaking optimization results using the ruin and recreate principle, J. Comp. Physics
159 (2000).
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, IntArray, Problem
from scheduler.solve.search.chance import below, shuffle, uniform
from scheduler.solve.search.insert import SearchState, insert, put_aside, put_back
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.ledger import total
from scheduler.solve.search.prices import priced

EFFORT = 20
"""How many items a polish tries in the search."""
MOST_OUT = 12
"""Most applications that are out at a time."""
REVIEW = 200
"""After how many rounds it is looked at anew who is badly off."""


class Knobs(NamedTuple):
    """How ruin and recreate goes about it."""

    heat: float
    """The temperature at first, as a share of what an application costs on average."""
    noise: float
    """How far marginal costs are blurred."""
    short: float
    """How often one that is short is the start of a ruin, where any is."""
    wronged: float
    """How often one that is badly off is the start of a ruin."""
    rent: float
    """Largest share of the scarcity prices that counts."""
    together: int
    """Most users of one group that are taken out."""
    groups: int
    """Most groups that one who is badly off clears."""
    budget: int
    """How many items a polish tries."""
    closing: float
    """How often one machine of a group is emptied and stays closed for a round."""


@compiled
def respond(p: Problem, w: SearchState, order: IntArray, rent: float) -> None:
    """Take each application out once and put it back at what things cost now, where that is cheaper."""
    b = w.books
    for k in range(len(order)):
        before = total(b)
        put_aside(p, w, order[k], 0)
        insert(p, w, order[k], rent, 0.0, EFFORT)
        if total(b) > before:
            put_back(p, w, 1)


@compiled
def recreate(p: Problem, w: SearchState, rounds: int, thresholds: Knobs) -> None:
    """Ruin and recreate *rounds* times, accepting what is dearer by up to a temperature that falls to 0."""
    b = w.books
    current = total(b)
    unit = current / max(len(p.demand), 1)
    for step in range(rounds):
        if step % REVIEW == 0:
            _review(p, w)
        short = b.weighted[0]
        n = _ruin(p, w, thresholds)
        if n == 0:
            continue
        if below(w.seed, 2) == 0:  # else who is badly off comes first
            shuffle(w.seed, w.out, n)
        rent = thresholds.rent * uniform(w.seed)
        for k in range(n):
            insert(p, w, w.out[k], rent, thresholds.noise, thresholds.budget)
        _reopen(p, w)
        now = total(b)
        allowed = thresholds.heat * unit * max(0.0, 1.0 - step / (0.8 * rounds))
        too_dear = now - current > -allowed * np.log(uniform(w.seed) + 1e-12)
        if too_dear or b.weighted[0] > short:  # nobody is left short to save money
            put_back(p, w, n)
        else:
            current = now


@compiled
def _ruin(p: Problem, w: SearchState, thresholds: Knobs) -> int:
    """Take out a few applications that want the same room; return how many.

    They are the users of a machine that is closed or of a group, or else one that is badly off, and users of what it
    would rather have.
    """
    if thresholds.closing > 0 and uniform(w.seed) < thresholds.closing:
        return _close_machine(p, w)
    lot = uniform(w.seed)
    short = w.books.weighted[0] > 0 and lot < thresholds.short
    if short or lot < thresholds.wronged:
        a = _short_one(p, w) if short else _badly_off(w)
        put_aside(p, w, a, 0)
        n = 1
        if p.first[a + 1] == p.first[a]:
            return n
        many = p.first[a + 1] - p.first[a]
        start = below(w.seed, many)
        groups = 1 + below(w.seed, thresholds.groups)
        each = 1 + below(w.seed, 3)
        for k in range(many):
            if groups == 0 or n >= MOST_OUT - 1:
                break
            j = p.first[a] + (start + k) % many
            if w.solo_choice[j] > w.books.placed[j]:
                n = _evict(p, w, p.group[j], n, n + each)
                groups -= 1
        return n
    g = _busy_group(p, w)
    return _evict(p, w, g, 0, 1 + below(w.seed, thresholds.together)) if g >= 0 else 0


@compiled
def _close_machine(p: Problem, w: SearchState) -> int:
    """Take out users of a group until it needs a machine less, and close that one; return how many are out."""
    b = w.books
    g = _busy_group(p, w)
    if g < 0 or b.machines[g] <= p.low[g]:
        return 0
    left = (b.machines[g] - 1) * UNIT
    n = 0
    while b.used[g] > left:
        more = _evict(p, w, g, n, n + 1)
        if more == n:
            put_back(p, w, n)
            return 0
        n = more
    if n == 0:  # more stand than are needed, since so many are sold at least
        return 0
    w.closed[0], w.closed[1] = g, p.high[g]
    p.high[g] = -(-b.used[g] // UNIT)
    return n


@compiled
def _reopen(p: Problem, w: SearchState) -> None:
    """Open again what is closed."""
    if w.closed[0] >= 0:
        p.high[w.closed[0]] = w.closed[1]
        w.closed[0] = -1


@compiled
def _evict(p: Problem, w: SearchState, g: int, n: int, most: int) -> int:
    """Take out users of a group until *most* applications are out; return how many are."""
    users = w.user_first[g + 1] - w.user_first[g]
    start = below(w.seed, users)
    for k in range(users):
        if n >= min(most, MOST_OUT):
            break
        j = w.user[w.user_first[g] + (start + k) % users]
        if w.books.placed[j] > 0:
            put_aside(p, w, w.owner[j], n)
            n += 1
    return n


@compiled
def _review(p: Problem, w: SearchState) -> None:
    """Sort the applications by what they pay, at the prices, beyond what they would pay alone."""
    excess = np.empty(len(p.demand), np.float64)
    for a in range(len(p.demand)):
        excess[a] = w.ideal[a]
        for j in range(p.first[a], p.first[a + 1]):
            if w.books.placed[j] > 0:
                excess[a] -= priced(p, w.prices, j) * w.books.placed[j]
    w.worst[:] = np.argsort(excess)


@compiled
def _badly_off(w: SearchState) -> int:
    """Return an application that pays much beyond what it would pay alone: the worse off, the likelier."""
    lot = uniform(w.seed)
    return int(w.worst[int(lot * lot * lot * len(w.worst))])


@compiled
def _short_one(p: Problem, w: SearchState) -> int:
    """Return some application that is short."""
    many = len(p.demand)
    start = below(w.seed, many)
    for k in range(many):
        a = (start + k) % many
        if w.books.short[a] > 0:
            return a
    return start


@compiled
def _busy_group(p: Problem, w: SearchState) -> int:
    """Return some group in use: half of the time one with room to spare in machines that are paid for."""
    b = w.books
    spare = below(w.seed, 2) == 0
    for _ in range(40):
        g = below(w.seed, len(p.price))
        if b.used[g] > 0 and (not spare or b.machines[g] * UNIT > b.used[g]):
            return g
    return -1
