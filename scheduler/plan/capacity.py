"""The placement's machines against those that stand: what to launch, to drain and to end. Pure.

Make before break: a machine ends only when what is ready without it carries the demand.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from scheduler.observe.inventory import is_terminal
from scheduler.plan.ready import Readiness
from scheduler.solve.supply import is_excluded, untouchable
from state.model.catalog import Capability, OfferKey
from state.model.health import HealthState
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId, derive_id
from state.model.inventory import CloudInstance, Instance, Notice, NoticeKind, Role, advanced
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement
from state.model.plan import Drain, Launch, Terminate
from state.model.serving import NodeStatus
from state.model.snapshot import Snapshot
from state.model.units import Usd, total

ORPHAN_AGE_MIN: Final = timedelta(minutes=10)
"""How old a machine with our tag and no record must be before it is ended: a launch may still be in flight."""
JOIN_MAX: Final = timedelta(minutes=15)
"""How long a machine may run without joining its cell before it is replaced."""
NEVER_JOINED: Final = "never joined its cell"
IMPAIRED_MAX: Final = timedelta(minutes=1)
"""How long something may be wrong with a machine that carries nothing before it is replaced."""
DRAIN_AHEAD: Final = timedelta(minutes=5)
"""So long before a machine is taken away its replicas are moved: what a request and a drain may take, and more."""

_S = InstanceStatus


@dataclass(slots=True)
class CapacityChanges:
    """What is to be done about machines."""

    launches: list[Launch] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    terminations: list[Terminate] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    """Requested and terminating ones, to be recorded."""
    blocked: list[str] = field(default_factory=list)
    unsettled: frozenset[RegionId] = frozenset()
    """Cells whose configuration is about to change, or waits to."""


def capacity_changes(
    placement: Placement, snapshot: Snapshot, ready: Readiness, plan_id: PlanId, unsettled: frozenset[RegionId]
) -> CapacityChanges:
    """Return the changes that may be made now; later ticks make the rest."""
    changes = CapacityChanges(unsettled=unsettled)
    _launch_missing(placement, snapshot, plan_id, changes)
    _repeat_unknown(snapshot, placement, changes)
    for instance in _surplus(placement, snapshot):
        _retire(instance, snapshot, ready, changes)
    _end_again(snapshot, ready, changes)
    _end_orphans(snapshot, changes)
    return changes


def _targets(placement: Placement) -> Counter[tuple[OfferKey, Role]]:
    targets: Counter[tuple[OfferKey, Role]] = Counter()
    for machine in placement.machines:
        targets[machine.offer.key, machine.role] += machine.count
    return targets


def _standing(snapshot: Snapshot) -> Counter[tuple[OfferKey, Role]]:
    return Counter((i.key, i.role) for i in snapshot.instances if i.is_standing and not is_excluded(snapshot, i.region))


def _launch_missing(placement: Placement, snapshot: Snapshot, plan_id: PlanId, changes: CapacityChanges) -> None:
    if snapshot.wanted is None:
        return
    standing = _standing(snapshot)
    in_flight = sum(i.status is _S.REQUESTED and i.role is Role.WORKER for i in snapshot.instances)
    surge = sum(a.disruption.max_surge for _, a in snapshot.wanted.spec.named()) - in_flight
    spent = total([i.price_per_hour for i in snapshot.instances])
    fleet = snapshot.wanted.spec.fleet
    heads_first = sorted(placement.machines, key=lambda m: (m.role is not Role.HEAD, m.offer.key))
    for machine in heads_first:
        key, role = machine.offer.key, machine.role
        for number in range(machine.count - standing[key, role]):
            why_not = _why_not_now(machine, snapshot, changes, spent, surge)
            if why_not:
                changes.blocked.append(f"{key}: {why_not}")
                break
            spent += machine.offer.price.per_hour
            surge -= role is Role.WORKER
            launch = _launch(
                machine, snapshot, InstanceId(derive_id("sk", fleet, plan_id, str(key), role, str(number)))
            )
            changes.launches.append(launch)
            changes.instances.append(_requested(launch, snapshot, plan_id))


def _why_not_now(
    machine: MachineCount, snapshot: Snapshot, changes: CapacityChanges, spent: Usd, surge: int
) -> str | None:
    region = machine.offer.key.region
    if untouchable(snapshot, region):
        return "its region must not be touched now"
    if len(changes.launches) >= snapshot.limits.launches_per_plan:
        return "as many launches as one plan may have"
    if machine.role is Role.WORKER and surge <= 0:
        return "as many machines starting as max_surge allows"
    if machine.role is Role.HEAD and any(
        i.region == region and i.role is Role.HEAD and i.is_live for i in snapshot.instances
    ):
        return "the old head is not gone yet, and the new one needs its address"
    budget = snapshot.wanted.spec.max_per_hour if snapshot.wanted else Usd()
    if spent + machine.offer.price.per_hour > budget:
        return "no room in the budget until something else has ended"
    return None


def _launch(machine: MachineCount, snapshot: Snapshot, instance_id: InstanceId) -> Launch:
    cell = snapshot.settings_of(machine.offer.key.region)
    if cell is None:
        msg = f"{machine.offer.key.region} is not set up, so nothing may be placed there"
        raise AssertionError(msg)
    return Launch(
        instance_id=instance_id,
        key=machine.offer.key,
        machine=machine.offer.machine,
        role=machine.role,
        price_per_hour=machine.offer.price.per_hour,
        cell=cell,
        reason=machine.reason,
    )


def _requested(launch: Launch, snapshot: Snapshot, plan_id: PlanId) -> Instance:
    return Instance(
        id=launch.instance_id,
        key=launch.key,
        machine=launch.machine,
        role=launch.role,
        status=_S.REQUESTED,
        price_per_hour=launch.price_per_hour,
        plan_id=plan_id,
        requested_at=snapshot.taken_at,
        address=launch.cell.head_address if launch.role is Role.HEAD else None,
        reason=launch.reason,
    )


def _repeat_unknown(snapshot: Snapshot, placement: Placement, changes: CapacityChanges) -> None:
    """Send launches with no known outcome again, under the same id, to clouds that start each id once."""
    wanted = _targets(placement)
    for instance in snapshot.instances:
        is_unknown = instance.status is _S.REQUESTED and instance.cloud_id is None
        is_once = snapshot.is_capable(instance.key.provider, Capability.IDEMPOTENT_LAUNCH)
        if (
            not is_unknown
            or not is_once
            or untouchable(snapshot, instance.region)
            or is_excluded(snapshot, instance.region)
        ):
            continue
        cell = snapshot.settings_of(instance.region)
        if wanted[instance.key, instance.role] and cell is not None:
            changes.launches.append(
                Launch(
                    instance.id,
                    instance.key,
                    instance.machine,
                    instance.role,
                    instance.price_per_hour,
                    cell,
                    "asked for before, with no known outcome",
                    is_repeat=True,
                )
            )


def _surplus(placement: Placement, snapshot: Snapshot) -> Iterator[Instance]:
    """Yield the machines that are not to stand: first those that nobody will miss."""
    targets = _targets(placement)
    by_offer: dict[tuple[OfferKey, Role], list[Instance]] = {}
    for instance in snapshot.instances:
        if instance.is_standing and _may_be_ended(snapshot, instance.region):
            by_offer.setdefault((instance.key, instance.role), []).append(instance)
    lost = {instance.id for instance in snapshot.instances if _why_lost(instance, snapshot)}
    for offer, instances in sorted(by_offer.items()):
        is_lost = is_excluded(snapshot, offer[0].region)
        count = len(instances) - (0 if is_lost else targets[offer])
        missed = sorted(instances, key=lambda i: (i.status is not _S.REQUESTED, _replicas_on(snapshot, i), i.id))
        for number, instance in enumerate(missed):
            if number < count or instance.id in lost:
                yield instance


def _may_be_ended(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether machines in a region may be ended: not while it is silent, suspect or coming back."""
    health = snapshot.health_of(region)
    is_recovering = health is not None and health.state is HealthState.RECOVERING
    return not untouchable(snapshot, region) and not is_recovering


