"""Bodies of the disk and network interface that the embedded Azure creates with a VM.

Only those with `deleteOption: Delete` end with the VM. Source: Azure documentation, "Delete a VM and attached
resources".
"""

from typing import Any

DELETE = "Delete"


def disk_name(vm: str) -> str:
    """Return the name of a VM's disk."""
    return f"{vm}_OsDisk_1"


def disk_body(subscription: str, sent: dict[str, Any], vm: str, *, is_attached: bool) -> dict[str, Any] | None:
    """Return the body of the disk of a VM whose request was *sent*; None if it ended with the VM."""
    disk = sent["properties"]["storageProfile"]["osDisk"]
    if not is_attached and disk.get("deleteOption") == DELETE:
        return None
    group = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}/providers/Microsoft.Compute"
    body: dict[str, Any] = {
        "id": f"{group}/disks/{disk_name(vm)}",
        "name": disk_name(vm),
        "type": "Microsoft.Compute/disks",
        "location": sent["location"],
        "zones": sent.get("zones", []),
        "tags": sent.get("tags", {}),  # a disk that is made with a VM gets the VM's
        "sku": {"name": disk.get("managedDisk", {}).get("storageAccountType", "Premium_LRS")},
        "properties": {
            "creationData": {"createOption": "FromImage"},
            "diskSizeGB": disk.get("diskSizeGB", 30),
            "diskState": "Attached" if is_attached else "Unattached",
            "provisioningState": "Succeeded",
        },
    }
    return body | ({"managedBy": f"{group}/virtualMachines/{vm}"} if is_attached else {})


def interface_id(subscription: str, sent: dict[str, Any], vm: str) -> str:
    """Return the id of the network interface created with a VM."""
    group = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}"
    return f"{group}/providers/Microsoft.Network/networkInterfaces/{vm}-nic"


def interface_body(subscription: str, sent: dict[str, Any], vm: str, *, is_attached: bool) -> dict[str, Any] | None:
    """Return the body of the network interface created with a VM; None if there is none, or it ended with the VM."""
    created = sent["properties"]["networkProfile"].get("networkInterfaceConfigurations")
    if not created or (not is_attached and created[0]["properties"].get("deleteOption") == DELETE):
        return None
    resource_id = interface_id(subscription, sent, vm)
    properties: dict[str, Any] = {"primary": True, "provisioningState": "Succeeded"}
    if is_attached:
        group = resource_id.partition("/Microsoft.Network/")[0]
        properties["virtualMachine"] = {"id": f"{group}/Microsoft.Compute/virtualMachines/{vm}"}
    return {
        "id": resource_id,
        "name": resource_id.rpartition("/")[2],
        "type": "Microsoft.Network/networkInterfaces",
        "location": sent["location"],
        "tags": created[0].get("tags", {}),
        "properties": properties,
    }
