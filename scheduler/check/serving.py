"""Rules on what serves: no change of ours leaves too little ready, and no application loses all its routes. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from state.model.ids import ApplicationName
from state.model.plan import Finding, Plan, PlanRule, Route, Serve, Severity
from state.model.snapshot import Snapshot
from state.model.units import MILLI


def min_ready(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find changes that leave less ready than the disruption policy asks for, or than is ready now."""
    if snapshot.wanted is None:
        return
    sent = {action.region: action for action in plan.actions if isinstance(action, Serve)}
    each = {(r.application, r.region): r.milli_each for r in plan.placement.replicas}
    for name, application in snapshot.wanted.spec.named():
        now = after = 0
        for cell in snapshot.cells:
            status = cell.application(name)
            if not cell.answered or status is None:
                continue
            ready = status.replicas_ready
            serve = sent.get(cell.region)
            left = ready if serve is None else _left(serve, name, ready)
            now += ready * each.get((name, cell.region), MILLI)
            after += left * each.get((name, cell.region), MILLI)
        floor = round(application.demand.milli * (1 - application.disruption.max_unavailable))
        if after < min(now, floor):
            yield Finding(PlanRule.MIN_READY, Severity.ERROR, "", name, after, min(now, floor))


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
