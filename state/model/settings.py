"""What is fixed before any decision: cells' addresses, limits, thresholds and the solver's budget."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from state.model.health import HealthThresholds
from state.model.ids import RegionId


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
    """Where Serve runs proxies, in its own spelling: EveryNode, or HeadOnly."""
    serve_address: str | None = None
    """`host:port` of the region's own load balancer; None: the gateway reaches every proxy itself."""
    head_zone: str | None = None
    """Zone of the subnet that *head_address* lies in; None: any zone can have it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold whatever the solver returns."""

    launches_per_plan: int = 20
    """One plan starts at most this many machines: a wrong plan stays small."""
    machines_per_offer: int = 64
    """Stock that is assumed where the provider does not report it."""
    offers_per_solve: int = 20_000
    """Offers that one solve considers; beyond it those that are dearest per unit of demand are left out."""
    actions_per_plan: int = 500


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times after which something is concluded of a machine or a region."""

    health: HealthThresholds = field(default_factory=HealthThresholds)
    requested_max: timedelta = timedelta(minutes=10)
    """How long a requested machine may stay unseen before it counts as gone."""
    absent_max: timedelta = timedelta(minutes=2)
    """How long a running machine may be missing from its region's list before it counts as gone: lists lag."""
    terminated_absent_max: timedelta = timedelta(seconds=1)
    """The same for one whose end we asked for: the second reading without it is proof."""
    join_max: timedelta = timedelta(minutes=15)
    """How long a machine may run without joining its cell before it is replaced."""
    impaired_max: timedelta = timedelta(minutes=1)
    """How long a machine that carries nothing may be impaired before it is replaced."""
    orphan_age_min: timedelta = timedelta(minutes=10)
    """How old a machine with our tag and no record must be before it is ended: a launch may be in flight."""
    drain_ahead: timedelta = timedelta(minutes=5)
    """How long before an announced end a machine's replicas are moved: a request and a drain take less."""
    maintenance_ahead: timedelta = timedelta(minutes=30)
    """How long before maintenance a machine is replaced: starting and loading another takes less."""


@dataclass(frozen=True, slots=True)
class SolveBudget:
    """How much work one solve may do. Work is counted, never timed, so that every machine decides alike."""

    exact_nodes: int = 2_000
    """Nodes of the exact program's search tree, for 100 pairs; for larger programs fewer, by the square of the size."""
    exact_beyond_small: bool = False
    """Ask for a proof beyond the sizes where it is quick, starting from the search's answer."""
    gap: float = 1e-4
    """Relative distance from the optimum at which the exact program stops."""
    search_scale: float = 1.0
    """How many times the usual rounds the search does."""


TICK: Final = SolveBudget()
"""What a tick may spend."""
PROOF: Final = SolveBudget(exact_nodes=100_000, exact_beyond_small=True, gap=0.01)
"""What `skerry plan --exact` may spend: a proof to within 1 %, where these nodes give one."""
