"""What is fixed before any decision: a cell's addresses and the limits that hold whatever the solver returns."""

from dataclasses import dataclass

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
