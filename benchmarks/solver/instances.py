"""Placement problems of fleet size, made from real offers where they are at hand and from a stated model where not.

Offers: the regions with most offers, list prices on demand and on spot, one to three zones each. Stock, quotas and
applications are drawn from the seed: models of 4 to 640 GiB that need from an eighth of a GPU to eight, log-normal
demand around twenty replicas, half of them to survive any region in full. Stock is scaled so that the demand is
about half of what is sold on demand of the GPUs that suit it best, spot stock is 60 % of that, and 35 % of the
quotas (region x family x market) bind below the stock.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scheduler.solve.assemble import ApplicationRequirements, Bounds, PruningLimits, ShapeRequirements, Table
from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, REGION, IntArray

SPEED = {
    "T4": 1.0, "V100-16GB": 2.4, "V100-32GB": 2.6, "A10": 2.1, "A10G": 2.2, "L4": 2.0, "RTX-A6000": 3.5, "L40S": 5.0,
    "A100-40GB": 6.0, "A100-80GB": 7.0, "RTX-PRO-6000": 8.0, "H100-NVL-94GB": 13.0, "H100-80GB": 14.0,
    "MI300X": 16.0, "H200-141GB": 18.0, "B200": 32.0, "B300": 36.0,
}  # fmt: skip
"""Relative throughput of a GPU for inference; rounded from published vLLM and MLPerf results."""
MEMORY = {
    "T4": 16, "V100-16GB": 16, "V100-32GB": 32, "A10": 24, "A10G": 24, "L4": 24, "RTX-A6000": 48, "L40S": 48,
    "A100-40GB": 40, "A100-80GB": 80, "RTX-PRO-6000": 96, "H100-NVL-94GB": 94, "H100-80GB": 80,
    "MI300X": 192, "H200-141GB": 141, "B200": 180, "B300": 270,
}  # fmt: skip
NAMES = tuple(SPEED)
MODEL_GIB = (2, 4, 10, 18, 40, 80, 160, 320, 640)
MODEL_ODDS = (0.10, 0.14, 0.16, 0.20, 0.14, 0.10, 0.10, 0.04, 0.02)
GPU_COUNTS = (0.125, 0.25, 0.5, 1, 2, 4, 8)
FEWEST_DOMAINS_FIT = 3


@dataclass(frozen=True)
class Size:
    """How large a problem is."""

    name: str
    applications: int
    raw_offers: int
    regions: int
    seed: int
    replicas: float = 20.0
    """Mean per application."""


SIZES = {
    "S": Size("S", 10, 200, 9, 0, 11.0),
    "M": Size("M", 100, 1_500, 45, 0),
    "L": Size("L", 1_000, 3_000, 54, 0),
    "XL": Size("XL", 5_000, 10_000, 100, 0),
}
SMALL_KEEP = PruningLimits()
LARGE_KEEP = PruningLimits(per_place=3, in_all=120)


@dataclass(frozen=True)
class Row:
    """One offer: a type in a region and a market."""

    provider: str
    region: str
    family: str
    gpu: str
    gpus: float
    price: float
    spot: bool


@dataclass(frozen=True)
class Instance:
    """A problem in the words of the solver."""

    size: Size
    table: Table
    applications: tuple[ApplicationRequirements, ...]
    bounds: Bounds
    limits: PruningLimits
    source: str


def real_rows(path: Path) -> list[Row]:
    """Return the offers of a price list; empty where there is none."""
    if not path.exists():
        return []
    rows = []
    with path.open() as file:
        for line in csv.DictReader(file):
            if line["region"] == "global" or line["gpu"] not in SPEED:
                continue
            for market in ("on_demand", "spot"):
                price = line[f"{market}_usd_per_hour"]
                if price and float(price) > 0:
                    region = f"{line['provider']}/{line['region']}"
                    family = line["instance_type"].split(".")[0].split("-")[0]
                    rows.append(
                        Row(line["provider"], region, family, line["gpu"], float(line["gpu_count"]), float(price),
                            market == "spot")
                    )  # fmt: skip
    return sorted(set(rows), key=lambda r: (r.region, r.family, r.gpu, r.gpus, r.spot, r.price))


def synthetic_rows(seed: int) -> list[Row]:
    """Return offers of a stated model: price = speed x $0.30 x GPUs, ± 30 % by region, spot at 25 to 60 % of it."""
    draw = np.random.default_rng(seed)
    rows = []
    for cloud in ("aws", "azure", "gcp"):
        for number in range(45):
            level = math.exp(draw.normal(0, 0.12))
            for gpu in NAMES:
                if draw.random() < 0.45:
                    continue
                for count in (1, 2, 4, 8):
                    if draw.random() < 0.4:
                        continue
                    price = round(0.3 * SPEED[gpu] ** 0.9 * count * level, 4)
                    region = f"{cloud}/r{number:02}"
                    rows.append(Row(cloud, region, gpu.split("-")[0], gpu, count, price, spot=False))
                    if draw.random() < 0.6:
                        share = draw.uniform(0.25, 0.6)
                        rows.append(
                            Row(cloud, region, gpu.split("-")[0], gpu, count, round(price * share, 4), spot=True)
                        )
    return rows


def make(size: Size, prices: Path) -> Instance:
    """Return the instance of a size; the same one for the same seed and price list."""
    draw = np.random.default_rng(size.seed)
    rows = real_rows(prices)
    source = f"list prices of {prices.name}" if rows else "synthetic prices"
    rows = _chosen(rows or synthetic_rows(7), size, draw)
    regions = sorted({row.region for row in rows})
    asked = _requirements(size, rows, regions, draw)
    table, quotas = _table(rows, regions, asked, draw)
    applications = tuple(_eased(requirements, table) for requirements, _ in asked)
    places = np.zeros((0, len(regions)), np.bool_)
    bounds = Bounds(np.zeros(len(regions), np.int64), places, 1 << 60, quotas)
    return Instance(size, table, applications, bounds, SMALL_KEEP if size.name == "S" else LARGE_KEEP, source)


def _chosen(rows: list[Row], size: Size, draw: np.random.Generator) -> list[Row]:
    """Return offers of the busiest regions, of several clouds, until there are as many zones as requested."""
    by_region: dict[str, list[Row]] = {}
    for row in rows:
        by_region.setdefault(row.region, []).append(row)
    busiest = sorted(by_region, key=lambda r: (-len(by_region[r]), r))[: size.regions]
    pool = [row for region in busiest for row in by_region[region]]
    chosen: list[Row] = []
    zones = 0
    for number in draw.permutation(len(pool)):
        if zones >= size.raw_offers:
            break
        zones += int(draw.integers(1, 4)) if size.name == "XL" else int(draw.choice((1, 1, 2)))
        chosen.append(pool[int(number)])
    return sorted(chosen, key=lambda r: (r.region, r.family, r.gpu, r.gpus, r.spot, r.price))


def _requirements(
    size: Size, rows: list[Row], regions: list[str], draw: np.random.Generator
) -> list[tuple[ApplicationRequirements, tuple[str, float]]]:
    """Return application requirements, each with the GPU that suits it best and how many it takes."""
    sold = {row.gpu for row in rows}
    cheapest = {
        gpu: min(row.price / row.gpus for row in rows if (row.gpu == gpu and row.gpus >= 1) or row.gpu == gpu)
        for gpu in sold
    }
    largest = {gpu: max(row.gpus for row in rows if row.gpu == gpu) for gpu in sold}
    made: list[tuple[ApplicationRequirements, tuple[str, float]]] = []
    while len(made) < size.applications:
        gib = float(draw.choice(MODEL_GIB, p=MODEL_ODDS))
        shapes = []
        for gpu in sorted(sold):
            count = next((c for c in GPU_COUNTS if c * MEMORY[gpu] >= gib * 1.1), None)
            if count is None or count > largest[gpu]:
                continue
            rate = SPEED[gpu] * count * count**-0.08 * math.exp(draw.normal(0, 0.15)) * (18 / gib) ** 0.5
            shapes.append((gpu, count, max(1, round(rate * 1000))))
        draw.shuffle(shapes)
        shapes = sorted(shapes[: int(draw.integers(3, 8))])
        if not shapes:
            continue
        gpu, count, capacity_per_replica = min(shapes, key=lambda s: cheapest[s[0]] * s[1] / s[2])
        made.append(_one(size, shapes, regions, (gpu, count, capacity_per_replica, cheapest[gpu]), draw))
    return made


def _one(
    size: Size,
    shapes: list[tuple[str, float, int]],
    regions: list[str],
    natural: tuple[str, float, int, float],
    draw: np.random.Generator,
) -> tuple[ApplicationRequirements, tuple[str, float]]:
    gpu, count, capacity_per_replica, price = natural
    replicas = max(1.0, size.replicas * math.exp(draw.normal(-0.32, 0.8)))
    demand = round(replicas * capacity_per_replica)
    kind, share = _survival(draw)
    required = tuple(ShapeRequirements(frozenset({NAMES.index(g)}), round(c * 1000), e) for g, c, e in shapes)
    unit = price * count / capacity_per_replica * 1e6
    requirements = ApplicationRequirements(
        shapes=required,
        demand=demand,
        weight=200 * unit,
        regions=_residency(regions, draw),
        spot=bool(draw.random() < 0.6),
        kind=kind,
        required=math.ceil(share * demand),
        on_demand=round(demand * draw.uniform(0.2, 0.5)) if draw.random() < 0.3 else 0,
        share_ppm=round(draw.uniform(0.5, 0.75) * PPM) if draw.random() < 0.3 else PPM,
        one_shape=False,
        start_replica=int(draw.choice((250_000, 1_000_000, 4_000_000)) if count >= 1 else 250_000),
    )
    return requirements, (gpu, demand / capacity_per_replica * count)


def _survival(draw: np.random.Generator) -> tuple[int, float]:
    lot = draw.random()
    if lot < 0.2:
        return NO_DOMAIN, 0.0
    if lot < 0.32:
        return PROVIDER, 0.5
    return REGION, float(draw.choice((0.5, 0.7, 1.0), p=(0.2, 0.2, 0.6)))


def _residency(regions: list[str], draw: np.random.Generator) -> np.ndarray:
    lot = draw.random()
    names = np.array(regions)
    if lot < 0.2:
        mask = np.array(["eu" in n or "europe" in n or "uk" in n or "france" in n or "germany" in n for n in regions])
    elif lot < 0.4:
        mask = np.array(["/us" in n or "eastus" in n or "westus" in n or "centralus" in n for n in regions])
    else:
        mask = draw.random(len(names)) < 0.9
    clouds = {n.split("/")[0] for n, ok in zip(regions, mask, strict=True) if ok}
    if mask.sum() < FEWEST_DOMAINS_FIT or len(clouds) < 2:
        mask = np.ones(len(names), np.bool_)
    return mask


def _eased(requirements: ApplicationRequirements, table: Table) -> ApplicationRequirements:
    """Return the requirements without the rules that even a third of all stock could not keep."""
    for eased in (
        requirements,
        replace(requirements, on_demand=0, spot=True),
        replace(requirements, kind=NO_DOMAIN, required=0, on_demand=0),
    ):
        if _is_easy(eased, table):
            return eased
    return replace(
        requirements,
        kind=NO_DOMAIN,
        required=0,
        on_demand=0,
        share_ppm=PPM,
        regions=np.ones_like(requirements.regions),
        spot=True,
    )


def _is_easy(requirements: ApplicationRequirements, table: Table) -> bool:
    capacity = np.zeros(len(table.price))
    for need in requirements.shapes:
        fits = (
            np.isin(table.gpu, list(need.gpus))
            & requirements.regions[table.region]
            & (requirements.spot | ~table.is_spot)
        )
        capacity += fits * (table.gpus // need.gpu_milli) * need.capacity_per_replica * table.high / 3
    domain = table.provider if requirements.kind == PROVIDER else table.region
    by_domain = np.bincount(domain, capacity)
    by_region = np.bincount(table.region, capacity)
    total = by_domain.sum()
    spare = max(requirements.demand, requirements.required) * 1.2
    return bool(
        np.minimum(by_region, requirements.share_ppm / PPM * requirements.demand).sum() >= spare
        and capacity[~table.is_spot].sum() >= requirements.on_demand * 1.2
        and (requirements.kind == NO_DOMAIN or total - by_domain.max() >= spare)
    )


def _whole(values: Iterable[int]) -> IntArray:
    return np.array(list(values), np.int64)


def _table(
    rows: list[Row],
    regions: list[str],
    applications: list[tuple[ApplicationRequirements, tuple[str, float]]],
    draw: np.random.Generator,
) -> tuple[Table, tuple[tuple[int, tuple[tuple[int, int], ...]], ...]]:
    wanted: dict[str, float] = {}
    for _, (gpu, gpus) in applications:
        wanted[gpu] = wanted.get(gpu, 0.0) + gpus
    everyone = sum(wanted.values()) / len(wanted)
    raw = np.array([math.exp(draw.normal(0, 1.0)) for _ in rows])
    sold = {
        gpu: sum(raw[n] * row.gpus for n, row in enumerate(rows) if row.gpu == gpu and not row.spot) for gpu in NAMES
    }
    stock = np.zeros(len(rows), np.int64)
    for n, row in enumerate(rows):
        scale = 2 * (wanted.get(row.gpu, 0.0) + 0.15 * everyone) / max(sold[row.gpu], 1.0)
        stock[n] = max(1, math.ceil(raw[n] * scale * (0.6 if row.spot else 1.0)))
    clouds = sorted({row.provider for row in rows})
    quotas = []
    members: dict[tuple[str, str, bool], list[int]] = {}
    for n, row in enumerate(rows):
        members.setdefault((row.region, row.family, row.spot), []).append(n)
    for _, groups in sorted(members.items()):
        if draw.random() < 0.35:
            sizes = tuple((n, max(1, round(rows[n].gpus * 8))) for n in groups)
            full = sum(int(stock[n]) * size for n, size in sizes)
            quotas.append((max(round(full * draw.uniform(0.3, 0.9)), *(s for _, s in sizes)), sizes))
    zeros = np.zeros(len(rows), np.int64)
    table = Table(
        gpu=_whole(NAMES.index(row.gpu) for row in rows),
        gpus=_whole(round(row.gpus * 1000) for row in rows),
        gpu_memory=np.array([float(MEMORY[row.gpu]) for row in rows]),
        vcpus=np.array([row.gpus * 12 for row in rows]),
        memory=np.array([row.gpus * 100 for row in rows]),
        price=_whole(round(row.price * 1e6) for row in rows),
        start=zeros,
        low=zeros,
        high=stock,
        existing=zeros,
        min_batch=zeros + 1,
        zone=np.arange(len(rows)),
        region=_whole(regions.index(row.region) for row in rows),
        provider=_whole(clouds.index(row.provider) for row in rows),
        is_spot=np.array([row.spot for row in rows]),
        risk=np.array([0.1 * row.spot for row in rows]),
        is_zoneless=np.zeros(len(rows), np.bool_),
    )
    return table, tuple(quotas)
