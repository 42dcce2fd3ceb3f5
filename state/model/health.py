"""Region health: the states, the legal steps, the reasons and the thresholds."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from state.model.ids import RegionId


class HealthState(StrEnum):
    """What is concluded of a region."""

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


class HealthReason(StrEnum):
    """Why a region has its state."""

    HEAD_SILENT = "head_silent"
    """The cell's head does not answer."""
    REPLICAS_NOT_READY = "replicas_not_ready"
    """Too few of the replicas that should be ready are, for long, on machines that are in place."""
    MACHINES_ABSENT = "machines_absent"
    """Too many machines that had joined the cell are not in it, though the cloud lists them as running."""
    PROXIES_SILENT = "proxies_silent"
    """The head answers, and no proxy of the cell takes requests."""
    API_SILENT = "api_silent"
    """The region is down, and its cloud's API does not answer either."""
    ANSWERS_AGAIN = "answers_again"
    CLEAN_AGAIN = "clean_again"
    STAYED_CLEAN = "stayed_clean"
    OBSERVER_ISOLATED = "observer_isolated"
    """Every region looks down at once, so the fault is on our side and nothing is concluded."""
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class HealthThresholds:
    """When region health changes. Defaults from the architecture's table."""

    suspect_after: timedelta = timedelta(seconds=15)
    down_after: timedelta = timedelta(seconds=60)
    recover_after: timedelta = timedelta(minutes=10)
    """Clean time before a region that was down gets a step of traffic back, and again for each further step."""
    steps_percent: tuple[int, ...] = (10, 30, 100)
    bad_share: float = 0.5
    """A cell fails when this share of its machines is missing, and is degraded when as many replicas are not ready."""
    replicas_down_after: timedelta = timedelta(minutes=10)
    """A cell whose machines are in place fails when it is degraded so long without getting better: Serve has replicas
    that crashed back in one to three minutes."""


@dataclass(frozen=True, slots=True)
class RegionSignals:
    """What one observation found of one region."""

    region: RegionId
    api_answered: bool
    head_answered: bool | None
    """None where no cell is expected to answer."""
    replicas_wanted: int = 0
    replicas_ready: int = 0
    workers: int = 0
    """Machines for replicas that run there, as its cloud lists them."""
    workers_joined: int = 0
    """Those of them that had joined the cell."""
    workers_absent: int = 0
    """Those of them that are not in it now, unless its head has only just started or we drained them."""
    proxies_answer: bool = True
    """Whether any proxy of the cell takes requests."""


@dataclass(frozen=True, slots=True)
class RegionHealth:
    """What is concluded of a region, since when, and why."""

    region: RegionId
    state: HealthState
    since: AwareDatetime
    reason: HealthReason | None = None
    ready: int = 0
    """Replicas that were ready when the reason arose."""
    expected: int = 0
    """Replicas that should have been ready then."""
    failing_since: AwareDatetime | None = None
    clean_since: AwareDatetime | None = None
    established: bool = False
    """Whether its cell has served: before that, a silent head is starting, not failing."""
    replicas_served: int = 0
    """Replicas that were ready when the cell was last whole: a loss is measured against them."""
    workers_served: int = 0
    """Machines for replicas that ran at the last clean observation."""
    degraded_since: AwareDatetime | None = None
    """Since when too few replicas are ready, and not more of them than then."""
    degraded_ready: int = 0
    """How many were ready then."""
    step: int = 0
    """While recovering: the index of the share of traffic it has back."""
