"""The placement's machines against those that exist: what to launch, to drain and to end. Pure.

Make before break: a machine ends only when what is ready without it carries the demand.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from scheduler.observe.inventory import terminal_notices
from scheduler.plan.ready import Readiness
from scheduler.region_policy import is_excluded, may_end_machines, must_be_left_alone
from state.model.catalog import Capability, OfferKey
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId, derive_id
from state.model.inventory import CloudInstance, Instance, Notice, NoticeKind, Role, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement
from state.model.plan import ActionKind, Blocked, BlockedReason, Drain, Launch, Terminate
from state.model.serving import DeployState, NodeStatus
from state.model.snapshot import Snapshot
from state.model.units import Usd, total

_S = InstanceStatus


@dataclass(slots=True)
class CapacityChanges:
    """What is to be done about machines."""

    launches: list[Launch] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    terminations: list[Terminate] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    """Requested and terminating ones, to be recorded."""
    blocked: list[Blocked] = field(default_factory=list)
    changing: frozenset[RegionId] = frozenset()
    """Cells whose configuration is about to change, or waits to."""


def capacity_changes(
    placement: Placement, snapshot: Snapshot, ready: Readiness, plan_id: PlanId, changing: frozenset[RegionId]
) -> CapacityChanges:
    """Return the changes that may be made now; later ticks make the rest."""
    changes = CapacityChanges(changing=changing)
    _launch_missing(placement, snapshot, plan_id, changes)
    for instance in _surplus(placement, snapshot):
        _retire(instance, snapshot, ready, changes)
    _repeat_unknown(snapshot, placement, changes)
    _end_again(snapshot, ready, changes)
    _end_orphans(snapshot, changes)
    return changes


def _targets(placement: Placement) -> Counter[tuple[OfferKey, Role]]:
    targets: Counter[tuple[OfferKey, Role]] = Counter()
    for machine in placement.machines:
        targets[machine.offer.key, machine.role] += machine.count
    return targets


def _existing(snapshot: Snapshot) -> Counter[tuple[OfferKey, Role]]:
    return Counter((i.key, i.role) for i in snapshot.instances if i.exists and not is_excluded(snapshot, i.region))


def _launch_missing(placement: Placement, snapshot: Snapshot, plan_id: PlanId, changes: CapacityChanges) -> None:
    if snapshot.wanted is None:
        return
    existing = _existing(snapshot)
    in_flight = sum(i.status is _S.REQUESTED and i.role is Role.WORKER for i in snapshot.instances)
    surge = sum(a.disruption.max_surge for _, a in snapshot.wanted.spec.named()) - in_flight
    spent = total([i.price_per_hour for i in snapshot.instances])
    fleet = snapshot.wanted.spec.fleet
    heads_first = sorted(placement.machines, key=lambda m: (m.role is not Role.HEAD, m.offer.key))
    for machine in heads_first:
        key, role = machine.offer.key, machine.role
        for number in range(machine.count - existing[key, role]):
            blocked = _launch_blocked(machine, snapshot, changes, spent, surge)
            if blocked is not None:
                changes.blocked.append(Blocked(blocked, ActionKind.LAUNCH, key.region, key=key))
                break
            spent += machine.offer.price.per_hour
            surge -= role is Role.WORKER
            launch = _launch(
                machine, snapshot, InstanceId(derive_id("sk", fleet, plan_id, str(key), role, str(number)))
            )
            changes.launches.append(launch)
            changes.instances.append(_requested(launch, snapshot, plan_id))


def _launch_blocked(
    machine: MachineCount, snapshot: Snapshot, changes: CapacityChanges, spent: Usd, surge: int
) -> BlockedReason | None:
    region = machine.offer.key.region
    if must_be_left_alone(snapshot, region):
        return BlockedReason.REGION_LEFT_ALONE
    if len(changes.launches) >= snapshot.limits.launches_per_plan:
        return BlockedReason.LAUNCH_LIMIT
    if machine.role is Role.WORKER and surge <= 0:
        return BlockedReason.MAX_SURGE
    if machine.role is Role.HEAD and any(
        i.region == region and i.role is Role.HEAD and i.is_live for i in snapshot.instances
    ):
        return BlockedReason.HEAD_ADDRESS_IN_USE
    if machine.role is Role.HEAD and not _has_worker(snapshot, region):
        return BlockedReason.WORKER_FIRST
    budget = snapshot.wanted.spec.max_per_hour if snapshot.wanted else Usd()
    return BlockedReason.BUDGET if spent + machine.offer.price.per_hour > budget else None


def _has_worker(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region's cloud has accepted a worker: it waits for its head, and joins once there is one."""
    workers = (i for i in snapshot.instances if i.region == region and i.role is Role.WORKER)
    return any(i.exists and i.cloud_id is not None for i in workers)


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
        choice=machine.choice,
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
        choice=launch.choice,
    )


