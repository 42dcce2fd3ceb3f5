"""Why a machine is of no use to its cell. Pure.

One reading concludes nothing: a machine that had joined is missing for minutes before it is lost, and a cell that lost
all of them at once, or whose head has only just started, is for its region's health to judge.
"""

from dataclasses import dataclass

from scheduler.plan.changes import node_of, replicas_on
from scheduler.region_policy import must_be_left_alone
from state.model.ids import RegionId
from state.model.inventory import Instance, Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot

_S = InstanceStatus


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a machine is of no use to its cell."""

    reason: TerminationReason
    message: str = ""


def fault_of(instance: Instance, snapshot: Snapshot) -> Fault | None:
    """Return why a machine is of no use to its cell; None where it is, or may still be."""
    if must_be_left_alone(snapshot, instance.region):
        return None
    if instance.status is _S.REQUESTED:
        return _never_started(instance, snapshot)
    cell = snapshot.cell(instance.region)
    if instance.status is not _S.RUNNING or instance.running_at is None or cell is None:
        return None
    if instance.role is Role.HEAD:
        return _head_fault(instance, cell, snapshot)
    return _worker_fault(instance, snapshot) if cell.answered else None


def _worker_fault(instance: Instance, snapshot: Snapshot) -> Fault | None:
    node = node_of(snapshot, instance)
    if node is not None and node.gpus is not None and node.gpus < instance.machine.gpus:
        return Fault(TerminationReason.GPUS_MISSING, f"{node.gpus:g} of {instance.machine.gpus}")
    return _impaired(instance, snapshot) or (_absent(instance, snapshot) if node is None else None)


def _never_started(instance: Instance, snapshot: Snapshot) -> Fault | None:
    """Return why a machine that its cloud accepted, and has not listed as running since, is given up.

    One that is in its cell runs, whatever its cloud lists.
    """
    age = snapshot.taken_at - instance.requested_at
    is_late = instance.cloud_id is not None and age > snapshot.thresholds.start_max
    if not is_late or node_of(snapshot, instance) is not None:
        return None
    return Fault(TerminationReason.NEVER_STARTED, f"after {age.total_seconds() / 60:.0f} min")


def _head_fault(instance: Instance, cell: CellStatus, snapshot: Snapshot) -> Fault | None:
    """Return why a head is of no use; one whose cell has served is for its region's health to judge."""
    if cell.answered or snapshot.health_of(instance.region) is not None:
        return None
    return _never_joined(instance, snapshot) if instance.node_id is None else _left(instance, snapshot)


def _absent(instance: Instance, snapshot: Snapshot) -> Fault | None:
    """Return why a machine that its cell answers without is lost."""
    if instance.node_id is None:
        return _never_joined(instance, snapshot)
    lost = _left(instance, snapshot)
    return lost if lost is not None and _may_conclude(instance, snapshot) else None


def _never_joined(instance: Instance, snapshot: Snapshot) -> Fault | None:
    since = instance.running_at or snapshot.taken_at
    is_late = snapshot.taken_at - since > snapshot.thresholds.join_max
    return Fault(TerminationReason.NEVER_JOINED) if is_late else None


def _left(instance: Instance, snapshot: Snapshot) -> Fault | None:
    since = instance.left_cell_since
    if since is None or snapshot.taken_at - since <= snapshot.thresholds.rejoin_max:
        return None
    return Fault(TerminationReason.LEFT_CELL, f"for {(snapshot.taken_at - since).total_seconds() / 60:.0f} min")


def _may_conclude(instance: Instance, snapshot: Snapshot) -> bool:
    """Return whether absence is the machine's own: its head has been there for long, and others are in the cell.

    Where all have left, the region's health decides first; only long after are they lost.
    """
    now, thresholds = snapshot.taken_at, snapshot.thresholds
    heads = (i for i in snapshot.instances if i.region == instance.region and i.role is Role.HEAD and i.exists)
    head = next(heads, None)
    if head is None or head.joined_at is None or now - head.joined_at <= thresholds.rejoin_max:
        return False
    since = instance.left_cell_since or now
    return not _all_left(snapshot, instance.region) or now - since > thresholds.join_max


def _all_left(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether no worker that had joined a cell is in it any more."""
    workers = (i for i in snapshot.instances if i.region == region and i.role is Role.WORKER)
    joined = [i for i in workers if i.status is _S.RUNNING and i.node_id is not None]
    return all(i.left_cell_since is not None for i in joined)


def _impaired(instance: Instance, snapshot: Snapshot) -> Fault | None:
    """Return the impairment of a machine that carries nothing; one that serves is kept, whatever its cloud finds."""
    found = snapshot.impairment_of(instance.id)
    if found is None or replicas_on(snapshot, instance):
        return None
    lasts = found.since is None or snapshot.taken_at - found.since > snapshot.thresholds.impaired_max
    return Fault(TerminationReason.IMPAIRED, found.reason) if lasts else None
