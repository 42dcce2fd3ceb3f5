"""What happened: outcomes of actions, events and drills."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from state.model.catalog import OfferKey, Shortage
from state.model.health import HealthReason, HealthState
from state.model.ids import DrillId, InstanceId, PlanId, RegionId
from state.model.inventory import Notice, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, Finding
from state.model.units import Usd


class OutcomeKind(StrEnum):
    """What is known of an action after its one attempt."""

    DONE = "done"
    REFUSED = "refused"
    """Certain: nothing happened."""
    UNKNOWN = "unknown"
    """It may have happened; only a later observation shows it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one action of a plan."""

    plan_id: PlanId
    number: int
    """The action's place in the plan, from 0."""
    action: ActionKind
    target: str
    """An offer, a region, or `gateway`."""
    kind: OutcomeKind
    message: str
    """The error's text; empty where it is done."""
    at: AwareDatetime
    instance_id: InstanceId | None = None
    cloud_id: str | None = None
    shortage: Shortage | None = None


@dataclass(frozen=True, slots=True)
class SpecApplied:
    """A spec came into force."""

    version: int


@dataclass(frozen=True, slots=True)
class SpecWithdrawn:
    """Nothing is wanted from now on."""

    version: int


@dataclass(frozen=True, slots=True)
class PlanCommitted:
    """A plan that acts was recorded."""

    actions: int
    per_hour: Usd


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """A plan broke rules, so nothing of it was done."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ActionAttempted:
    """An action had its one attempt."""

    action: ActionKind
    outcome: OutcomeKind
    message: str = ""


@dataclass(frozen=True, slots=True)
class InstanceChanged:
    """A machine has another status."""

    status: InstanceStatus
    key: OfferKey
    reason: TerminationReason | None = None
    message: str = ""
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """A region has another health state."""

    state: HealthState
    reason: HealthReason | None = None
    ready: int = 0
    expected: int = 0


@dataclass(frozen=True, slots=True)
class NoticeReceived:
    """Something was announced for a machine."""

    notice: Notice


class DrillMode(StrEnum):
    """How a drill loses its region."""

    SIMULATE = "simulate"
    """The loss is computed."""
    LIVE = "live"
    """The region is really cut off."""


class DrillState(StrEnum):
    """Where a drill stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class DrillChanged:
    """A drill began or ended."""

    drill: DrillId
    mode: DrillMode
    state: DrillState


Happening = (
    SpecApplied
    | SpecWithdrawn
    | PlanCommitted
    | PlanRefused
    | ActionAttempted
    | InstanceChanged
    | HealthChanged
    | NoticeReceived
    | DrillChanged
)


class EventKind(StrEnum):
    """What an event is about."""

    SPEC_APPLIED = "spec_applied"
    SPEC_WITHDRAWN = "spec_withdrawn"
    PLAN_COMMITTED = "plan_committed"
    PLAN_REFUSED = "plan_refused"
    ACTION_DONE = "action_done"
    ACTION_FAILED = "action_failed"
    INSTANCE_CHANGED = "instance_changed"
    HEALTH_CHANGED = "health_changed"
    NOTICE_RECEIVED = "notice_received"
    DRILL_CHANGED = "drill_changed"


_KINDS = {
    SpecApplied: EventKind.SPEC_APPLIED,
    SpecWithdrawn: EventKind.SPEC_WITHDRAWN,
    PlanCommitted: EventKind.PLAN_COMMITTED,
    PlanRefused: EventKind.PLAN_REFUSED,
    InstanceChanged: EventKind.INSTANCE_CHANGED,
    HealthChanged: EventKind.HEALTH_CHANGED,
    NoticeReceived: EventKind.NOTICE_RECEIVED,
    DrillChanged: EventKind.DRILL_CHANGED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the append-only log."""

    at: AwareDatetime
    actor: str
    """The process or command that caused it."""
    subject: str
    """An instance, region, plan, offer or fleet."""
    what: Happening
    number: int = 0
    """Its place in the log, given by the store."""

    @property
    def kind(self) -> EventKind:
        """What it is about."""
        if isinstance(self.what, ActionAttempted):
            return EventKind.ACTION_DONE if self.what.outcome is OutcomeKind.DONE else EventKind.ACTION_FAILED
        return _KINDS[type(self.what)]


NO_REPORT: Final = "{}"
"""What a drill has until it ends."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill: the loss of a region, computed or live."""

    id: DrillId
    region: RegionId
    mode: DrillMode
    state: DrillState
    started_at: AwareDatetime
    until: AwareDatetime
    """A live drill gives the region back by then, whatever becomes of the process that started it."""
    cuts_off: bool
    """Whether the scheduler itself must treat the region as lost while the drill runs."""
    report: str = NO_REPORT
    """JSON."""
