"""Everything outside that a tick looks at or acts on, in one value that wiring fills."""

from collections.abc import Mapping
from dataclasses import dataclass

from inference.base import CellFactory, Gateway
from providers.base import Provider
from state.clock import Clock
from state.model.catalog import Region
from state.model.health import HealthThresholds
from state.model.ids import ProviderName, RegionId
from state.model.settings import CellSettings, Limits
from state.store import Store


@dataclass(frozen=True, slots=True)
class Ports:
    """The store, the clouds, the cells, the gateway and the clock, with the knobs for looking at them."""

    store: Store
    providers: Mapping[ProviderName, Provider]
    cell: CellFactory
    gateway: Gateway
    clock: Clock
    cell_settings: tuple[CellSettings, ...]
    thresholds: HealthThresholds
    limits: Limits
    latencies: tuple[tuple[RegionId, RegionId, float], ...] = ()
    """Measured round trips between regions, in milliseconds."""
    own_regions: tuple[Region, ...] = ()
    """Where our own machines stand."""