def _repeat_unknown(snapshot: Snapshot, placement: Placement, changes: CapacityChanges) -> None:
    """Repeat, under the same id, launches with an unknown outcome, in clouds that start each id once."""
    wanted = _targets(placement)
    ending = {termination.instance_id for termination in changes.terminations}
    for instance in snapshot.instances:
        is_unknown = instance.status is _S.REQUESTED and instance.cloud_id is None and instance.id not in ending
        is_once = snapshot.is_capable(instance.key.provider, Capability.IDEMPOTENT_LAUNCH)
        may_act = not must_be_left_alone(snapshot, instance.region) and not is_excluded(snapshot, instance.region)
        if not is_unknown or not is_once or not may_act:
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
                    instance.choice,
                    is_repeat=True,
                )
            )


def _surplus(placement: Placement, snapshot: Snapshot) -> Iterator[Instance]:
    """Yield the machines that the placement has no use for: first those that are lost, then those that carry least."""
    targets = _targets(placement)
    by_offer: dict[tuple[OfferKey, Role], list[Instance]] = {}
    for instance in snapshot.instances:
        if instance.exists and may_end_machines(snapshot, instance.region):
            by_offer.setdefault((instance.key, instance.role), []).append(instance)
    lost = {instance.id for instance in snapshot.instances if _fault(instance, snapshot)}
    for offer, instances in sorted(by_offer.items()):
        is_lost = is_excluded(snapshot, offer[0].region)
        count = len(instances) - (0 if is_lost else targets[offer])
        ordered = sorted(
            instances, key=lambda i: (i.id not in lost, i.status is not _S.REQUESTED, _replicas_on(snapshot, i), i.id)
        )
        for number, instance in enumerate(ordered):
            if number < count or instance.id in lost:
                yield instance


def _node(snapshot: Snapshot, instance: Instance) -> NodeStatus | None:
    cell = snapshot.cell(instance.region)
    if cell is None:
        return None
    return next((node for node in cell.nodes if node.instance_id == instance.id), None)


