"""Bodies of the instance view and of Resource Health.

Source of shapes: the models of azure-mgmt-compute and azure-mgmt-resourcehealth.
"""

from typing import Any, Final

from providers.emulator.backend import EmulatedMachine

HEALTH: Final = "Microsoft.ResourceHealth/availabilityStatuses"


def instance_view(machine: EmulatedMachine | None, *, has_failed: bool) -> dict[str, Any]:
    """Return a VM's instance view: statuses, and the maintenance announced for it."""
    made = ("failed", "Provisioning failed") if has_failed else ("succeeded", "Provisioning succeeded")
    statuses = [_status("ProvisioningState", *made)]
    if machine is not None and not has_failed:
        statuses.append(_status("PowerState", "running", "VM running"))
    view: dict[str, Any] = {"statuses": statuses}
    if machine is not None and machine.maintenance_at is not None:
        begins = machine.maintenance_at.isoformat()  # an eviction is in the VM's metadata service alone
        window = {"preMaintenanceWindowStartTime": begins, "isCustomerInitiatedMaintenanceAllowed": False}
        view["maintenanceRedeployStatus"] = window
    return view


def _status(kind: str, code: str, text: str) -> dict[str, Any]:
    return {"code": f"{kind}/{code}", "level": "Error" if code == "failed" else "Info", "displayStatus": text}


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
    times = {"occuredTime": since.isoformat(), "reportedTime": now, "reasonChronicity": "Persistent"}
    return {
        "id": f"{vm_id}/providers/{HEALTH}/current",
        "name": "current",
        "type": "Microsoft.ResourceHealth/AvailabilityStatuses",
        "location": location,
        "properties": state | times,
    }
