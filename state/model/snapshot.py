"""What one observation knows: the snapshot, which is all that a decision reads."""

from dataclasses import dataclass
from datetime import datetime

from state.model.catalog import Capability, Offer, Quota, Region, Shortage
from state.model.health import RegionHealth
from state.model.ids import ApplicationName, InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Impairment, Instance, Notice
from state.model.placement import ReplicaCount
from state.model.serving import CellStatus, RoutingTable
from state.model.settings import CellSettings, Limits
from state.model.spec import CapacitySpec


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
    orphans: tuple[CloudInstance, ...] = ()
    """Machines with our tag and no live record."""
    notices: tuple[Notice, ...] = ()
    """What is announced for our machines."""
    impairments: tuple[Impairment, ...] = ()
    """What is wrong with our machines, as far as their clouds look."""
    unreachable: frozenset[RegionId] = frozenset()
    """Regions whose cloud did not answer."""
    cells: tuple[CellStatus, ...] = ()
    health: tuple[RegionHealth, ...] = ()
    routing: RoutingTable | None = None
    """What the gateway routes by now; None where it has no table yet."""
    cell_settings: tuple[CellSettings, ...] = ()
    limits: Limits = Limits()  # noqa: RUF009  it is frozen
    placed: tuple[ReplicaCount, ...] = ()
    """Replicas as last decided: what stands is kept unless moving pays."""
    latencies: tuple[tuple[RegionId, RegionId, float], ...] = ()
    """Measured round trips between regions, in milliseconds; what is not among them is fitted from the distance."""
    own_regions: tuple[Region, ...] = ()
    """Where our own machines stand; the clouds' regions are known anyway."""
    capabilities: tuple[tuple[ProviderName, frozenset[Capability]], ...] = ()
    """What each provider can do; one that is not listed can do everything."""

    def is_capable(self, provider: ProviderName, capability: Capability) -> bool:
        """Return whether a provider can do something."""
        return all(capability in its for name, its in self.capabilities if name == provider)

    def cell(self, region: RegionId) -> CellStatus | None:
        """Return the look at one cell, or None where there is none."""
        return next((cell for cell in self.cells if cell.region == region), None)

    def settings_of(self, region: RegionId) -> CellSettings | None:
        """Return the fixed facts of a region's cell, or None where the region is not set up."""
        return next((cell for cell in self.cell_settings if cell.region == region), None)

    def impairment_of(self, instance: InstanceId) -> Impairment | None:
        """Return what is wrong with a machine, or None where nobody says that anything is."""
        return next((impairment for impairment in self.impairments if impairment.instance_id == instance), None)

    def health_of(self, region: RegionId) -> RegionHealth | None:
        """Return the health of one region, or None where nothing is held against it."""
        return next((health for health in self.health if health.region == region), None)
