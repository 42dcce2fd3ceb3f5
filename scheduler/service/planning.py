"""Use cases: plan a spec, apply it, destroy the fleet. They return values; a command line or an API shows them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from providers.catalogue.source import CatalogueSource
from scheduler.daemon.converge import TickedElsewhereError, await_stable, tick_until_stable
from scheduler.documents.spec_warnings import SpecWarning, autoscaling_ignored
from scheduler.drills.live import count_leaked
from scheduler.explain.conflict import Conflict, conflict
from scheduler.explain.obstacles import Obstacle, are_blocking, decisive_failures, obstacles
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.ids import ApplicationName
from state.model.plan import Plan
from state.model.settings import TICK, SolveBudget
from state.model.snapshot import ReadFailure, Snapshot, Wanted
from state.store import ConflictError

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
class Reviewed:
    """What was reviewed before a spec is applied, and what was agreed to."""

    version: int
    """The version in force that the plan was made on; 0 where none was."""
    removals: frozenset[ApplicationName] = frozenset()
    """Applications in force whose removal is agreed to."""
    replaces_fleet: str | None = None
    """Name of the fleet in force whose replacement or new name is agreed to."""


class NotReviewedError(ConflictError):
    """Applying a spec would change what was not reviewed, or remove what was not agreed to; nothing was changed."""


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
        return decisive_failures(self.snapshot)

    @property
    def is_possible(self) -> bool:
        """Whether offers could be read, demand is met and no rule is violated."""
        return self.plan.placement.is_whole and self.is_informed

    @property
    def is_informed(self) -> bool:
        """Whether offers could be read at all."""
        return not are_blocking(self.obstacles)

    @property
    def is_converged(self) -> bool:
        """Whether the plan is converged, and not only for want of anything read."""
        return self.plan.is_converged and self.is_informed

    @property
    def removes(self) -> bool:
        """Whether applying the spec removes an application in force, or changes the fleet's name."""
        return bool(self.removals) or self.replaces_fleet is not None

    @property
    def reviewed(self) -> Reviewed:
        """What agreeing to all of this plan agrees to."""
        return Reviewed(
            version=self.plan.spec_version or 0,
            removals=frozenset(removal.application for removal in self.removals),
            replaces_fleet=self.replaces_fleet,
        )


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
    return PlanReport(
        plan=plan,
        snapshot=snapshot,
        resilience=() if found else price_of_resilience(snapshot),
        conflict=None if plan.placement.is_whole or found else conflict(snapshot),
        obstacles=found,
        removals=() if wanted is None else removals(snapshot, current, wanted),
        replaces_fleet=None if wanted is None else _replaced_fleet(current, wanted),
        is_same_spec=current is not None and wanted is not None and _is_same(current, wanted),
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
    return tuple(Removal(name, ready[name], name in routed) for name in _gone(current, wanted))


def _is_same(current: Wanted, wanted: Wanted) -> bool:
    """Return whether two specs differ in nothing but their version."""
    return replace(current, version=0) == wanted


def _gone(current: Wanted, wanted: Wanted) -> list[ApplicationName]:
    return [name for name, _ in current.spec.named() if name not in wanted.spec.applications]


def _replaced_fleet(current: Wanted | None, wanted: Wanted) -> str | None:
    if current is None or current.spec.fleet == wanted.spec.fleet:
        return None
    return current.spec.fleet


def apply_spec(
    ports: Ports, wanted: Wanted, reviewed: Reviewed, timeout: timedelta, progress: Progress = lambda _: None
) -> tuple[int, Plan | None]:
    """Put a spec in force as it was reviewed, and wait until the fleet is stable.

    Returns:
        The version, and the plan that found nothing left to do, whose demand may be unmet; None where the fleet was
        not stable in time.

    Raises:
        NotReviewedError: Another version is in force than the one reviewed, or a removal was not agreed to.
        ConflictError: Another version came into force while this one was applied, or while the fleet changed.
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    current = ports.store.wanted()
    _refuse_unreviewed(current, wanted, reviewed)
    if current is not None and _is_same(current, wanted):
        version = current.version
    else:
        version = ports.store.want(wanted, "apply", ports.clock.now(), replaces=reviewed.version)
    plan = run_until_stable(ports, timeout, progress)
    if plan is not None and plan.spec_version != version:
        msg = f"version {version} is no longer in force: {_in_force(plan.spec_version)}"
        raise ConflictError(msg)
    return version, plan


def _refuse_unreviewed(current: Wanted | None, wanted: Wanted, reviewed: Reviewed) -> None:
    version = 0 if current is None else current.version
    if version != reviewed.version:
        reviewed_on = f"version {reviewed.version}" if reviewed.version else "no spec"
        msg = f"nothing was changed: {_in_force(version)}, and the plan was made on {reviewed_on}"
        raise NotReviewedError(msg)
    if current is None:
        return
    names = [name for name in _gone(current, wanted) if name not in reviewed.removals]
    if names:
        msg = f"nothing was changed: the removal of {', '.join(names)} was not agreed to"
        raise NotReviewedError(msg)
    if _replaced_fleet(current, wanted) not in {None, reviewed.replaces_fleet}:
        msg = f"nothing was changed: another name for fleet {current.spec.fleet} was not agreed to"
        raise NotReviewedError(msg)


def _in_force(version: int | None) -> str:
    return f"version {version} is in force" if version else "no spec is in force"


def run_until_stable(ports: Ports, timeout: timedelta, progress: Progress = lambda _: None) -> Plan | None:
    """Wait for the daemon to make the fleet stable, or tick here where none runs; None where it was not in time."""
    if ports.store.lease_holder(ports.clock.now()) is not None:
        return await_stable(ports, timeout, progress)
    try:
        return tick_until_stable(ports, timeout, progress)
    except TickedElsewhereError:
        return await_stable(ports, timeout, progress)


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
    plan = run_until_stable(ports, timeout, progress)
    left = len(ports.store.load().instances)
    return DestroyReport(live, left, count_leaked(ports), plan is not None)
