"""The placement's machines against those that exist: what to launch, and what becomes of the others. Pure."""

from collections import Counter
from dataclasses import replace

from scheduler.plan.changes import CapacityChanges
from scheduler.plan.claims import Claims
from scheduler.plan.endings import end_again, end_orphans, retire_surplus
from scheduler.plan.ready import Readiness
from scheduler.region_policy import is_excluded, must_be_left_alone
from state.model.catalog import Capability, OfferKey
from state.model.ids import InstanceId, PlanId, RegionId, derive_id
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement
from state.model.plan import ActionKind, Blocked, BlockedReason, Launch
from state.model.snapshot import Snapshot
from state.model.units import Usd, total

_S = InstanceStatus


def capacity_changes(
    placement: Placement, snapshot: Snapshot, ready: Readiness, plan_id: PlanId, changing: frozenset[RegionId]
) -> CapacityChanges:
    """Return the changes that may be made now; later ticks make the rest."""
    changes = CapacityChanges(changing=changing)
    _launch_missing(placement, snapshot, plan_id, changes)
    retire_surplus(_targets(placement), snapshot, ready, changes)
    _repeat_unknown(snapshot, placement, changes)
    end_again(snapshot, ready, changes)
    end_orphans(snapshot, changes)
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
    claims = Claims(snapshot.instances)
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
            launch = replace(launch, reservation=claims.take(machine.offer))
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
        reservation=launch.reservation,
        launch_price=launch.price_per_hour,
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
                    instance.reservation,
                    is_repeat=True,
                )
            )
