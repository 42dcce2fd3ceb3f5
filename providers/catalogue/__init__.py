"""Offers from a price catalogue alone: what clouds list, without an account. Pure.

A catalogue has prices and sizes. It has neither stock nor quotas, and of most clouds no zones.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from providers.gpus import MEMORY_GIB
from providers.peers import beside_peers
from providers.prices import is_plausible
from state.model.catalog import Machine, Market, Offer, OfferKey, Price, Region
from state.model.ids import RegionId, region_id
from state.model.units import Usd

ANY_ZONE: Final = "any"
"""Stands for the zone where the catalogue has prices per region only."""
MEMORY_TOLERANCE: Final = 0.15
"""Share by which a listed memory may differ from a model's: clouds list usable or nominal memory, or part of a GPU."""
ESTIMATE: Final = "estimate: the dearest list price of this type elsewhere"


@dataclass(frozen=True, slots=True)
class ListedMachine:
    """One line of a price catalogue."""

    provider: str
    location: str
    """A region or a zone, in the cloud's own spelling."""
    name: str
    gpu: str | None
    """As the catalogue spells it: `A100`, whatever its memory."""
    gpus: int
    gpu_memory_gib: float
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    is_spot: bool
    is_arm: bool
    source: str
    as_of: datetime
    has_whole_gpus: bool = True
    """False where the type has a part of a GPU, though the catalogue lists it as a whole one."""


def catalogue_offers(
    listed: Iterable[ListedMachine], regions: Mapping[RegionId, Region], head_types: Collection[tuple[str, str]]
) -> tuple[Offer, ...]:
    """Return an offer for each line in a known region: machines with GPUs, and one kind of head per region.

    Args:
        listed: The catalogue.
        regions: The regions that count.
        head_types: Provider and type of the machines that are fit for a cell's head.

    A price far from those of its peers is doubted. A region with GPUs and without a listed head gets its provider's
    dearest listed head, as an estimate; where a provider has no listed head at all, none is made up.
    """
    offers: dict[OfferKey, Offer] = {}
    for line in listed:
        if is_plausible(line.usd_per_hour, line.gpus) and not line.is_arm:
            offer = _offer(line, regions)
            is_head = (line.provider, line.name) in head_types
            if offer is not None and (line.gpus or (is_head and not line.is_spot)):
                offers[offer.key] = offer
    with_gpus = {key.region for key, offer in offers.items() if offer.machine.gpus}
    heads = [offer for offer in offers.values() if not offer.machine.gpus]
    missing = with_gpus - {head.key.region for head in heads}
    estimates = (_estimate(region, heads) for region in sorted(missing))
    found = (*offers.values(), *(estimate for estimate in estimates if estimate is not None))
    return beside_peers(sorted((o for o in found if o.key.region in with_gpus), key=lambda offer: offer.key))


def _offer(line: ListedMachine, regions: Mapping[RegionId, Region]) -> Offer | None:
    region, zone = region_id(line.provider, line.location), ANY_ZONE
    if region not in regions:
        region, zone = region_id(line.provider, line.location.rpartition("-")[0]), line.location
    gpu = canonical_gpu(line.gpu, line.gpu_memory_gib) if line.gpus else None
    if region not in regions or (line.gpus and (gpu is None or not line.has_whole_gpus)):
        return None
    market = Market.SPOT if line.is_spot else Market.ON_DEMAND
    memory = MEMORY_GIB.get(gpu, line.gpu_memory_gib) if gpu is not None else 0.0
    machine = Machine(gpu, line.gpus, memory, line.vcpus, line.memory_gib, line.name)
    price = Price(Usd.of(line.usd_per_hour), line.source, line.as_of)
    return Offer(OfferKey(region, zone, line.name, market), machine, price)


def canonical_gpu(name: str | None, memory_gib: float) -> str | None:
    """Return our name of a GPU that a catalogue names without its variant: `A100-80GB` of an `A100` with 80 GiB.

    None for a model that is not known, and for a part of a GPU.
    """
    spelt = (name or "").upper().replace(" ", "").replace("-", "")
    variants = [gpu for gpu in MEMORY_GIB if spelt in {gpu.replace("-", ""), gpu.partition("-")[0]}]
    if not memory_gib:
        return min(variants, key=lambda gpu: (MEMORY_GIB[gpu], gpu), default=None)
    distances = {gpu: abs(memory_gib / MEMORY_GIB[gpu] - 1) for gpu in variants}
    nearest = min(variants, key=lambda gpu: (distances[gpu], gpu), default=None)
    return nearest if nearest is not None and distances[nearest] <= MEMORY_TOLERANCE else None


def _estimate(region: RegionId, heads: list[Offer]) -> Offer | None:
    """Return a head for a region whose catalogue lists none; None where its provider has none at all."""
    provider = region.partition("/")[0]
    known = [head for head in heads if head.key.provider == provider]
    if not known:
        return None
    dearest = max(known, key=lambda head: (head.price.per_hour, head.key))
    price = Price(dearest.price.per_hour, ESTIMATE, dearest.price.as_of)
    key = OfferKey(region, ANY_ZONE, dearest.key.instance_type, Market.ON_DEMAND)
    return Offer(key, dearest.machine, price)
