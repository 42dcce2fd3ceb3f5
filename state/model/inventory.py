"""Machines: as a cloud lists them, and as the store holds them."""

from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import AwareDatetime

from state.model.catalog import Machine, OfferChoice, OfferKey, QuotaScope
from state.model.ids import InstanceId, PlanId, RegionId
from state.model.lifecycle import LIVE, InstanceStatus, may_step
from state.model.units import Usd


class CloudState(StrEnum):
    """A machine's state in its cloud, in one spelling for all clouds."""

    PENDING = "pending"
    """It is being made."""
    RUNNING = "running"
    """It runs, whatever the outcome of the last operation on it was."""
    STOPPING = "stopping"
    """It does not run or is about to stop, and something of it is left that may cost money."""
    TERMINATED = "terminated"
    """Nothing of it is left."""
    UNKNOWN = "unknown"
    """The cloud reports a state that is not known here, or that it is unknown; it proves nothing."""


class EndKind(StrEnum):
    """Why a machine ended, or why an accepted launch failed."""

    STOCK_OUT = "stock_out"
    """The cloud had no such machine."""
    QUOTA = "quota"
    """The account may have no more."""
    DENIED = "denied"
    """A permission was missing, such as for the key of a disk."""
    INVALID_REQUEST = "invalid_request"
    """The cloud found the request wrong once it executed it."""
    RECLAIMED = "reclaimed"
    """The cloud took a spot machine back."""
    INTERNAL = "internal"
    """The cloud's own fault: a host or an operation failed, or was retired."""
    BY_USER = "by_user"
    """The account's own credentials or the machine itself ended it; that includes us."""
    UNKNOWN = "unknown"
    """The cloud gives no cause, or one that is not known here."""


@dataclass(frozen=True, slots=True)
class EndCause:
    """Why a machine ended, or why an accepted launch failed, as its cloud reports it."""

    kind: EndKind
    code: str = ""
    """The provider's own code; empty where it has none."""
    message: str = ""
    """The provider's own text."""
    at: AwareDatetime | None = None
    """When it ended; None where that is not reported."""
    is_launch: bool = False
    """Whether the launch failed after it was accepted, so that the machine never ran."""
    quota: QuotaScope | None = None
    """How wide the limit is, where the kind is a quota."""


class Role(StrEnum):
    """What a machine is in its cell."""

    HEAD = "head"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class CloudInstance:
    """A machine with our tag, as its cloud lists it."""

    cloud_id: str
    instance_id: InstanceId
    key: OfferKey
    state: CloudState
    address: str | None
    launched_at: AwareDatetime | None
    reason: str = ""
    """The provider's own text on why it ended, if there is one."""
    price_per_hour: Usd | None = None
    """What it costs by the current price list; None where that is not known."""
    impairment: str = ""
    """What its cloud finds wrong with it; empty for nothing, or where the cloud does not check."""
    impairment_since: AwareDatetime | None = None
    end: EndCause | None = None
    """Why it stops or ended; None while it does neither.

    A launch that failed after it was accepted is listed too. Where nothing of it is left its state is terminated, and
    its key may lack the instance type, which the cloud no longer reports: the store's own record has it.
    """
    reservation: str | None = None
    """The reservation that it is in, as its cloud names it."""
    ends_at: AwareDatetime | None = None
    """When its reservation or its allowed time ends; None: at no known time."""


