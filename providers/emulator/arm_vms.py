"""The embedded Azure's VMs: what was asked for, and their bodies.

Source of shapes: azure-mgmt-compute's models.
"""

from dataclasses import dataclass, field
from typing import Any

from flask import request

from providers.emulator.arm_health import instance_view
from providers.emulator.arm_resources import interface_id
from providers.emulator.backend import Backend, EmulatedMachine


@dataclass(slots=True)
class ArmState:
    """What the embedded Azure holds beside the backend."""

    backend: Backend
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    """Errors of failed creations, by VM; Azure lists such VMs until they are deleted."""
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: int = 0

    def is_listed(self, name: str) -> bool:
        """Return whether a VM resource exists."""
        if name in self.failed:
            return True
        machine = self.backend.machines.get(name)
        if machine is None or name not in self.bodies:
            return False
        is_over = self.backend.host.has_ended(name) and self.backend.is_listed_as_ended(machine)
        return not (self.bodies[name].get("deleted") and is_over)


def vm_body(state: ArmState, subscription: str, name: str) -> dict[str, Any]:
    """Return the body of a VM."""
    sent = state.bodies[name]
    machine: EmulatedMachine | None = state.backend.machines.get(name)
    provisioning = provisioning_state(state, name)
    path = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}/providers/Microsoft.Compute/virtualMachines/"
    # The API never returns passwords, private keys and custom data.
    properties = {k: v for k, v in sent["properties"].items() if k != "osProfile"}
    properties |= {"provisioningState": provisioning, "vmId": name}
    given = properties.pop("networkProfile", {}).get("networkInterfaces")
    created_id = interface_id(subscription, sent, name)
    created = [{"id": created_id, "properties": {"primary": True, "deleteOption": "Delete"}}]
    properties["networkProfile"] = {"networkInterfaces": given or created}
    if machine is not None:
        properties["timeCreated"] = machine.started_at.isoformat()
    if request.args.get("statusOnly") == "true" or request.args.get("$expand") == "instanceView":
        properties["instanceView"] = view_body(state, name)
    return {
        "id": path + name,
        "name": name,
        "type": "Microsoft.Compute/virtualMachines",
        "location": sent["location"],
        "zones": sent.get("zones", []),
        "etag": '"1"',
        "tags": sent.get("tags", {}),
        "properties": properties,
    }


def provisioning_state(state: ArmState, name: str) -> str:
    """Return the outcome of the last operation on a VM, which is not whether it runs."""
    machine = state.backend.machines.get(name)
    if name in state.failed:
        return "Creating" if state.backend.holds_operations else "Failed"
    if machine is not None and state.backend.is_listed_as_ended(machine) and state.bodies[name].get("deleted"):
        return "Deleting"
    return "Failed" if machine is not None and machine.failed_update else "Succeeded"


def view_body(state: ArmState, name: str) -> dict[str, Any]:
    """Return a VM's instance view."""
    machine = state.backend.machines.get(name)
    is_off = machine is not None and state.backend.is_listed_as_ended(machine)
    return instance_view(machine, provisioning_state(state, name), state.failed.get(name), is_off=is_off)
