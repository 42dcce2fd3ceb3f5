"""From groups of offers and application requirements, as numbers, to the problem's arrays.

Which pairs there are is decided here, one application at a time over all groups at once. A fleet of thousands of
applications on thousands of groups has millions of pairs, nearly all of them far too dear to be chosen:
`PruningLimits` bounds how many of the cheapest stay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scheduler.solve.fit import MILLI_GPU, places_for, replicas_on_gpus
from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, UNIT, ZONE, BoolArray, FloatArray, IntArray, Problem

COLUMNS: Final = ("group", "shape", "capacity_per_replica", "per_machine", "size", "mixed_size", "extra")
"""Of the pairs of an application, as arrays of the problem."""
PER_MACHINE_MAX: Final = 1 << 15
MACHINES_MAX: Final = 1 << 5
"""Above the replicas on one machine, and the machines of one replica, that a spec can have."""


@dataclass(frozen=True, slots=True)
class Table:
    """Groups of offers, column by column."""

    gpu: IntArray
    """Index of the GPU model."""
    gpus: IntArray
    """Thousandths of a GPU, per machine."""
    gpu_memory: FloatArray
    vcpus: FloatArray
    memory: FloatArray
    price: IntArray
    start: IntArray
    low: IntArray
    high: IntArray
    existing: IntArray
    min_batch: IntArray
    zone: IntArray
    region: IntArray
    provider: IntArray
    is_spot: BoolArray
    risk: FloatArray
    """Expected cost of interruptions, as a share of the price."""
    is_zoneless: BoolArray
    """Whether the zone of its machines is not known."""


@dataclass(frozen=True, slots=True)
class ShapeRequirements:
    """What one replica in one shape needs, and what it carries."""

    gpus: frozenset[int]
    """Indices of the GPU models that will do."""
    gpu_milli: int
    """Per machine."""
    capacity_per_replica: int
    cpus: float = 0.0
    memory: float = 0.0
    gpu_memory: float = 0.0
    machines: int = 1
    """How many machines one replica spans."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What an application must and may have in one place."""

    place: int
    at_least: int = 0
    at_most_ppm: int = PPM


@dataclass(frozen=True, slots=True)
class ApplicationRequirements:
    """What one application requires."""

    shapes: tuple[ShapeRequirements, ...]
    demand: int
    weight: float
    """Of demand that is not served."""
    regions: BoolArray
    """By region: whether it may run there."""
    spot: bool = False
    priority: int = 0
    soft_weight: float | None = None
    """Of other rules that are missed; None: as much as demand."""
    kind: int = NO_DOMAIN
    required: int = 0
    credit: int = 0
    spot_left: int = 0
    on_demand: int = 0
    share_ppm: int = PPM
    min_regions: int = 1
    one_shape: bool = True
    start_replica: int = 0
    pays_risk: bool = True
    """Whether the expected cost of interruptions counts."""
    per_unit: FloatArray | None = None
    """By region: micro-dollars per hour for each thousandth of capacity there, for its distance."""
    floors: tuple[Floor, ...] = ()


@dataclass(frozen=True, slots=True)
class PruningLimits:
    """How many pairs of an application stay, the cheapest per unit of capacity."""

    per_place: int = 1 << 30
    """In each region and market."""
    in_all: int = 1 << 30
    """And of those, in all, in each market and each provider."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the groups share: quotas, heads, places, and the budget."""

    head: IntArray
    place_has: BoolArray
    budget: int
    quotas: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """For each: its headroom, and (group, how much one machine takes)."""


@dataclass(slots=True)
class _Pairs:
    """Pairs as they are found."""

    first: list[int] = field(default_factory=lambda: [0])
    columns: list[IntArray] = field(default_factory=list)
    """The `COLUMNS` of each application."""

    def joined(self) -> IntArray:
        if not self.columns:
            return np.zeros((len(COLUMNS), 0), np.int64)
        return np.ascontiguousarray(np.concatenate(self.columns, axis=1))