def _node(snapshot: Snapshot, instance: Instance) -> NodeStatus | None:
    cell = snapshot.cell(instance.region)
    if cell is None:
        return None
    return next((node for node in cell.nodes if node.instance_id == instance.id), None)


def _replicas_on(snapshot: Snapshot, instance: Instance) -> int:
    node = _node(snapshot, instance)
    return node.replicas if node is not None else 0


def _why_lost(instance: Instance, snapshot: Snapshot) -> str | None:
    """Return why a running machine is of no use to its cell; None where it is, or may still be."""
    cell = snapshot.cell(instance.region)
    is_converged = instance.status is _S.RUNNING and not untouchable(snapshot, instance.region)
    if not is_converged or instance.running_at is None or cell is None:
        return None
    is_late = snapshot.taken_at - instance.running_at > JOIN_MAX
    if instance.role is Role.HEAD:
        is_lost = is_late and not cell.answered and snapshot.health_of(instance.region) is None
        return NEVER_JOINED if is_lost else None
    node, impairment = _node(snapshot, instance), snapshot.impairment_of(instance.id)
    if not cell.answered:
        return None
    if node is not None and node.gpus is not None and node.gpus < instance.machine.gpus:
        return f"joined its cell with {node.gpus:g} of {instance.machine.gpus} GPUs"
    # What serves is believed, whatever its cloud finds.
    is_told = impairment is not None and (
        impairment.since is None or snapshot.taken_at - impairment.since > IMPAIRED_MAX
    )
    if impairment is not None and is_told and not _replicas_on(snapshot, instance):
        return f"carries no replica, and {impairment.reason}"
    return NEVER_JOINED if is_late and node is None else None


