"""Which offers one solve considers where there are too many: the cheapest per unit of demand. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from scheduler.solve.fit import replicas_per_machine
from scheduler.solve.problem import FloatArray, IntArray
from state.model.catalog import Machine, Market, Offer, OfferKey
from state.model.ids import RegionId
from state.model.spec import Application, CapacitySpec, Shape

_FREE: Final = 1e-9
"""Distance of an offer that costs nothing: it comes first, and no other is measured against it."""

Kind = tuple[RegionId, Market, Machine]


def pruned(spec: CapacitySpec, offers: list[Offer], existing: set[OfferKey], limit: int) -> list[Offer]:
    """Return at most *limit* of the offers, by key; those of existing machines always.

    Next come those that some application finds cheapest in a region and market, since a spec may need any region.
    The rest is ranked by distance: price per unit of demand over that of the cheapest offer, for the application that
    it suits best. It is 1 for the cheapest, 2 for an offer that costs twice as much per unit.
    """
    if len(offers) <= limit:
        return offers
    kinds = sorted({_kind(offer) for offer in offers}, key=lambda kind: (kind[0], kind[1], _machine_key(kind[2])))
    number = {kind: k for k, kind in enumerate(kinds)}
    of = np.array([number[_kind(offer)] for offer in offers], np.int64)
    price = np.array([offer.price.per_hour.micros for offer in offers], np.float64)
    cheapest = np.full(len(kinds), np.inf)
    np.minimum.at(cheapest, of, price)
    factor, leads = _ranked(spec, kinds, cheapest)
    distance = np.where(price > 0, price * factor[of], _FREE)
    is_leading = leads[of] & (price == cheapest[of])
    is_existing = np.array([offer.key in existing for offer in offers], np.bool_)
    order = np.lexsort((np.arange(len(offers)), distance, ~is_leading, ~is_existing))
    kept = order[: max(limit, int(is_existing.sum()))]
    return [offers[int(n)] for n in np.sort(kept)]


def _kind(offer: Offer) -> Kind:
    return (offer.key.region, offer.key.market, offer.machine)


def _machine_key(machine: Machine) -> tuple[str, int, float, float, float, str]:
    return (
        machine.gpu or "", machine.gpus, machine.gpu_memory_gib, machine.vcpus, machine.memory_gib, machine.family,
    )  # fmt: skip


def _ranked(spec: CapacitySpec, kinds: list[Kind], cheapest: FloatArray) -> tuple[FloatArray, np.ndarray]:
    """Return by kind of offer: distance per micro-dollar, and whether some application finds it cheapest in its place.

    Applications that differ in nothing that counts here are looked at once.
    """
    starts = _starts(kinds)
    segment = np.cumsum(np.isin(np.arange(len(kinds)), starts)) - 1
    factor = np.full(len(kinds), np.inf)
    leads = np.zeros(len(kinds), np.bool_)
    for capacity in _capacities(spec, [machine for _, _, machine in kinds]):
        cost = np.full(len(kinds), np.inf)
        np.divide(cheapest, capacity, out=cost, where=capacity > 0)
        lowest = np.min(cost, where=cost > 0, initial=np.inf)
        if np.isfinite(lowest):
            share = np.full(len(kinds), np.inf)
            np.divide(1.0, capacity * lowest, out=share, where=capacity > 0)
            np.minimum(factor, share, out=factor)
        leads |= (cost == np.minimum.reduceat(cost, starts)[segment]) & np.isfinite(cost)
    return factor, leads


def _starts(kinds: list[Kind]) -> IntArray:
    """Return where each region and market begins."""
    places = [(region, market) for region, market, _ in kinds]
    return np.array([n for n, place in enumerate(places) if n == 0 or place != places[n - 1]], np.int64)


def _capacities(spec: CapacitySpec, machines: list[Machine]) -> Iterator[FloatArray]:
    """Return what one machine of each kind carries, in thousandths of the demand's unit: once per distinct answer."""
    distinct = sorted(set(machines), key=_machine_key)
    number = {machine: n for n, machine in enumerate(distinct)}
    of = np.array([number[machine] for machine in machines], np.int64)
    replicas: dict[tuple[object, ...], FloatArray] = {}
    seen: set[tuple[object, ...]] = set()
    for _, application in spec.named():
        signature = tuple((*_resources(shape), application.replica_milli(shape)) for shape in application.shapes)
        if signature in seen:
            continue
        seen.add(signature)
        yield _capacity(application, distinct, replicas)[of]


def _resources(shape: Shape) -> tuple[object, ...]:
    return (shape.gpu, shape.gpu_milli, shape.cpus, shape.memory_gib, shape.gpu_memory_gib, shape.machines)


def _capacity(
    application: Application, machines: list[Machine], replicas: dict[tuple[object, ...], FloatArray]
) -> FloatArray:
    best = np.zeros(len(machines))
    for shape in application.shapes:
        key = _resources(shape)
        if key not in replicas:
            replicas[key] = np.array([replicas_per_machine(shape, machine) for machine in machines], np.float64)
        np.maximum(best, replicas[key] * application.replica_milli(shape) / shape.machines, out=best)
    return best
