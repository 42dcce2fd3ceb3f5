"""GCE's machine types and region quotas to offers and quotas. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from providers.exclusions import Exclusion, ExclusionKind, part_of_gpu
from providers.gcp.billing import Parts
from providers.gcp.gpus import ACCELERATORS, gpu_share, split_attached, with_attached
from providers.gpus import MEMORY_GIB
from providers.prices import PriceList
from providers.reservations import Reservation
from state.model.catalog import Machine, Market, Offer, OfferKey, Quota, QuotaScope
from state.model.ids import RegionId, every_region, region_id, region_name

METRICS: Final[dict[str, str]] = {
    "NVIDIA_A100_80GB_GPUS": "A100-80GB",
    "NVIDIA_A100_GPUS": "A100-40GB",
    "NVIDIA_H100_GPUS": "H100",
    "NVIDIA_L4_GPUS": "L4",
    "NVIDIA_P100_GPUS": "P100",
    "NVIDIA_T4_GPUS": "T4",
    "NVIDIA_V100_GPUS": "V100",
}
"""Region quota metrics of on-demand GPUs; those of spot begin with PREEMPTIBLE_. Newer models have none here,
and what has no metric has no known limit. Source: Compute Engine documentation, "Allocation quotas"."""


def region_of_zone(zone: str) -> RegionId:
    """Return the region of a zone: `us-central1` of `us-central1-a`."""
    return region_id("gcp", zone.rpartition("-")[0])


USUAL_ZONE: Final = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")


def price_locations(key: OfferKey) -> tuple[str, ...]:
    """Return where the price of an offer is listed: its zone, and the region of a usual one.

    Other zones, such as the AI zone `us-central1-ai1a`, have prices of their own. Source: Compute Engine documentation,
    "AI zones".
    """
    return (key.zone, region_name(key.region)) if is_usual_zone(key.zone) else (key.zone,)


def is_usual_zone(zone: str) -> bool:
    """Return whether a zone has the prices of its region."""
    return USUAL_ZONE.fullmatch(zone) is not None


def machine_of(described: Any) -> Machine | Exclusion:  # noqa: ANN401  the SDK's message
    """Return what a machine type consists of, or why no shape can use it: unknown GPUs, or a part of one."""
    zone = described.zone.rpartition("/")[2]
    accelerators = list(described.accelerators)
    gpu, count = None, 0
    if accelerators:
        kind, count = accelerators[0].guest_accelerator_type, accelerators[0].guest_accelerator_count
        gpu = ACCELERATORS.get(kind)
        if gpu is None or count == 0:
            return Exclusion(ExclusionKind.UNKNOWN_GPU, region_of_zone(zone), described.name, kind)
        if (share := gpu_share(kind, count, described.guest_cpus, described.description)) < 1:
            detail = f"{part_of_gpu(share, gpu)}, {MEMORY_GIB[gpu] * share:.3g} GiB"
            return Exclusion(ExclusionKind.PART_OF_GPU, region_of_zone(zone), described.name, detail)
    return Machine(
        gpu=gpu,
        gpus=count,
        gpu_memory_gib=MEMORY_GIB[gpu] if gpu else 0,
        vcpus=described.guest_cpus,
        memory_gib=described.memory_mb / 1024,
        family=gpu or "cpus",
    )


def attached_of(described: Any, name: str) -> Machine | None:  # noqa: ANN401  the SDK's message
    """Return what an N1 machine type consists of with the GPUs of *name* attached; None for unknown GPUs."""
    _, accelerator, count = split_attached(name)
    plain, gpu = machine_of(described), ACCELERATORS.get(accelerator)
    if isinstance(plain, Exclusion) or gpu is None:
        return None
    return replace(plain, gpu=gpu, gpus=count, gpu_memory_gib=MEMORY_GIB[gpu], family=gpu)


LOCAL_DISK_GIB: Final = 375
"""Of each local disk that comes with a machine type. Source: Compute Engine documentation, "About Local SSD disks"."""


def parts_of(described: Any, name: str, machine: Machine) -> Parts:  # noqa: ANN401  the SDK's message
    """Return what a machine type is made of, as it is billed; *name* names the GPUs attached to an N1."""
    plain, attached, _ = split_attached(name)
    built_in = next((one.guest_accelerator_type for one in described.accelerators), "")
    disk_gib = described.bundled_local_ssds.partition_count * LOCAL_DISK_GIB
    return Parts(plain, machine.vcpus, machine.memory_gib, attached or built_in, machine.gpus, disk_gib)


def type_of(machine_type: str, accelerators: Any) -> str:  # noqa: ANN401  the SDK's messages
    """Return our name of an instance's type; machine types other than N1 have their GPUs in their own names."""
    plain, attached = machine_type.rpartition("/")[2], list(accelerators)
    if not attached or not plain.startswith("n1-"):
        return plain
    return with_attached(plain, attached[0].accelerator_type.rpartition("/")[2], attached[0].accelerator_count)