def _retire(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """End a machine, or take the step before, or say what it waits for."""
    why_not = None if snapshot.wanted is None else _why_not_yet(instance, snapshot, ready, changes)
    if why_not is not None:
        changes.blocked.append(f"{instance.id} ({instance.key}) stays: {why_not}")
        return
    if snapshot.wanted is not None and _moves_away(instance, "its machine is no longer wanted", snapshot, changes):
        return
    reason = "nothing is wanted any more" if snapshot.wanted is None else "not in the placement"
    reason = _why_lost(instance, snapshot) or reason
    changes.terminations.append(
        Terminate(instance.id, instance.key, instance.cloud_id, reason, never_joined=reason == NEVER_JOINED)
    )
    changes.instances.append(advanced(instance, _S.TERMINATING, reason))


def _moves_away(instance: Instance, reason: str, snapshot: Snapshot, changes: CapacityChanges) -> bool:
    """Let the replicas of a machine move; return whether it carries any, in a cell that answers."""
    node, cell = _node(snapshot, instance), snapshot.cell(instance.region)
    if node is None or not node.replicas or cell is None or not cell.answered:
        return False
    changes.drains.append(Drain(instance.id, instance.region, node.node_id, reason))
    return True


def _why_not_yet(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> str | None:
    if instance.role is Role.HEAD:
        ending = {t.instance_id for t in changes.terminations}
        workers = [i for i in snapshot.instances if i.region == instance.region and i.role is Role.WORKER]
        has_workers = any(w.is_standing and w.id not in ending for w in workers)
        return "its cell still has workers" if has_workers else None
    if is_excluded(snapshot, instance.region):
        short = [a for a, need in sorted(ready.floor.items()) if _others(ready, a, instance.region) < need]
        return f"{short[0]} is not carried elsewhere yet" if short else None
    if _replicas_on(snapshot, instance) == 0:
        return None
    return next(_unrest(instance.region, snapshot, ready, changes), None)


def _others(ready: Readiness, application: ApplicationName, region: RegionId) -> int:
    return ready.capacity_without(application, region, lasting=True)


def _unrest(region: RegionId, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> Iterator[str]:
    """Yield why replicas of a cell cannot move yet: they need machines that have joined, and a cell at rest."""
    if region not in ready.joined:
        yield "not every machine of its cell has joined yet"
    if region in changes.unsettled:
        yield "what its cell serves is being changed"
    cell = snapshot.cell(region)
    for application in cell.applications if cell is not None else ():
        target = ready.wanted.get((application.name, region), 0)
        if not ready.may_lower(application.name, region, target):
            yield f"{application.name} is not carried elsewhere yet"
        if application.replicas_ready > target:
            yield f"{application.name} still has {application.replicas_ready} replicas in its cell"
        if application.status != "RUNNING":
            yield f"{application.name} is not at rest in its cell"


def _end_again(snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Repeat each end until the cloud says that it came; it is never assumed."""
    announced = {notice.instance_id: notice for notice in snapshot.notices if is_terminal(notice, snapshot.taken_at)}
    for instance in snapshot.instances:
        if instance.status is not _S.TERMINATING or instance.region in snapshot.unreachable:
            continue
        notice = announced.get(instance.id)
        if notice is not None and notice.kind is NoticeKind.DRAIN:
            _empty(instance, notice, snapshot, ready, changes)
        elif notice is not None and notice.kind is NoticeKind.LEAVING and _replicas_on(snapshot, instance):
            changes.blocked.append(f"{instance.id} ({instance.key}) is left to move its replicas: {notice.detail}")
        elif notice is not None and notice.at is not None and notice.at > snapshot.taken_at:
            _use_notice(instance, notice, snapshot, changes)
        else:
            changes.terminations.append(
                Terminate(instance.id, instance.key, instance.cloud_id, instance.reason or "ending")
            )


def _empty(instance: Instance, notice: Notice, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Move the replicas of a machine that is to be empty once others carry them, and end it after."""
    why_not = _why_not_yet(instance, snapshot, ready, changes)
    if why_not is not None:
        changes.blocked.append(f"{instance.id} ({instance.key}) is not emptied yet: {why_not}")
    elif not _moves_away(instance, str(notice), snapshot, changes):
        changes.terminations.append(Terminate(instance.id, instance.key, instance.cloud_id, str(notice)))


def _use_notice(instance: Instance, notice: Notice, snapshot: Snapshot, changes: CapacityChanges) -> None:
    """Move the replicas of a machine that will be taken away, and end it once it carries none.

    With time to spare it serves on while another starts.
    """
    if notice.at is not None and notice.at - snapshot.taken_at > DRAIN_AHEAD:
        changes.blocked.append(f"{instance.id} ({instance.key}) serves on till another has started: {notice}")
        return
    if _moves_away(instance, str(notice), snapshot, changes):
        return
    changes.terminations.append(Terminate(instance.id, instance.key, instance.cloud_id, str(notice)))


def _end_orphans(snapshot: Snapshot, changes: CapacityChanges) -> None:
    for orphan in snapshot.orphans:
        if orphan.key.region in snapshot.unreachable:
            continue
        if orphan.launched_at is not None and snapshot.taken_at - orphan.launched_at > ORPHAN_AGE_MIN:
            changes.terminations.append(_end_orphan(orphan))
        else:
            changes.blocked.append(f"orphan {orphan.cloud_id} in {orphan.key.region}: watched before it is ended")


def _end_orphan(orphan: CloudInstance) -> Terminate:
    return Terminate(orphan.instance_id, orphan.key, orphan.cloud_id, "carries our tag, but nobody asked for it")
