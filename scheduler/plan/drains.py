"""How many machines may lose their replicas at once, and how long these have to move. Pure.

Ray Serve starts the replacements of a drained node's replicas first, and ends the old ones when the new ones run or
when the deadline passes. So a drain takes nothing away while there is room and time, and many at once take what they
carry.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from scheduler.observe.inventory import terminal_notices
from scheduler.plan.changes import CapacityChanges, node_of, replicas_on
from scheduler.plan.ready import Readiness
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Instance, Notice, NoticeKind, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, Blocked, BlockedReason, Drain
from state.model.snapshot import Snapshot


def moves_away(
    instance: Instance,
    reason: TerminationReason,
    notice: Notice | None,
    snapshot: Snapshot,
    changes: CapacityChanges,
) -> bool:
    """Drain a machine, or let it be drained further; return whether it carries any replica, in a cell that answers."""
    node, cell = node_of(snapshot, instance), snapshot.cell(instance.region)
    if node is None or not node.replicas or cell is None or not cell.answered:
        return False
    if node.is_leaving:
        changes.block(Blocked(BlockedReason.REPLICAS_MOVING, notice=notice), instance, ActionKind.TERMINATE)
        return True
    until = instance.drain_until
    if until is None or until <= snapshot.taken_at:
        until = snapshot.taken_at + time_to_move(instance, notice, snapshot)
        changes.instances.append(replace(instance, drain_until=until, version=instance.version + 1))
    within = until - snapshot.taken_at
    changes.drains.append(Drain(instance.id, instance.region, node.node_id, reason, within, notice))
    return True


def time_to_move(instance: Instance, notice: Notice | None, snapshot: Snapshot) -> timedelta:
    """Return how long a machine's replicas have: what loading took in its region, several times, or until its end."""
    if notice is not None and notice.at is not None and notice.kind is not NoticeKind.DRAIN:
        return max(notice.at - snapshot.taken_at, timedelta())
    thresholds = snapshot.thresholds
    longest = max(_loads(snapshot, instance.region) or _loads(snapshot, None), default=timedelta())
    return min(max(longest * thresholds.drain_loads, thresholds.drain_min), thresholds.drain_max)


def starts_ahead(instance: Instance, snapshot: Snapshot) -> timedelta:
    """Return how long before an announced end a machine's replicas begin to move: longer where loading takes long."""
    thresholds = snapshot.thresholds
    return max(thresholds.drain_ahead, min(time_to_move(instance, None, snapshot), thresholds.maintenance_ahead))


def _loads(snapshot: Snapshot, region: RegionId | None) -> list[timedelta]:
    """Return how long machines took from joining to carrying a ready replica, in a region or in all."""
    return [
        i.carried_at - i.joined_at
        for i in snapshot.instances
        if i.carried_at is not None and i.joined_at is not None and region in {None, i.region}
    ]


def drain_blocked(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> Blocked | None:
    """Return what else must move first: together they would take more than may go unserved."""
    going = _going(snapshot, changes)
    own = replicas_on(snapshot, instance)
    cell = snapshot.cell(instance.region)
    for application in cell.applications if cell is not None else ():
        name = application.name
        if any(going[region] for app, region in ready.ready if app == name) and not _is_carried(
            name, going + Counter({instance.region: own}), ready
        ):
            return Blocked(BlockedReason.OTHERS_MOVING, application=name)
    return None


def _is_carried(name: ApplicationName, going: Counter[RegionId], ready: Readiness) -> bool:
    """Return whether an application's floor is ready without the replicas that go, whosever these are."""
    left = sum(
        max(0, count - going[region]) * ready.milli_each.get((name, region), 0)
        for (app, region), count in ready.ready.items()
        if app == name
    )
    return left >= ready.floor.get(name, 0)


def _going(snapshot: Snapshot, changes: CapacityChanges) -> Counter[RegionId]:
    """Return the replicas per cell on nodes that are drained, or that end whatever we do."""
    drained = {drain.instance_id for drain in changes.drains}
    announced = terminal_notices(snapshot.notices, snapshot.taken_at, snapshot.thresholds)
    going: Counter[RegionId] = Counter()
    for instance in snapshot.instances:
        node = node_of(snapshot, instance)
        if node is None:
            continue
        ends = instance.status is InstanceStatus.TERMINATING and not _serves_on(
            instance, announced.get(instance.id), snapshot
        )
        if node.is_leaving or ends or instance.id in drained:
            going[instance.region] += node.replicas
    return going


def _serves_on(instance: Instance, notice: Notice | None, snapshot: Snapshot) -> bool:
    """Return whether a machine that is to end serves until others do: its operator waits, or its end is far off."""
    if notice is None:
        return False
    is_far = notice.at is not None and notice.at - snapshot.taken_at > starts_ahead(instance, snapshot)
    return notice.kind is NoticeKind.DRAIN or is_far
