"""Rules on where replicas are: they fit, they may be there, and what is not kept is reported. Pure.

Every figure is computed anew from the replicas and the spec; the solver's own is never used.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from providers.regions import known_regions
from scheduler.check.facts import at_least, at_most, carried_by, demand_of, fitted_ms, is_chosen
from scheduler.check.machines import machines_for, replicas_on
from state.model.catalog import Machine, Market, Region
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.placement import ReplicaCount, SpecRule
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from state.model.spec import Application, CapacitySpec, Client, Shape, Spot
from state.model.units import MILLI

UNMET: Final = "demand"
"""The subject of a finding on demand that is neither placed nor reported."""
TOLERANCE_MS: Final = 1e-4
"""Two formulas of one distance differ by 20 cm near the antipodes, which the fit counts as 3 ns."""


def unknown_replicas(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find replicas of an application or a shape that the spec lacks, and negative counts."""
    if snapshot.wanted is None:
        return
    applications = dict(snapshot.wanted.spec.named())
    for replicas in plan.placement.replicas:
        application = applications.get(replicas.application)
        shapes = 0 if application is None else len(application.shapes)
        if not 0 <= replicas.shape < shapes or replicas.count < 0:
            yield Finding(PlanRule.UNKNOWN_REPLICA, Severity.ERROR, replicas.region, replicas.application)


@dataclass(slots=True)
class _Carried:
    """Where one application's capacity is, in thousandths of its unit."""

    name: ApplicationName
    application: Application
    by_region: Counter[RegionId] = field(default_factory=Counter)
    spot: Counter[RegionId] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.by_region.total()

    @property
    def one_replica(self) -> int:
        return max(carried_by(self.application, shape) for shape in self.application.shapes)


def _carried(plan: Plan, snapshot: Snapshot) -> Iterator[_Carried]:
    if snapshot.wanted is None:
        return
    found = {name: _Carried(name, application) for name, application in snapshot.wanted.spec.named()}
    for replicas in plan.placement.replicas:
        carried = found[replicas.application]
        capacity = replicas.count * carried_by(carried.application, carried.application.shapes[replicas.shape])
        carried.by_region[replicas.region] += capacity
        if replicas.is_spot:
            carried.spot[replicas.region] += capacity
    yield from found.values()


@dataclass(slots=True)
class _Pool:
    """Machines of one instance type and market in a place, and the replicas that are to run on them."""

    machine: Machine | None = None
    machines: int = 0
    replicas: list[tuple[Shape, int]] = field(default_factory=list)
    applications: set[ApplicationName] = field(default_factory=set)


