"""Rules on where replicas are: they fit, they may be there, and what is not kept is reported. Pure.

Every figure is computed anew from the replicas and the spec; the solver's own is never used.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from providers.regions import known_regions, round_trip_ms
from state.model.catalog import Market, Region
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.placement import SpecRule
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from state.model.spec import Application, Client, Spot
from state.model.units import MILLI

UNMET = "demand"
"""The subject of a finding on demand that is neither placed nor reported."""


@dataclass(frozen=True, slots=True)
class _Carried:
    """Where one application's capacity is, in thousandths of its unit."""

    name: ApplicationName
    application: Application
    by_region: Mapping[RegionId, int]
    spot: Mapping[RegionId, int]

    @property
    def total(self) -> int:
        return sum(self.by_region.values())

    @property
    def one_replica(self) -> int:
        return max(self.application.replica_milli(shape) for shape in self.application.shapes)


def _carried(plan: Plan, snapshot: Snapshot) -> Iterator[_Carried]:
    if snapshot.wanted is None:
        return
    for name, application in snapshot.wanted.spec.named():
        by_region: Counter[RegionId] = Counter()
        spot: Counter[RegionId] = Counter()
        for replicas in plan.placement.replicas:
            if replicas.application == name:
                shape = application.shapes[replicas.shape]
                capacity = replicas.count * application.replica_milli(shape)
                by_region[replicas.region] += capacity
                spot[replicas.region] += capacity if replicas.is_spot else 0
        yield _Carried(name, application, by_region, spot)


def packing(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find replicas that need more GPUs than the machines of their region, or of their zone, have."""
    if snapshot.wanted is None:
        return
    gpus: Counter[tuple[str, str, bool]] = Counter()
    by_zone = any(replicas.zone is not None for replicas in plan.placement.replicas)
    for machine in plan.placement.machines:
        if machine.role is Role.WORKER:
            key = machine.offer.key
            place = f"{key.region}/{key.zone}" if by_zone else key.region
            is_spot = key.market is Market.SPOT
            gpus[place, key.instance_type, is_spot] += machine.count * machine.offer.machine.gpus * MILLI
    needed: Counter[tuple[str, str, bool]] = Counter()
    for replicas in plan.placement.replicas:
        shape = snapshot.wanted.spec.applications[replicas.application].shapes[replicas.shape]
        place = f"{replicas.region}/{replicas.zone}" if by_zone else replicas.region
        needed[place, replicas.instance_type, replicas.is_spot] += (
            replicas.count * round(shape.count * MILLI) * shape.machines
        )
    for (place, instance_type, is_spot), need in sorted(needed.items()):
        have = gpus[place, instance_type, is_spot]
        if need > have:
            yield Finding(PlanRule.PACKING, Severity.ERROR, f"{place}/{instance_type}", actual=need, allowed=have)


def allowed(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find machines of a provider or region that the spec does not allow."""
    if snapshot.wanted is None:
        return
    spec = snapshot.wanted.spec
    for region in sorted({machine.offer.key.region for machine in plan.placement.machines}):
        for choice, name in ((spec.providers, str(provider_of(region))), (spec.regions, str(region))):
            if name in choice.deny or (choice.allow and name not in choice.allow):
                yield Finding(PlanRule.ALLOWED, Severity.ERROR, name)


def places(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find replicas outside their jurisdictions, too far from their clients, or on spot where that is not allowed."""
    known = known_regions(snapshot.own_regions)
    for carried in _carried(plan, snapshot):
        wanted = carried.application.regions.jurisdictions
        for region in sorted(carried.by_region):
            here = known.get(region)
            if wanted and (here is None or here.jurisdiction not in wanted):
                yield Finding(PlanRule.JURISDICTION, Severity.ERROR, region, carried.name)
            if _is_too_far(carried.application, region, snapshot, known):
                yield Finding(PlanRule.LATENCY, Severity.ERROR, region, carried.name)
        if carried.application.market.spot is Spot.NEVER:
            for region in sorted(region for region, capacity in carried.spot.items() if capacity):
                yield Finding(PlanRule.SPOT, Severity.ERROR, region, carried.name)


def _is_too_far(
    application: Application, region: RegionId, snapshot: Snapshot, known: Mapping[RegionId, Region]
) -> bool:
    latency = application.latency
    if latency is None:
        return False
    trips = [_round_trip(client, region, snapshot, known) for client in latency.clients]
    if any(trip is None for trip in trips):
        return True
    found = [trip for trip in trips if trip is not None]
    weights = [client.weight for client in latency.clients]
    expected = sum(trip * weight for trip, weight in zip(found, weights, strict=True)) / sum(weights)
    tolerance = 1 + 1e-9  # sums in another order differ in the last digits
    return expected > latency.max_ms * tolerance or (
        latency.worst_ms is not None and max(found) > latency.worst_ms * tolerance
    )


def _round_trip(client: Client, region: RegionId, snapshot: Snapshot, known: Mapping[RegionId, Region]) -> float | None:
    """Return the round trip in milliseconds: measured there, else measured back, else fitted from the distance."""
    if client.near is not None:
        near = RegionId(client.near)
        there = [ms for one, other, ms in snapshot.latencies if (one, other) == (near, region)]
        back = [ms for one, other, ms in snapshot.latencies if (one, other) == (region, near)]
        if there or back:
            return (there or back)[-1] if there else back[0]
        origin = known.get(near)
        point = None if origin is None else (origin.latitude, origin.longitude)
    else:
        point = (client.latitude or 0.0, client.longitude or 0.0)
    here = known.get(region)
    return None if point is None or here is None else round_trip_ms(point, (here.latitude, here.longitude))


def reported(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find rules of the spec that are not kept and that the placement does not report, by application and subject."""
    known = known_regions(snapshot.own_regions)
    listed = {(v.application, v.rule, v.subject) for v in plan.placement.violations}
    unmet = {line.application for line in plan.placement.unmet}
    for carried in _carried(plan, snapshot):
        if carried.total < carried.application.demand.milli and carried.name not in unmet:
            yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, UNMET, carried.name)
        for rule, subject in (*_spread_faults(carried), *_market_faults(carried), *_place_faults(carried, known)):
            if (carried.name, rule, subject) not in listed:
                yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, f"{rule} {subject}".strip(), carried.name)


