"""Use cases: plan a spec, apply it, destroy the fleet. They return values; a command line or an API shows them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from providers.catalogue.source import CatalogueSource
from scheduler.daemon.converge import TickedElsewhereError, await_converged, converge
from scheduler.documents.spec_warnings import SpecWarning, autoscaling_ignored
from scheduler.drills.live import count_leaked
from scheduler.explain.conflict import Conflict, conflict
from scheduler.explain.obstacles import BLOCKING, DECISIVE, Obstacle, obstacles
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.ids import ApplicationName
from state.model.plan import Plan
from state.model.settings import TICK, SolveBudget
from state.model.snapshot import ReadFailure, Snapshot, Wanted

Progress = Callable[[Plan], None]


@dataclass(frozen=True, slots=True)
class Removal:
    """An application that serves now and that a spec lacks."""

    application: ApplicationName
    replicas: int
    """Ready ones, over all cells."""
    is_routed: bool
    """Whether the gateway sends it requests now."""


@dataclass(frozen=True, slots=True)
class PriceSource:
    """The price catalogue that a plan is decided on alone: stock, quotas and zones are unknown."""

    source: CatalogueSource
    oldest: datetime
    newest: datetime
    listed: int
    """Offers in it."""
    considered: int
    """Offers that the plan considers: those that are cheapest per unit of demand, by region and market."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan, and what explains it."""

    plan: Plan
    snapshot: Snapshot
    resilience: tuple[ResiliencePrice, ...]
    conflict: Conflict | None
    """What conflicts in the spec; None where all is kept, or where nothing is offered at all."""
    obstacles: tuple[Obstacle, ...]
    """Why nothing can be offered at all."""
    removals: tuple[Removal, ...] = ()
    replaces_fleet: str | None = None
    """Name of the fleet in force, where the spec names another one."""
    is_same_spec: bool = False
    """Whether the spec is in force already."""
    warnings: tuple[SpecWarning, ...] = ()
    """What the spec's files ask for and do not get."""
    prices: PriceSource | None = None
    """Set where list prices alone were used, and no cloud was called."""

    @property
    def failures(self) -> tuple[ReadFailure, ...]:
        """What could not be read of offers and machines: the plan does without those regions."""
        return tuple(failure for failure in self.snapshot.failures if failure.kind in DECISIVE)

    @property
    def is_possible(self) -> bool:
        """Whether offers could be read, demand is met and no rule is violated."""
        return self.plan.placement.is_whole and not any(obstacle.kind in BLOCKING for obstacle in self.obstacles)

    @property
    def removes(self) -> bool:
        """Whether applying the spec removes something that is in force."""
        return bool(self.removals) or self.replaces_fleet is not None


def plan_spec(ports: Ports, wanted: Wanted, budget: SolveBudget = TICK) -> PlanReport:
    """Return the plan for a spec, decided on what is observed now. Nothing is changed.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    snapshot = observe(ports)
    return plan_snapshot(replace(snapshot, solve_budget=budget), wanted)


def plan_snapshot(snapshot: Snapshot, wanted: Wanted | None = None) -> PlanReport:
    """Return the plan for a snapshot, or for another spec in it. Pure.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    current = snapshot.wanted
    if wanted is not None:
        snapshot = replace(snapshot, wanted=replace(wanted, version=current.version if current else 0))
    plan = decide(snapshot)
    found = obstacles(snapshot, plan.placement)
    is_renamed = current is not None and wanted is not None and current.spec.fleet != wanted.spec.fleet
    return PlanReport(
        plan=plan,
        snapshot=snapshot,
        resilience=() if found else price_of_resilience(snapshot),
        conflict=None if plan.placement.is_whole or found else conflict(snapshot),
        obstacles=found,
        removals=() if wanted is None else removals(snapshot, current, wanted),
        replaces_fleet=current.spec.fleet if is_renamed and current is not None else None,
        is_same_spec=current is not None and wanted is not None and replace(current, version=0) == wanted,
        warnings=() if snapshot.wanted is None else autoscaling_ignored(snapshot.wanted),
    )


def removals(snapshot: Snapshot, current: Wanted | None, wanted: Wanted) -> tuple[Removal, ...]:
    """Return the applications in force that *wanted* lacks."""
    if current is None:
        return ()
    ready: Counter[ApplicationName] = Counter()
    for cell in snapshot.cells:
        for status in cell.applications:
            ready[status.name] += status.replicas_ready
    routed = {route.application for route in snapshot.routing.routes} if snapshot.routing else set()
    gone = [name for name, _ in current.spec.named() if name not in wanted.spec.applications]
    return tuple(Removal(name, ready[name], name in routed) for name in gone)


def apply_spec(
    ports: Ports, wanted: Wanted, timeout: timedelta, progress: Progress = lambda _: None
) -> tuple[int, Plan | None]:
    """Put a spec in force, and wait until the fleet has converged on it.

    Returns:
        The version, and the plan that found nothing left to do; None where it did not converge in time.

    Raises:
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    current = ports.store.wanted()
    is_same = current is not None and replace(current, version=0) == wanted
    version = current.version if is_same and current is not None else None
    if version is None:
        version = ports.store.want(wanted, "apply", ports.clock.now())
    return version, run_until_converged(ports, timeout, progress)


def run_until_converged(ports: Ports, timeout: timedelta, progress: Progress = lambda _: None) -> Plan | None:
    """Wait for the daemon to converge, or tick here where none runs; None where it did not in time."""
    if ports.store.lease_holder(ports.clock.now()) is not None:
        return await_converged(ports, timeout, progress)
    try:
        return converge(ports, timeout, progress)
    except TickedElsewhereError:
        return await_converged(ports, timeout, progress)


@dataclass(frozen=True, slots=True)
class DestroyReport:
    """What is left of a fleet after its end was asked for."""

    ended: int
    """Machines that were live before."""
    left: int
    """Machines that still are."""
    leaked: int
    """Machines with our tag in the clouds and no live record."""
    has_converged: bool

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left anywhere."""
        return self.has_converged and not self.left and not self.leaked


def destroy_fleet(ports: Ports, timeout: timedelta, progress: Progress = lambda _: None) -> DestroyReport:
    """End every machine of the fleet, and count what is left in the store and in the clouds."""
    live = len(ports.store.load().instances)
    ports.store.withdraw("destroy", ports.clock.now())
    plan = run_until_converged(ports, timeout, progress)
    left = len(ports.store.load().instances)
    return DestroyReport(live, left, count_leaked(ports), plan is not None)
