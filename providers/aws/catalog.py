"""EC2's descriptions to offers. Pure."""

from collections.abc import Iterable
from typing import Any, Final

from providers.aws.gpus import aws_gpu
from providers.prices import PriceList
from providers.reservations import Reservation
from state.model.catalog import Machine, Market, Offer, OfferKey, Quota
from state.model.ids import RegionId, region_name

FAMILIES: Final = (
    ("G and VT", ("g", "vt")),
    ("P", ("p",)),
    ("Inf", ("inf",)),
    ("Trn", ("trn",)),
    ("Standard", ("a", "c", "d", "h", "i", "m", "r", "t", "z")),
)
"""EC2's vCPU quotas count groups of instance families. Source: EC2 User Guide, "On-Demand Instance quotas"."""


def family_of(instance_type: str) -> str:
    """Return the group of instance families that a type's quota counts."""
    for family, prefixes in FAMILIES:
        if any(instance_type.startswith(p) and instance_type[len(p)].isdigit() for p in prefixes):
            return family
    return "".join(c for c in instance_type.partition(".")[0] if c.isalpha())


def machine_of(described: dict[str, Any]) -> Machine | None:
    """Return what an instance type consists of; None for fractions of a GPU, which no shape can use."""
    name = described["InstanceType"]
    gpus = described.get("GpuInfo", {}).get("Gpus", [])
    count = sum(gpu.get("Count", 0) for gpu in gpus)
    if gpus and count == 0:
        return None
    memory_mib = gpus[0]["MemoryInfo"]["SizeInMiB"] if gpus else 0
    return Machine(
        gpu=aws_gpu(gpus[0]["Name"], memory_mib) if gpus else None,
        gpus=count,
        gpu_memory_gib=memory_mib / 1024,
        vcpus=described["VCpuInfo"]["DefaultVCpus"],
        memory_gib=described["MemoryInfo"]["SizeInMiB"] / 1024,
        family=family_of(name),
    )


def offers_of(
    region: RegionId, machines: dict[str, Machine], offerings: Iterable[tuple[str, str]], prices: PriceList
) -> list[Offer]:
    """Return the offers of a region: each type, in each zone that has it, in each market with a price."""
    offers = []
    for instance_type, zone in sorted(offerings):
        machine = machines.get(instance_type)
        if machine is None:
            continue
        for market in Market:
            price = prices.price("aws", (region_name(region),), instance_type, market)
            if price is not None and (machine.gpus or market is Market.ON_DEMAND):
                offers.append(Offer(OfferKey(region, zone, instance_type, market), machine, price))
    return offers


def reservation_of(reservation: dict[str, Any]) -> Reservation:
    """Return a capacity reservation or Capacity Block."""
    return Reservation(
        id=reservation["CapacityReservationId"],
        zone=reservation["AvailabilityZone"],
        instance_type=reservation["InstanceType"],
        free=reservation["AvailableInstanceCount"],
        valid_from=reservation.get("StartDate"),
        valid_until=reservation.get("EndDate"),
    )


def newest_spot_prices(history: Iterable[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return the newest price of each (zone, instance type), in US dollars per hour."""
    ordered = sorted(history, key=lambda row: row["Timestamp"])
    return {(row["AvailabilityZone"], row["InstanceType"]): float(row["SpotPrice"]) for row in ordered}


def quotas_of(
    region: RegionId, limits: Iterable[tuple[str, float]], running: Iterable[tuple[str, Market, int]]
) -> list[Quota]:
    """Return the vCPU quotas of a region.

    Args:
        region: The region.
        limits: Names and limits from Service Quotas, which does not report use.
        running: Instance type, market and vCPUs of every machine of the account, under any owner.
    """
    used: dict[tuple[str, Market], int] = {}
    for instance_type, market, vcpus in running:
        kind = (family_of(instance_type), market)
        used[kind] = used.get(kind, 0) + vcpus
    quotas = []
    for name, limit in limits:
        found = _quota_kind(name)
        if found is not None:
            quotas.append(Quota(region, *found, int(limit), used.get(found, 0), "vcpus"))
    return quotas


def _quota_kind(name: str) -> tuple[str, Market] | None:
    """Return what a quota counts, by its name, such as `Running On-Demand P instances`."""
    for family, _ in FAMILIES:
        if name.startswith((f"Running On-Demand {family} instances", f"Running On-Demand {family} (")):
            return family, Market.ON_DEMAND
        if name.startswith((f"All {family} Spot Instance Requests", f"All {family} (")):
            return family, Market.SPOT
    return None
