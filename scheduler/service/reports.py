"""What use cases return: values that a command line or an API shows. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.documents.spec_warnings import SpecWarning, autoscaling_ignored
from scheduler.drills.report import DrillReport
from scheduler.explain.conflict import Conflict
from scheduler.explain.obstacles import Obstacle, are_blocking, decisive_failures
from scheduler.explain.resilience import ResiliencePrice
from state.model.catalog import CatalogueSource, Offer
from state.model.history import Drill, Event
from state.model.ids import ApplicationName
from state.model.plan import Plan
from state.model.snapshot import ReadFailure, Snapshot


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


@dataclass(frozen=True, slots=True)
class PriceSource:
    """The price catalogue that a plan or a list of offers is made from: stock, quotas and zones are unknown."""

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
        """Whether offers could be read, demand is met, no rule is violated and no application is left out."""
        return self.plan.placement.is_whole and not self.plan.refused and self.is_informed

    @property
    def is_informed(self) -> bool:
        """Whether offers could be read at all."""
        return not are_blocking(self.obstacles)

    @property
    def is_converged(self) -> bool:
        """Whether the plan is converged, and not only for lack of anything read."""
        return self.plan.is_converged and self.is_informed

    @property
    def is_served(self) -> bool:
        """Whether the spec is in force and the fleet is as it describes: applying it changes nothing."""
        return self.is_same_spec and self.is_converged

    @property
    def may_apply(self) -> bool:
        """Whether applying the spec serves it, or brings a spec in force as far as is possible now.

        A spec that is not in force is applied only as a whole; one in force is, as a daemon does it, as far as
        possible.
        """
        leaves_work = self.is_same_spec and not self.plan.is_stable
        return self.is_possible or (self.is_informed and leaves_work)

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
    unreachable: tuple[ReadFailure, ...] = ()
    """Regions whose machines could not be listed at the end: what is left there is unknown."""

    @property
    def is_clean(self) -> bool:
        """Whether certainly nothing is left anywhere."""
        return self.has_converged and not (self.left or self.leaked or self.unreachable)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What was observed and decided, and how long ago."""

    snapshot: Snapshot
    plan: Plan
    age: timedelta
    daemon: str | None
    """The process that ticks; None where none does."""
    refused: Event | None = None
    """The refusal of a later tick's plan, with what it breaks; None where the last tick's plan was committed."""

    @property
    def is_converged(self) -> bool:
        """Whether the last tick found nothing to do, nothing unmet and no rule violated."""
        return self.plan.is_converged and self.refused is None

    @property
    def warnings(self) -> tuple[SpecWarning, ...]:
        """What the spec in force asks for and does not get."""
        return () if self.snapshot.wanted is None else autoscaling_ignored(self.snapshot.wanted)


@dataclass(frozen=True, slots=True)
class UnknownGpu:
    """A GPU model that is asked for, and that no offer has."""

    name: str
    similar: tuple[str, ...]
    """Models with a similar name that are offered."""


@dataclass(frozen=True, slots=True)
class OffersReport:
    """Offers that were asked for, in order, and what could not be read of them."""

    offers: tuple[Offer, ...]
    """As many as were asked for."""
    found: int
    """How many match."""
    at: datetime
    """When they were read; ages of prices count from it."""
    failures: tuple[ReadFailure, ...] = ()
    is_any_read: bool = True
    """Whether some region answered."""
    prices: PriceSource | None = None
    """Set where they come from the price catalogue alone."""
    unknown_gpu: UnknownGpu | None = None
    """Set where the GPU model that is asked for is not offered at all."""


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill and its report."""

    drill: Drill | None
    """None where it was computed from a saved snapshot: nothing is recorded."""
    report: DrillReport | None
    """None while it has none."""
