"""Bodies of the instance view and of Resource Health.

Source of shapes: the models of azure-mgmt-compute and azure-mgmt-resourcehealth.
"""

from typing import Any, Final

from providers.emulator.backend import EmulatedMachine
from providers.emulator.ends import EndedBy

HEALTH: Final = "Microsoft.ResourceHealth/availabilityStatuses"

ENDED: Final = {
    EndedBy.HOST: {"title": "Host failure", "summary": "The host failed.", "context": "Platform Initiated"},
    EndedBy.RECLAIM: {
        "title": "Preempted",
        "summary": "This virtual machine was preempted, since its capacity is needed.",
        "context": "Platform Initiated",
    },
    EndedBy.USER: {"title": "Stopped", "summary": "It was stopped by a user.", "context": "Customer Initiated"},
}
"""Source: Azure documentation, "Resource Health virtual machine Health Annotations"; the words are ours."""


def instance_view(
    machine: EmulatedMachine | None, provisioning: str, failed: dict[str, str] | None, *, is_off: bool
) -> dict[str, Any]:
    """Return a VM's instance view: statuses, and the maintenance announced for it.

    Args:
        machine: The machine; None: its creation failed, or has not ended.
        provisioning: The VM's provisioning state.
        failed: Error of its creation; None: it did not fail.
        is_off: Whether its power is off.
    """
    statuses = [_made(machine, provisioning, failed)]
    if machine is not None:
        off = ("deallocated", "VM deallocated") if is_off else ("running", "VM running")
        power = (machine.listed_state, "VM") if machine.listed_state else off
        statuses.append(_status("PowerState", *power))
    view: dict[str, Any] = {"statuses": statuses}
    if machine is not None and machine.maintenance_at is not None:
        begins = machine.maintenance_at.isoformat()  # an eviction is in the VM's metadata service alone
        window = {"preMaintenanceWindowStartTime": begins, "isCustomerInitiatedMaintenanceAllowed": False}
        view["maintenanceRedeployStatus"] = window
    return view


def _made(machine: EmulatedMachine | None, provisioning: str, failed: dict[str, str] | None) -> dict[str, Any]:
    """Return the status of the last operation on a VM."""
    if provisioning != "Failed":
        return _status("ProvisioningState", provisioning.lower(), f"Provisioning {provisioning.lower()}")
    code = failed["code"] if failed else machine.failed_update if machine is not None else ""
    status = _status("ProvisioningState", f"failed/{code}", "Provisioning failed")
    return status | {"level": "Error"} | ({"message": failed["message"]} if failed else {})


def _status(kind: str, code: str, text: str) -> dict[str, Any]:
    return {"code": f"{kind}/{code}", "level": "Info", "displayStatus": text}


def availability(vm_id: str, location: str, machine: EmulatedMachine, now: str) -> dict[str, Any]:
    """Return a VM's availability status in Resource Health."""
    state: dict[str, Any] = {"availabilityState": "Available", "summary": "There aren't any known problems."}
    since = machine.started_at if machine.impaired_at is None else machine.impaired_at
    if machine.impaired_at is not None:
        state = {
            "availabilityState": "Unavailable",
            "summary": "The host of this virtual machine does not answer.",
            "reasonType": "Unplanned",
            "context": "Platform Initiated",
            "category": "Unplanned",
        }
    if machine.ended_by is not None:
        since = machine.ended_at or since
        state = ENDED[machine.ended_by] | {"availabilityState": "Unavailable"}
    times = {"occuredTime": since.isoformat(), "reportedTime": now, "reasonChronicity": "Persistent"}
    return {
        "id": f"{vm_id}/providers/{HEALTH}/current",
        "name": "current",
        "type": "Microsoft.ResourceHealth/AvailabilityStatuses",
        "location": location,
        "properties": state | times,
    }
