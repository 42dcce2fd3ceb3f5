"""What a change of a machine teaches of its pool, as a pure function of values: every store counts alike."""

from dataclasses import replace
from datetime import datetime

from state.model.catalog import Market, ShortageKind
from state.model.history import Outcome
from state.model.inventory import Instance, NoticeKind, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.weather import PoolWeather

_S = InstanceStatus
_LOST = frozenset({TerminationReason.ENDED_BY_PROVIDER, TerminationReason.NOT_LISTED, TerminationReason.NEVER_SEEN})
"""Ends that nobody here asked for."""


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
    now_known = (known or PoolWeather(new.key, now)).faded(now)
    if old.status is _S.REQUESTED:
        return _launched(now_known, new, now, outcome)
    if old.status is _S.RUNNING and new.key.market is Market.SPOT and new.running_at is not None:
        lived = max(0.0, ((new.ended_at or now) - new.running_at).total_seconds() / 3600)
        interrupted = now_known.interruptions + _is_interrupted(new)
        return replace(now_known, spot_hours=now_known.spot_hours + lived, interruptions=interrupted)
    return None


def _launched(known: PoolWeather, new: Instance, now: datetime, outcome: Outcome | None) -> PoolWeather | None:
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
    is_failure = is_stock_out if new.status is _S.REFUSED else new.reason in _LOST
    return replace(known, launches=known.launches + 1, failures=known.failures + 1) if is_failure else None


def _is_interrupted(ended: Instance) -> bool:
    is_reclaimed = ended.notice is not None and ended.notice.kind is NoticeKind.INTERRUPTION
    return ended.reason in _LOST or (ended.reason is TerminationReason.NOTICE and is_reclaimed)
