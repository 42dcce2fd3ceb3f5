"""The machines that the store holds, brought up to date by what clouds list. Pure.

Silence is not absence: a region that did not answer changes nothing. Absence becomes a fact only with time.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.observe.current import as_paid
from state.model.ids import InstanceId, RegionId
from state.model.inventory import (
    CloudInstance,
    CloudState,
    Instance,
    Notice,
    NoticeKind,
    Role,
    TerminationReason,
    advanced,
)
from state.model.lifecycle import InstanceStatus
from state.model.settings import Thresholds

_S = InstanceStatus


@dataclass(frozen=True, slots=True)
class Readings:
    """What one observation read of machines."""

    seen: tuple[CloudInstance, ...]
    """Machines with our tag, from regions that answered."""
    unreachable: frozenset[RegionId]
    """Regions that did not."""
    notices: tuple[Notice, ...]
    """What is announced."""
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class SyncedInventory:
    """Our machines as they are now, and what changed."""

    live: tuple[Instance, ...]
    learned: tuple[Instance, ...]
    """Those that changed, live or not."""
    orphans: tuple[CloudInstance, ...]
    """Machines with our tag that are not among those held."""


def sync_inventory(held: tuple[Instance, ...], readings: Readings, thresholds: Thresholds) -> SyncedInventory:
    """Return *held*, brought up to date by *readings*.

    A machine whose end is announced and near counts as ending, so that another takes its place.

    Args:
        held: Live instances from the store.
        readings: What was read; where one id is listed twice, a row that is not terminated counts.
        thresholds: How long absence must last to be a fact.
    """
    by_id: dict[InstanceId, CloudInstance] = {}
    for seen in sorted(readings.seen, key=lambda s: s.state is not CloudState.TERMINATED):
        by_id[seen.instance_id] = seen
    ending = terminal_notices(readings.notices, readings.taken_at, thresholds)
    current = [_updated(instance, by_id.get(instance.id), readings, thresholds) for instance in held]
    current = [_apply_notice(instance, ending.get(instance.id), readings.taken_at) for instance in current]
    known = {instance.id for instance in held}
    orphans = (s for s in by_id.values() if s.instance_id not in known and s.state is not CloudState.TERMINATED)
    return SyncedInventory(
        live=tuple(instance for instance in current if instance.is_live),
        learned=tuple(new for new, old in zip(current, held, strict=True) if new != old),
        orphans=tuple(sorted(orphans, key=lambda s: s.instance_id)),
    )


def terminal_notices(notices: tuple[Notice, ...], now: datetime, thresholds: Thresholds) -> dict[InstanceId, Notice]:
    """Return per machine the notice by which it is not to be counted on any more; the first by `sort_key` counts."""
    ordered = sorted(notices, key=lambda notice: notice.sort_key, reverse=True)
    return {notice.instance_id: notice for notice in ordered if is_terminal(notice, now, thresholds)}


def is_terminal(notice: Notice, now: datetime, thresholds: Thresholds) -> bool:
    """Return whether a machine is not to be counted on any more: a recommendation alone moves nothing."""
    if notice.kind is NoticeKind.REBALANCE:
        return False
    is_soon = notice.at is None or notice.at - now <= thresholds.maintenance_ahead
    return notice.kind is NoticeKind.INTERRUPTION or is_soon


def _apply_notice(instance: Instance, notice: Notice | None, now: datetime) -> Instance:
    if notice is None or instance.status not in {_S.REQUESTED, _S.RUNNING}:
        return instance
    if instance.role is Role.HEAD and notice.kind in {NoticeKind.MAINTENANCE, NoticeKind.DRAIN, NoticeKind.EXPIRY}:
        # A head has the cell's one address: it is back from a restart sooner than another machine could take over.
        return instance
    return advanced(instance, _S.TERMINATING, TerminationReason.NOTICE, notice=notice, ending_since=now)


def _updated(instance: Instance, seen: CloudInstance | None, readings: Readings, thresholds: Thresholds) -> Instance:
    if seen is not None:
        return _updated_by_listing(instance, seen, readings.taken_at)
    if instance.region in readings.unreachable:
        return instance
    return _updated_by_absence(instance, readings.taken_at, thresholds)


def _updated_by_listing(instance: Instance, seen: CloudInstance, now: datetime) -> Instance:
    ended = None if instance.status is _S.TERMINATING else TerminationReason.ENDED_BY_PROVIDER
    message = seen.reason or instance.message
    end = None if ended is None else seen.end
    if seen.state is CloudState.TERMINATED:
        return advanced(instance, _S.GONE, ended, ended_at=now, message=message, end=end or instance.end)
    address = seen.address or instance.address
    known = replace(as_paid(instance, seen), cloud_id=seen.cloud_id, address=address, missing_since=None)
    if seen.state is CloudState.STOPPING and instance.status is not _S.TERMINATING:
        return advanced(known, _S.TERMINATING, ended, message=message, end=end, ending_since=now)
    if seen.state is CloudState.RUNNING and instance.status is _S.REQUESTED:
        return advanced(known, _S.RUNNING, running_at=now)
    return instance if known == instance else replace(known, version=instance.version + 1)


def _updated_by_absence(instance: Instance, now: datetime, thresholds: Thresholds) -> Instance:
    if instance.cloud_id is None:
        # Requested and not seen yet: it may still appear, until it is too late to.
        if now - instance.requested_at > thresholds.requested_max:
            return advanced(instance, _S.GONE, instance.reason or TerminationReason.NEVER_SEEN, ended_at=now)
        return instance
    if instance.missing_since is None:
        return replace(instance, missing_since=now, version=instance.version + 1)
    # A list that lags may not have had it yet, so that its absence is no proof that it ended.
    is_ending = instance.status is _S.TERMINATING and instance.running_at is not None
    patience = thresholds.terminated_absent_max if is_ending else thresholds.absent_max
    if now - instance.missing_since > patience:
        return advanced(instance, _S.GONE, instance.reason or TerminationReason.NOT_LISTED, ended_at=now)
    return instance
