"""What a look at the clouds says of the machines we hold. Pure.

Silence is not absence: a region that did not answer changes nothing. Absence is a fact only with time.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from state.model.catalog import Shortage
from state.model.ids import InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Instance, Notice, NoticeKind, Role, advanced
from state.model.lifecycle import InstanceStatus

REQUESTED_MAX: Final = timedelta(minutes=10)
"""How long a machine may stay unseen after we asked for it before it counts as gone."""
ABSENT_MAX: Final = timedelta(minutes=2)
"""How long a running machine may be missing from its region's list before it counts as gone: lists lag."""
ENDED_ABSENT_MAX: Final = timedelta(seconds=1)
"""The same for one that we ended: the second look without it says so."""
RISK_MAX: Final = timedelta(minutes=1)
"""Longer than until the next look, which says whether the recommendation still stands."""
MAINTENANCE_AHEAD: Final = timedelta(minutes=30)
"""So long before its host is worked on a machine is replaced: longer than a machine takes to start and load."""

_S = InstanceStatus


@dataclass(frozen=True, slots=True)
class SyncedInventory:
    """Our machines as they are now, and what was learned."""

    live: tuple[Instance, ...]
    learned: tuple[Instance, ...]
    orphans: tuple[CloudInstance, ...]


def sync_inventory(
    held: tuple[Instance, ...],
    seen: tuple[CloudInstance, ...],
    unreachable: frozenset[RegionId],
    now: datetime,
    notices: tuple[Notice, ...] = (),
) -> SyncedInventory:
    """Return *held*, brought up to date by *seen*.

    Args:
        held: Live instances from the store.
        seen: Machines with our tag, from regions that answered.
        unreachable: Regions that did not.
        now: When the look was taken.
        notices: What is announced. A machine that is about to end counts as ending, so that another takes its place.
    """
    by_id: dict[InstanceId, CloudInstance] = {}
    for sight in sorted(seen, key=lambda s: s.state is not CloudState.TERMINATED):
        by_id[sight.instance_id] = sight
    doomed = {n.instance_id: n for n in sorted(notices, key=lambda n: n.order, reverse=True) if is_terminal(n, now)}
    current = [_updated(instance, by_id.get(instance.id), instance.region in unreachable, now) for instance in held]
    current = [_apply_notice(instance, doomed.get(instance.id)) for instance in current]
    known = {instance.id for instance in held}
    orphans = tuple(s for s in by_id.values() if s.instance_id not in known and s.state is not CloudState.TERMINATED)
    return SyncedInventory(
        live=tuple(instance for instance in current if instance.is_live),
        learned=tuple(new for new, old in zip(current, held, strict=True) if new != old),
        orphans=tuple(sorted(orphans, key=lambda s: s.instance_id)),
    )


def is_terminal(notice: Notice, now: datetime) -> bool:
    """Return whether a machine is not to be counted on any more: a recommendation alone is no reason to move."""
    if notice.kind is NoticeKind.REBALANCE:
        return False
    is_soon = notice.at is None or notice.at - now <= MAINTENANCE_AHEAD
    return notice.kind is NoticeKind.INTERRUPTION or is_soon


def at_risk(notices: tuple[Notice, ...], held: tuple[Instance, ...], now: datetime) -> tuple[Shortage, ...]:
    """Return a shortage for each offer whose machines are recommended to be left: no more are bought meanwhile."""
    keys = {instance.id: instance.key for instance in held}
    advised = {keys[n.instance_id]: n for n in notices if n.kind is NoticeKind.REBALANCE and n.instance_id in keys}
    until = now + RISK_MAX
    return tuple(
        Shortage(key.region, key.zone, key.instance_type, key.market, str(notice), now, until)
        for key, notice in sorted(advised.items())
    )


def _apply_notice(instance: Instance, notice: Notice | None) -> Instance:
    if notice is None or instance.status not in {_S.REQUESTED, _S.RUNNING}:
        return instance
    if instance.role is Role.HEAD and notice.kind in {NoticeKind.MAINTENANCE, NoticeKind.DRAIN}:
        return (
            instance  # a head has the cell's one address: it comes back from a restart sooner than from another machine
        )
    return advanced(instance, _S.TERMINATING, str(notice))


def _updated(instance: Instance, seen: CloudInstance | None, is_unreachable: bool, now: datetime) -> Instance:  # noqa: FBT001
    if seen is not None:
        return _updated_by_sight(instance, seen, now)
    if is_unreachable:
        return instance
    return _updated_by_absence(instance, now)


def _updated_by_sight(instance: Instance, seen: CloudInstance, now: datetime) -> Instance:
    if seen.state is CloudState.TERMINATED:
        return advanced(instance, _S.GONE, seen.reason or instance.reason or "ended", ended_at=now)
    address = seen.address or instance.address
    known = replace(instance, cloud_id=seen.cloud_id, address=address, missing_since=None)
    if seen.state is CloudState.STOPPING and instance.status is not _S.TERMINATING:
        return advanced(known, _S.TERMINATING, seen.reason or "its cloud is ending it")
    if seen.state is CloudState.RUNNING and instance.status is _S.REQUESTED:
        return advanced(known, _S.RUNNING, instance.reason, running_at=now)
    return instance if known == instance else replace(known, version=instance.version + 1)


def _updated_by_absence(instance: Instance, now: datetime) -> Instance:
    if instance.cloud_id is None:
        # Asked for and not seen yet: it may still appear, until it is too late to.
        if now - instance.requested_at > REQUESTED_MAX:
            return advanced(instance, _S.GONE, "never seen", ended_at=now)
        return instance
    if instance.missing_since is None:
        return replace(instance, missing_since=now, version=instance.version + 1)
    patience = ENDED_ABSENT_MAX if instance.status is _S.TERMINATING else ABSENT_MAX
    if now - instance.missing_since > patience:
        return advanced(instance, _S.GONE, instance.reason or "not listed any more", ended_at=now)
    return instance