def _spread_faults(carried: _Carried) -> Iterator[tuple[SpecRule, str]]:
    rules = carried.application.regions
    if sum(capacity > 0 for capacity in carried.by_region.values()) < rules.min:
        yield SpecRule.REGIONS_MIN, ""
    ceiling = Fraction(rules.max_share) * carried.total + carried.one_replica
    for region, capacity in sorted(carried.by_region.items()):
        if capacity > ceiling:
            yield SpecRule.MAX_SHARE, region


def _market_faults(carried: _Carried) -> Iterator[tuple[SpecRule, str]]:
    market, demand = carried.application.market, carried.application.demand.milli
    for region, lost in sorted(carried.spot.items()):
        if lost and carried.total - lost < _at_least(market.survive_spot_loss, demand):
            yield SpecRule.SURVIVE_SPOT_LOSS, region
    if carried.total - sum(carried.spot.values()) < _at_least(market.on_demand_floor, demand):
        yield SpecRule.ON_DEMAND_FLOOR, ""


def _place_faults(carried: _Carried, known: Mapping[RegionId, Region]) -> Iterator[tuple[SpecRule, str]]:
    rules, demand = carried.application.regions, carried.application.demand.milli
    for place in sorted({*rules.floors, *rules.shares}):
        inside = sum(capacity for region, capacity in carried.by_region.items() if _is_in(region, place, known))
        if inside < round(rules.floors.get(place, 0.0) * MILLI):
            yield SpecRule.FLOOR, place
        share = rules.shares.get(place)
        if share is not None and inside < _at_least(share.min, demand):
            yield SpecRule.SHARE_MIN, place
        if share is not None and inside > Fraction(share.max) * carried.total + carried.one_replica:
            yield SpecRule.SHARE_MAX, place


def _at_least(share: float, demand: int) -> Fraction:
    """Return the least capacity that is a share of a demand; shares count to a millionth."""
    return Fraction(round(share * 1_000_000), 1_000_000) * demand


def _is_in(region: RegionId, place: str, known: Mapping[RegionId, Region]) -> bool:
    here = known.get(region)
    return place in (region, provider_of(region)) or (here is not None and here.jurisdiction == place)


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (packing, allowed, places, reported)
