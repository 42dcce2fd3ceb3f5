"""Which regions count, which may be touched, and what share of traffic each gets. Pure."""

from state.model.health import HealthState
from state.model.ids import RegionId
from state.model.snapshot import Snapshot


def must_be_left_alone(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether nothing may be changed in a region: its cloud does not answer, or it is suspect."""
    health = snapshot.health_of(region)
    return region in snapshot.unreachable or (health is not None and health.state is HealthState.SUSPECT)


def is_excluded(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region's capacity does not count: it is down or recovering."""
    health = snapshot.health_of(region)
    return health is not None and health.state in {HealthState.DOWN, HealthState.RECOVERING}


def may_end_machines(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether machines of a region may be ended: not while it is left alone or recovering."""
    health = snapshot.health_of(region)
    is_recovering = health is not None and health.state is HealthState.RECOVERING
    return not must_be_left_alone(snapshot, region) and not is_recovering


def serves(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region's replicas count as serving."""
    health = snapshot.health_of(region)
    return health is None or health.state in {HealthState.HEALTHY, HealthState.RECOVERING}


def traffic_percent(snapshot: Snapshot, region: RegionId) -> int:
    """Return what share of its traffic a region may get, in percent."""
    health = snapshot.health_of(region)
    if health is None or health.state is HealthState.HEALTHY:
        return 100
    if health.state is HealthState.RECOVERING:
        return snapshot.thresholds.health.steps_percent[health.step]
    return 0
