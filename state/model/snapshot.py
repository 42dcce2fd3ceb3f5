"""What one observation knows: the snapshot, which is all that a decision reads."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, PlainSerializer

from state.model.catalog import Capability, Offer, Quota, Region, Shortage
from state.model.health import RegionHealth
from state.model.ids import ApplicationName, InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Impairment, Instance, Notice
from state.model.placement import ReplicaCount
from state.model.plan import PendingMove
from state.model.serving import CellStatus, RoutingTable
from state.model.settings import CellSettings, CostModel, Limits, ShortagePolicy, SolveBudget, Thresholds
from state.model.spec import CapacitySpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """One version of the spec, with the Serve applications it refers to."""

    version: int
    spec: CapacitySpec
    serve_applications: tuple[tuple[ApplicationName, str], ...]
    """Each application's entry of its Serve config, as canonical JSON."""
    autoscaling_lines: tuple[tuple[ApplicationName, int], ...] = field(default=(), compare=False)
    """Where a placed deployment asks Ray Serve to scale it: the line in its Serve config when the spec was read.

    Not compared, since a file that is only formatted anew asks for nothing new. Decisions do not read it.
    """

    def serve_application(self, name: ApplicationName) -> str:
        """Return the Serve config of an application, as canonical JSON."""
        return dict(self.serve_applications)[name]


class ReadKind(StrEnum):
    """What is read of a cloud."""

    OFFERS = "offers"
    QUOTAS = "quotas"
    INSTANCES = "instances"
    NOTICES = "notices"


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Something of a region that could not be read."""

    region: RegionId
    kind: ReadKind
    message: str
    """The provider's own text, or the error's."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision may read. Equal snapshots give equal plans, on every machine and on any day."""

    taken_at: AwareDatetime
    wanted: Wanted | None
    """None: nothing is wanted, and every machine is to end."""
    offers: tuple[Offer, ...] = ()
    quotas: tuple[Quota, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    new_shortages: tuple[Shortage, ...] = ()
    """Those among *shortages* that this observation found, to be recorded with the plan."""
    instances: tuple[Instance, ...] = ()
    """All live ones, brought up to date by this observation."""
    learned: tuple[Instance, ...] = ()
    """Those that this observation changed, live or not."""
    orphans: tuple[CloudInstance, ...] = ()
    """Machines with our tag and no live record."""
    notices: tuple[Notice, ...] = ()
    """What is announced for our machines."""
    impairments: tuple[Impairment, ...] = ()
    """What clouds find wrong with our machines."""
    unreachable: Annotated[frozenset[RegionId], PlainSerializer(sorted)] = frozenset()
    """Regions whose machines could not be listed."""
    failures: tuple[ReadFailure, ...] = ()
    """What else could not be read, and why."""
    cells: tuple[CellStatus, ...] = ()
    health: tuple[RegionHealth, ...] = ()
    routing: RoutingTable | None = None
    """What the gateway routes by now; None where it has no table yet."""
    cell_settings: tuple[CellSettings, ...] = ()
    limits: Limits = field(default_factory=Limits)
    thresholds: Thresholds = field(default_factory=Thresholds)
    shortage_policy: ShortagePolicy = field(default_factory=ShortagePolicy)
    cost_model: CostModel = field(default_factory=CostModel)
    solve_budget: SolveBudget = field(default_factory=SolveBudget)
    placed: tuple[ReplicaCount, ...] = ()
    """Replicas as last decided: they are kept unless moving pays."""
    pending_moves: tuple[PendingMove, ...] = ()
    """Moves for price that the last decision let wait."""
    latencies: tuple[tuple[RegionId, RegionId, float], ...] = ()
    """Measured round trips between regions, in milliseconds; others are fitted from the distance."""
    own_regions: tuple[Region, ...] = ()
    """Where our own machines are; the clouds' regions are known."""
    capabilities: tuple[tuple[ProviderName, Annotated[frozenset[Capability], PlainSerializer(sorted)]], ...] = ()
    """What each provider can do; one that is not listed can do everything."""

    def is_capable(self, provider: ProviderName, capability: Capability) -> bool:
        """Return whether a provider can do something."""
        return all(capability in its for name, its in self.capabilities if name == provider)

    def cell(self, region: RegionId) -> CellStatus | None:
        """Return the reading of one cell, or None where there is none."""
        return next((cell for cell in self.cells if cell.region == region), None)

    def settings_of(self, region: RegionId) -> CellSettings | None:
        """Return the fixed facts of a region's cell, or None where the region is not set up."""
        return next((cell for cell in self.cell_settings if cell.region == region), None)

    def impairment_of(self, instance: InstanceId) -> Impairment | None:
        """Return what is wrong with a machine, or None where nothing is reported."""
        return next((found for found in self.impairments if found.instance_id == instance), None)

    def health_of(self, region: RegionId) -> RegionHealth | None:
        """Return the health of one region, or None where nothing is concluded of it."""
        return next((health for health in self.health if health.region == region), None)
