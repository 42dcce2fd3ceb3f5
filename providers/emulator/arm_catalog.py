"""Bodies of the embedded Azure's catalogue: sizes, usages, capacity reservations and retail prices."""

from typing import Any, Final

from providers.emulator.backend import Backend, Reservation
from providers.emulator.regions import EmulatedRegion, Size

FAMILIES: Final = {
    "Standard_D2s_v5": "standardDSv5Family",
    "Standard_NC24ads_A100_v4": "StandardNCADSA100v4Family",
    "Standard_NC40ads_H100_v5": "StandardNCadsH100v5Family",
    "Standard_NC4as_T4_v3": "standardNCASv3_T4Family",
    "Standard_NV12ads_A10_v5": "StandardNVADSA10v5Family",
    "Standard_NV36ads_A10_v5": "StandardNVADSA10v5Family",
    "Standard_NV6ads_A10_v5": "StandardNVADSA10v5Family",
}
RESERVATIONS_RESOURCE_GROUP: Final = "skerry"
"""The resource group of every capacity reservation group."""


def azure_regions(backend: Backend) -> list[EmulatedRegion]:
    """Return Azure's regions."""
    return [region for region in backend.regions.values() if region.provider == "azure"]


def sku_body(backend: Backend, size: Size, region: EmulatedRegion) -> dict[str, Any]:
    """Return the body of a SKU in a region. One GPU is reported for a part of one too, as Azure does."""
    kind = (region.id, size.name)
    zones = [] if kind in backend.zoneless_sizes else list(region.zones)
    info: dict[str, Any] = {"location": region.name, "zones": zones, "zoneDetails": []}
    if kind in backend.edge_sizes:
        info |= {"zones": [], "extendedLocations": [backend.edge_sizes[kind]], "type": "EdgeZone"}
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
        "locationInfo": [info],
        "capabilities": [{"name": name, "value": str(value)} for name, value in capabilities.items()],
        "restrictions": backend.sku_restrictions.get(kind, []),
    }


def size_body(size: Size) -> dict[str, Any]:
    """Return the body of a size in the older `vmSizes` list, which has no GPUs."""
    disk = {"osDiskSizeInMB": 1_047_552, "resourceDiskSizeInMB": 0, "maxDataDiskCount": 8}
    return disk | {"name": size.name, "numberOfCores": size.vcpus, "memoryInMB": int(size.memory_gib * 1024)}


def usage_bodies(backend: Backend, region: EmulatedRegion) -> list[dict[str, Any]]:
    """Return the bodies of a region's quotas with their use."""
    return [
        {
            "unit": "Count",
            "currentValue": used_vcpus(backend, region, family),
            "limit": limit,
            "name": {"value": family, "localizedValue": family},
        }
        for family, limit in region.quotas.items()
    ]


WHOLE_REGION: Final = {"cores": False, "lowPriorityCores": True}
"""Quotas that count every family of a region, to whether they count spot."""


def used_vcpus(backend: Backend, region: EmulatedRegion, family: str) -> int:
    """Return the number of vCPUs in use in a region: on-demand ones of a family, or those of a quota of all."""
    sizes = {name for name, known in FAMILIES.items() if family in {known, *WHOLE_REGION}}
    return sum(s.vcpus for s in backend.sizes_in_use(region.id, sizes, is_spot=WHOLE_REGION.get(family, False)))


def azure_reservations(backend: Backend) -> list[Reservation]:
    """Return Azure's reservations."""
    return [reservation for reservation in backend.reservations.values() if reservation.region.startswith("azure/")]


def group_body(backend: Backend, subscription: str, reservation: Reservation) -> dict[str, Any]:
    """Return the body of a reservation's capacity reservation group."""
    path = f"/subscriptions/{subscription}/resourceGroups/{RESERVATIONS_RESOURCE_GROUP}/providers/Microsoft.Compute"
    return {
        "id": f"{path}/capacityReservationGroups/{reservation.id}",
        "name": reservation.id,
        "type": "Microsoft.Compute/capacityReservationGroups",
        "location": backend.regions[reservation.region].name,
        "zones": [reservation.zone],
        "properties": {},
    }


def reservation_body(backend: Backend, subscription: str, reservation: Reservation) -> dict[str, Any]:
    """Return the body of a capacity reservation with the machines that use it."""
    group = group_body(backend, subscription, reservation)
    used = [name for name, m in backend.machines.items() if m.reservation == reservation.id and not m.has_ended]
    return {
        "id": f"{group['id']}/capacityReservations/{reservation.size}",
        "name": reservation.size,
        "type": "Microsoft.Compute/capacityReservationGroups/capacityReservations",
        "location": group["location"],
        "zones": [reservation.zone],
        "sku": {"name": reservation.size, "capacity": reservation.count},
        "properties": {
            "provisioningState": "Succeeded",
            "virtualMachinesAssociated": [{"id": name} for name in used],
        },
    }


def retail_body(backend: Backend, location: str | None) -> dict[str, Any]:
    """Return the retail price API's response with the spot prices of a location, or of all."""
    items = []
    for region in azure_regions(backend):
        for size, is_spot in region.stock if location in {None, region.name} else ():
            usd = backend.spot_price(region.id, size)
            if not is_spot or usd is None:
                continue
            items.append(
                {
                    "armRegionName": region.name,
                    "armSkuName": size,
                    "currencyCode": "USD",
                    "effectiveStartDate": backend.clock.now().isoformat(),
                    "productName": f"Virtual Machines {size} Series",
                    "retailPrice": usd,
                    "serviceName": "Virtual Machines",
                    "skuName": f"{size} Spot",
                    "type": "Consumption",
                    "unitOfMeasure": "1 Hour",
                }
            )
    return {"BillingCurrency": "USD", "Items": items, "NextPageLink": None, "Count": len(items)}
