"""Azure's provisioning and power states of a VM, and why it stopped. Pure.

The provisioning state is the outcome of the last operation on the VM; whether the VM runs is its power state. Source:
Azure documentation, "States and billing status of Azure Virtual Machines"; azure-mgmt-compute's InstanceViewStatus.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from providers.azure.errors import TABLE
from providers.errors import Failure, classified, end_of_launch
from state.model.inventory import CloudState, EndCause, EndKind

POWER: Final = {
    "creating": CloudState.PENDING,
    "starting": CloudState.PENDING,
    "running": CloudState.RUNNING,
    "stopping": CloudState.STOPPING,
    "stopped": CloudState.STOPPING,
    "deallocating": CloudState.STOPPING,
    "deallocated": CloudState.STOPPING,
    "unknown": CloudState.UNKNOWN,
}
"""A VM that stopped still costs its disk, and even its size unless it is deallocated: it is ended."""
PROVISIONING: Final = {
    "creating": CloudState.PENDING,
    "updating": CloudState.RUNNING,
    "succeeded": CloudState.RUNNING,
    "migrating": CloudState.RUNNING,
    "deleting": CloudState.STOPPING,
    "failed": CloudState.UNKNOWN,
    "canceled": CloudState.UNKNOWN,
}
"""What a provisioning state alone shows, where the power state was not read."""
UNFINISHED: Final = frozenset({"failed", "canceled"})
PREEMPTED: Final = re.compile(r"preempt|evict", re.IGNORECASE)
"""Source: Azure documentation, "Resource Health virtual machine Health Annotations", VirtualMachinePreempted."""
CONTEXTS: Final = {
    "customer initiated": EndKind.BY_USER,
    "vm initiated": EndKind.BY_USER,
    "platform initiated": EndKind.INTERNAL,
}
"""Source: as above, Context."""


@dataclass(frozen=True, slots=True)
class View:
    """What a VM's instance view reports."""

    power: str | None
    """Such as `running`; None: the VM has never run."""
    failure: str = ""
    """Code of the last operation, where it failed; `failed` where Azure gives no code."""
    message: str = ""
    at: datetime | None = None
    """When the last operation ended."""


def view_of(view: Any) -> View | None:  # noqa: ANN401  the SDK's model
    """Return what an instance view reports; None where it was not read."""
    statuses = view.statuses if view is not None else None
    if statuses is None:
        return None
    power, failure, message, at = None, "", "", None
    for status in statuses:
        kind, _, rest = str(status.code or "").partition("/")
        if kind == "PowerState":
            power = rest.lower()
        elif kind == "ProvisioningState" and rest.partition("/")[0].lower() in UNFINISHED:
            failure, message, at = (
                rest.partition("/")[2] or rest,
                status.message or status.display_status or "",
                status.time,
            )
    return View(power, failure, message, at)


def state_of(provisioning: str | None, view: View | None) -> CloudState:
    """Return the state of a VM: that of its power, unless it is being deleted or never ran."""
    known = (provisioning or "").lower()
    if view is None or known == "deleting":
        return PROVISIONING.get(known, CloudState.UNKNOWN)
    if view.power is not None:
        return POWER.get(view.power, CloudState.UNKNOWN)
    if known in UNFINISHED:
        return CloudState.STOPPING  # its creation failed: it never ran, and the resource is left
    return CloudState.PENDING if known in PROVISIONING else CloudState.UNKNOWN


def impairment_of(provisioning: str | None, view: View | None) -> str:
    """Return what is wrong with a VM that runs although the last operation on it failed; empty for nothing."""
    if view is None or view.power is None or (provisioning or "").lower() not in UNFINISHED:
        return ""
    return f"the last operation on it failed: {view.failure or provisioning}"


def end_of(provisioning: str | None, view: View | None, condition: Any) -> EndCause | None:  # noqa: ANN401
    """Return why a VM stops or stopped; None where it does neither.

    Args:
        provisioning: Its provisioning state.
        view: Its instance view; None where it was not read.
        condition: Its status in Resource Health; None where it was not read.
    """
    if state_of(provisioning, view) is not CloudState.STOPPING or view is None:
        return None
    if view.power is None and view.failure:
        found = end_of_launch(classified(Failure("azure", "launch", view.failure, view.message), TABLE))
        return EndCause(found.kind, view.failure, view.message, view.at, is_launch=True, quota=found.quota)
    if condition is None:
        return EndCause(EndKind.UNKNOWN, f"PowerState/{view.power}" if view.power else "")
    text = f"{condition.title or ''} {condition.summary or ''}".strip()
    kind = CONTEXTS.get(str(condition.context or "").lower(), EndKind.UNKNOWN)
    kind = EndKind.RECLAIMED if PREEMPTED.search(text) else kind
    return EndCause(kind, condition.title or "", condition.summary or "", condition.occured_time)
