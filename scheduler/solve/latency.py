"""How far an application's clients are from a region: measured where it was, fitted from the distance where not."""

from dataclasses import dataclass

from providers.regions import KNOWN, round_trip_ms
from state.model.ids import RegionId
from state.model.plan import Snapshot
from state.model.spec import Client, Latency


@dataclass(frozen=True, slots=True)
class Distance:
    """Round trips between clients and a region, in milliseconds."""

    expected_ms: float
    """Weighted over the clients."""
    worst_ms: float


def measured(snapshot: Snapshot) -> dict[tuple[RegionId, RegionId], float]:
    """Return the measured round trips, each both ways; where both ways were measured, each has its own."""
    found: dict[tuple[RegionId, RegionId], float] = {}
    for here, there, ms in snapshot.latencies:
        found[here, there] = ms
    for here, there, ms in snapshot.latencies:
        found.setdefault((there, here), ms)
    return found


def distance(latency: Latency, region: RegionId, matrix: dict[tuple[RegionId, RegionId], float]) -> Distance | None:
    """Return how far a region is from the clients; None where it, or a client, is nowhere we know."""
    trips = [(_round_trip(client, region, matrix), client.weight) for client in latency.clients]
    total = sum(weight for _, weight in trips)
    expected = worst = 0.0
    for trip, weight in trips:
        if trip is None:
            return None
        expected += trip * weight / total
        worst = max(worst, trip)
    return Distance(expected, worst)


def _round_trip(client: Client, region: RegionId, matrix: dict[tuple[RegionId, RegionId], float]) -> float | None:
    here = KNOWN.get(region)
    if client.near is not None:
        known = matrix.get((RegionId(client.near), region))
        if known is not None:
            return known
    point = _point(client)
    if here is None or point is None:
        return None
    return round_trip_ms(point, (here.latitude, here.longitude))


def _point(client: Client) -> tuple[float, float] | None:
    if client.near is not None:
        region = KNOWN.get(RegionId(client.near))
        return None if region is None else (region.latitude, region.longitude)
    return (client.latitude or 0.0, client.longitude or 0.0)