def offers_of(zone: str, instance_type: str, machine: Machine, prices: PriceList) -> list[Offer]:
    """Return the offers of a machine type in a zone: in each market with a price."""
    found = []
    for market in Market:
        key = OfferKey(region_of_zone(zone), zone, instance_type, market)
        price = prices.price("gcp", price_locations(key), instance_type, market)
        if price is not None and (machine.gpus or market is Market.ON_DEMAND):
            found.append(Offer(key, machine, price))
    return found


def unpriced(zone: str, machines: Mapping[str, Machine], offers: Iterable[Offer]) -> list[Exclusion]:
    """Return what of a zone is left out for lack of a price: machine types, or a zone with prices of its own."""
    region, priced = region_of_zone(zone), {offer.key.instance_type for offer in offers}
    if machines and not priced and not is_usual_zone(zone):
        return [Exclusion(ExclusionKind.ZONE_WITHOUT_PRICES, region, zone, "no usual zone of its region")]
    return [Exclusion(ExclusionKind.NO_PRICE, region, f"{name} in {zone}") for name in machines if name not in priced]


def reservation_of(zone: str, reservation: Any) -> Reservation:  # noqa: ANN401  the SDK's message
    """Return a reservation of machines of one type."""
    specific = reservation.specific_reservation
    return Reservation(
        id=reservation.name,
        zone=zone,
        instance_type=type_of(
            specific.instance_properties.machine_type, specific.instance_properties.guest_accelerators
        ),
        free=specific.count - specific.in_use_count,
        valid_until=_time(reservation.delete_at_time),
    )


GRANTED: Final = frozenset({"APPROVED", "COMMITTED", "PROVISIONING"})
"""Statuses of a future reservation that will come true. Source: the SDK's FutureReservationStatus."""


def future_reservation_of(zone: str, reservation: Any) -> Reservation | None:  # noqa: ANN401  the SDK's message
    """Return a future reservation; None where it is not granted, or has become a reservation."""
    if reservation.status.procurement_status not in GRANTED:
        return None
    properties = reservation.specific_sku_properties
    return Reservation(
        id=reservation.name,
        zone=zone,
        instance_type=properties.instance_properties.machine_type,
        free=properties.total_count,
        valid_from=_time(reservation.time_window.start_time),
        valid_until=_time(reservation.time_window.end_time),
    )


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def quota_of(region: str, metric: str, limit: float, usage: float) -> Quota | None:
    """Return a GPU quota; None for any other metric."""
    is_spot = metric.startswith("PREEMPTIBLE_")
    gpu = METRICS.get(metric.removeprefix("PREEMPTIBLE_"))
    if gpu is None:
        return None
    market = Market.SPOT if is_spot else Market.ON_DEMAND
    return Quota(region_id("gcp", region), gpu, market, int(limit), int(usage), "gpus", name=metric)


PROJECT_METRICS: Final = {"CPUS_ALL_REGIONS": "vcpus", "GPUS_ALL_REGIONS": "gpus"}
"""Metrics that count every region, model and market, to their units. Source: as METRICS, "GPU quota"."""


def project_quota_of(metric: str, limit: float, usage: float) -> Quota | None:
    """Return a quota of the whole project; None for any other metric."""
    unit = PROJECT_METRICS.get(metric)
    if unit is None:
        return None
    where = every_region("gcp")
    return Quota(where, None, None, int(limit), int(usage), unit, QuotaScope.ACCOUNT, name=metric)
