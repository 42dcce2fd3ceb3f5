"""make_plan(placement, snapshot): the actions from what stands to what is wanted. Pure."""

from scheduler.plan.capacity import capacity_changes
from scheduler.plan.ready import readiness
from scheduler.plan.routing import routing_change
from scheduler.plan.serving import serving_changes
from state.model.health import HealthKnobs
from state.model.ids import PlanId, derive_id
from state.model.inventory import Instance
from state.model.plan import Action, Placement, Plan, Snapshot


def make_plan(placement: Placement, snapshot: Snapshot, knobs: HealthKnobs) -> Plan:
    """Return what may be done now, in order: route, launch, serve, drain, terminate.

    What must come later, since something else has to be ready first, is left to a later tick and named
    in `waiting`. The plan's id is derived from what it was made from.
    """
    plan_id = _plan_id(snapshot)
    ready = readiness(snapshot, placement)
    capacity = capacity_changes(placement, snapshot, ready, plan_id)
    serving = serving_changes(placement, snapshot, ready)
    route = routing_change(snapshot, ready, knobs)
    actions: list[Action] = [] if route is None else [route]
    actions += capacity.launches
    actions += serving.serves
    actions += capacity.drains
    actions += capacity.terminations
    waiting = capacity.waiting + serving.waiting + _waiting_machines(snapshot)
    return Plan(
        id=plan_id,
        made_at=snapshot.taken_at,
        spec_version=None if snapshot.wanted is None else snapshot.wanted.version,
        placement=placement,
        actions=tuple(actions),
        instances=_recorded(snapshot.learned, tuple(capacity.instances)),
        health=snapshot.health,
        waiting=tuple(waiting),
    )


def _plan_id(snapshot: Snapshot) -> PlanId:
    version = "" if snapshot.wanted is None else str(snapshot.wanted.version)
    held = (f"{instance.id}:{instance.version}" for instance in snapshot.instances)
    return PlanId(derive_id("plan", snapshot.taken_at.isoformat(), version, *held))


def _recorded(learned: tuple[Instance, ...], decided: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return each instance once, in its newest state."""
    newest = {instance.id: instance for instance in learned} | {instance.id: instance for instance in decided}
    return tuple(newest[key] for key in sorted(newest))


def _waiting_machines(snapshot: Snapshot) -> list[str]:
    return [
        f"{instance.id} ({instance.key}) is {instance.status}"
        for instance in snapshot.instances
        if instance.status != "running" and instance.region not in snapshot.blind
    ]
