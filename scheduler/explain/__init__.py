"""explain: why a placement is what it is, in figures. Pure: it solves again with something changed.

A rule's price is a difference of two optima, both bought from scratch, so that it is what the rule costs, whatever
exists already. `why_not` and `what_if` answer questions about another placement and another spec.
"""

from dataclasses import dataclass

from scheduler.explain.binding import Limit, limits, rule_prices
from scheduler.explain.conflict import Conflict, conflict
from scheduler.explain.obstacles import Obstacle, are_blocking, concerning, decisive_failures, obstacles
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.explain.rules import Requirement
from state.model.ids import ApplicationName
from state.model.placement import Placement
from state.model.snapshot import ReadFailure, Snapshot
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class Explanation:
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


def explain(snapshot: Snapshot, placement: Placement, application: ApplicationName) -> Explanation:
    """Return why an application is placed where *placement*, decided on *snapshot*, places it."""
    found = obstacles(snapshot, placement)
    is_priced = placement.is_whole and not found
    return Explanation(
        application,
        placement,
        () if found else price_of_resilience(snapshot),
        rules=rule_prices(snapshot, application) if is_priced else (),
        limits=limits(snapshot) if is_priced else (),
        conflict=None if placement.is_whole or found else conflict(snapshot),
        obstacles=concerning(found, application),
        failures=decisive_failures(snapshot),
    )