def packing(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find replicas that do not fit on the machines of their region, or of their zone; figures are thousandths of GPUs.

    Each application with replicas there has a part in it. The figures may be less than there is: a part lies in one
    GPU, and vCPUs and memory count too.
    """
    if snapshot.wanted is None:
        return
    for (place, instance_type, _), pool in sorted(_pools(plan, snapshot.wanted.spec).items()):
        gpus = 0 if pool.machine is None else pool.machine.gpus * MILLI * pool.machines
        wanted = sum(count * shape.machines * round(shape.count * MILLI) for shape, count in pool.replicas)
        for name in sorted(pool.applications) if not _fits(pool) else ():
            yield Finding(PlanRule.PACKING, Severity.ERROR, f"{place}/{instance_type}", name, wanted, gpus)


def _fits(pool: _Pool) -> bool:
    """Return whether the replicas of a pool need no more machines than it has, and none of them more than one holds."""
    machine = pool.machine
    placed = [(shape, count) for shape, count in pool.replicas if count]
    if machine is None or any(replicas_on(shape, machine) < 1 for shape, _ in placed):
        return not placed
    return machines_for(machine, placed) <= pool.machines


def _pools(plan: Plan, spec: CapacitySpec) -> dict[tuple[str, str, Market], _Pool]:
    by_zone = any(replicas.zone is not None for replicas in plan.placement.replicas)
    pools: dict[tuple[str, str, Market], _Pool] = {}
    for placed in plan.placement.machines:
        if placed.role is Role.WORKER:
            key = placed.offer.key
            place = f"{key.region}/{key.zone}" if by_zone else str(key.region)
            pool = pools.setdefault((place, key.instance_type, key.market), _Pool())
            pool.machine = placed.offer.machine
            pool.machines += placed.count
    for replicas in plan.placement.replicas:
        shape = spec.applications[replicas.application].shapes[replicas.shape]
        place = f"{replicas.region}/{replicas.zone}" if by_zone else str(replicas.region)
        pool = pools.setdefault((place, replicas.instance_type, _market(replicas)), _Pool())
        pool.replicas.append((shape, replicas.count))
        pool.applications.add(replicas.application)
    return pools


def _market(replicas: ReplicaCount) -> Market:
    if replicas.is_reserved:
        return Market.RESERVED
    return Market.SPOT if replicas.is_spot else Market.ON_DEMAND


def allowed(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find machines of a provider or region that the spec does not allow."""
    if snapshot.wanted is None:
        return
    spec = snapshot.wanted.spec
    for region in sorted({machine.offer.key.region for machine in plan.placement.machines}):
        for choice, name in ((spec.providers, str(provider_of(region))), (spec.regions, str(region))):
            if not is_chosen(name, choice):
                yield Finding(PlanRule.ALLOWED, Severity.ERROR, name)


def places(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find replicas outside their jurisdictions, too far from their clients, or on spot where that is not allowed."""
    known = known_regions(snapshot.own_regions)
    for carried in _carried(plan, snapshot):
        for region in sorted(carried.by_region):
            if not is_under(carried.application, region, known):
                yield Finding(PlanRule.JURISDICTION, Severity.ERROR, region, carried.name)
            if is_too_far(carried.application, region, snapshot, known):
                yield Finding(PlanRule.LATENCY, Severity.ERROR, region, carried.name)
        if carried.application.market.spot is Spot.NEVER:
            for region in sorted(region for region, capacity in carried.spot.items() if capacity):
                yield Finding(PlanRule.SPOT, Severity.ERROR, region, carried.name)


def is_under(application: Application, region: RegionId, known: Mapping[RegionId, Region]) -> bool:
    """Return whether a region lies in one of the jurisdictions that an application may be in."""
    wanted, here = application.regions.jurisdictions, known.get(region)
    return not wanted or (here is not None and here.jurisdiction in wanted)


def is_too_far(
    application: Application, region: RegionId, snapshot: Snapshot, known: Mapping[RegionId, Region]
) -> bool:
    """Return whether a region is farther from an application's clients than it may be; unknown distances are."""
    latency = application.latency
    if latency is None:
        return False
    trips = [_round_trip(client, region, snapshot, known) for client in latency.clients]
    found = [trip for trip in trips if trip is not None]
    if len(found) < len(trips):
        return True
    weights = [client.weight for client in latency.clients]
    expected = sum(trip * weight for trip, weight in zip(found, weights, strict=True)) / sum(weights)
    return expected > latency.max_ms + TOLERANCE_MS or (
        latency.worst_ms is not None and max(found) > latency.worst_ms + TOLERANCE_MS
    )


def _round_trip(client: Client, region: RegionId, snapshot: Snapshot, known: Mapping[RegionId, Region]) -> float | None:
    """Return the round trip in milliseconds: measured there, else measured back, else fitted from the distance."""
    if client.near is not None:
        near = RegionId(client.near)
        there = [ms for one, other, ms in snapshot.latencies if (one, other) == (near, region)]
        back = [ms for one, other, ms in snapshot.latencies if (one, other) == (region, near)]
        if there or back:
            return there[-1] if there else back[0]
        origin = known.get(near)
        point = None if origin is None else (origin.latitude, origin.longitude)
    else:
        point = (client.latitude or 0.0, client.longitude or 0.0)
    here = known.get(region)
    return None if point is None or here is None else fitted_ms(point, (here.latitude, here.longitude))


def reported(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find rules of the spec that are not kept and that the placement does not report, by application and subject."""
    known = known_regions(snapshot.own_regions)
    violations = {(v.application, v.rule, v.subject) for v in plan.placement.violations}
    unmet = {line.application: line.missing_milli for line in plan.placement.unmet}
    for carried in _carried(plan, snapshot):
        missing = max(0, demand_of(carried.application) - carried.total)
        if missing != unmet.get(carried.name, 0):
            reported_missing = unmet.get(carried.name, 0)
            yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, UNMET, carried.name, reported_missing, missing)
        for rule, subject in (*_spread_faults(carried), *_market_faults(carried), *_place_faults(carried, known)):
            if (carried.name, rule, subject) not in violations:
                yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, f"{rule} {subject}".strip(), carried.name)


def _spread_faults(carried: _Carried) -> Iterator[tuple[SpecRule, str]]:
    rules = carried.application.regions
    if sum(capacity > 0 for capacity in carried.by_region.values()) < rules.min:
        yield SpecRule.REGIONS_MIN, ""
    ceiling = at_most(rules.max_share, carried.total, carried.one_replica)
    for region, capacity in sorted(carried.by_region.items()):
        if capacity > ceiling:
            yield SpecRule.MAX_SHARE, region


def _market_faults(carried: _Carried) -> Iterator[tuple[SpecRule, str]]:
    market, demand = carried.application.market, demand_of(carried.application)
    for region, lost in sorted(carried.spot.items()):
        if lost and carried.total - lost < at_least(market.survive_spot_loss, demand):
            yield SpecRule.SURVIVE_SPOT_LOSS, region
    if carried.total - carried.spot.total() < at_least(market.on_demand_floor, demand):
        yield SpecRule.ON_DEMAND_FLOOR, ""


def _place_faults(carried: _Carried, known: Mapping[RegionId, Region]) -> Iterator[tuple[SpecRule, str]]:
    rules, demand = carried.application.regions, demand_of(carried.application)
    for place in sorted({*rules.floors, *rules.shares}):
        inside = sum(capacity for region, capacity in carried.by_region.items() if _is_in(region, place, known))
        if inside < round(rules.floors.get(place, 0.0) * MILLI):
            yield SpecRule.FLOOR, place
        share = rules.shares.get(place)
        if share is not None and inside < at_least(share.min, demand):
            yield SpecRule.SHARE_MIN, place
        if share is not None and inside > at_most(share.max, carried.total, carried.one_replica):
            yield SpecRule.SHARE_MAX, place


def _is_in(region: RegionId, place: str, known: Mapping[RegionId, Region]) -> bool:
    here = known.get(region)
    return place in (region, provider_of(region)) or (here is not None and here.jurisdiction == place)


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (packing, allowed, places, reported)
