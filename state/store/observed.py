"""What a change of a machine teaches of its pool, as a pure function of values: every store counts alike."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from state.model.catalog import Market, ShortageKind
from state.model.history import Outcome
from state.model.inventory import EndKind, Instance, NoticeKind, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.weather import LOSSES_KEPT, Loss, PoolWeather

_S = InstanceStatus
_R = TerminationReason
_LOST: Final = frozenset({_R.ENDED_BY_PROVIDER, _R.NOT_LISTED, _R.NEVER_SEEN})
"""Ends that we did not ask for."""
_FAULTY: Final = frozenset({_R.NEVER_STARTED, _R.NEVER_JOINED, _R.GPUS_MISSING, _R.IMPAIRED})
"""Faults for which we end machines."""
_TAKEN: Final = frozenset({NoticeKind.INTERRUPTION, NoticeKind.LEAVING})
"""Notices by which a cloud takes a machine back."""


_SHARED: Final = frozenset({EndKind.DENIED, EndKind.INVALID_REQUEST, EndKind.INTERNAL, EndKind.QUOTA})
"""Causes that several offers of a zone, a region or an account may have in common."""


def weather_after(
    known: PoolWeather | None, old: Instance | None, new: Instance, now: datetime, outcome: Outcome | None = None
) -> PoolWeather | None:
    """Return a pool's weather after one of its machines changed; None where the change teaches nothing.

    Args:
        known: What was known of the pool.
        old: The machine before; None where it is new.
        new: The machine after.
        now: The time of the change.
        outcome: The outcome of its launch, where that is what changed it.
    """
    if old is None or old.status is new.status:
        return None
    start = (known or PoolWeather(new.key, now)).faded(now)
    learned = _with_loss(start, old, new, now)
    if old.status is _S.REQUESTED:
        learned = _launched(learned, new, now, outcome)
    elif old.status is _S.RUNNING and new.key.market is Market.SPOT and new.running_at is not None:
        hours = max(0.0, ((new.ended_at or now) - new.running_at).total_seconds() / 3600)
        interrupted = learned.interruptions + _is_interrupted(old, new)
        learned = replace(learned, spot_hours=learned.spot_hours + hours, interruptions=interrupted)
    return None if learned == start else learned


def _with_loss(known: PoolWeather, old: Instance, new: Instance, now: datetime) -> PoolWeather:
    """Add the end of a machine that was accepted and is of no use any more, unless we chose to end it."""
    is_end = old.status in {_S.REQUESTED, _S.RUNNING} and new.status in {_S.TERMINATING, _S.GONE}
    if not is_end or not (new.reason in _LOST | _FAULTY or _is_announced(old, new)):
        return known
    at = new.ended_at or now
    if new.reason is _R.IMPAIRED and new.was_of_use:
        return known
    losses = (*known.losses, Loss(at, max(timedelta(), at - new.requested_at), _cause(new), not new.was_of_use))
    return replace(known, losses=losses[-LOSSES_KEPT:])


def _cause(ended: Instance) -> str:
    """Return the cause of an end, where other offers may share it: a reclaim is the pool's own."""
    end = ended.end
    return f"{end.kind} {end.code}".strip() if end is not None and end.kind in _SHARED else ""


def _launched(known: PoolWeather, new: Instance, now: datetime, outcome: Outcome | None) -> PoolWeather:
    """Return the weather after a launch came out; a refusal for another cause than stock teaches nothing of stock."""
    if new.status is _S.RUNNING:
        seconds = max(0.0, ((new.running_at or now) - new.requested_at).total_seconds())
        return replace(
            known,
            launches=known.launches + 1,
            starts=known.starts + 1,
            start_seconds=known.start_seconds + seconds,
        )
    shortage = None if outcome is None else outcome.shortage
    is_stock_out = shortage is not None and shortage.kind is ShortageKind.STOCK_OUT
    is_failure = is_stock_out if new.status is _S.REFUSED else new.reason in _LOST | {_R.NEVER_STARTED}
    return replace(known, launches=known.launches + 1, failures=known.failures + 1) if is_failure else known


def _is_interrupted(before: Instance, ended: Instance) -> bool:
    is_taken = _is_announced(before, ended) and ended.notice is not None and ended.notice.kind in _TAKEN
    return ended.reason in _LOST or is_taken


def _is_announced(before: Instance, ended: Instance) -> bool:
    """Return whether its cloud announced an end, on which neither we nor its operator decided."""
    is_ours = before.drain_until is not None or (ended.notice is not None and ended.notice.kind is NoticeKind.DRAIN)
    return ended.reason is _R.NOTICE and not is_ours
