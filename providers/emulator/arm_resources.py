"""What is made beside a VM of the embedded Azure: its disk and its network interface.

They end with it only where the request said so; otherwise they stay, and cost. Source: Azure documentation, "Delete a
VM and attached resources".
"""

from typing import Any

DELETE = "Delete"


def disk_name(vm: str) -> str:
    """Return the name that Azure gives a VM's disk."""
    return f"{vm}_OsDisk_1"


def disk_body(subscription: str, sent: dict[str, Any], vm: str, *, is_attached: bool) -> dict[str, Any] | None:
    """Return the disk of a VM that was asked for by *sent*; None where it ended with the VM."""
    asked = sent["properties"]["storageProfile"]["osDisk"]
    if not is_attached and asked.get("deleteOption") == DELETE:
        return None
    group = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}/providers/Microsoft.Compute"
    body: dict[str, Any] = {
        "id": f"{group}/disks/{disk_name(vm)}",
        "name": disk_name(vm),
        "type": "Microsoft.Compute/disks",
        "location": sent["location"],
        "zones": sent.get("zones", []),
        "sku": {"name": asked.get("managedDisk", {}).get("storageAccountType", "Premium_LRS")},
        "properties": {
            "creationData": {"createOption": "FromImage"},
            "diskSizeGB": asked.get("diskSizeGB", 30),
            "diskState": "Attached" if is_attached else "Unattached",
            "provisioningState": "Succeeded",
        },
    }
    return body | ({"managedBy": f"{group}/virtualMachines/{vm}"} if is_attached else {})


def interface_id(subscription: str, sent: dict[str, Any], vm: str) -> str:
    """Return the id of the network interface that is made for a VM."""
    group = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}"
    return f"{group}/providers/Microsoft.Network/networkInterfaces/{vm}-nic"


def interface_body(subscription: str, sent: dict[str, Any], vm: str, *, is_attached: bool) -> dict[str, Any] | None:
    """Return the network interface that was made for a VM; None where none was, or it ended with the VM."""
    made = sent["properties"]["networkProfile"].get("networkInterfaceConfigurations")
    if not made or (not is_attached and made[0]["properties"].get("deleteOption") == DELETE):
        return None
    own = interface_id(subscription, sent, vm)
    properties: dict[str, Any] = {"primary": True, "provisioningState": "Succeeded"}
    if is_attached:
        group = own.partition("/Microsoft.Network/")[0]
        properties["virtualMachine"] = {"id": f"{group}/Microsoft.Compute/virtualMachines/{vm}"}
    return {
        "id": own,
        "name": own.rpartition("/")[2],
        "type": "Microsoft.Network/networkInterfaces",
        "location": sent["location"],
        "properties": properties,
    }
