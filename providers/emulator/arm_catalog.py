"""What Azure tells of its catalogue: sizes, usages, reservations and retail prices, as its API spells them."""

from typing import Any, Final

from providers.emulator.backend import CloudWorld, Reservation
from providers.emulator.regions import SceneRegion, Size

FAMILIES: Final = {
    "Standard_D2s_v5": "standardDSv5Family",
    "Standard_NC24ads_A100_v4": "StandardNCADSA100v4Family",
    "Standard_NC40ads_H100_v5": "StandardNCadsH100v5Family",
    "Standard_NC4as_T4_v3": "standardNCASv3_T4Family",
    "Standard_NV36ads_A10_v5": "StandardNVADSA10v5Family",
}
GROUP_OF: Final = "skerry"
"""The resource group that reservations stand in."""


def azure_regions(world: CloudWorld) -> list[SceneRegion]:
    """Return the regions of the scene that are Azure's."""
    return [region for region in world.scene.values() if region.provider == "azure"]


def sku_body(size: Size, region: SceneRegion) -> dict[str, Any]:
    """Return a size in a region."""
    capabilities = {
        "vCPUs": size.vcpus,
        "MemoryGB": f"{size.memory_gib:g}",
        "GPUs": size.gpus,
        "LowPriorityCapable": (size.name, True) in region.stock,
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": FAMILIES[size.name],
        "locations": [region.name],
        "locationInfo": [{"location": region.name, "zones": list(region.zones), "zoneDetails": []}],
        "capabilities": [{"name": name, "value": str(value)} for name, value in capabilities.items()],
        "restrictions": [],
    }


def size_body(size: Size) -> dict[str, Any]:
    """Return a size as the older list has it, which says nothing of GPUs."""
    disk = {"osDiskSizeInMB": 1_047_552, "resourceDiskSizeInMB": 0, "maxDataDiskCount": 8}
    return disk | {"name": size.name, "numberOfCores": size.vcpus, "memoryInMB": int(size.memory_gib * 1024)}


def usage_bodies(world: CloudWorld, region: SceneRegion) -> list[dict[str, Any]]:
    """Return the quotas of a region, and what is used of them."""
    return [
        {
            "unit": "Count",
            "currentValue": used_vcpus(world, region, family),
            "limit": limit,
            "name": {"value": family, "localizedValue": family},
        }
        for family, limit in region.quotas.items()
    ]


def used_vcpus(world: CloudWorld, region: SceneRegion, family: str) -> int:
    """Return how many cores of a family run in a region."""
    sizes = {name for name, known in FAMILIES.items() if known == family}
    return sum(s.vcpus for s in world.used(region.id, sizes, is_spot=False))


def azure_reservations(world: CloudWorld) -> list[Reservation]:
    """Return Azure's reservations."""
    return [held for held in world.reservations.values() if held.region.startswith("azure/")]


def group_body(world: CloudWorld, subscription: str, held: Reservation) -> dict[str, Any]:
    """Return the group that a reservation stands in."""
    path = f"/subscriptions/{subscription}/resourceGroups/{GROUP_OF}/providers/Microsoft.Compute"
    return {
        "id": f"{path}/capacityReservationGroups/{held.id}",
        "name": held.id,
        "type": "Microsoft.Compute/capacityReservationGroups",
        "location": world.scene[held.region].name,
        "zones": [held.zone],
        "properties": {},
    }


def reservation_body(world: CloudWorld, subscription: str, held: Reservation) -> dict[str, Any]:
    """Return a reservation."""
    group = group_body(world, subscription, held)
    used = [name for name, m in world.rented.items() if m.reservation == held.id and not m.has_ended]
    return {
        "id": f"{group['id']}/capacityReservations/{held.size}",
        "name": held.size,
        "type": "Microsoft.Compute/capacityReservationGroups/capacityReservations",
        "location": group["location"],
        "zones": [held.zone],
        "sku": {"name": held.size, "capacity": held.count},
        "properties": {
            "provisioningState": "Succeeded",
            "virtualMachinesAssociated": [{"id": name} for name in used],
        },
    }


def retail_body(world: CloudWorld, location: str | None) -> dict[str, Any]:
    """Return spot prices as the retail price API does."""
    items = []
    for region in azure_regions(world):
        for size, is_spot in region.stock if location in {None, region.name} else ():
            usd = world.spot_price(region.id, size)
            if not is_spot or usd is None:
                continue
            items.append(
                {
                    "armRegionName": region.name,
                    "armSkuName": size,
                    "currencyCode": "USD",
                    "effectiveStartDate": world.clock.now().isoformat(),
                    "productName": f"Virtual Machines {size} Series",
                    "retailPrice": usd,
                    "serviceName": "Virtual Machines",
                    "skuName": f"{size} Spot",
                    "type": "Consumption",
                    "unitOfMeasure": "1 Hour",
                }
            )
    return {"BillingCurrency": "USD", "Items": items, "NextPageLink": None, "Count": len(items)}
