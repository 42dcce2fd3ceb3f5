"""GCE's instance descriptions to notices. Pure.

Source: Compute Engine documentation, "Preemption process" and "Monitor and plan for a host maintenance event".
"""

from datetime import datetime
from typing import Any, Final

from providers.base import INSTANCE_TAG
from providers.gcp.catalog import region_of_zone
from state.model.ids import InstanceId
from state.model.inventory import Notice, NoticeKind

PREEMPTED: Final = "preempted"


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
