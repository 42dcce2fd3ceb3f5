"""The dependencies of a tick, in one value that `scheduler/daemon/wiring.py` fills."""

from collections.abc import Mapping
from dataclasses import dataclass

from inference.base import CellFactory
from inference.gateway.base import Gateway
from providers.base import Provider
from state.clock import Clock
from state.model.catalog import Region
from state.model.ids import ProviderName, RegionId
from state.model.settings import CellSettings, CostModel, Limits, ShortagePolicy, Thresholds
from state.store import Store


@dataclass(frozen=True, slots=True)
class Ports:
    """The store, the clouds, the cells, the gateway and the clock, and what the settings fix."""

    store: Store
    providers: Mapping[ProviderName, Provider]
    cell: CellFactory
    gateway: Gateway
    clock: Clock
    cell_settings: tuple[CellSettings, ...]
    thresholds: Thresholds
    limits: Limits
    shortage_policy: ShortagePolicy
    cost_model: CostModel
    latencies: tuple[tuple[RegionId, RegionId, float], ...] = ()
    """Measured round trips between regions, in milliseconds."""
    own_regions: tuple[Region, ...] = ()
    """Where our own machines are."""
