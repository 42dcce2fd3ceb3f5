"""From groups of offers and what each application asks for, as numbers, to the problem's arrays.

Which pairs there are is decided here, one application at a time over all groups at once. A fleet of thousands of
applications on thousands of groups has millions of pairs, nearly all of them far too dear to be chosen: `Keep`
says how many of the cheapest stay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, UNIT, BoolArray, FloatArray, IntArray, Problem

MILLI_GPU: Final = 1000


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
    standing: IntArray
    least: IntArray
    zone: IntArray
    region: IntArray
    provider: IntArray
    is_spot: BoolArray
    risk: FloatArray
    """Expected cost of interruptions, as a share of the price."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica in one shape needs, and what it carries."""

    gpus: frozenset[int]
    """Indices of the GPU models that will do."""
    gpu_milli: int
    """Per machine."""
    each: int
    cpus: float = 0.0
    memory: float = 0.0
    gpu_memory: float = 0.0
    machines: int = 1
    """How many machines one replica stands on."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What an application must and may have in one place."""

    place: int
    least: int = 0
    most_ppm: int = PPM


@dataclass(frozen=True, slots=True)
class ApplicationRequirements:
    """What one application asks for."""

    needs: tuple[Need, ...]
    demand: int
    weight: float
    regions: BoolArray
    """By region: whether it may stand there."""
    spot: bool = False
    kind: int = NO_DOMAIN
    required: int = 0
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
    """For each: its room, and (group, how much one machine takes)."""


@dataclass(slots=True)
class _Pairs:
    """Pairs as they are found."""

    first: list[int] = field(default_factory=lambda: [0])
    columns: list[IntArray] = field(default_factory=list)
    """[group, shape, each, per_machine, size, extra] of each application."""

    def joined(self) -> IntArray:
        if not self.columns:
            return np.zeros((6, 0), np.int64)
        return np.ascontiguousarray(np.concatenate(self.columns, axis=1))


def assemble(table: Table, asks: Sequence[ApplicationRequirements], bounds: Bounds, keep: PruningLimits) -> Problem:
    """Return the problem of serving *asks* from *table*."""
    pairs = _Pairs()
    by_gpu = {int(gpu): np.flatnonzero(table.gpu == gpu) for gpu in np.unique(table.gpu)}
    for ask in asks:
        found = pairs_of(table, ask, by_gpu, keep, bounds)
        pairs.columns.append(found)
        pairs.first.append(pairs.first[-1] + found.shape[1])
    group, shape, each, per_machine, size, extra = pairs.joined()
    first = np.array(pairs.first, np.int64)
    slack = np.array([max((n.each for n in ask.needs), default=0) for ask in asks], np.int64)
    quota_first, quota, quota_size = _quotas_by_group(len(table.price), bounds)
    floors = [floor for ask in asks for floor in ask.floors]
    return Problem(
        price=table.price,
        start=table.start,
        low=table.low,
        high=table.high,
        standing=table.standing,
        least=table.least,
        zone=table.zone,
        region=table.region,
        provider=table.provider,
        is_spot=table.is_spot,
        quota_first=quota_first,
        quota=quota,
        quota_size=quota_size,
        quota_room=_whole(room for room, _ in bounds.quotas),
        head=bounds.head,
        budget=bounds.budget,
        demand=_whole(ask.demand for ask in asks),
        required=_whole(ask.required for ask in asks),
        kind=_whole(ask.kind for ask in asks),
        spot_left=_whole(ask.spot_left for ask in asks),
        on_demand=_whole(ask.on_demand for ask in asks),
        share=_whole(ask.share_ppm for ask in asks),
        slack=slack,
        min_regions=_whole(ask.min_regions for ask in asks),
        one_shape=np.array([ask.one_shape for ask in asks], np.bool_),
        weight=np.array([ask.weight for ask in asks], np.float64),
        start_replica=_whole(ask.start_replica for ask in asks),
        floor_first=np.cumsum([0, *(len(ask.floors) for ask in asks)], dtype=np.int64),
        floor_place=_whole(floor.place for floor in floors),
        floor_least=_whole(floor.least for floor in floors),
        floor_most=_whole(floor.most_ppm for floor in floors),
        place_has=bounds.place_has,
        first=first,
        group=group,
        shape=shape,
        each=each,
        per_machine=per_machine,
        size=size,
        extra=extra,
        current=np.zeros(len(group), np.int64),
    )


