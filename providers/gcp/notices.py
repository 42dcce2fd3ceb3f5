"""GCE's instance descriptions to notices. Pure.

Source: Compute Engine documentation, "Preemption process" and "Monitor and plan for a host maintenance event".
"""

from datetime import datetime, timedelta
from typing import Any, Final

from providers.base import INSTANCE_TAG
from providers.gcp.catalog import region_of_zone
from state.model.ids import InstanceId
from state.model.inventory import Notice, NoticeKind

PREEMPTED: Final = "preempted"


def end_of_run(described: Any) -> datetime | None:  # noqa: ANN401  the SDK's message
    """Return when Compute Engine ends an instance: by its termination time, or its longest run duration.

    Source: Compute Engine documentation, "Limit the run time of a VM"; the duration counts from the last start.
    """
    stated = described.resource_status.scheduling.termination_timestamp or described.scheduling.termination_time
    if stated:
        return datetime.fromisoformat(stated)
    started, duration = described.last_start_timestamp or described.creation_timestamp, described.scheduling
    seconds = duration.max_run_duration.seconds
    return datetime.fromisoformat(started) + timedelta(seconds=seconds) if started and seconds else None


def notice_of(zone: str, described: Any) -> Notice | None:  # noqa: ANN401  the SDK's message
    """Return what is announced for an instance; None for nothing."""
    region, name = region_of_zone(zone), InstanceId(dict(described.labels).get(INSTANCE_TAG, described.name))
    if described.status == "STOPPING" and PREEMPTED in described.status_message:
        return Notice(name, region, NoticeKind.INTERRUPTION, None, described.status_message)
    upcoming = described.resource_status.upcoming_maintenance
    if not upcoming.window_start_time:
        return None
    begins = datetime.fromisoformat(upcoming.window_start_time)
    return Notice(name, region, NoticeKind.MAINTENANCE, begins, str(upcoming.type_))
