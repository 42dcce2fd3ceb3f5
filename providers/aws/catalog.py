"""EC2's descriptions to offers. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from providers.aws.gpus import aws_gpu
from providers.exclusions import Exclusion, ExclusionKind, part_of_gpu
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


def machine_of(described: dict[str, Any]) -> Machine:
    """Return what an instance type consists of; `unfit` tells whether a shape can use its GPUs."""
    gpus = described.get("GpuInfo", {}).get("Gpus", [])
    memory_mib = gpus[0]["MemoryInfo"]["SizeInMiB"] if gpus else 0
    return Machine(
        gpu=aws_gpu(gpus[0]["Name"], memory_mib) if gpus else None,
        gpus=sum(gpu.get("Count", 0) for gpu in gpus),
        gpu_memory_gib=memory_mib / 1024,
        vcpus=described["VCpuInfo"]["DefaultVCpus"],
        memory_gib=described["MemoryInfo"]["SizeInMiB"] / 1024,
        family=family_of(described["InstanceType"]),
    )


def unfit(region: RegionId, described: dict[str, Any], architecture: str) -> Exclusion | None:
    """Return why an instance type is left out, for what it consists of; None if it is not.

    Args:
        region: The region.
        described: The type as EC2 describes it: `GpuPartitionSize` is its share of each GPU, and `Count` 0 for a part.
        architecture: Of the region's image.
    """
    name, machine = described["InstanceType"], machine_of(described)
    runs = described.get("ProcessorInfo", {}).get("SupportedArchitectures", [architecture])
    if architecture not in runs:
        return Exclusion(ExclusionKind.ARCHITECTURE, region, name, f"{', '.join(runs)}; the image is {architecture}")
    for gpu in described.get("GpuInfo", {}).get("Gpus", []):
        share = float(gpu.get("GpuPartitionSize", 1))
        if share < 1 or not gpu.get("Count", 0):
            part = part_of_gpu(share, str(machine.gpu)) if share < 1 else f"a part of one {machine.gpu}"
            return Exclusion(ExclusionKind.PART_OF_GPU, region, name, f"{part}, {machine.gpu_memory_gib:.3g} GiB")
    return None


def offers_of(
    region: RegionId,
    machines: Mapping[str, Machine],
    offerings: Iterable[tuple[str, str]],
    locations: Mapping[str, str],
    prices: PriceList,
) -> list[Offer]:
    """Return the offers of a region: each type, in each zone of *locations* that has it, in each market with a price.

    Args:
        region: The region.
        machines: What each type consists of.
        offerings: Instance type and zone of all that EC2 offers.
        locations: Where the prices of each zone are listed.
        prices: The price list.
    """
    offers = []
    for instance_type, zone in sorted(offerings):
        machine, location = machines.get(instance_type), locations.get(zone)
        if machine is None or location is None:
            continue
        for market in Market:
            price = prices.price("aws", (location,), instance_type, market)
            if price is not None and (machine.gpus or market is Market.ON_DEMAND):
                offers.append(Offer(OfferKey(region, zone, instance_type, market), machine, price))
    return offers


def unpriced(
    region: RegionId, offerings: Iterable[tuple[str, str]], locations: Mapping[str, str], offers: Iterable[Offer]
) -> list[Exclusion]:
    """Return what is left out for lack of a price: types in the region's zones, and zones with prices of their own.

    Args:
        region: The region.
        offerings: Instance type and zone of what could be used.
        locations: Where the prices of each zone are listed.
        offers: What is offered.
    """
    priced = {(offer.key.instance_type, offer.key.zone) for offer in offers}
    found: dict[str, Exclusion] = {}
    for instance_type, zone in sorted(offerings):
        location = locations.get(zone)
        if location is None or (instance_type, zone) in priced:
            continue
        if location == region_name(region):
            found[instance_type] = Exclusion(ExclusionKind.NO_PRICE, region, instance_type)
        elif not any(sold == zone for _, sold in priced):
            kind, detail = ExclusionKind.ZONE_WITHOUT_PRICES, f"AWS lists its prices under {location}"
            found[zone] = Exclusion(kind, region, zone, detail)
        else:
            subject = f"{instance_type} in {zone}"
            found[subject] = Exclusion(ExclusionKind.NO_PRICE, region, subject)
    return list(found.values())


def reservation_of(reservation: dict[str, Any]) -> Reservation:
    """Return a capacity reservation or Capacity Block."""
    return Reservation(
        id=reservation["CapacityReservationId"],
        zone=reservation["AvailabilityZone"],
        instance_type=reservation["InstanceType"],
        free=reservation["AvailableInstanceCount"],
        valid_from=reservation.get("StartDate"),
        valid_until=_end_of(reservation),
    )


BLOCK: Final = "capacity-block"
BLOCK_ENDS_AHEAD: Final = timedelta(minutes=30)
"""How long before the end of a Capacity Block EC2 begins to end its machines. Source: EC2 User Guide, "Capacity Blocks
for ML", "How Capacity Blocks work"."""


def _end_of(reservation: dict[str, Any]) -> datetime | None:
    ends: datetime | None = reservation.get("EndDate")
    return ends - BLOCK_ENDS_AHEAD if ends is not None and reservation.get("ReservationType") == BLOCK else ends


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
            quotas.append(Quota(region, *found, int(limit), used.get(found, 0), "vcpus", name=name))
    return quotas


def _quota_kind(name: str) -> tuple[str, Market] | None:
    """Return what a quota counts, by its name, such as `Running On-Demand P instances`."""
    for family, _ in FAMILIES:
        if name.startswith((f"Running On-Demand {family} instances", f"Running On-Demand {family} (")):
            return family, Market.ON_DEMAND
        if name.startswith((f"All {family} Spot Instance Requests", f"All {family} (")):
            return family, Market.SPOT
    return None
