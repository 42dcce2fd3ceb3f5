"""What is decided: the plan, the actions from the current state to the placement."""

from dataclasses import dataclass
from datetime import datetime

from state.model.catalog import Machine, OfferKey
from state.model.health import RegionHealth
from state.model.ids import InstanceId, PlanId, RegionId
from state.model.inventory import Instance, Role
from state.model.placement import Placement
from state.model.serving import RoutingTable
from state.model.settings import CellSettings
from state.model.units import Usd


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
    blocked: tuple[str, ...] = ()
    """What is not done yet and why, in words."""

    @property
    def changes_anything(self) -> bool:
        """Whether the plan acts at all."""
        return bool(self.actions)

    @property
    def is_converged(self) -> bool:
        """Whether nothing is left to do or to wait for."""
        return not self.actions and not self.blocked
