"""The embedded clouds' regions, zones, stock and quotas from `regions.json`; sizes and prices from `catalog/`."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from providers.gcp.gpus import ACCELERATORS
from state.model.ids import RegionId, region_id

HERE: Final = Path(__file__).parent
CATALOG: Final = HERE / "catalog"
FIRST_NETWORK: Final = 10
AWS_ACCOUNT: Final = "123456789012"
"""Moto's default account."""
REBALANCE_QUEUE: Final = "skerry-rebalance"


@dataclass(frozen=True, slots=True)
class Size:
    """An instance type in the catalogue."""

    name: str
    vcpus: int
    memory_gib: float
    gpus: int
    gpu: str
    gpu_memory_gib: float


@dataclass(frozen=True, slots=True)
class EmulatedRegion:
    """A region of an embedded cloud."""

    id: RegionId
    provider: str
    name: str
    zones: tuple[str, ...]
    stock: dict[tuple[str, bool], int]
    """Machines in each zone, by (instance type, is spot)."""
    quotas: dict[str, int]
    network: int
    """Second octet of its machines' loopback addresses, 127.NETWORK.x.x."""

    @property
    def head_address(self) -> str:
        """The private address of the region's head."""
        return f"127.{self.network}.0.1"


def load_regions(first_network: int = FIRST_NETWORK) -> tuple[EmulatedRegion, ...]:
    """Return the regions, with loopback networks numbered from *first_network* on."""
    raw: dict[str, dict[str, dict[str, object]]] = json.loads((HERE / "regions.json").read_text())
    regions: list[EmulatedRegion] = []
    for provider, named in raw.items():
        for name, facts in named.items():
            stock = {(t, False): n for t, n in facts["stock"].items()}  # type: ignore[attr-defined]
            stock |= {(t, True): n for t, n in facts["spot_stock"].items()}  # type: ignore[attr-defined]
            regions.append(
                EmulatedRegion(
                    id=region_id(provider, name),
                    provider=provider,
                    name=name,
                    zones=tuple(facts["zones"]),  # type: ignore[arg-type]
                    stock=stock,
                    quotas=dict(facts["quotas"]),  # type: ignore[call-overload]
                    network=first_network + len(regions),
                )
            )
    return tuple(regions)


def rebalance_queue(endpoint: str) -> str:
    """Return the URL of the queue that receives EC2's rebalance recommendations; the same in every region."""
    return f"{endpoint}/{AWS_ACCOUNT}/{REBALANCE_QUEUE}"


def load_sizes(provider: str) -> dict[str, Size]:
    """Return the instance types in a provider's catalogue, by name."""
    with (CATALOG / f"{provider}.csv").open() as lines:
        return {
            row["instance_name"]: Size(
                name=row["instance_name"],
                vcpus=int(row["cpu"]),
                memory_gib=float(row["memory"]),
                gpus=int(row["gpu_count"]),
                gpu=row["gpu_name"],
                gpu_memory_gib=float(row["gpu_memory"] or 0),
            )
            for row in csv.DictReader(lines)
        }


def load_spot_prices() -> dict[tuple[RegionId, str], float]:
    """Return the catalogue's spot prices by region and instance type, in US dollars per hour."""
    prices: dict[tuple[RegionId, str], float] = {}
    for path in sorted(CATALOG.glob("*.csv")):
        with path.open() as lines:
            for row in csv.DictReader(lines):
                if row["spot"] == "True":
                    # GCP's rows name a zone; the emulator has one price per region.
                    location = row["location"]
                    is_zone = path.stem == "gcp" and location.count("-") > 1
                    region = location.rpartition("-")[0] if is_zone else location
                    prices[region_id(path.stem, region), row["instance_name"]] = float(row["price"])
    return prices


def canonical_name(gpu: str, memory_gib: float) -> str:
    """Return our name of a GPU in the catalogue."""
    return f"A100-{memory_gib:.0f}GB" if gpu == "A100" else gpu


def gcp_accelerator(gpu: str, memory_gib: float) -> str:
    """Return GCE's accelerator type for a GPU in the catalogue."""
    canonical = canonical_name(gpu, memory_gib)
    return next(name for name, known in ACCELERATORS.items() if known == canonical)
