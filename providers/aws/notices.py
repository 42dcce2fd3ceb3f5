"""EC2's announcements to notices. Pure.

Source: EC2 User Guide, "Spot Instance request status", "Scheduled events for your instances" and "EC2 instance
rebalance recommendations"; the last go to EventBridge, which can put them into a queue.
"""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from providers.base import INSTANCE_TAG
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind

INTERRUPTIONS: Final = frozenset({"marked-for-stop", "marked-for-termination"})
EVENTS: Final = frozenset(
    {"instance-reboot", "instance-retirement", "instance-stop", "system-maintenance", "system-reboot"}
)
WARNING: Final = timedelta(minutes=2)
"""Between the mark and the end."""
RECOMMENDATION: Final = "EC2 Instance Rebalance Recommendation"
RECOMMENDATION_MAX_AGE: Final = timedelta(hours=1)
"""How long a recommendation counts: EC2 does not withdraw one."""


def interruption_of(region: RegionId, request: dict[str, Any]) -> Notice:
    """Return the notice of a spot request that is marked."""
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    marked: datetime | None = request["Status"].get("UpdateTime")
    at = None if marked is None else marked + WARNING
    name = InstanceId(tags.get(INSTANCE_TAG, request["InstanceId"]))
    return Notice(name, region, NoticeKind.INTERRUPTION, at, request["Status"]["Code"])


def is_over(event: dict[str, Any]) -> bool:
    """Return whether an event has ended: EC2 lists it for another week, marked in its description."""
    return str(event.get("Description", "")).startswith(("[Completed]", "[Canceled]"))


def maintenance_of(region: RegionId, instance_id: InstanceId, event: dict[str, Any]) -> Notice:
    """Return the notice of a scheduled event."""
    return Notice(instance_id, region, NoticeKind.MAINTENANCE, event.get("NotBefore"), str(event["Code"]))


def read_recommendation(message: str, now: datetime) -> tuple[str, datetime] | None:
    """Return (instance id, when it was made) of a rebalance recommendation; None for any other message."""
    try:
        event = json.loads(message)
        kind, cloud_id = event["detail-type"], str(event["detail"]["instance-id"])
        made = datetime.fromisoformat(event["time"])
        counts = kind == RECOMMENDATION and now - made < RECOMMENDATION_MAX_AGE
    except (ValueError, KeyError, TypeError):
        return None  # the queue may hold other messages
    return (cloud_id, made) if counts else None


def recommendation_of(region: RegionId, instance_id: InstanceId, made: datetime) -> Notice:
    """Return the notice of a rebalance recommendation."""
    return Notice(instance_id, region, NoticeKind.REBALANCE, None, f"by EC2, since {made:%H:%M:%S} UTC")


def impairment_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return the impairment that EC2's status checks report, and since when, as fields of the machine.

    Source: EC2 User Guide, "Status checks for your instances".
    """
    checks = {"system": status.get("SystemStatus", {}), "instance": status.get("InstanceStatus", {})}
    failing = sorted(name for name, check in checks.items() if check.get("Status") == "impaired")
    details = (detail for name in failing for detail in checks[name].get("Details", []))
    since = [detail["ImpairedSince"] for detail in details if "ImpairedSince" in detail]
    what = f"EC2's {' and '.join(failing)} status check fails"
    return {"impairment": what if failing else "", "impairment_since": min(since, default=None)}
