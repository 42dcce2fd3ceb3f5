"""Region health: the states, the legal steps, and the knobs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from state.model.ids import RegionId


class HealthState(StrEnum):
    """What we hold of a region."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DOWN = "down"
    RECOVERING = "recovering"


_H = HealthState

HEALTH_STEPS: Final[dict[HealthState, frozenset[HealthState]]] = {
    _H.HEALTHY: frozenset({_H.SUSPECT}),  # failing for a short while: no new traffic
    _H.SUSPECT: frozenset(
        {
            _H.HEALTHY,  # it was a blip
            _H.DOWN,  # failing for a long while: its capacity is replaced elsewhere
        }
    ),
    _H.DOWN: frozenset({_H.RECOVERING}),  # clean again
    _H.RECOVERING: frozenset(
        {
            _H.HEALTHY,  # all steps passed
            _H.DOWN,  # failing again while it came back
        }
    ),
}


@dataclass(frozen=True, slots=True)
class HealthThresholds:
    """How patient region health is. Defaults from the architecture's table."""

    suspect_after: timedelta = timedelta(seconds=15)
    down_after: timedelta = timedelta(seconds=60)
    recover_after: timedelta = timedelta(minutes=10)
    """Clean time before a region that was down gets a step of traffic back, and again for each further step."""
    steps_percent: tuple[int, ...] = (10, 30, 100)
    bad_share: float = 0.5
    """A cell fails when this share of its replicas is not ready."""


@dataclass(frozen=True, slots=True)
class RegionSignals:
    """What was seen of one region in one look."""

    region: RegionId
    api_answered: bool
    head_answered: bool | None
    """None where no cell is expected to answer."""
    replicas_wanted: int = 0
    replicas_ready: int = 0
    workers: int = 0
    """Machines for replicas that run there, as far as its cloud told."""


@dataclass(frozen=True, slots=True)
class RegionHealth:
    """What we hold of a region, since when, and why."""

    region: RegionId
    state: HealthState
    since: datetime
    reason: str = ""
    failing_since: datetime | None = None
    clean_since: datetime | None = None
    established: bool = False
    """Whether its cell has served: before that, a silent head is starting, not failing."""
    replicas_served: int = 0
    """Replicas that were ready at the last clean look: what a loss is measured against."""
    workers_served: int = 0
    """Machines for replicas that ran at the last clean look."""
    step: int = 0
    """While recovering: the index of the share of traffic it has back."""
