"""Azure's resource SKUs and usages to offers and quotas. Pure."""

from typing import Any

from providers.azure.gpus import azure_gpu
from providers.gpus import MEMORY_GIB
from providers.prices import PriceList
from providers.reservations import Reservation
from state.model.catalog import Machine, Market, Offer, OfferKey, Quota
from state.model.ids import RegionId, region_name

SPOT_QUOTA = "lowPriorityCores"
"""Spot of every family counts against this one."""


def machine_of(sku: Any) -> Machine | None:  # noqa: ANN401  the SDK's model
    """Return what a VM size consists of; None for unknown GPUs, and for fractions of one."""
    facts = {c.name: c.value for c in sku.capabilities or []}
    gpus = int(float(facts.get("GPUs", "0")))
    gpu = azure_gpu(sku.name) if gpus else None
    if gpus and gpu is None:
        return None
    return Machine(
        gpu=gpu,
        gpus=gpus,
        gpu_memory_gib=MEMORY_GIB[gpu] if gpu else 0,
        vcpus=int(facts.get("vCPUs", "0")),
        memory_gib=float(facts.get("MemoryGB", "0")),
        family=sku.family,
    )


def offers_of(region: RegionId, sku: Any, machine: Machine, prices: PriceList) -> list[Offer]:  # noqa: ANN401
    """Return the offers of a VM size: in each zone that the subscription may use, in each market with a price."""
    zones = {zone for info in sku.location_info or [] for zone in info.zones or []}
    for restriction in sku.restrictions or []:
        if restriction.type == "Location":
            return []
        zones -= set(restriction.restriction_info.zones or [])
    is_spot_capable = any(c.name == "LowPriorityCapable" and c.value == "True" for c in sku.capabilities or [])
    found = []
    for zone in sorted(zones):
        for market in Market:
            if market is Market.SPOT and not (is_spot_capable and machine.gpus):
                continue
            price = prices.price("azure", (region_name(region),), sku.name, market)
            if price is not None:
                found.append(Offer(OfferKey(region, zone, sku.name, market), machine, price))
    return found


def reservation_of(group: str, reservation: Any) -> Reservation:  # noqa: ANN401  the SDK's model
    """Return a capacity reservation; a launch names its group."""
    used = len(reservation.virtual_machines_associated or [])
    zone = (reservation.zones or [""])[0]
    return Reservation(group, zone, reservation.sku.name, int(reservation.sku.capacity or 0) - used)


def quotas_of(region: RegionId, usages: list[tuple[str, int, int]], families: set[str]) -> list[Quota]:
    """Return the vCPU quotas of the families that are offered; spot has one for all, stated for each."""
    reported = {name: (limit, used) for name, limit, used in usages}
    quotas = [
        Quota(region, family, Market.ON_DEMAND, *reported[family], "vcpus")
        for family in sorted(families & set(reported))
    ]
    if SPOT_QUOTA in reported:
        quotas += [Quota(region, family, Market.SPOT, *reported[SPOT_QUOTA], "vcpus") for family in sorted(families)]
    return quotas