class NoticeKind(StrEnum):
    """What is announced for a machine."""

    INTERRUPTION = "interruption"
    """A spot machine is reclaimed."""
    REBALANCE = "rebalance"
    """A spot machine is likelier than usual to be reclaimed."""
    MAINTENANCE = "maintenance"
    """The machine's host will be worked on, and the machine stopped or restarted."""
    LEAVING = "leaving"
    """Its replicas move away already, on its own initiative or ours; it ends once it carries none."""
    EXPIRY = "expiry"
    """Its reservation, block or allowed time ends: it is ended then, or runs on at list price."""
    DRAIN = "drain"
    """Its operator asked for it to be empty by then; it serves until other machines carry its replicas."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is announced for one of our machines."""

    instance_id: InstanceId
    region: RegionId
    kind: NoticeKind
    at: AwareDatetime | None = None
    """When it happens; None: not reported, so at any moment."""
    detail: str = ""
    """The cloud's own text; of an expiry the reservation, empty for an allowed time; of a drain the machine's name."""

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """What notices are sorted by."""
        return (self.instance_id, self.kind, "" if self.at is None else self.at.isoformat(), self.detail)


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a cloud finds wrong with one of our machines, and since when."""

    instance_id: InstanceId
    reason: str
    since: AwareDatetime | None
    """None: not reported."""


class TerminationReason(StrEnum):
    """Why a machine ends, or ended."""

    FLEET_DESTROYED = "fleet_destroyed"
    NOT_PLACED = "not_placed"
    """The placement has no use for it."""
    NEVER_STARTED = "never_started"
    """Its cloud accepted it and did not list it as running in time."""
    NEVER_JOINED = "never_joined"
    """It ran and did not join its cell in time."""
    LEFT_CELL = "left_cell"
    """It had joined its cell, still runs, and the cell has answered without it for long."""
    GPUS_MISSING = "gpus_missing"
    """It joined its cell with fewer GPUs than its type has."""
    IMPAIRED = "impaired"
    """Its cloud finds it impaired, and it carries no replica."""
    NOTICE = "notice"
    """Its end was announced."""
    ENDED_BY_PROVIDER = "ended_by_provider"
    LAUNCH_REFUSED = "launch_refused"
    NEVER_SEEN = "never_seen"
    """It was requested and never listed."""
    NOT_LISTED = "not_listed"
    """Its region is listed without it."""
    ORPHAN = "orphan"
    """It carries our tag, and the store has no live record of it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that we request, hold or held."""

    id: InstanceId
    key: OfferKey
    machine: Machine
    role: Role
    status: InstanceStatus
    price_per_hour: Usd
    """What it costs by the last observation that read a price: budget and reports follow what is paid."""
    plan_id: PlanId
    requested_at: AwareDatetime
    cloud_id: str | None = None
    address: str | None = None
    running_at: AwareDatetime | None = None
    missing_since: AwareDatetime | None = None
    """Since when its region is listed without it; absence becomes a fact only with time."""
    ended_at: AwareDatetime | None = None
    choice: OfferChoice | None = None
    """Why its offer was chosen; None for one that was not placed by a plan."""
    reason: TerminationReason | None = None
    """Why it ends or ended; None while it does neither."""
    message: str = ""
    """The provider's own text on its end, or figures that explain the reason."""
    notice: Notice | None = None
    """What was announced, where that is why it ends."""
    reservation: str | None = None
    """The reservation whose place its launch takes."""
    launch_price: Usd | None = None
    """What it was to cost by the plan that launched it; None where that was not recorded."""
    node_id: str | None = None
    """The Ray node as which it last joined its cell; None for one that never did."""
    joined_at: AwareDatetime | None = None
    """When that node was first seen."""
    carried_at: AwareDatetime | None = None
    """When that node first carried a ready replica."""
    left_cell_since: AwareDatetime | None = None
    """Since when its cell answers without it; of a head, since when the cell does not answer."""
    drain_until: AwareDatetime | None = None
    """Until when its replicas are to have moved, as its cell was asked."""
    end: EndCause | None = None
    """Why its cloud ended it, or why its accepted launch failed; None where its cloud reports no cause."""
    ending_since: AwareDatetime | None = None
    """Since when it is to end, or ends."""
    version: int = 0
    """Grows by one with every change; a write names the version it read."""

    @property
    def region(self) -> RegionId:
        """The region, and so the cell, that it is in."""
        return self.key.region

    @property
    def is_live(self) -> bool:
        """Whether it may cost money."""
        return self.status in LIVE

    @property
    def was_of_use(self) -> bool:
        """Whether it ever carried a replica, or as a head ever had a cell."""
        return (self.joined_at if self.role is Role.HEAD else self.carried_at) is not None

    @property
    def exists(self) -> bool:
        """Whether it counts as capacity: requested or running, and not ending."""
        return self.status in {InstanceStatus.REQUESTED, InstanceStatus.RUNNING}


def advanced(
    instance: Instance, status: InstanceStatus, reason: TerminationReason | None = None, **changes: object
) -> Instance:
    """Return *instance* one step further; the only way an instance changes its status.

    Args:
        instance: The instance.
        status: Its next status.
        reason: Why it ends; None keeps the reason that it has.
        changes: Further fields to change.

    Raises:
        AssertionError: The table of legal steps has no such step.
    """
    if not may_step(instance.status, status):
        msg = f"{instance.id} may not go from {instance.status} to {status}"
        raise AssertionError(msg)
    reason = reason or instance.reason
    return replace(instance, status=status, reason=reason, version=instance.version + 1, **changes)  # type: ignore[arg-type]
