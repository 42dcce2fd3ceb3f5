"""What is decided: the plan, the actions from the current state to the placement, and what blocks the rest."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from pydantic import AwareDatetime

from state.model.catalog import Machine, OfferChoice, OfferKey, Shortage
from state.model.health import RegionHealth
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId
from state.model.inventory import Instance, Notice, Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.serving import ApplicationShare, DeployState, KeptApplication, RoutingTable
from state.model.settings import CellSettings
from state.model.units import Usd


class ActionKind(StrEnum):
    """What an action does."""

    LAUNCH = "launch"
    DRAIN = "drain"
    TERMINATE = "terminate"
    SERVE = "serve"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one machine."""

    instance_id: InstanceId
    key: OfferKey
    machine: Machine
    role: Role
    price_per_hour: Usd
    cell: CellSettings
    choice: OfferChoice | None
    reservation: str | None = None
    """The reservation whose place it takes; None where its offer has none to name."""
    is_repeat: bool = False
    """Requested before with an unknown outcome; the same id makes the cloud start it once."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Move replicas off a machine before it ends."""

    instance_id: InstanceId
    region: RegionId
    node_id: str
    reason: TerminationReason
    within: timedelta
    """How long they have to move before the node ends with those that are left."""
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Terminate:
    """End one machine."""

    instance_id: InstanceId
    key: OfferKey
    cloud_id: str | None
    reason: TerminationReason
    message: str = ""
    """Figures or a provider's text that explain the reason."""
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class ServeChange:
    """What one Serve action changes of one application."""

    application: ApplicationName
    replicas: int
    """Its replicas in the cell from now on; 0 removes it."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Give a cell everything that it is to run; what is not listed is removed."""

    region: RegionId
    shares: tuple[ApplicationShare, ...] = ()
    kept: tuple[KeptApplication, ...] = ()
    """Applications that stay as the cell deployed them."""
    changes: tuple[ServeChange, ...] = ()
    restarts: bool = False
    """Whether running replicas are replaced, and not only counted anew."""


@dataclass(frozen=True, slots=True)
class Route:
    """Give the gateway its whole routing table."""

    table: RoutingTable
    added: tuple[RegionId, ...] = ()
    """Regions that get requests from now on."""
    removed: tuple[RegionId, ...] = ()
    """Regions that get none any more."""


Action = Launch | Drain | Terminate | Serve | Route

_KINDS = {
    Launch: ActionKind.LAUNCH,
    Drain: ActionKind.DRAIN,
    Terminate: ActionKind.TERMINATE,
    Serve: ActionKind.SERVE,
    Route: ActionKind.ROUTE,
}


def kind_of(action: Action) -> ActionKind:
    """Return what an action does."""
    return _KINDS[type(action)]


def target_of(action: Action) -> str:
    """Return what an action acts on: an offer, a region, or the gateway."""
    match action:
        case Launch() | Terminate():
            return str(action.key)
        case Serve() | Drain():
            return action.region
        case Route():
            return "gateway"
        case _:
            assert_never(action)


class BlockedReason(StrEnum):
    """What an action waits for."""

    REGION_LEFT_ALONE = "region_left_alone"
    """The region is unreachable or suspect, so it is not touched."""
    LAUNCH_LIMIT = "launch_limit"
    MAX_SURGE = "max_surge"
    WORKER_FIRST = "worker_first"
    """The cell's head is launched once its first worker is had: without one it is of no use."""
    HEAD_ADDRESS_IN_USE = "head_address_in_use"
    """The old head has not ended, and the new one needs its address."""
    BUDGET = "budget"
    """The budget has no room until another machine has ended."""
    STARTING = "starting"
    """A machine was requested and does not run yet."""
    ENDING = "ending"
    """A machine has not ended yet."""
    END_OVERDUE = "end_overdue"
    """Its cloud lists it long after its end was asked for; it may cost money, and counts against the budget."""
    CELL_HAS_WORKERS = "cell_has_workers"
    """A head stays while its cell has workers."""
    NOT_CARRIED_ELSEWHERE = "not_carried_elsewhere"
    """Other regions do not carry the application yet."""
    NOT_ALL_JOINED = "not_all_joined"
    """Not every machine of the cell has joined it."""
    CELL_CHANGING = "cell_changing"
    """What the cell serves is being changed."""
    REPLICAS_ABOVE_TARGET = "replicas_above_target"
    """The application still has more replicas in the cell than planned."""
    APPLICATION_NOT_STABLE = "application_not_stable"
    """The application is not running stably in the cell."""
    REPLICAS_MOVING = "replicas_moving"
    """Its replicas move away already."""
    OTHERS_MOVING = "others_moving"
    """Replicas of other machines move first: without both, too little would be ready."""
    SERVES_UNTIL_REPLACED = "serves_until_replaced"
    """The announced end is far off, so the machine serves while another starts."""
    ORPHAN_WATCHED = "orphan_watched"
    """A machine with our tag and no record is too young to be ended."""
    CELL_SILENT = "cell_silent"
    """The cell does not answer yet."""
    DEPLOYING = "deploying"
    """The cell has the configuration, and not all replicas are ready."""
    REPLACEMENT_NOT_READY = "replacement_not_ready"
    """The application keeps its replicas until new ones can be ready."""
    STILL_ROUTED = "still_routed"
    """The application leaves the cell once its requests go elsewhere."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that is not done yet, and why. Fields that do not apply are None."""

    reason: BlockedReason
    action: ActionKind | None = None
    """What is blocked; None where nothing is, and the system only waits."""
    region: RegionId | None = None
    application: ApplicationName | None = None
    instance_id: InstanceId | None = None
    key: OfferKey | None = None
    status: InstanceStatus | None = None
    state: DeployState | None = None
    ready: int | None = None
    target: int | None = None
    notice: Notice | None = None
    message: str = ""
    """The cell's or provider's own text."""


