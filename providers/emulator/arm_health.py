"""What Azure tells of a machine's condition: its instance view, Resource Health, and evictions on demand.

Source of shapes: the models of azure-mgmt-compute and azure-mgmt-resourcehealth.
"""

from typing import Any, Final

from providers.emulator.backend import Rented

HEALTH: Final = "Microsoft.ResourceHealth/availabilityStatuses"


def instance_view(machine: Rented | None, *, has_failed: bool) -> dict[str, Any]:
    """Return what a VM does now, and the maintenance that is announced for it."""
    made = ("failed", "Provisioning failed") if has_failed else ("succeeded", "Provisioning succeeded")
    statuses = [_status("ProvisioningState", *made)]
    if machine is not None and not has_failed:
        statuses.append(_status("PowerState", "running", "VM running"))
    view: dict[str, Any] = {"statuses": statuses}
    if machine is not None and machine.maintenance_at is not None:
        begins = machine.maintenance_at.isoformat()  # an eviction is told to the machine alone
        window = {"preMaintenanceWindowStartTime": begins, "isCustomerInitiatedMaintenanceAllowed": False}
        view["maintenanceRedeployStatus"] = window
    return view


def _status(kind: str, code: str, words: str) -> dict[str, Any]:
    return {"code": f"{kind}/{code}", "level": "Error" if code == "failed" else "Info", "displayStatus": words}


def availability(vm_id: str, location: str, machine: Rented, now: str) -> dict[str, Any]:
    """Return what Resource Health says of a VM."""
    told: dict[str, Any] = {"availabilityState": "Available", "summary": "There aren't any known problems."}
    since = machine.started_at if machine.impaired_at is None else machine.impaired_at
    if machine.impaired_at is not None:
        told = {
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
        "properties": told | times,
    }
