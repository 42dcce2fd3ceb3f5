"""Rules on what serves: no change of ours leaves too little ready, and no application loses all its routes. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from scheduler.check.facts import carried_by, demand_of
from state.model.ids import ApplicationName
from state.model.plan import Finding, Plan, PlanRule, Route, Serve, Severity
from state.model.snapshot import Snapshot
from state.model.spec import Application


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
        floor = round(demand_of(application) * (1 - application.disruption.max_unavailable))
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


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (min_ready, routes)