@dataclass(frozen=True, slots=True)
class PendingMove:
    """Machines that a cheaper placement would leave, and since when; they are left once that has lasted."""

    key: OfferKey
    count: int
    since: AwareDatetime
    seen_at: AwareDatetime
    """When that was last found."""
    until: AwareDatetime
    """How long it has to last, by the present saving."""
    saves: Usd
    """What all pending moves together save per hour."""


class Severity(StrEnum):
    """What a finding leads to."""

    ERROR = "error"
    """The plan is refused."""
    WARNING = "warning"
    """The plan goes on: it did not cause the fault, and may not touch it."""


class PlanRule(StrEnum):
    """A rule that every plan must keep."""

    UNKNOWN_REPLICA = "unknown_replica"
    """A replica of no application or shape of the spec, or none at all; nothing else of the plan can be checked."""
    ACTIONS_PER_PLAN = "actions_per_plan"
    LAUNCHES_PER_PLAN = "launches_per_plan"
    DOUBLE_LAUNCH = "double_launch"
    UNRECORDED_LAUNCH = "unrecorded_launch"
    EXCESS_LAUNCH = "excess_launch"
    PRICE = "price"
    BUDGET = "budget"
    MAX_SURGE = "max_surge"
    UNREACHABLE_REGION = "unreachable_region"
    FOREIGN_MACHINE = "foreign_machine"
    RECOVERING_REGION = "recovering_region"
    QUOTA = "quota"
    RESERVATION = "reservation"
    PACKING = "packing"
    ALLOWED = "allowed"
    JURISDICTION = "jurisdiction"
    LATENCY = "latency"
    SPOT = "spot"
    REPORTED_VIOLATION = "reported_violation"
    """A rule of the spec is not kept, and the placement does not report it."""
    CERTIFICATE = "certificate"
    CREDIT = "credit"
    MIN_READY = "min_ready"
    SERVING_MACHINE = "serving_machine"
    ROUTES = "routes"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a plan breaks."""

    rule: PlanRule
    severity: Severity
    subject: str
    """The offer, region, instance or failure domain that it is about; empty for the plan."""
    application: ApplicationName | None = None
    actual: int | None = None
    """In the unit of the rule: actions, machines, micro-dollars, thousandths of demand."""
    allowed: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions from here to the placement, in order, and what is recorded before the first of them."""

    id: PlanId
    made_at: AwareDatetime
    spec_version: int | None
    placement: Placement
    actions: tuple[Action, ...]
    instances: tuple[Instance, ...]
    """Instances in their new state: learned, about to be requested, about to be terminated."""
    health: tuple[RegionHealth, ...]
    shortages: tuple[Shortage, ...] = ()
    """Shortages that the observation found, to be recorded."""
    blocked: tuple[Blocked, ...] = ()
    pending_moves: tuple[PendingMove, ...] = ()
    """Moves for price that wait, to be recorded; they keep no plan from being stable."""
    refused: tuple[Finding, ...] = ()
    """What a plan for all applications would have broken: those that these name are left as they stand."""

    @property
    def changes_anything(self) -> bool:
        """Whether the plan acts at all."""
        return bool(self.actions)

    @property
    def is_stable(self) -> bool:
        """Whether nothing is left to do or to wait for; demand may be unmet all the same."""
        return not self.actions and not self.blocked

    @property
    def is_converged(self) -> bool:
        """Whether the plan is stable and for all applications, all demand is placed and every rule is kept."""
        return self.is_stable and self.placement.is_whole and not self.refused