def assemble(
    table: Table, applications: Sequence[ApplicationRequirements], bounds: Bounds, limits: PruningLimits
) -> Problem:
    """Return the problem of serving *applications* from *table*."""
    pairs = _Pairs()
    by_gpu = {int(gpu): np.flatnonzero(table.gpu == gpu) for gpu in np.unique(table.gpu)}
    for requirements in applications:
        found = pairs_of(table, requirements, by_gpu, limits, bounds)
        pairs.columns.append(found)
        pairs.first.append(pairs.first[-1] + found.shape[1])
    columns = dict(zip(COLUMNS, pairs.joined(), strict=True))
    first = np.array(pairs.first, np.int64)
    quota_first, quota, quota_size = _quotas_by_group(len(table.price), bounds)
    floors = [floor for requirements in applications for floor in requirements.floors]
    return Problem(
        price=table.price,
        start=table.start,
        low=table.low,
        high=table.high,
        existing=table.existing,
        min_batch=table.min_batch,
        spare=np.zeros(len(table.price), np.int64),
        zone=table.zone,
        region=table.region,
        provider=table.provider,
        is_spot=table.is_spot,
        quota_first=quota_first,
        quota=quota,
        quota_size=quota_size,
        quota_headroom=_whole(headroom for headroom, _ in bounds.quotas),
        head=bounds.head,
        budget=bounds.budget,
        demand=_whole(requirements.demand for requirements in applications),
        required=_whole(requirements.required for requirements in applications),
        credit=_whole(requirements.credit for requirements in applications),
        kind=_whole(requirements.kind for requirements in applications),
        spot_left=_whole(requirements.spot_left for requirements in applications),
        on_demand=_whole(requirements.on_demand for requirements in applications),
        share=_whole(requirements.share_ppm for requirements in applications),
        slack=_whole(max((n.capacity_per_replica for n in r.shapes), default=0) for r in applications),
        min_regions=_whole(requirements.min_regions for requirements in applications),
        one_shape=np.array([requirements.one_shape for requirements in applications], np.bool_),
        priority=_whole(requirements.priority for requirements in applications),
        weight=np.array([requirements.weight for requirements in applications], np.float64),
        soft_weight=np.array([r.weight if r.soft_weight is None else r.soft_weight for r in applications], np.float64),
        start_replica=_whole(requirements.start_replica for requirements in applications),
        floor_first=np.cumsum([0, *(len(requirements.floors) for requirements in applications)], dtype=np.int64),
        floor_place=_whole(floor.place for floor in floors),
        floor_min=_whole(floor.at_least for floor in floors),
        floor_max=_whole(floor.at_most_ppm for floor in floors),
        place_has=bounds.place_has,
        first=first,
        **columns,
        fit=_fit(columns),
        current=np.zeros(len(columns["group"]), np.int64),
    )


def _fit(columns: dict[str, IntArray]) -> IntArray:
    """Return equal numbers for pairs of equal size on one group."""
    like = (columns["group"] * PER_MACHINE_MAX + columns["per_machine"]) * MACHINES_MAX + columns["size"] // UNIT
    return np.asarray(np.unique(like, return_inverse=True)[1], np.int64)


def _whole(values: Iterable[int]) -> IntArray:
    return np.array(list(values), np.int64)


def pairs_of(
    table: Table,
    requirements: ApplicationRequirements,
    by_gpu: dict[int, IntArray],
    limits: PruningLimits,
    bounds: Bounds,
) -> IntArray:
    """Return the pairs of one application, with a row for each of `COLUMNS`."""
    parts = [_pairs_of_shape(table, requirements, number, by_gpu) for number in range(len(requirements.shapes))]
    found = np.concatenate(parts, axis=1)
    if requirements.kind == ZONE:
        found = _in_known_zones(table, found)
    if found.shape[1] <= min(limits.per_place, limits.in_all):
        return found
    chosen = _cheapest(table, requirements, found, limits, bounds)
    return np.ascontiguousarray(found[:, chosen])


def _in_known_zones(table: Table, found: IntArray) -> IntArray:
    """Return pairs without those that share a region with others and may be in any of its zones.

    Such a replica would be lost with each zone. Where a region has no others, all of them are lost at worst.
    """
    group = found[0]
    zoned = np.unique(table.region[group[~table.is_zoneless[group]]])
    may = ~table.is_zoneless[group] | ~np.isin(table.region[group], zoned)
    return np.ascontiguousarray(found[:, may])


