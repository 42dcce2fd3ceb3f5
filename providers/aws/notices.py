"""EC2's announcements to notices. Pure.

Source: EC2 User Guide, "Spot Instance request status" and "Scheduled events for your instances". Rebalance
recommendations reach EventBridge and the machine's own metadata service only.
"""

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


def trouble_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return what EC2's own checks find wrong with a machine, and since when, as fields of it.

    Source: EC2 User Guide, "Status checks for your instances".
    """
    checks = {"system": status.get("SystemStatus", {}), "instance": status.get("InstanceStatus", {})}
    failing = sorted(name for name, check in checks.items() if check.get("Status") == "impaired")
    details = (detail for name in failing for detail in checks[name].get("Details", []))
    since = [detail["ImpairedSince"] for detail in details if "ImpairedSince" in detail]
    what = f"EC2's {' and '.join(failing)} status check fails"
    return {"trouble": what if failing else "", "trouble_since": min(since, default=None)}
