"""Rules on what serves: no change of ours leaves too little ready, and no application loses all its routes. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from scheduler.check.facts import carried_by, demand_of
from state.model.health import HealthState
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import NoticeKind
from state.model.lifecycle import InstanceStatus
from state.model.plan import Drain, Finding, Plan, PlanRule, Route, Serve, Severity, Terminate
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot
from state.model.spec import Application

_N = NoticeKind


def min_ready(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find changes that leave less ready than the disruption policy asks for, or than is ready now."""
    if snapshot.wanted is None:
        return
    sent = {action.region: action for action in plan.actions if isinstance(action, Serve)}
    shapes = {(r.application, r.region): r.shape for r in plan.placement.replicas}
    applications = dict(snapshot.wanted.spec.named())
    now: Counter[ApplicationName] = Counter()
    after: Counter[ApplicationName] = Counter()
    for cell in snapshot.cells:
        for status in cell.applications if cell.answered else ():
            if status.name in applications:
                milli_each = _milli_each(applications[status.name], shapes.get((status.name, cell.region)))
                serve = sent.get(cell.region)
                left = status.replicas_ready if serve is None else _left(serve, status.name, status.replicas_ready)
                now[status.name] += status.replicas_ready * milli_each
                after[status.name] += left * milli_each
    for name, application in applications.items():
        floor = _floor(application)
        if after[name] < min(now[name], floor):
            yield Finding(PlanRule.MIN_READY, Severity.ERROR, "", name, after[name], min(now[name], floor))


def _milli_each(application: Application, shape: int | None) -> int:
    """Return what one ready replica carries, in thousandths: of the placed shape, or else of the smallest."""
    if shape is not None:
        return carried_by(application, application.shapes[shape])
    return min(carried_by(application, other) for other in application.shapes)


def _left(serve: Serve, name: ApplicationName, ready: int) -> int:
    """Return how many of a cell's ready replicas of an application are left once it has its new configuration."""
    if any(kept.application == name for kept in serve.kept):
        return ready
    return min(ready, sum(share.replicas for share in serve.shares if share.application == name))


def drains(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find drains that take more than may go unserved, together with what goes anyway; one machine alone may always.

    A drain is finished in its own time, so the region counts as if all its moving replicas were gone at once. Drains
    before an end that a cloud announced are not ours to time.
    """
    if snapshot.wanted is None:
        return
    chosen = {
        a.region
        for a in plan.actions
        if isinstance(a, Drain) and (a.notice is None or a.notice.kind is NoticeKind.DRAIN)
    }
    going = _going(plan, snapshot)
    shapes = {(r.application, r.region): r.shape for r in plan.placement.replicas}
    for name, application in snapshot.wanted.spec.named():
        ready = {cell.region: _ready(cell, name) for cell in snapshot.cells if _counts(cell, snapshot)}
        if not chosen & {region for region, count in ready.items() if count}:
            continue
        moving = [replicas for region, counts in going.items() if ready.get(region) for replicas in counts]
        left = sum(
            max(0, count - sum(going[region])) * _milli_each(application, shapes.get((name, region)))
            for region, count in ready.items()
        )
        floor = _floor(application)
        if len(moving) > 1 and left < floor:
            yield Finding(PlanRule.MIN_READY, Severity.ERROR, "", name, left, floor)


def _floor(application: Application) -> int:
    """Return what must stay ready while things change, in thousandths."""
    return round(demand_of(application) * (1 - application.disruption.max_unavailable))


def _ready(cell: CellStatus, name: ApplicationName) -> int:
    return sum(status.replicas_ready for status in cell.applications if status.name == name)


def _counts(cell: CellStatus, snapshot: Snapshot) -> bool:
    """Return whether a cell's replicas count as serving."""
    health = snapshot.health_of(cell.region)
    return cell.answered and (health is None or health.state not in {HealthState.SUSPECT, HealthState.DOWN})


def _going(plan: Plan, snapshot: Snapshot) -> dict[RegionId, list[int]]:
    """Return by region the replicas on each machine that is drained or ends, where it has any."""
    drained = {action.instance_id for action in plan.actions if isinstance(action, Drain)}
    late = snapshot.taken_at + snapshot.thresholds.drain_ahead
    waiting = {n.instance_id for n in snapshot.notices if n.kind is _N.DRAIN or (n.at is not None and n.at > late)}
    ending = {i.id for i in snapshot.instances if i.status is InstanceStatus.TERMINATING} - waiting
    going: dict[RegionId, list[int]] = defaultdict(list)
    for cell in snapshot.cells:
        for node in cell.nodes:
            if node.replicas and (node.is_leaving or node.instance_id in drained | ending):
                going[cell.region].append(node.replicas)
    return going


def serving_ends(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find ends of machines that carry replicas, while something is wanted: they are drained first."""
    if snapshot.wanted is None:
        return
    existing = {instance.id for instance in snapshot.instances if instance.exists}
    carried = {node.instance_id: node.replicas for cell in snapshot.cells if cell.answered for node in cell.nodes}
    for action in plan.actions:
        if isinstance(action, Terminate) and action.instance_id in existing and carried.get(action.instance_id):
            count = carried[action.instance_id]
            yield Finding(PlanRule.SERVING_MACHINE, Severity.ERROR, action.instance_id, None, count, 0)


def routes(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find routes that serve a wanted application and are replaced by none."""
    if snapshot.wanted is None or snapshot.routing is None:
        return
    wanted = {name for name, _ in snapshot.wanted.spec.named()}
    had = {route.application for route in snapshot.routing.routes if route.backends} & wanted
    for action in plan.actions:
        if isinstance(action, Route):
            has = {route.application for route in action.table.routes if route.backends}
            for name in sorted(had - has):
                yield Finding(PlanRule.ROUTES, Severity.ERROR, "", name)


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (
    min_ready,
    drains,
    serving_ends,
    routes,
)
