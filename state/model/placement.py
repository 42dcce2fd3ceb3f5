"""What the solver decides: how many machines and replicas go where, and what that survives."""

from dataclasses import dataclass

from state.model.catalog import Offer
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.spec import FailureDomain
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class MachineCount:
    """How many machines of an offer are to stand, and why this offer."""

    offer: Offer
    role: Role
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaCount:
    """How many replicas of an application are to stand on one kind of machine in a region."""

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


@dataclass(frozen=True, slots=True)
class Survival:
    """One line of the certificate: what is left after one loss, against what must be."""

    application: ApplicationName
    kind: FailureDomain
    domain: str
    remaining_milli: int
    required_milli: int
    credited_milli: int = 0
    """What of the requirement may be bought after the loss, since stock for it is known elsewhere."""

    @property
    def holds(self) -> bool:
        """Whether enough is left."""
        return self.remaining_milli + self.credited_milli >= self.required_milli


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """Demand that found no place, and how many offers each cause refused."""

    application: ApplicationName
    missing_milli: int
    demand_milli: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """How many replicas and machines are to stand where."""

    machines: tuple[MachineCount, ...] = ()
    replicas: tuple[ReplicaCount, ...] = ()
    certificate: tuple[Survival, ...] = ()
    unmet: tuple[UnmetDemand, ...] = ()
    refusals: tuple[tuple[ApplicationName, str, int], ...] = ()
    """Per application and cause: how many offers were not considered."""
    violations: tuple[str, ...] = ()
    """Rules of the spec that could not be kept, in words; demand without a place is in `unplaced`."""
    gap: float | None = 0.0
    """How far the cost may lie above the optimum, at most, as a share; None where no bound is known."""

    @property
    def per_hour(self) -> Usd:
        """What the machines cost."""
        return Usd(sum(m.offer.price.per_hour.micros * m.count for m in self.machines))

    def capacity_milli(self, application: ApplicationName, region: RegionId | None = None) -> int:
        """Return what the replicas of an application carry, in one region or in all."""
        return sum(
            r.count * r.milli_each for r in self.replicas if r.application == application and region in (None, r.region)
        )
