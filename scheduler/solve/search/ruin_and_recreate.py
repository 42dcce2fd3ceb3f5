"""From a placement to a better one: best responses, and ruin and recreate.

*Best response*: one application after the other is removed and inserted again
at present costs. *Ruin and recreate*: a few applications that share a group are removed together and inserted
again in another order at blurred costs; the change is kept if the total falls. Or a machine is emptied and stays closed
while its users find other places: its spare headroom looks free, so no application would leave it by itself.
Source: Schrimpf et al., Record breaking optimization results using the ruin and recreate principle, J. Comp. Physics
159 (2000).
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, IntArray, Problem
from scheduler.solve.search.insert import SearchState, insert, remove_and_save, restore_saved
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.prices import priced
from scheduler.solve.search.random_numbers import below, shuffle, uniform
from scheduler.solve.search.solution_state import total

POLISH_ITEMS = 20
"""How many items a polish tries in the search."""
REMOVED_MAX = 12
"""Most applications that are out at a time."""
RANK_EVERY = 200
"""After how many rounds applications are ranked again by excess."""


class RecreateSettings(NamedTuple):
    """How ruin and recreate goes about it."""

    temperature: float
    """The temperature at first, as a share of what an application costs on average."""
    noise: float
    """How far marginal costs are blurred."""
    short: float
    """How often one that is short is the start of a ruin, where any is."""
    overpaying: float
    """How often one that overpays is the start of a ruin."""
    scarcity_share: float
    """Largest share of the scarcity prices that counts."""
    users_max: int
    """Most users of one group that are removed."""
    groups: int
    """Most groups that are cleared for one that overpays."""
    budget: int
    """How many items a polish tries."""
    close_rate: float
    """How often one machine of a group is emptied and stays closed for a round."""


@compiled
def best_response(p: Problem, w: SearchState, order: IntArray, scarcity_share: float) -> None:
    """Remove each application once and insert it again at present costs, where that is cheaper."""
    b = w.solution
    for k in range(len(order)):
        before = total(b)
        remove_and_save(p, w, order[k], 0)
        insert(p, w, order[k], scarcity_share, 0.0, POLISH_ITEMS)
        if total(b) > before:
            restore_saved(p, w, 1)


@compiled
def recreate(p: Problem, w: SearchState, rounds: int, settings: RecreateSettings) -> None:
    """Ruin and recreate *rounds* times, accepting what is dearer by up to a temperature that falls to 0."""
    b = w.solution
    current = total(b)
    unit = (current - b.weighted[0]) / max(len(p.demand), 1)
    for step in range(rounds):
        if step % RANK_EVERY == 0:
            _rank_by_excess(p, w)
        short = b.weighted[0]
        n = _ruin(p, w, settings)
        if n == 0:
            continue
        if below(w.seed, 2) == 0:  # else the one that overpays comes first
            shuffle(w.seed, w.out, n)
        scarcity_share = settings.scarcity_share * uniform(w.seed)
        for k in range(n):
            insert(p, w, w.out[k], scarcity_share, settings.noise, settings.budget)
        _reopen(p, w)
        now = total(b)
        allowed = settings.temperature * unit * max(0.0, 1.0 - step / (0.8 * rounds))
        too_dear = now - current > -allowed * np.log(uniform(w.seed) + 1e-12)
        if too_dear or b.weighted[0] > short:  # no application is left short to save money
            restore_saved(p, w, n)
        else:
            current = now


@compiled
def _ruin(p: Problem, w: SearchState, settings: RecreateSettings) -> int:
    """Remove a few applications that compete for the same machines; return how many.

    They are the users of a machine that is closed or of a group, or else one that overpays, and users of what it
    would choose alone.
    """
    if settings.close_rate > 0 and uniform(w.seed) < settings.close_rate:
        return _close_machine(p, w)
    lot = uniform(w.seed)
    short = w.solution.weighted[0] > 0 and lot < settings.short
    if short or lot < settings.overpaying:
        a = _some_short(p, w) if short else _overpaying(w)
        remove_and_save(p, w, a, 0)
        n = 1
        if p.first[a + 1] == p.first[a]:
            return n
        many = p.first[a + 1] - p.first[a]
        start = below(w.seed, many)
        groups = 1 + below(w.seed, settings.groups)
        users_per_group = 1 + below(w.seed, 3)
        for k in range(many):
            if groups == 0 or n >= REMOVED_MAX - 1:
                break
            j = p.first[a] + (start + k) % many
            if w.solo_choice[j] > w.solution.placed[j]:
                n = _remove_users(p, w, p.group[j], n, n + users_per_group)
                groups -= 1
        return n
    g = _busy_group(p, w)
    return _remove_users(p, w, g, 0, 1 + below(w.seed, settings.users_max)) if g >= 0 else 0


@compiled
def _close_machine(p: Problem, w: SearchState) -> int:
    """Take out users of a group until it needs a machine less, and close that one; return how many are out."""
    b = w.solution
    g = _busy_group(p, w)
    if g < 0 or b.machines[g] <= p.low[g]:
        return 0
    left = (b.machines[g] - 1) * UNIT
    n = 0
    while b.used[g] > left:
        more = _remove_users(p, w, g, n, n + 1)
        if more == n:
            restore_saved(p, w, n)
            return 0
        n = more
    if n == 0:  # more exist than are needed, since a batch is sold whole
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
def _remove_users(p: Problem, w: SearchState, g: int, n: int, target: int) -> int:
    """Take out users of a group until *target* applications are out; return how many are."""
    users = w.user_first[g + 1] - w.user_first[g]
    start = below(w.seed, users)
    for k in range(users):
        if n >= min(target, REMOVED_MAX):
            break
        j = w.user[w.user_first[g] + (start + k) % users]
        if w.solution.placed[j] > 0:
            remove_and_save(p, w, w.owner[j], n)
            n += 1
    return n


@compiled
def _rank_by_excess(p: Problem, w: SearchState) -> None:
    """Sort the applications by what they pay, at the prices, beyond what they would pay alone."""
    excess = np.empty(len(p.demand), np.float64)
    for a in range(len(p.demand)):
        excess[a] = w.ideal[a]
        for j in range(p.first[a], p.first[a + 1]):
            if w.solution.placed[j] > 0:
                excess[a] -= priced(p, w.prices, j) * w.solution.placed[j]
    w.worst[:] = np.argsort(excess)


@compiled
def _overpaying(w: SearchState) -> int:
    """Return an application that pays much beyond what it would pay alone: the worse off, the likelier."""
    lot = uniform(w.seed)
    return int(w.worst[int(lot * lot * lot * len(w.worst))])


@compiled
def _some_short(p: Problem, w: SearchState) -> int:
    """Return some application that is short."""
    many = len(p.demand)
    start = below(w.seed, many)
    for k in range(many):
        a = (start + k) % many
        if w.solution.short[a] > 0:
            return a
    return start


@compiled
def _busy_group(p: Problem, w: SearchState) -> int:
    """Return some group in use: half of the time one with headroom in machines that are paid for."""
    b = w.solution
    spare = below(w.seed, 2) == 0
    for _ in range(40):
        g = below(w.seed, len(p.price))
        if b.used[g] > 0 and (not spare or b.machines[g] * UNIT > b.used[g]):
            return g
    return -1
