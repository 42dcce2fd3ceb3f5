"""EC2's announcements to notices. Pure.

Source: EC2 User Guide, "Spot Instance request status", "Scheduled events for your instances" and "EC2 instance
rebalance recommendations"; the last are told to EventBridge, which can put them into a queue.
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
ADVICE_MAX_AGE: Final = timedelta(hours=1)
"""How long a recommendation counts: nobody takes one back."""


def interruption_of(region: RegionId, request: dict[str, Any]) -> Notice:
    """Return the notice of a spot request that is marked."""
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    marked: datetime | None = request["Status"].get("UpdateTime")
    at = None if marked is None else marked + WARNING
    name = InstanceId(tags.get(INSTANCE_TAG, request["InstanceId"]))
    return Notice(name, region, NoticeKind.INTERRUPTION, at, request["Status"]["Code"])


def is_over(event: dict[str, Any]) -> bool:
    """Return whether an event was: EC2 lists it for a week more, marked in its description."""
    return str(event.get("Description", "")).startswith(("[Completed]", "[Canceled]"))


def maintenance_of(region: RegionId, instance_id: InstanceId, event: dict[str, Any]) -> Notice:
    """Return the notice of a scheduled event."""
    return Notice(instance_id, region, NoticeKind.MAINTENANCE, event.get("NotBefore"), str(event["Code"]))


def advice_of(message: str, now: datetime) -> tuple[str, datetime] | None:
    """Return (instance id, when it was told) of a recommendation to leave a machine; None for anything else."""
    try:
        event = json.loads(message)
        kind, cloud_id = event["detail-type"], str(event["detail"]["instance-id"])
        told = datetime.fromisoformat(event["time"])
        counts = kind == RECOMMENDATION and now - told < ADVICE_MAX_AGE
    except (ValueError, KeyError, TypeError):
        return None  # whatever else somebody put into the queue
    return (cloud_id, told) if counts else None


def recommendation_of(region: RegionId, instance_id: InstanceId, told: datetime) -> Notice:
    """Return the notice of a recommendation to leave a machine."""
    return Notice(instance_id, region, NoticeKind.REBALANCE, None, f"by EC2, since {told:%H:%M:%S} UTC")


def impairment_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return what EC2's own checks find wrong with a machine, and since when, as fields of it.

    Source: EC2 User Guide, "Status checks for your instances".
    """
    checks = {"system": status.get("SystemStatus", {}), "instance": status.get("InstanceStatus", {})}
    failing = sorted(name for name, check in checks.items() if check.get("Status") == "impaired")
    details = (detail for name in failing for detail in checks[name].get("Details", []))
    since = [detail["ImpairedSince"] for detail in details if "ImpairedSince" in detail]
    what = f"EC2's {' and '.join(failing)} status check fails"
    return {"impairment": what if failing else "", "impairment_since": min(since, default=None)}
