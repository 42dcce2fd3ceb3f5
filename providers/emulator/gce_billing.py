"""The billing catalogue of the embedded GCP: its spot prices, split into SKUs as Google does.

Shapes: the Cloud Billing v1 discovery document. Descriptions: Google's pages of SKUs by group.
"""

from collections.abc import Iterator
from typing import Any, Final

from flask import Flask, Response, jsonify, request

from providers.emulator.backend import Backend
from providers.emulator.gce_catalog import local_disks
from providers.emulator.regions import EmulatedRegion, Size, gcp_accelerator
from providers.gcp.gpus import split_attached
from state.model.ids import derive_id

SERVICE: Final = "6F81-5844-456A"
PAGE: Final = 5000
FAMILIES: Final = {"a2": "A2", "a3": "A3", "g2": "G2", "n1": "N1 Predefined"}
GPUS: Final = {
    "nvidia-a100-80gb": "Nvidia Tesla A100 80GB",
    "nvidia-h100-80gb": "Nvidia H100 80GB",
    "nvidia-l4": "Nvidia L4",
    "nvidia-tesla-t4": "Nvidia Tesla T4",
}
CORES_SHARE, MEMORY_SHARE = 0.2, 0.1
"""Shares of a machine's price; its GPUs and disks are the rest."""
DISK_USD: Final = 0.00008
"""US dollars per GiB of local disk and hour."""
LOCAL_DISK_GIB: Final = 375
MONTH_H: Final = 730


def add_billing(app: Flask, backend: Backend) -> None:
    """Add the list of Compute Engine's SKUs."""

    @app.get(f"/v1/services/{SERVICE}/skus")
    def skus() -> Response:
        found = list(_skus(backend))
        start, size = int(request.args.get("pageToken") or 0), int(request.args.get("pageSize") or PAGE)
        end = start + min(size, backend.page or size)
        return jsonify(skus=found[start:end], nextPageToken=str(end) if end < len(found) else "")


def _skus(backend: Backend) -> Iterator[dict[str, Any]]:
    for region in backend.regions.values():
        known = set[str]()
        smallest_first = sorted(backend.sizes["gcp"].values(), key=lambda size: size.vcpus)
        for size in smallest_first if region.provider == "gcp" else ():
            family = FAMILIES.get(size.name.partition("-")[0])
            usd = backend.spot_price(region.id, size.name)
            if family is None or usd is None or family in known:
                continue
            known.add(family)  # types of one family share their SKUs
            yield from _parts(region, family, size, usd)
        if known:
            yield from _disks(region)


def _parts(region: EmulatedRegion, family: str, size: Size, usd: float) -> Iterator[dict[str, Any]]:
    """Yield the SKUs of a family's parts, and similar SKUs that a client must ignore."""
    place = f"running in {region.name}"
    cores, memory = usd * CORES_SHARE / size.vcpus, usd * MEMORY_SHARE / size.memory_gib
    disks = local_disks(size) * LOCAL_DISK_GIB * DISK_USD
    gpu = (usd * (1 - CORES_SHARE - MEMORY_SHARE) - disks) / size.gpus
    name = GPUS[split_attached(size.name)[1] or gcp_accelerator(size.gpu, size.gpu_memory_gib)]
    yield _sku(region, f"Spot Preemptible {family} Instance Core {place}", "CPU", "h", cores)
    yield _sku(region, f"Spot Preemptible {family} Instance Ram {place}", "RAM", "GiBy.h", memory)
    yield _sku(region, f"{name} GPU attached to Spot Preemptible VMs {place}", "GPU", "h", gpu)
    for other in (f"{family} Instance Core {place}", f"Spot Preemptible {family} Custom Instance Core {place}"):
        yield _sku(region, other, "CPU", "h", cores * 3)
    yield _sku(region, f"{name} GPU {place}", "GPU", "h", gpu * 3)
    yield _sku(region, f"Commitment v1: {name} GPU {place} for 1 Year", "GPU", "h", gpu * 2)


def _disks(region: EmulatedRegion) -> Iterator[dict[str, Any]]:
    attached = f"SSD backed Local Storage attached to Spot Preemptible VMs in {region.name}"
    yield _sku(region, attached, "LocalSSD", "GiBy.mo", DISK_USD * MONTH_H)
    yield _sku(region, f"SSD backed Local Storage in {region.name}", "LocalSSD", "GiBy.mo", DISK_USD * MONTH_H * 3)


def _sku(region: EmulatedRegion, description: str, group: str, unit: str, usd: float) -> dict[str, Any]:
    number = derive_id("k", region.name, description)[2:16].upper()
    usage = "Preemptible" if "Preemptible" in description else "OnDemand"
    nanos = round(usd * 1e9)
    price = {"currencyCode": "USD", "units": str(nanos // 10**9), "nanos": nanos % 10**9}
    return {
        "name": f"services/{SERVICE}/skus/{number}",
        "skuId": number,
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Storage" if group == "LocalSSD" else "Compute",
            "resourceGroup": group,
            "usageType": "Commit1Yr" if description.startswith("Commitment") else usage,
        },
        "serviceRegions": [region.name],
        "pricingInfo": [
            {"pricingExpression": {"usageUnit": unit, "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}]}}
        ],
        "serviceProviderName": "Google",
    }
