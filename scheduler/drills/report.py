"""The report of a drill."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter

from state.model.history import NO_REPORT, DrillMode
from state.model.ids import InstanceId, RegionId
from state.model.placement import UnmetDemand, Violation
from state.model.plan import Plan


class DrillRefusal(StrEnum):
    """Why a drill is not run."""

    NO_SPEC = "no_spec"
    NOTHING_PLACED = "nothing_placed"
    """The region has nothing, so that its loss shows nothing."""
    NO_DAEMON = "no_daemon"
    """No daemon runs that would deal with the loss."""
    DRILL_RUNNING = "drill_running"
    NOT_STABLE = "not_stable"
    """The fleet still acts or waits."""


class DrillRefusedError(Exception):
    """The drill would do harm, or prove nothing; nothing was done."""

    def __init__(self, refusal: DrillRefusal, region: RegionId, plan: Plan | None = None) -> None:
        """Keep why, and the plan of a fleet that is not stable: what it acts on and what blocks it."""
        super().__init__(refusal, region)
        self.refusal, self.region, self.plan = refusal, region, plan


class DrillStep(StrEnum):
    """What happens during a live drill; those of a recovery are the report's seconds too."""

    MACHINES_KILLED = "machines_killed"
    LOST = "lost"
    LAUNCHED = "launched"
    DETECT = "detect"
    ROUTE_AWAY = "route_away"
    DECIDE = "decide"
    ACQUIRE = "acquire"
    READY = "ready"


RECOVERY: Final = (DrillStep.DETECT, DrillStep.ROUTE_AWAY, DrillStep.DECIDE, DrillStep.ACQUIRE, DrillStep.READY)
"""Steps of a recovery, in order."""


@dataclass(frozen=True, slots=True)
class DrillProgress:
    """One step of a live drill. Fields that do not apply are empty."""

    step: DrillStep
    region: RegionId
    """The region that is lost."""
    after: timedelta | None = None
    """Since the loss."""
    machines: int = 0
    """How many were killed."""
    instance: InstanceId | None = None
    """The machine that was launched."""


@dataclass(slots=True)
class DrillReport:
    """What a drill showed. Seconds are counted from the loss; None: it did not happen."""

    region: str
    mode: DrillMode
    recovered: bool = False
    seconds: dict[str, float | None] = field(default_factory=lambda: {str(step): None for step in RECOVERY})
    requests: dict[str, int] = field(
        default_factory=lambda: {"sent": 0, "retried": 0, "failed": 0, "failed_after_recovery": 0}
    )
    usd_per_hour: dict[str, float] = field(default_factory=dict)
    regions: dict[str, list[str]] = field(default_factory=dict)
    survivors_carry: dict[str, float] = field(default_factory=dict)
    """Per application: the share of its demand that the other regions carried at the moment of the loss."""
    instances_launched: int = 0
    instances_leaked: int = 0
    unreachable: list[str] = field(default_factory=list)
    """Other regions whose machines could not be listed: what leaked there is not counted."""
    violations: tuple[Violation, ...] = ()
    """Rules of the spec that are not kept after the loss."""
    unmet: tuple[UnmetDemand, ...] = ()
    """Demand without a place after the loss."""

    def dumps(self) -> str:
        """Return the report as JSON, as the store keeps it."""
        return _REPORT.dump_json(self).decode()


_REPORT: Final = TypeAdapter(DrillReport)


def loads(text: str) -> DrillReport | None:
    """Return the report that the store keeps; None where a drill has none yet."""
    return None if text == NO_REPORT else _REPORT.validate_json(text)
