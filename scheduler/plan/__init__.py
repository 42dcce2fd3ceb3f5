"""make_plan(placement, snapshot): the actions from the current state to the placement. Pure."""

from dataclasses import replace

from scheduler.plan.capacity import capacity_changes
from scheduler.plan.ready import readiness
from scheduler.plan.routing import routing_change
from scheduler.plan.serving import serving_changes
from state.model.health import RegionHealth
from state.model.ids import PlanId, derive_id
from state.model.inventory import Instance, NoticeKind
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.plan import Action, Blocked, BlockedReason, Drain, PendingMove, Plan, Serve
from state.model.snapshot import Snapshot


def make_plan(placement: Placement, snapshot: Snapshot, pending: tuple[PendingMove, ...] = ()) -> Plan:
    """Return what may be done now, in order: route, launch, serve, drain, terminate.

    What must come later, since something else has to be ready first, is left to a later tick and named
    in `blocked`. The plan's id is derived from what it was made from.
    """
    made_id = plan_id(snapshot)
    ready = readiness(snapshot, placement)
    serving = serving_changes(placement, snapshot, ready)
    capacity = capacity_changes(placement, snapshot, ready, made_id, frozenset(serving.changing))
    route = routing_change(snapshot, ready)
    actions: list[Action] = [] if route is None else [route]
    actions += capacity.launches
    actions += serving.serves
    actions += capacity.drains
    actions += capacity.terminations
    blocked = capacity.blocked + serving.blocked + _blocked_machines(snapshot)
    return Plan(
        id=made_id,
        made_at=snapshot.taken_at,
        spec_version=None if snapshot.wanted is None else snapshot.wanted.version,
        placement=placement,
        actions=tuple(actions),
        instances=_recorded(snapshot.learned, tuple(capacity.instances)),
        shortages=snapshot.new_shortages,
        health=tuple(_forewarned(health, actions, snapshot) for health in snapshot.health),
        blocked=tuple(blocked),
        pending_moves=pending,
    )


def _forewarned(health: RegionHealth, actions: list[Action], snapshot: Snapshot) -> RegionHealth:
    """Return a region's health with fewer replicas expected where our own actions make them unready."""
    expected = health.replicas_served
    for action in actions:
        if isinstance(action, Serve) and action.region == health.region and action.restarts:
            expected = 0
        if isinstance(action, Drain) and action.region == health.region:
            cell = snapshot.cell(action.region)
            moving = [n.replicas for n in cell.nodes if n.node_id == action.node_id] if cell else []
            expected = max(0, expected - sum(moving))
    return health if expected == health.replicas_served else replace(health, replicas_served=expected)


def plan_id(snapshot: Snapshot) -> PlanId:
    """Return the id of the plan that is made from a snapshot."""
    version = "" if snapshot.wanted is None else str(snapshot.wanted.version)
    held = (f"{instance.id}:{instance.version}" for instance in snapshot.instances)
    return PlanId(derive_id("plan", snapshot.taken_at.isoformat(), version, *held))


def _recorded(learned: tuple[Instance, ...], decided: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return each instance once, in its newest state."""
    newest = {instance.id: instance for instance in learned} | {instance.id: instance for instance in decided}
    return tuple(newest[key] for key in sorted(newest))


def _blocked_machines(snapshot: Snapshot) -> list[Blocked]:
    return [
        replace(
            _waiting(instance, snapshot),
            region=instance.region,
            instance_id=instance.id,
            key=instance.key,
            status=instance.status,
        )
        for instance in snapshot.instances
        if instance.status is not InstanceStatus.RUNNING and instance.region not in snapshot.unreachable
    ]


def _waiting(instance: Instance, snapshot: Snapshot) -> Blocked:
    """Return what a machine that starts or ends waits for; an end that is overdue is for a person to look at."""
    if instance.status is InstanceStatus.REQUESTED:
        return Blocked(BlockedReason.STARTING)
    since = instance.ending_since
    if instance.notice is not None and instance.notice.at is not None:
        since = max(instance.notice.at, since or instance.notice.at)
    is_asked = instance.notice is None or instance.notice.kind is not NoticeKind.DRAIN
    if is_asked and since is not None and snapshot.taken_at - since > snapshot.thresholds.end_max:
        minutes = f"{(snapshot.taken_at - since).total_seconds() / 60:.0f} min"
        return Blocked(BlockedReason.END_OVERDUE, message=minutes)
    return Blocked(BlockedReason.ENDING)
