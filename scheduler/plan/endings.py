"""What ends: machines that the placement has no use for, those whose end was decided or announced, orphans. Pure.

Make before break: a machine ends only when what is ready without it carries the demand.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from scheduler.observe.inventory import terminal_notices
from scheduler.plan.changes import CapacityChanges, replicas_on
from scheduler.plan.drains import drain_blocked, moves_away, starts_ahead
from scheduler.plan.faults import Fault, fault_of
from scheduler.plan.ready import Readiness
from scheduler.region_policy import is_excluded, may_end_machines
from state.model.catalog import OfferKey
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import CloudInstance, Instance, Notice, NoticeKind, Role, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, Blocked, BlockedReason, Terminate
from state.model.serving import DeployState
from state.model.snapshot import Snapshot

_S = InstanceStatus


def retire_surplus(
    targets: Counter[tuple[OfferKey, Role]], snapshot: Snapshot, ready: Readiness, changes: CapacityChanges
) -> None:
    """End the machines that the placement has no use for, or take the step before.

    Args:
        targets: Machines of the placement, by offer and role.
        snapshot: What is known.
        ready: What is ready.
        changes: Where the steps, and what blocks them, are added.
    """
    for instance in _surplus(targets, snapshot):
        _retire(instance, snapshot, ready, changes)


def _surplus(targets: Counter[tuple[OfferKey, Role]], snapshot: Snapshot) -> Iterator[Instance]:
    """Yield the machines that the placement has no use for: first those that are lost, then those that carry least."""
    by_offer: dict[tuple[OfferKey, Role], list[Instance]] = {}
    for instance in snapshot.instances:
        if instance.exists and may_end_machines(snapshot, instance.region):
            by_offer.setdefault((instance.key, instance.role), []).append(instance)
    lost = {instance.id for instance in snapshot.instances if fault_of(instance, snapshot)}
    for offer, instances in sorted(by_offer.items()):
        is_lost = is_excluded(snapshot, offer[0].region)
        count = len(instances) - (0 if is_lost else targets[offer])
        ordered = sorted(
            instances, key=lambda i: (i.id not in lost, i.status is not _S.REQUESTED, replicas_on(snapshot, i), i.id)
        )
        for number, instance in enumerate(ordered):
            if number < count or instance.id in lost:
                yield instance


def _retire(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """End a machine, or take the step before, or record what blocks it."""
    fault = fault_of(instance, snapshot)
    blocked = None if snapshot.wanted is None else _end_blocked(instance, fault, snapshot, ready, changes)
    if blocked is not None:
        changes.block(blocked, instance, ActionKind.TERMINATE)
        return
    reason = TerminationReason.NOT_PLACED if snapshot.wanted is not None else TerminationReason.FLEET_DESTROYED
    fault = fault or Fault(reason)
    if snapshot.wanted is not None and moves_away(instance, fault.reason, None, snapshot, changes):
        return
    changes.terminations.append(Terminate(instance.id, instance.key, instance.cloud_id, fault.reason, fault.message))
    changes.instances.append(
        advanced(instance, _S.TERMINATING, fault.reason, message=fault.message, ending_since=snapshot.taken_at)
    )


def _end_blocked(
    instance: Instance, fault: Fault | None, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges
) -> Blocked | None:
    """Return what blocks the end of a machine, or None."""
    if instance.role is Role.HEAD:
        # Workers are of no use to a cell whose head is of none.
        return None if fault is not None else _head_blocked(instance, snapshot, changes)
    if _is_unknown(instance, snapshot) and not is_excluded(snapshot, instance.region):
        return Blocked(BlockedReason.CELL_SILENT)
    carried = replicas_on(snapshot, instance)
    if is_excluded(snapshot, instance.region):
        is_lost = fault is not None and not carried
        short = [a for a, need in sorted(ready.floor.items()) if _others(ready, a, instance.region) < need]
        return Blocked(BlockedReason.NOT_CARRIED_ELSEWHERE, application=short[0]) if short and not is_lost else None
    if carried == 0:
        return None
    found = next(_blockers(instance.region, snapshot, ready, changes), None)
    return found or drain_blocked(instance, snapshot, ready, changes)


def _is_unknown(instance: Instance, snapshot: Snapshot) -> bool:
    """Return whether it is not known what a machine carries: its cell does not answer, and it may have joined it.

    A machine may join while the cell is silent to us, once its head ever answered.
    """
    cell = snapshot.cell(instance.region)
    if cell is None or cell.answered:
        return False
    here = (i for i in snapshot.instances if i.region == instance.region and (i.role is Role.HEAD or i == instance))
    return any(i.node_id is not None for i in here)


def _head_blocked(instance: Instance, snapshot: Snapshot, changes: CapacityChanges) -> Blocked | None:
    ending = {t.instance_id for t in changes.terminations}
    workers = [i for i in snapshot.instances if i.region == instance.region and i.role is Role.WORKER]
    serving = (w for w in workers if w.exists or replicas_on(snapshot, w) or _is_unknown(w, snapshot))
    has_workers = any(w.id not in ending for w in serving)
    return Blocked(BlockedReason.CELL_HAS_WORKERS) if has_workers else None


def _others(ready: Readiness, application: ApplicationName, region: RegionId) -> int:
    return ready.capacity_without(application, region, lasting=True)


def _blockers(region: RegionId, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> Iterator[Blocked]:
    """Yield why replicas of a cell cannot move yet: they need machines that have joined, and a stable cell."""
    if region not in ready.joined:
        yield Blocked(BlockedReason.NOT_ALL_JOINED)
    if region in changes.changing:
        yield Blocked(BlockedReason.CELL_CHANGING)
    cell = snapshot.cell(region)
    for application in cell.applications if cell is not None else ():
        name, target = application.name, ready.wanted.get((application.name, region), 0)
        if not ready.may_lower(name, region, target):
            yield Blocked(BlockedReason.NOT_CARRIED_ELSEWHERE, application=name)
        if application.replicas_ready > target:
            yield Blocked(
                BlockedReason.REPLICAS_ABOVE_TARGET,
                application=name,
                ready=application.replicas_ready,
                target=target,
            )
        if application.state is not DeployState.RUNNING:
            yield Blocked(BlockedReason.APPLICATION_NOT_STABLE, application=name, state=application.state)


def end_again(snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Repeat each end until the cloud lists it; it is never assumed.

    What was announced counts, whether it is read again or not.
    """
    announced = terminal_notices(snapshot.notices, snapshot.taken_at, snapshot.thresholds)
    for instance in snapshot.instances:
        if instance.status is not _S.TERMINATING or instance.region in snapshot.unreachable:
            continue
        notice = announced.get(instance.id) or instance.notice
        is_ahead = notice is not None and notice.at is not None and notice.at > snapshot.taken_at
        if notice is None or not (is_ahead or notice.kind in {NoticeKind.DRAIN, NoticeKind.LEAVING}):
            changes.terminations.append(_end_of(instance, notice))
        elif _is_unknown(instance, snapshot) and (is_ahead or not is_excluded(snapshot, instance.region)):
            changes.block(Blocked(BlockedReason.CELL_SILENT, notice=notice), instance, ActionKind.TERMINATE)
        elif notice.kind is NoticeKind.DRAIN:
            _empty(instance, notice, snapshot, ready, changes)
        else:
            _use_notice(instance, notice, snapshot, changes)


