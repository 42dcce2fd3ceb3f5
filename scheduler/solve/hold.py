"""A move that only saves money waits until the saving has lasted. Pure.

Prices move, and a move costs money: for a while two machines run, and weights are loaded again. So no machine is moved
for its price at one look. Each machine that the cheapest placement leaves is remembered with the time since when it
does. It may be left once that has lasted for a window, and the machine has lived for a while. The window is the time
in which the saving pays the cost of the move, so that at most twice as much is paid as was best in hindsight.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from scheduler.region_policy import is_excluded
from scheduler.solve import Solved, solve, solved
from scheduler.solve.exact import head_prices
from scheduler.solve.solution import objective
from state.model.catalog import OfferKey
from state.model.ids import InstanceId
from state.model.inventory import Instance, NoticeKind, Role
from state.model.placement import Placement
from state.model.plan import PendingMove
from state.model.snapshot import Snapshot
from state.model.units import Usd

STAY_SHARE: Final = 20.0
"""What a machine that does not exist yet costs on top, as a share of its price, where nothing is to move for it."""
LOOK_AGAIN: Final = timedelta(minutes=5)
"""How often a fleet that is solved by search looks for savings while some are pending: each look is a solve more."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A placement, and the moves that wait."""

    placement: Placement
    pending: tuple[PendingMove, ...] = ()


def settle(snapshot: Snapshot) -> Settled:
    """Return the placement to act on: the cheapest one, without those moves for price that have to wait.

    What serves demand, keeps a rule or replaces a machine in trouble never waits.
    """
    costs = snapshot.cost_model
    if snapshot.wanted is None or (not costs.hold_hours and not costs.machine_hours_min):
        return Settled(solve(snapshot))
    if _is_quiet(snapshot):
        stay = _staying(snapshot)
        if stay.placement.is_whole:
            return Settled(stay.placement, snapshot.pending_moves)
    free = solved(snapshot)
    if not _moves(snapshot, free.placement):
        return Settled(free.placement)
    return _held(snapshot, free, _staying(snapshot))


def _staying(snapshot: Snapshot) -> Solved:
    """Return what is placed where nothing that exists is left for something cheaper."""
    return solved(replace(snapshot, cost_model=replace(snapshot.cost_model, move_share=STAY_SHARE)))


def _is_quiet(snapshot: Snapshot) -> bool:
    """Return whether a large fleet looked for savings a short while ago, and none of them is due."""
    pending, now = snapshot.pending_moves, snapshot.taken_at
    is_large = (
        snapshot.wanted is not None and len(snapshot.wanted.spec.named()) > snapshot.solve_budget.exact_applications
    )
    return is_large and bool(pending) and all(now < m.until and now - m.seen_at < LOOK_AGAIN for m in pending)


def _workers(snapshot: Snapshot) -> list[Instance]:
    return [i for i in snapshot.instances if i.exists and i.role is Role.WORKER and not is_excluded(snapshot, i.region)]


def _placed(placement: Placement) -> Counter[OfferKey]:
    placed: Counter[OfferKey] = Counter()
    for machine in placement.machines:
        if machine.role is Role.WORKER:
            placed[machine.offer.key] += machine.count
    return placed


def _moves(snapshot: Snapshot, placement: Placement) -> bool:
    """Return whether a placement both leaves machines and starts others."""
    placed, existing = _placed(placement), Counter(i.key for i in _workers(snapshot))
    return bool(existing - placed) and bool(placed - existing)


def _held(snapshot: Snapshot, free: Solved, stay: Solved) -> Settled:
    """Return the cheapest placement but for the moves that have to wait."""
    kept, existing = _placed(stay.placement), Counter(i.key for i in _workers(snapshot))
    left = (kept & existing) - _placed(free.placement)
    if not left or _lacks(stay.placement) > _lacks(free.placement):
        return Settled(free.placement)
    saving = _per_hour(stay) - _per_hour(free)
    window = None if saving <= 0 else _window(snapshot, free, stay, saving)
    if window is None:
        return Settled(stay.placement)
    pending = _pending(snapshot, left, Usd(round(saving)), window)
    ready = {move.key for move in pending if move.until <= snapshot.taken_at}
    keep = {key: kept[key] - min(count, _movable(snapshot, key, key in ready)) for key, count in left.items()}
    if all(kept[key] - count == keep[key] for key, count in left.items()):
        return Settled(free.placement, pending)
    if all(kept[key] == keep[key] for key in left):
        return Settled(stay.placement, pending)
    return Settled(solved(snapshot, keep).placement, pending)


def _lacks(placement: Placement) -> tuple[int, int]:
    return sum(unmet.missing_milli for unmet in placement.unmet), len(placement.violations)


def _per_hour(found: Solved) -> int:
    """Return what a placement costs while it lasts, in micro-dollars per hour: nothing for getting there."""
    p = found.formulation.problem
    lasting = p._replace(
        start=np.zeros_like(p.start), start_replica=np.zeros_like(p.start_replica), head=head_prices(found.formulation)
    )
    return objective(lasting, found.solution)


def _window(snapshot: Snapshot, free: Solved, stay: Solved, saving: int) -> timedelta | None:
    """Return how long a saving must last; None where it does not pay the move within the time for that."""
    costs = snapshot.cost_model
    prices = {m.offer.key: m.offer.price.per_hour.micros for m in free.placement.machines if m.role is Role.WORKER}
    existing = Counter(i.key for i in _workers(snapshot))
    started = _placed(free.placement) - existing - _placed(stay.placement)
    double = sum(prices[key] * count for key, count in started.items()) * costs.overlap_hours
    loaded = 0.0
    if free.solution is not None:
        p = free.formulation.problem
        moved = np.maximum(free.solution.replicas - p.current, 0)
        loaded = float((p.start_replica[p.owner] * moved).sum()) * costs.payback_hours
    hours = max(costs.hold_hours, (double + loaded) / saving)
    return None if hours > max(costs.payback_hours, costs.hold_hours) else timedelta(hours=hours)


def _pending(snapshot: Snapshot, left: Counter[OfferKey], saving: Usd, window: timedelta) -> tuple[PendingMove, ...]:
    known = {move.key: move.since for move in snapshot.pending_moves}
    now = snapshot.taken_at
    found = ((key, count, known.get(key, now)) for key, count in sorted(left.items()))
    return tuple(PendingMove(key, count, since, now, since + window, saving) for key, count, since in found)


def _movable(snapshot: Snapshot, key: OfferKey, is_ready: bool) -> int:  # noqa: FBT001
    """Return how many machines of an offer may be left now."""
    announced = {n.instance_id for n in snapshot.notices if n.kind is not NoticeKind.EXPIRY}
    lived = snapshot.taken_at - timedelta(hours=snapshot.cost_model.machine_hours_min)
    return sum(
        _is_in_trouble(instance, snapshot, announced) or (is_ready and _began(instance) <= lived)
        for instance in _workers(snapshot)
        if instance.key == key
    )


def _began(instance: Instance) -> datetime:
    return instance.running_at or instance.requested_at


def _is_in_trouble(instance: Instance, snapshot: Snapshot, announced: set[InstanceId]) -> bool:
    return instance.id in announced or snapshot.impairment_of(instance.id) is not None
