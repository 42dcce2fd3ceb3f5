"""Use case: explain where an application is placed. It returns values."""

from dataclasses import dataclass

from scheduler.explain.binding import Limit, limits, rule_prices
from scheduler.explain.conflict import Conflict, conflict
from scheduler.explain.obstacles import Obstacle, are_blocking, decisive_failures, obstacles
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.explain.rules import Requirement
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.ids import ApplicationName
from state.model.placement import Placement
from state.model.snapshot import ReadFailure, Snapshot
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """Why an application is placed where it is."""

    application: ApplicationName
    placement: Placement
    """Of the whole fleet."""
    resilience: tuple[ResiliencePrice, ...]
    rules: tuple[tuple[Requirement, Usd], ...]
    """What each of its requirements costs per hour, dearest first; empty where not all is kept."""
    limits: tuple[Limit, ...]
    """Quotas and stock that are used up; empty where not all is kept."""
    conflict: Conflict | None
    """What conflicts; None where all is kept, or where nothing is offered at all."""
    obstacles: tuple[Obstacle, ...] = ()
    """Why nothing can be offered: to the application, or to all."""
    failures: tuple[ReadFailure, ...] = ()
    """What could not be read of offers and machines."""

    @property
    def is_possible(self) -> bool:
        """Whether offers could be read, demand is met and no rule is violated, in the whole fleet."""
        return self.placement.is_whole and not are_blocking(self.obstacles)


def current_snapshot(ports: Ports) -> Snapshot:
    """Return what is observed now."""
    return observe(ports)


def explain_application(snapshot: Snapshot, application: ApplicationName) -> ExplainReport:
    """Return why an application is placed where a decision on *snapshot* places it. Pure.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    placement = decide(snapshot).placement
    found = obstacles(snapshot, placement)
    is_priced = placement.is_whole and not found
    return ExplainReport(
        application,
        placement,
        () if found else price_of_resilience(snapshot),
        rules=rule_prices(snapshot, application) if is_priced else (),
        limits=limits(snapshot) if is_priced else (),
        conflict=None if placement.is_whole or found else conflict(snapshot),
        obstacles=tuple(obstacle for obstacle in found if obstacle.application in {None, application}),
        failures=decisive_failures(snapshot),
    )