def _whole(values: Iterable[int]) -> IntArray:
    return np.array(list(values), np.int64)


def pairs_of(
    table: Table, ask: ApplicationRequirements, by_gpu: dict[int, IntArray], keep: PruningLimits, bounds: Bounds
) -> IntArray:
    """Return the pairs of one application, a column each: group, shape, each, per_machine, size, extra."""
    parts = [_pairs_of_shape(table, ask, number, by_gpu) for number in range(len(ask.needs))]
    found = np.concatenate(parts, axis=1)
    if found.shape[1] <= min(keep.per_place, keep.in_all):
        return found
    chosen = _cheapest(table, ask, found, keep, bounds)
    return np.ascontiguousarray(found[:, chosen])


def _pairs_of_shape(table: Table, ask: ApplicationRequirements, number: int, by_gpu: dict[int, IntArray]) -> IntArray:
    need = ask.needs[number]
    known = [by_gpu[gpu] for gpu in sorted(need.gpus) if gpu in by_gpu]
    group = np.concatenate(known) if known else np.zeros(0, np.int64)
    may = ask.regions[table.region[group]] & (table.gpu_memory[group] >= need.gpu_memory) & (table.high[group] > 0)
    if not ask.spot:
        may &= ~table.is_spot[group]
    group = group[may]
    room = table.gpus[group] // need.gpu_milli
    if need.cpus > 0:
        room = np.minimum(room, (table.vcpus[group] / need.cpus).astype(np.int64))
    if need.memory > 0:
        room = np.minimum(room, (table.memory[group] / need.memory).astype(np.int64))
    group, room = group[room > 0], room[room > 0]
    if need.machines > 1:  # a gang has its machines to itself
        group, room = group[table.high[group] >= need.machines], np.ones(len(group), np.int64)
        room = room[: len(group)]
    size = (UNIT * need.machines) // room
    extra = np.zeros(len(group), np.float64)
    if ask.pays_risk:
        extra += table.price[group] * (size / UNIT) * table.risk[group]
    if ask.per_unit is not None:
        extra += ask.per_unit[table.region[group]] * need.each
    same = np.ones(len(group), np.int64)
    return np.stack([group, same * number, same * need.each, room, size, np.rint(extra).astype(np.int64)])


def _cheapest(
    table: Table, ask: ApplicationRequirements, found: IntArray, keep: PruningLimits, bounds: Bounds
) -> IntArray:
    """Return which pairs stay: the cheapest of each place, each market, each place with a floor; what stands."""
    group, _, each, _, size, extra = found
    cost = (table.price[group] * (size / UNIT) + extra) / each
    market = table.region[group] * 2 + table.is_spot[group]
    order = np.lexsort((cost, market))
    stays = np.zeros(len(group), np.bool_)
    stays[order[_rank(market[order]) < keep.per_place]] = True
    ranked = np.argsort(cost, kind="stable")
    ranked = ranked[stays[ranked]]
    chosen = np.zeros(len(group), np.bool_)
    chosen[ranked[: keep.in_all]] = True
    half = keep.in_all // 2
    chosen[ranked[~table.is_spot[group[ranked]]][:half]] = True
    if ask.kind == PROVIDER:
        provider = table.provider[group[ranked]]
        for cloud in np.unique(provider):
            chosen[ranked[provider == cloud][: half // 2]] = True
    for floor in ask.floors:
        inside = bounds.place_has[floor.place, table.region[group[ranked]]]
        chosen[ranked[inside][: half // 2]] = True
    return np.flatnonzero(chosen | (table.standing[group] > 0))


def _rank(values: IntArray) -> IntArray:
    """Return how many equal values stand before each, in a sorted array."""
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
