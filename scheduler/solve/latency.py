"""How far an application's clients are from a region: measured where it was, fitted from the distance where not."""

from collections.abc import Mapping
from dataclasses import dataclass

from providers.regions import known_regions, round_trip_ms
from state.model.catalog import Region
from state.model.ids import RegionId
from state.model.snapshot import Snapshot
from state.model.spec import Client, Latency


@dataclass(frozen=True, slots=True)
class Distance:
    """Round trips between clients and a region, in milliseconds."""

    expected_ms: float
    """Weighted over the clients."""
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Atlas:
    """Where regions are, and how far from one another."""

    known: Mapping[RegionId, Region]
    measured_ms: dict[tuple[RegionId, RegionId], float]
    """Round trips, each both ways; where both ways were measured, each has its own."""


def atlas(snapshot: Snapshot) -> Atlas:
    """Return what a snapshot knows of regions."""
    found: dict[tuple[RegionId, RegionId], float] = {}
    for here, there, ms in snapshot.latencies:
        found[here, there] = ms
    for here, there, ms in snapshot.latencies:
        found.setdefault((there, here), ms)
    return Atlas(known_regions(snapshot.own_regions), found)


def distance(latency: Latency, region: RegionId, where: Atlas) -> Distance | None:
    """Return how far a region is from the clients; None where it, or a client, is nowhere we know."""
    trips = [(_round_trip(client, region, where), client.weight) for client in latency.clients]
    total = sum(weight for _, weight in trips)
    expected = worst = 0.0
    for trip, weight in trips:
        if trip is None:
            return None
        expected += trip * weight / total
        worst = max(worst, trip)
    return Distance(expected, worst)


def _round_trip(client: Client, region: RegionId, where: Atlas) -> float | None:
    here = where.known.get(region)
    if client.near is not None:
        known = where.measured_ms.get((RegionId(client.near), region))
        if known is not None:
            return known
    point = _point(client, where)
    if here is None or point is None:
        return None
    return round_trip_ms(point, (here.latitude, here.longitude))


def _point(client: Client, where: Atlas) -> tuple[float, float] | None:
    if client.near is not None:
        region = where.known.get(RegionId(client.near))
        return None if region is None else (region.latitude, region.longitude)
    return (client.latitude or 0.0, client.longitude or 0.0)
