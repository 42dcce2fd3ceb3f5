"""What is fixed before any decision: cells' addresses, limits, thresholds, policy, costs and the solver's budget."""

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
    pairs_unpruned: int = 20_000
    """Up to so many pairs of application and offer group all stay; beyond it only the cheapest of each application."""
    pairs_per_place: int = 3
    """Of an application's pairs that are pruned, so many stay in each region and market: each place stays possible."""
    pairs_per_application: int = 120
    """And so many in all, over its markets and providers: the search's time grows with them."""
    head_vcpus: int = 2
    """Fewest vCPUs of a cell's head."""
    head_memory_gib: float = 7.0
    """Least memory of a cell's head: Ray's head with Serve's controller holds about 1 GiB, and grows with replicas."""
    rolling_update_parts: int = 5
    """Serve is taken to replace this part of a deployment's replicas at a time, one at least: Ray Serve's default."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times after which something is concluded of a machine or a region."""

    health: HealthThresholds = field(default_factory=HealthThresholds)
    requested_max: timedelta = timedelta(minutes=10)
    """How long a requested machine may stay unseen before it counts as gone."""
    start_max: timedelta = timedelta(minutes=20)
    """How long a machine that its cloud lists may be on its way, or in an unknown state, before it is replaced."""
    absent_max: timedelta = timedelta(minutes=2)
    """How long a running machine may be missing from its region's list before it counts as gone: lists lag."""
    terminated_absent_max: timedelta = timedelta(seconds=1)
    """The same for one whose end we asked for: the second reading without it is proof."""
    join_max: timedelta = timedelta(minutes=15)
    """How long a machine may run without joining its cell before it is replaced."""
    rejoin_max: timedelta = timedelta(minutes=5)
    """How long a machine that had joined may be missing from its cell before it is replaced: a head's restart takes
    less than a minute, and its workers join again after it."""
    impaired_max: timedelta = timedelta(minutes=1)
    """How long a machine that carries nothing may be impaired before it is replaced."""
    orphan_age_min: timedelta = timedelta(minutes=10)
    """How old a machine with our tag and no record must be before it is ended: a launch may be in flight."""
    drain_ahead: timedelta = timedelta(minutes=5)
    """How long before an announced end a machine's replicas are moved: a request and a drain take less."""
    drain_min: timedelta = timedelta(minutes=2)
    """How long a node's replicas have to move, at least, and where no time to ready was measured."""
    drain_max: timedelta = timedelta(hours=1)
    """How long they have at most."""
    drain_loads: float = 2.0
    """How many times the longest measured time from joining a cell to carrying a ready replica they have."""
    end_max: timedelta = timedelta(minutes=30)
    """How long after its end was asked for a cloud may list a machine before that is reported."""
    maintenance_ahead: timedelta = timedelta(minutes=30)
    """How long before maintenance a machine is replaced: starting and loading another takes less."""


@dataclass(frozen=True, slots=True)
class ShortagePolicy:
    """How long offers are avoided after a refusal, and how they are tried again: a circuit breaker for each scope."""

    initial_backoff: timedelta = timedelta(minutes=3)
    """How long a first shortage lasts: stock that others return is seldom back sooner."""
    max_backoff: timedelta = timedelta(minutes=30)
    """Growth ends here: stock that is back stays unused for no longer."""
    backoff_multiplier: float = 2.0
    """How many times as long each repeat lasts."""
    jitter: float = 0.2
    """Share of its length by which a shortage is longer or shorter: several installations must not retry at once."""
    quota_min: timedelta = timedelta(hours=1)
    """A refusal by quota lasts at least this long: a quota is seldom raised sooner."""
    reset_after: timedelta = timedelta(hours=1)
    """A refusal this long after the end of the last one starts again at the first length."""
    urgent_for: timedelta = timedelta(minutes=5)
    """How long after a refusal for lack of stock demand is taken to wait for it."""
    half_open: timedelta = timedelta(hours=1)
    """How long after its end one machine at a time is tried: one refusal is enough to learn from."""
    recommendation_max: timedelta = timedelta(minutes=1)
    """How long a recommendation to leave a pool, or a doubted price, counts: longer than until the next observation."""
    early_end_max: timedelta = timedelta(minutes=10)
    """A machine whose end was not asked for within this time of its request ended early."""
    breaker_after: int = 3
    """So many machines of an offer in a row that ended early open its breaker."""
    widen_after: int = 4
    """So many offers of a region that are refused as invalid within an hour make the region short."""
    breaker_for: timedelta = timedelta(hours=1)
    """How long an offer's breaker stays open after the last of them; each further one doubles that, up to six hours."""
    region_losses_max: int = 10
    """So many machines of a region that ended early within an hour open the breaker of the whole region."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """What is expected to cost money beside the list price of a machine."""

    move_share: float = 0.15
    """Share of its price that a machine which does not exist yet costs on top: a move must save at least this."""
    stockout_share: float = 0.25
    """Share of its price that a refused launch costs: the time until another is found."""
    urgent_stockout_share: float = 5.0
    """Share of its price that each part of doubt costs beyond the surest machine's, while refusals make demand wait."""
    interruption_hours: float = 2.0
    """Machine-hours that an interruption costs: the replacement's, while it starts, and work done again."""
    interruptions_per_hour: float = 0.05
    """Assumed of spot machines whose rate is not known: one in twenty hours."""
    egress_usd_per_gib: float = 0.02
    """Source: the clouds' list prices between regions, 0.01 to 0.02 US dollars within a continent."""
    payback_hours: float = 6.0
    """A move pays back what it loads within this time, or is not made."""
    hold_hours: float = 0.5
    """How long a saving must last before machines move for it; longer where it pays the move later than that."""
    machine_hours_min: float = 1.0
    """How long a machine lives at least before it is moved for its price, unless it is in trouble."""
    overlap_hours: float = 0.25
    """How long a machine runs beside its replacement: until that is ready, and its own replicas are drained."""
    priority_factor: float = 30.0
    """How many times as bad it is for a priority class to be short as for the next lower one."""


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
    exact_applications: int = 25
    exact_pairs: int = 400
    """Up to these sizes the exact program is solved at once; beyond them the search comes first.

    Nodes do not bound the root, so the size does: the hardest roots measured took 3 s of CPU at 427 pairs, 7 s at 515.
    """
    proof_applications: int = 15
    """Up to so many applications a proof is attempted beyond the sizes above, where the budget asks for one."""


TICK: Final = SolveBudget()
"""What a tick may spend."""
PROOF: Final = SolveBudget(exact_nodes=100_000, exact_beyond_small=True, gap=0.01)
"""What `skerry plan --exact` may spend: a proof to within 1 %, where these nodes give one."""