def _end_of(instance: Instance, notice: Notice | None) -> Terminate:
    reason = instance.reason or TerminationReason.NOTICE
    return Terminate(instance.id, instance.key, instance.cloud_id, reason, instance.message, notice or instance.notice)


def _empty(instance: Instance, notice: Notice, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Move the replicas of a machine that is to be empty once others carry them, and end it after."""
    blocked = _end_blocked(instance, None, snapshot, ready, changes)
    if blocked is not None:
        changes.block(replace(blocked, notice=notice), instance, ActionKind.DRAIN)
    elif not moves_away(instance, TerminationReason.NOTICE, notice, snapshot, changes):
        changes.terminations.append(_end_of(instance, notice))


def _use_notice(instance: Instance, notice: Notice, snapshot: Snapshot, changes: CapacityChanges) -> None:
    """Move the replicas of a machine whose end is announced, and end it once it carries none.

    With time to spare it serves while another starts.
    """
    if notice.at is not None and notice.at - snapshot.taken_at > starts_ahead(instance, snapshot):
        waits = Blocked(BlockedReason.SERVES_UNTIL_REPLACED, notice=notice)
        changes.block(waits, instance, ActionKind.TERMINATE)
        return
    if moves_away(instance, TerminationReason.NOTICE, notice, snapshot, changes):
        return
    changes.terminations.append(_end_of(instance, notice))


def end_orphans(snapshot: Snapshot, changes: CapacityChanges) -> None:
    """End machines with our tag and no record, once no launch of them can be in flight."""
    for orphan in snapshot.orphans:
        if orphan.key.region in snapshot.unreachable:
            continue
        age = None if orphan.launched_at is None else snapshot.taken_at - orphan.launched_at
        if age is not None and age > snapshot.thresholds.orphan_age_min:
            changes.terminations.append(_end_orphan(orphan))
        else:
            changes.blocked.append(
                Blocked(
                    BlockedReason.ORPHAN_WATCHED,
                    ActionKind.TERMINATE,
                    orphan.key.region,
                    instance_id=orphan.instance_id,
                    key=orphan.key,
                    message=orphan.cloud_id,
                )
            )


def _end_orphan(orphan: CloudInstance) -> Terminate:
    return Terminate(orphan.instance_id, orphan.key, orphan.cloud_id, TerminationReason.ORPHAN)