def _replicas_on(snapshot: Snapshot, instance: Instance) -> int:
    node = _node(snapshot, instance)
    return node.replicas if node is not None else 0


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a machine is of no use to its cell."""

    reason: TerminationReason
    message: str = ""


def _fault(instance: Instance, snapshot: Snapshot) -> _Fault | None:
    """Return why a running machine is of no use to its cell; None where it is, or may still be."""
    cell = snapshot.cell(instance.region)
    is_running = instance.status is _S.RUNNING and not must_be_left_alone(snapshot, instance.region)
    if not is_running or instance.running_at is None or cell is None:
        return None
    is_late = snapshot.taken_at - instance.running_at > snapshot.thresholds.join_max
    if instance.role is Role.HEAD:
        is_lost = is_late and not cell.answered and snapshot.health_of(instance.region) is None
        return _Fault(TerminationReason.NEVER_JOINED) if is_lost else None
    if not cell.answered:
        return None
    node = _node(snapshot, instance)
    if node is not None and node.gpus is not None and node.gpus < instance.machine.gpus:
        return _Fault(TerminationReason.GPUS_MISSING, f"{node.gpus:g} of {instance.machine.gpus}")
    return _impaired(instance, snapshot) or (
        _Fault(TerminationReason.NEVER_JOINED) if is_late and node is None else None
    )


def _impaired(instance: Instance, snapshot: Snapshot) -> _Fault | None:
    """Return the impairment of a machine that carries nothing; one that serves is kept, whatever its cloud finds."""
    found = snapshot.impairment_of(instance.id)
    if found is None or _replicas_on(snapshot, instance):
        return None
    lasts = found.since is None or snapshot.taken_at - found.since > snapshot.thresholds.impaired_max
    return _Fault(TerminationReason.IMPAIRED, found.reason) if lasts else None


def _retire(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """End a machine, or take the step before, or record what blocks it."""
    blocked = None if snapshot.wanted is None else _end_blocked(instance, snapshot, ready, changes)
    if blocked is not None:
        changes.blocked.append(_of_instance(blocked, instance, ActionKind.TERMINATE))
        return
    fault = _fault(instance, snapshot)
    reason = TerminationReason.NOT_PLACED if snapshot.wanted is not None else TerminationReason.FLEET_DESTROYED
    fault = fault or _Fault(reason)
    if snapshot.wanted is not None and _moves_away(instance, fault.reason, None, snapshot, changes):
        return
    changes.terminations.append(Terminate(instance.id, instance.key, instance.cloud_id, fault.reason, fault.message))
    changes.instances.append(advanced(instance, _S.TERMINATING, fault.reason, message=fault.message))


def _moves_away(
    instance: Instance,
    reason: TerminationReason,
    notice: Notice | None,
    snapshot: Snapshot,
    changes: CapacityChanges,
) -> bool:
    """Drain a machine; return whether it carries any replica, in a cell that answers."""
    node, cell = _node(snapshot, instance), snapshot.cell(instance.region)
    if node is None or not node.replicas or cell is None or not cell.answered:
        return False
    changes.drains.append(Drain(instance.id, instance.region, node.node_id, reason, notice))
    return True


def _of_instance(blocked: Blocked, instance: Instance, action: ActionKind) -> Blocked:
    return replace(
        blocked,
        action=action,
        region=instance.region,
        instance_id=instance.id,
        key=instance.key,
        status=instance.status,
    )


def _end_blocked(instance: Instance, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> Blocked | None:
    """Return what blocks the end of a machine, or None."""
    if instance.role is Role.HEAD:
        ending = {t.instance_id for t in changes.terminations}
        workers = [i for i in snapshot.instances if i.region == instance.region and i.role is Role.WORKER]
        has_workers = any(w.exists and w.id not in ending for w in workers)
        return Blocked(BlockedReason.CELL_HAS_WORKERS) if has_workers else None
    if is_excluded(snapshot, instance.region):
        short = [a for a, need in sorted(ready.floor.items()) if _others(ready, a, instance.region) < need]
        return Blocked(BlockedReason.NOT_CARRIED_ELSEWHERE, application=short[0]) if short else None
    if _replicas_on(snapshot, instance) == 0:
        return None
    return next(_blockers(instance.region, snapshot, ready, changes), None)


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


def _end_again(snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Repeat each end until the cloud lists it; it is never assumed."""
    announced = terminal_notices(snapshot.notices, snapshot.taken_at, snapshot.thresholds)
    for instance in snapshot.instances:
        if instance.status is not _S.TERMINATING or instance.region in snapshot.unreachable:
            continue
        notice = announced.get(instance.id)
        if notice is not None and notice.kind is NoticeKind.DRAIN:
            _empty(instance, notice, snapshot, ready, changes)
        elif notice is not None and notice.kind is NoticeKind.LEAVING and _replicas_on(snapshot, instance):
            moving = Blocked(BlockedReason.REPLICAS_MOVING, notice=notice)
            changes.blocked.append(_of_instance(moving, instance, ActionKind.TERMINATE))
        elif notice is not None and notice.at is not None and notice.at > snapshot.taken_at:
            _use_notice(instance, notice, snapshot, changes)
        else:
            changes.terminations.append(_end_of(instance, notice))


def _end_of(instance: Instance, notice: Notice | None) -> Terminate:
    reason = instance.reason or TerminationReason.NOTICE
    return Terminate(instance.id, instance.key, instance.cloud_id, reason, instance.message, notice or instance.notice)


def _empty(instance: Instance, notice: Notice, snapshot: Snapshot, ready: Readiness, changes: CapacityChanges) -> None:
    """Move the replicas of a machine that is to be empty once others carry them, and end it after."""
    blocked = _end_blocked(instance, snapshot, ready, changes)
    if blocked is not None:
        changes.blocked.append(_of_instance(replace(blocked, notice=notice), instance, ActionKind.DRAIN))
    elif not _moves_away(instance, TerminationReason.NOTICE, notice, snapshot, changes):
        changes.terminations.append(_end_of(instance, notice))


def _use_notice(instance: Instance, notice: Notice, snapshot: Snapshot, changes: CapacityChanges) -> None:
    """Move the replicas of a machine whose end is announced, and end it once it carries none.

    With time to spare it serves while another starts.
    """
    if notice.at is not None and notice.at - snapshot.taken_at > snapshot.thresholds.drain_ahead:
        waits = Blocked(BlockedReason.SERVES_UNTIL_REPLACED, notice=notice)
        changes.blocked.append(_of_instance(waits, instance, ActionKind.TERMINATE))
        return
    if _moves_away(instance, TerminationReason.NOTICE, notice, snapshot, changes):
        return
    changes.terminations.append(_end_of(instance, notice))


def _end_orphans(snapshot: Snapshot, changes: CapacityChanges) -> None:
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
