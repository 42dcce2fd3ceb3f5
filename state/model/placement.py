"""What the solver decides: how many machines and replicas go where, what that survives, and what it lacks."""

from dataclasses import dataclass
from enum import StrEnum

from state.model.catalog import Offer, OfferChoice
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.spec import FailureDomain
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class MachineCount:
    """How many machines of an offer are placed, and why this offer."""

    offer: Offer
    role: Role
    count: int
    choice: OfferChoice


@dataclass(frozen=True, slots=True)
class ReplicaCount:
    """How many replicas of an application are placed on one kind of machine in a region."""

    application: ApplicationName
    region: RegionId
    shape: int
    """Index into the application's shapes."""
    instance_type: str
    is_spot: bool
    count: int
    milli_each: int
    """What one replica carries, in thousandths of the demand's unit."""
    zone: str | None = None
    """Set where zones matter: an application must survive one, or a replica spans machines."""
    is_reserved: bool = False


class Unit(StrEnum):
    """What a figure of an application counts."""

    REQUESTS_PER_SECOND = "requests/s"
    REPLICAS = "replicas"
    REGIONS = "regions"


@dataclass(frozen=True, slots=True)
class Survival:
    """One line of the certificate: what remains after one loss, against what must."""

    application: ApplicationName
    kind: FailureDomain
    domain: str
    remaining_milli: int
    required_milli: int
    credited_milli: int = 0
    """Part of the requirement that may be bought after the loss, since stock for it is known elsewhere."""

    @property
    def holds(self) -> bool:
        """Whether enough remains."""
        return self.remaining_milli + self.credited_milli >= self.required_milli


class RefusalCause(StrEnum):
    """Why an offer was not considered, or could not be used."""

    PROVIDER_NOT_ALLOWED = "provider_not_allowed"
    REGION_NOT_ALLOWED = "region_not_allowed"
    REGION_NOT_SET_UP = "region_not_set_up"
    REGION_DOWN = "region_down"
    """The region is down or recovering."""
    NO_HEAD_MACHINE = "no_head_machine"
    """No on-demand machine there is large enough for a cell's head."""
    RESERVATION_NOT_IN_FORCE = "reservation_not_in_force"
    STOCK_OUT = "stock_out"
    QUOTA_REFUSED = "quota_refused"
    DENIED = "denied"
    INVALID_REQUEST = "invalid_request"
    NEVER_READY = "never_ready"
    ENDED_EARLY = "ended_early"
    THROTTLED = "throttled"
    LAUNCHES_FAIL = "launches_fail"
    """Several machines in a row were lost soon after they were accepted."""
    PRICE_DOUBTED = "price_doubted"
    RECLAIM_RISK = "reclaim_risk"
    JURISDICTION = "jurisdiction"
    LATENCY_EXPECTED = "latency_expected"
    LATENCY_WORST = "latency_worst"
    SPOT_NOT_ALLOWED = "spot_not_allowed"
    ZONE_UNKNOWN = "zone_unknown"
    """It may be in any zone, others are sold by zone there, and the application must survive the loss of a zone."""
    NO_SHAPE_FITS = "no_shape_fits"
    PRUNED = "pruned"
    """More offers than one solve considers; this one is among the dearest per unit of demand."""
    QUOTA = "quota"
    """Its quota has no room for one more machine."""
    BUDGET = "budget"
    """One more machine would exceed the budget."""


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """Demand that no placement can carry, and how many offers each cause excludes."""

    application: ApplicationName
    missing_milli: int
    demand_milli: int
    unit: Unit
    causes: tuple[tuple[RefusalCause, int], ...]


class SpecRule(StrEnum):
    """A rule of the spec that a placement can break, by its path below the application."""

    REGIONS_MIN = "regions.min"
    MAX_SHARE = "regions.max_share"
    FLOOR = "regions.floors"
    SHARE_MIN = "regions.shares.min"
    SHARE_MAX = "regions.shares.max"
    SURVIVE = "survive"
    SURVIVE_SPOT_LOSS = "market.survive_spot_loss"
    ON_DEMAND_FLOOR = "market.on_demand_floor"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the spec that a placement does not keep."""

    application: ApplicationName
    rule: SpecRule
    subject: str
    """The failure domain, region or place that it is about; empty for the whole application."""
    actual_milli: int
    required_milli: int
    """In thousandths of *unit*; the most allowed for shares' ceilings, the least needed for all else."""
    unit: Unit
    causes: tuple[tuple[RefusalCause, int], ...] = ()
    """Why the application has no more replicas elsewhere: how many offers each cause excludes."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How many replicas and machines go where."""

    machines: tuple[MachineCount, ...] = ()
    replicas: tuple[ReplicaCount, ...] = ()
    certificate: tuple[Survival, ...] = ()
    unmet: tuple[UnmetDemand, ...] = ()
    refusals: tuple[tuple[ApplicationName, RefusalCause, int], ...] = ()
    """Per application and cause: how many offers were not considered."""
    violations: tuple[Violation, ...] = ()
    """Rules of the spec that are not kept; demand without a place is in `unmet`."""
    gap: float | None = 0.0
    """How far the cost may lie above the optimum, at most, as a share; None where no bound is known."""

    @property
    def is_whole(self) -> bool:
        """Whether all demand is placed and every rule is kept."""
        return not self.unmet and not self.violations

    @property
    def per_hour(self) -> Usd:
        """What the machines cost."""
        return Usd(sum(m.offer.price.per_hour.micros * m.count for m in self.machines))

    def capacity_milli(self, application: ApplicationName, region: RegionId | None = None) -> int:
        """Return what the replicas of an application carry, in one region or in all, in thousandths."""
        return sum(
            r.count * r.milli_each for r in self.replicas if r.application == application and region in (None, r.region)
        )
