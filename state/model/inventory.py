"""Machines: as a cloud lists them, and as we hold them."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from state.model.catalog import Machine, OfferKey
from state.model.ids import InstanceId, PlanId, RegionId
from state.model.lifecycle import LIVE, InstanceStatus, may_step
from state.model.units import Usd


class CloudState(StrEnum):
    """What a cloud says of a machine, in one spelling for all."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    TERMINATED = "terminated"


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
    launched_at: datetime | None
    reason: str = ""
    """Why it ended, where the cloud says."""
    price_per_hour: Usd | None = None
    """What it costs by today's list; None where nobody knows."""
    impairment: str = ""
    """What its cloud finds wrong with it; empty for nothing, or where it does not look."""
    impairment_since: datetime | None = None


class NoticeKind(StrEnum):
    """What a cloud says is going to happen to a machine."""

    INTERRUPTION = "interruption"
    """A spot machine is taken back."""
    REBALANCE = "rebalance"
    """A spot machine is likelier than usual to be taken back."""
    MAINTENANCE = "maintenance"
    """The machine's host will be worked on, and the machine stopped or restarted."""
    LEAVING = "leaving"
    """The machine, or we, have begun to move what it carries: it is to end once it carries nothing."""
    DRAIN = "drain"
    """Its operator wants it empty by then; it runs on till others carry what it carries."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is going to happen to one of our machines."""

    instance_id: InstanceId
    region: RegionId
    kind: NoticeKind
    at: datetime | None = None
    """When it happens; None: the cloud does not say, so at any moment."""
    detail: str = ""

    @property
    def order(self) -> tuple[str, str, str, str]:
        """What notices are sorted by."""
        return (self.instance_id, self.kind, "" if self.at is None else self.at.isoformat(), self.detail)

    def __str__(self) -> str:
        """Return it in words."""
        if self.kind is NoticeKind.REBALANCE:
            return f"leaving it is recommended{f' {self.detail}' if self.detail else ''}"
        when = "at any moment" if self.at is None else f"at {self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.kind} announced, {when}{f': {self.detail}' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a cloud finds wrong with one of our machines, and since when."""

    instance_id: InstanceId
    reason: str
    since: datetime | None
    """None: the cloud does not say."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that we hold, asked for, or held."""

    id: InstanceId
    key: OfferKey
    machine: Machine
    role: Role
    status: InstanceStatus
    price_per_hour: Usd
    """What it costs, as agreed at launch: cost reports do not change when a catalogue does."""
    plan_id: PlanId
    requested_at: datetime
    cloud_id: str | None = None
    address: str | None = None
    running_at: datetime | None = None
    missing_since: datetime | None = None
    """Since when its region is listed without it; absence becomes a fact only with time."""
    ended_at: datetime | None = None
    reason: str = ""
    version: int = 0
    """Grows by one with every change; a write names the version it read."""

    @property
    def region(self) -> RegionId:
        """The region, and so the cell, that it stands in."""
        return self.key.region

    @property
    def is_live(self) -> bool:
        """Whether it may cost money."""
        return self.status in LIVE

    @property
    def is_standing(self) -> bool:
        """Whether it counts as capacity: asked for or running, and not on its way out."""
        return self.status in {InstanceStatus.REQUESTED, InstanceStatus.RUNNING}


def advanced(instance: Instance, status: InstanceStatus, reason: str = "", **changes: object) -> Instance:
    """Return *instance* one step further; the only way an instance changes its status.

    Raises:
        AssertionError: The table of legal steps has no such step.
    """
    if not may_step(instance.status, status):
        msg = f"{instance.id} may not go from {instance.status} to {status}"
        raise AssertionError(msg)
    return replace(instance, status=status, reason=reason, version=instance.version + 1, **changes)  # type: ignore[arg-type]