def _pairs_of_shape(
    table: Table, requirements: ApplicationRequirements, number: int, by_gpu: dict[int, IntArray]
) -> IntArray:
    shape = requirements.shapes[number]
    known = [by_gpu[gpu] for gpu in sorted(shape.gpus) if gpu in by_gpu]
    group = np.concatenate(known) if known else np.zeros(0, np.int64)
    may = (
        requirements.regions[table.region[group]]
        & (table.gpu_memory[group] >= shape.gpu_memory)
        & (table.high[group] > 0)
    )
    if not requirements.spot:
        may &= ~table.is_spot[group]
    group = group[may]
    headroom = replicas_on_gpus(table.gpus[group] // MILLI_GPU, shape.gpu_milli)
    if shape.cpus > 0:
        headroom = np.minimum(headroom, (table.vcpus[group] / shape.cpus).astype(np.int64))
    if shape.memory > 0:
        headroom = np.minimum(headroom, (table.memory[group] / shape.memory).astype(np.int64))
    group, headroom = group[headroom > 0], headroom[headroom > 0]
    if shape.machines > 1:  # a gang has its machines to itself
        group, headroom = group[table.high[group] >= shape.machines], np.ones(len(group), np.int64)
        headroom = headroom[: len(group)]
    size = (UNIT * shape.machines) // headroom
    places = places_for(headroom, table.gpus[group] // MILLI_GPU)
    extra = np.zeros(len(group), np.float64)
    if requirements.pays_risk:
        extra += table.price[group] * (size / UNIT) * table.risk[group]
    if requirements.per_unit is not None:
        extra += requirements.per_unit[table.region[group]] * shape.capacity_per_replica
    same = np.ones(len(group), np.int64)
    return np.stack(
        [
            group, same * number, same * shape.capacity_per_replica, headroom, size, UNIT * shape.machines // places,
            np.rint(extra).astype(np.int64),
        ]
    )  # fmt: skip


def _cheapest(
    table: Table, requirements: ApplicationRequirements, found: IntArray, limits: PruningLimits, bounds: Bounds
) -> IntArray:
    """Return which pairs stay: the cheapest of each place, each market, each place with a floor; what exists."""
    group, _, capacity_per_replica, _, size, _, extra = found
    cost = (table.price[group] * (size / UNIT) + extra) / capacity_per_replica
    market = table.region[group] * 2 + table.is_spot[group]
    order = np.lexsort((cost, market))
    stays = np.zeros(len(group), np.bool_)
    stays[order[_rank(market[order]) < limits.per_place]] = True
    ranked = np.argsort(cost, kind="stable")
    ranked = ranked[stays[ranked]]
    chosen = np.zeros(len(group), np.bool_)
    chosen[ranked[: limits.in_all]] = True
    half = limits.in_all // 2
    chosen[ranked[~table.is_spot[group[ranked]]][:half]] = True
    if requirements.kind == PROVIDER:
        provider = table.provider[group[ranked]]
        for cloud in np.unique(provider):
            chosen[ranked[provider == cloud][: half // 2]] = True
    for floor in requirements.floors:
        inside = bounds.place_has[floor.place, table.region[group[ranked]]]
        chosen[ranked[inside][: half // 2]] = True
    return np.flatnonzero(chosen | (table.existing[group] > 0))


def _rank(values: IntArray) -> IntArray:
    """Return how many equal values precede each, in a sorted array."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))


def _quotas_by_group(groups: int, bounds: Bounds) -> tuple[IntArray, IntArray, IntArray]:
    by_group: list[list[tuple[int, int]]] = [[] for _ in range(groups)]
    for number, (_, members) in enumerate(bounds.quotas):
        for group, size in members:
            by_group[group].append((number, size))
    first = np.cumsum([0, *(len(quotas) for quotas in by_group)], dtype=np.int64)
    flat = [pair for quotas in by_group for pair in quotas]
    return first, _whole(q for q, _ in flat), _whole(s for _, s in flat)
