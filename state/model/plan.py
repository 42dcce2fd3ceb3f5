"""What was decided: the placement, and the plan of actions from here to there."""

from dataclasses import dataclass
from datetime import datetime

from state.model.catalog import Machine, Offer, OfferKey, Quota, Region, Shortage
from state.model.health import RegionHealth
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId
from state.model.inventory import CloudInstance, Instance, Notice, Role, Trouble
from state.model.serving import CellStatus, RoutingTable
from state.model.spec import CapacitySpec, FateDomain
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class CellSettings:
    """What is fixed for a region's cell before any machine exists; Terraform's outputs."""

    region: RegionId
    head_address: str
    gcs_port: int = 6379
    dashboard_port: int = 8265
    serve_port: int = 8000
    serve_host: str = "0.0.0.0"  # noqa: S104  a cell's machines have private addresses only
    """What the Serve proxies bind to."""
    proxy_location: str = "EveryNode"
    """Where Serve runs proxies, in its own words: EveryNode, or HeadOnly."""
    serve_address: str | None = None
    """`host:port` of the region's own load balancer; None: the gateway reaches every proxy itself."""
    head_zone: str | None = None
    """Zone of the subnet that *head_address* lies in; None: any zone can have it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold whatever the solver says."""

    launches_per_plan: int = 20
    """One plan starts at most this many machines: a wrong plan stays small."""
    machines_per_offer: int = 64
    """Belief about stock where the cloud does not say."""
    offers_per_solve: int = 20_000
    actions_per_plan: int = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """One version of the spec, with the Serve applications it refers to."""

    version: int
    spec: CapacitySpec
    serve_applications: tuple[tuple[ApplicationName, str], ...]
    """Each application's entry of its Serve config, as canonical JSON."""

    def serve_application(self, name: ApplicationName) -> str:
        """Return the Serve config of an application, as canonical JSON."""
        return dict(self.serve_applications)[name]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision may read. Equal snapshots give equal plans."""

    taken_at: datetime
    wanted: Wanted | None
    """None: nothing is wanted, and what stands is to go."""
    offers: tuple[Offer, ...] = ()
    quotas: tuple[Quota, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    instances: tuple[Instance, ...] = ()
    """All live ones, as far as this look has learned."""
    learned: tuple[Instance, ...] = ()
    """Those that this look changed, live or not."""
    strays: tuple[CloudInstance, ...] = ()
    """Machines with our tag and no live record."""
    notices: tuple[Notice, ...] = ()
    """What is announced for our machines."""
    troubles: tuple[Trouble, ...] = ()
    """What is wrong with our machines, as far as their clouds look."""
    blind: frozenset[RegionId] = frozenset()
    """Regions whose cloud did not answer."""
    cells: tuple[CellStatus, ...] = ()
    health: tuple[RegionHealth, ...] = ()
    routing: RoutingTable | None = None
    """What the gateway routes by now; None where it has no table yet."""
    cell_settings: tuple[CellSettings, ...] = ()
    limits: Limits = Limits()
    placed: tuple["ReplicaCount", ...] = ()
    """Replicas as last decided: what stands is kept unless moving pays."""
    latencies: tuple[tuple[RegionId, RegionId, float], ...] = ()
    """Measured round trips between regions, in milliseconds; what is not among them is fitted from the distance."""
    own_regions: tuple[Region, ...] = ()
    """Where our own machines stand; the clouds' regions are known anyway."""

    def cell(self, region: RegionId) -> CellStatus | None:
        """Return the look at one cell, or None where there is none."""
        return next((cell for cell in self.cells if cell.region == region), None)

    def settings_of(self, region: RegionId) -> CellSettings | None:
        """Return the fixed facts of a region's cell, or None where the region is not set up."""
        return next((cell for cell in self.cell_settings if cell.region == region), None)

    def trouble_of(self, instance: InstanceId) -> Trouble | None:
        """Return what is wrong with a machine, or None where nobody says that anything is."""
        return next((trouble for trouble in self.troubles if trouble.instance_id == instance), None)

    def health_of(self, region: RegionId) -> RegionHealth | None:
        """Return the health of one region, or None where nothing is held against it."""
        return next((health for health in self.health if health.region == region), None)


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
    kind: FateDomain
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
class Unplaced:
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
    unplaced: tuple[Unplaced, ...] = ()
    refusals: tuple[tuple[ApplicationName, str, int], ...] = ()
    """Per application and cause: how many offers were not considered."""
    breaches: tuple[str, ...] = ()
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


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one machine."""

    instance_id: InstanceId
    key: OfferKey
    machine: Machine
    role: Role
    price_per_hour: Usd
    cell: CellSettings
    reason: str
    is_repeat: bool = False
    """Asked for before with an unknown outcome; the same id makes the cloud start it once."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Move replicas off a machine before it goes."""

    instance_id: InstanceId
    region: RegionId
    node_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """End one machine."""

    instance_id: InstanceId
    key: OfferKey
    cloud_id: str | None
    reason: str
    never_joined: bool = False
    """Whether it ran and was of no use: then its offer is avoided for a while, as one that is out of stock is."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Give a cell its whole Serve configuration."""

    region: RegionId
    config: str
    """Canonical JSON."""
    reason: str
    restarts: bool = False
    """Whether running replicas are replaced, and not only counted anew."""


@dataclass(frozen=True, slots=True)
class Route:
    """Give the gateway its whole routing table."""

    table: RoutingTable
    reason: str


Action = Launch | Drain | Terminate | Serve | Route


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions from here to there, in order, and what is recorded before the first of them."""

    id: PlanId
    made_at: datetime
    spec_version: int | None
    placement: Placement
    actions: tuple[Action, ...]
    instances: tuple[Instance, ...]
    """Instances in their new state: learned, about to be requested, about to be terminated."""
    health: tuple[RegionHealth, ...]
    waiting: tuple[str, ...] = ()
    """What is not done yet and why, in words."""

    @property
    def changes_anything(self) -> bool:
        """Whether the plan acts at all."""
        return bool(self.actions)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do or to wait for."""
        return not self.actions and not self.waiting
