"""Azure's resource SKUs and usages to offers and quotas. Pure."""

from typing import Any, Final

from providers.azure.gpus import azure_gpu, gpu_share
from providers.exclusions import Exclusion, ExclusionKind, part_of_gpu
from providers.gpus import MEMORY_GIB
from providers.prices import PriceList
from providers.reservations import Reservation
from state.model.catalog import NO_ZONE, Machine, Market, Offer, OfferKey, Quota, QuotaScope
from state.model.ids import RegionId, region_name

SPOT_QUOTA = "lowPriorityCores"
"""Spot of every family counts against this one."""
REGION_QUOTA = "cores"
"""On-demand machines of every family count against this one too. Source: Azure documentation, "Check vCPU quotas"."""

EDGE: Final = "EdgeZone"


def facts_of(sku: Any) -> dict[str, str]:  # noqa: ANN401  the SDK's model
    """Return the capabilities of a VM size, by name."""
    return {c.name: c.value for c in sku.capabilities or []}


def machine_of(region: RegionId, sku: Any) -> Machine | Exclusion:  # noqa: ANN401  the SDK's model
    """Return what a VM size consists of, or why no shape can use it: unknown GPUs, or a part of one."""
    facts = facts_of(sku)
    gpus, vcpus = float(facts.get("GPUs", "0")), int(facts.get("vCPUs", "0"))
    gpu = azure_gpu(sku.name) if gpus else None
    if gpus and gpu is None:
        return Exclusion(ExclusionKind.UNKNOWN_GPU, region, sku.name, sku.family)
    if gpu is not None and (share := gpu_share(sku.name, gpus, vcpus)) < 1:
        detail = f"{part_of_gpu(share, gpu)}, {MEMORY_GIB[gpu] * share:.3g} GiB"
        return Exclusion(ExclusionKind.PART_OF_GPU, region, sku.name, detail)
    return Machine(
        gpu=gpu,
        gpus=int(gpus),
        gpu_memory_gib=MEMORY_GIB[gpu] if gpu else 0,
        vcpus=vcpus,
        memory_gib=float(facts.get("MemoryGB", "0")),
        family=sku.family,
    )


def zones_of(region: RegionId, sku: Any) -> tuple[tuple[str, ...], list[Exclusion]]:  # noqa: ANN401  the SDK's model
    """Return where the subscription may use a VM size, and what it may not use.

    A size that no zone has, or that is restricted in every one, is used without a zone, as the region has it.
    """
    infos = list(sku.location_info or [])
    usual = [info for info in infos if text_of(info.type) != EDGE]
    if infos and not usual:
        names = ", ".join(sorted(name for info in infos for name in info.extended_locations or []))
        detail = f"sold in the edge zone {names} alone"
        return (), [Exclusion(ExclusionKind.ZONE_WITHOUT_PRICES, region, sku.name, detail)]
    zones = {zone for info in usual for zone in info.zones or []}
    left_out = []
    for restriction in sku.restrictions or []:
        detail = text_of(restriction.reason_code)
        if text_of(restriction.type) == "Location":
            return (), [Exclusion(ExclusionKind.RESTRICTED, region, sku.name, detail)]
        for zone in sorted(zones & set(restriction.restriction_info.zones or [])):
            zones.discard(zone)
            left_out.append(Exclusion(ExclusionKind.RESTRICTED, region, f"{sku.name} in zone {zone}", detail))
    return tuple(sorted(zones)) or (NO_ZONE,), left_out


def text_of(value: Any) -> str:  # noqa: ANN401  an enumeration's member where the SDK knows the value, else a string
    """Return a value of one of the SDK's open enumerations as Azure spells it."""
    return str(getattr(value, "value", value))


def offers_of(
    region: RegionId,
    sku: Any,  # noqa: ANN401  the SDK's model
    machine: Machine,
    zones: tuple[str, ...],
    prices: PriceList,
) -> list[Offer]:
    """Return the offers of a VM size: in each of *zones*, in each market with a price."""
    is_spot_capable = facts_of(sku).get("LowPriorityCapable") == "True"
    found = []
    for zone in zones:
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
    zone = (reservation.zones or [NO_ZONE])[0]
    return Reservation(group, zone, reservation.sku.name, int(reservation.sku.capacity or 0) - used)


def quotas_of(region: RegionId, usages: list[tuple[str, int, int]], families: set[str]) -> list[Quota]:
    """Return the vCPU quotas of a region: of each family that is offered, and of all together.

    Spot has one quota for all families. It is stated for each family too.
    """
    reported = {name: (limit, used) for name, limit, used in usages}
    quotas = [
        Quota(region, family, Market.ON_DEMAND, *reported[family], "vcpus", name=family)
        for family in sorted(families & set(reported))
    ]
    if SPOT_QUOTA in reported:
        spot = reported[SPOT_QUOTA]
        quotas += [Quota(region, family, Market.SPOT, *spot, "vcpus", name=SPOT_QUOTA) for family in sorted(families)]
    for name, market in ((REGION_QUOTA, Market.ON_DEMAND), (SPOT_QUOTA, Market.SPOT)):
        if name in reported:
            quotas.append(Quota(region, None, market, *reported[name], "vcpus", QuotaScope.REGION, name=name))
    return quotas
