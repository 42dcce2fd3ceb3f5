"""GCP's billing catalogue to spot prices. Pure.

A machine's price is the sum of its parts': cores, memory, GPUs and the disks that come with it, each a SKU per region.
Only its description states what a SKU is for, spot included: the usage type of some differs.

Source: Cloud Billing API reference, `services.skus`; Google's pages of SKUs by group; gpuhunt's reading of the same.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

COMPUTE: Final = "services/6F81-5844-456A"
"""Compute Engine among the services of the catalogue."""
FIELDS: Final = (
    "skus(description,serviceRegions,pricingInfo/pricingExpression(usageUnit,tieredRates/unitPrice)),nextPageToken"
)
"""What is read of a SKU: a fifth of what there is, of some ten thousand."""
FAMILIES: Final[dict[str, str]] = {
    "A2": "a2",
    "A3": "a3",
    "A3Plus": "a3-megagpu",
    "A3Ultra": "a3-ultragpu",
    "G2": "g2",
    "G4": "g4",
    "N1 Predefined": "n1",
}
"""Families of machine types with GPUs, by what descriptions call them."""
GPUS: Final[dict[str, str]] = {
    "A100": "nvidia-tesla-a100",
    "A100 80GB": "nvidia-a100-80gb",
    "H100 80GB": "nvidia-h100-80gb",
    "H100 80GB Mega": "nvidia-h100-mega-80gb",
    "H100 80GB Plus": "nvidia-h100-mega-80gb",
    "H100 Mega 80GB": "nvidia-h100-mega-80gb",
    "H200 141GB": "nvidia-h200-141gb",
    "L4": "nvidia-l4",
    "P100": "nvidia-tesla-p100",
    "RTX 6000 96GB": "nvidia-rtx-pro-6000",
    "T4": "nvidia-tesla-t4",
    "V100": "nvidia-tesla-v100",
}
WHOLE: Final[dict[str, str]] = {"A4 Nvidia B200": "nvidia-b200"}
"""GPUs that are sold with their share of the machine."""

PART: Final = re.compile(r"Spot Preemptible (?P<family>.+?) Instance (?P<part>Core|Ram)\b")
GPU: Final = re.compile(r"(?:Nvidia )?(?:Tesla )?(?P<gpu>.+?)(?: GPU)? attached to Spot Preemptible VMs\b")
SLICE: Final = re.compile(r"Spot Preemptible (?P<gpu>.+?) \(1 gpu slice\)")
DISK: Final = "SSD backed Local Storage attached to Spot Preemptible VM"
HOURS: Final[dict[str, float]] = {"h": 1.0, "GiBy.h": 1.0, "GiBy.mo": 730.0}
"""Hours of the units that prices are for; a month has 730 at Google's."""

Rates = dict[tuple[str, str], float]
"""US dollars an hour for one of something, by its name and region."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a machine is made of."""

    machine_type: str
    vcpus: int
    memory_gib: float
    accelerator: str
    gpus: int
    disk_gib: float
    """Of the local disks that come with its type."""


@dataclass(frozen=True, slots=True)
class SpotRates:
    """What parts of spot machines cost."""

    as_of: datetime
    cores: Rates = field(default_factory=dict)
    memory: Rates = field(default_factory=dict)
    """Per GiB."""
    gpus: Rates = field(default_factory=dict)
    whole: Rates = field(default_factory=dict)
    """GPUs with their share of the machine."""
    disks: dict[str, float] = field(default_factory=dict)
    """By region, per GiB."""

    def price(self, region: str, parts: Parts) -> float | None:
        """Return what a machine costs, in US dollars an hour; None where a part of it has no known price.

        Args:
            region: GCP's own name, such as us-central1.
            parts: What it is made of.
        """
        accelerator = (parts.accelerator, region)
        if accelerator in self.whole:
            return self.whole[accelerator] * parts.gpus
        family = (_family_of(parts.machine_type), region)
        disk = self.disks.get(region) if parts.disk_gib else 0.0
        if family not in self.cores or family not in self.memory or accelerator not in self.gpus or disk is None:
            return None
        machine = self.cores[family] * parts.vcpus + self.memory[family] * parts.memory_gib
        return machine + self.gpus[accelerator] * parts.gpus + disk * parts.disk_gib


def spot_rates(skus: Iterable[dict[str, Any]], as_of: datetime) -> SpotRates:
    """Return the rates of spot machines with GPUs in the billing catalogue; other SKUs are skipped."""
    rates = SpotRates(as_of)
    for sku in skus:
        description, usd = sku["description"], _usd_per_hour(sku)
        if usd is None:
            continue
        if description.startswith(DISK):
            rates.disks.update(dict.fromkeys(sku["serviceRegions"], usd))
        elif (found := _what(description, rates)) is not None:
            table, name = found
            table.update({(name, region): usd for region in sku["serviceRegions"]})
    return rates


def _what(description: str, rates: SpotRates) -> tuple[Rates, str] | None:
    """Return which rates a SKU belongs to, and under which name; None for those that are of no use here."""
    if (part := PART.match(description)) is not None:
        family = FAMILIES.get(part["family"])
        return None if family is None else (rates.cores if part["part"] == "Core" else rates.memory, family)
    if (whole := SLICE.match(description)) is not None:
        gpu = WHOLE.get(whole["gpu"])
        return None if gpu is None else (rates.whole, gpu)
    attached = GPU.match(description)
    gpu = GPUS.get(attached["gpu"]) if attached is not None else None
    return None if gpu is None else (rates.gpus, gpu)


def _usd_per_hour(sku: dict[str, Any]) -> float | None:
    """Return a SKU's price; None where it has none, or one in another unit or money."""
    if not sku.get("pricingInfo"):
        return None
    pricing = sku["pricingInfo"][-1]["pricingExpression"]
    hours, rates = HOURS.get(pricing.get("usageUnit", "")), pricing.get("tieredRates")
    if hours is None or not rates:
        return None
    price = rates[-1]["unitPrice"]
    if price.get("currencyCode", "USD") != "USD":
        return None
    return float((int(price.get("units", 0)) + price.get("nanos", 0) / 1e9) / hours)


def _family_of(machine_type: str) -> str:
    """Return the family whose cores and memory a machine type is billed by."""
    first, _, rest = machine_type.partition("-")
    longer = f"{first}-{rest.partition('-')[0]}"
    return longer if longer in FAMILIES.values() else first
