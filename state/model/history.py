"""What came of it: outcomes, events and drills."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from state.model.catalog import Shortage
from state.model.ids import DrillId, InstanceId, PlanId, RegionId


class OutcomeKind(StrEnum):
    """What is known of an action after its one attempt."""

    DONE = "done"
    REFUSED = "refused"
    """Certain: nothing happened."""
    UNKNOWN = "unknown"
    """It may have happened; only a later look can tell."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one action of a plan."""

    plan_id: PlanId
    number: int
    """The action's place in the plan, from 0."""
    action: str
    """Launch, Terminate, ..."""
    target: str
    kind: OutcomeKind
    detail: str
    at: datetime
    instance_id: InstanceId | None = None
    cloud_id: str | None = None
    shortage: Shortage | None = None


SPEC_APPLIED: Final = "spec_applied"
SPEC_WITHDRAWN: Final = "spec_withdrawn"
PLAN_COMMITTED: Final = "plan_committed"
ACTION_DONE: Final = "action_done"
ACTION_FAILED: Final = "action_failed"
INSTANCE_CHANGED: Final = "instance_changed"
HEALTH_CHANGED: Final = "health_changed"
PLAN_REFUSED: Final = "plan_refused"
DRILL_CHANGED: Final = "drill_changed"
NOTICE_RECEIVED: Final = "notice_received"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only log."""

    at: datetime
    actor: str
    kind: str
    subject: str
    detail: str
    number: int = 0
    """Its place in the log, given by the store."""


class DrillState(StrEnum):
    """Where a drill stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Drill:
    """A rehearsed loss of a region."""

    id: DrillId
    region: RegionId
    mode: str
    state: DrillState
    started_at: datetime
    until: datetime
    """A live drill lets go of the region by then, whatever became of whoever started it."""
    cuts_off: bool
    """Whether the scheduler itself must treat the region as lost while the drill runs."""
    report: str = "{}"
    """JSON."""
