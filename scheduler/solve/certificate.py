"""The certificate: for each loss that the spec names, what is left, against what must be."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scheduler.solve.credit import domain_of, left_milli
from scheduler.solve.domains import at_most, domain_name, is_in, required_milli, share_of
from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import IntArray
from state.model.catalog import OfferKey, Region
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement, SpecRule, Survival, Unit, Violation
from state.model.spec import Application, CapacitySpec, FailureDomain
from state.model.units import MILLI


def certificate(
    spec: CapacitySpec, placement: Placement, formulation: Formulation | None = None
) -> tuple[Survival, ...]:
    """Return one line per application and failure domain, from the placement; credits from what it leaves in stock.

    Without a formulation, which knows what is sold, nothing is credited.
    """
    found = []
    left = None if formulation is None else _left(placement, formulation)
    for name, application in spec.named():
        for line in _lines(name, application, placement):
            credited = 0
            if application.survive.replacement_credit and formulation is not None and left is not None:
                credited = _credit(line, formulation, left)
            found.append(replace(line, credited_milli=credited))
    return tuple(found)


def _lines(name: ApplicationName, application: Application, placement: Placement) -> list[Survival]:
    kind = application.survive.any
    if kind is FailureDomain.NONE:
        return []
    carried: Counter[str] = Counter()
    for r in placement.replicas:
        if r.application == name:
            carried[domain_name(kind, r.region, r.zone or "")] += r.count * r.milli_each
    total, required = carried.total(), required_milli(application)
    return [Survival(name, kind, domain, total - lost, required) for domain, lost in sorted(carried.items())]


def _left(placement: Placement, formulation: Formulation) -> IntArray:
    """Return by group how many machines stay in stock, zone by zone: one zone's do not stand for another's."""
    placed: Counter[OfferKey] = Counter()
    for machine in placement.machines:
        placed[machine.offer.key] += machine.count if machine.role is Role.WORKER else 0
    found = np.zeros(formulation.problem.groups, np.int64)
    for g in np.flatnonzero(formulation.problem.spare):
        for key, stock in formulation.supply.groups[g].spare:
            found[g] += max(0, stock - max(0, placed[key] - formulation.supply.existing[key]))
    return found


def _credit(line: Survival, formulation: Formulation, left: IntArray) -> int:
    """Return what may be bought after a loss, at an even share of what is left."""
    p, a = formulation.problem, formulation.names.index(line.application)
    for g, group in enumerate(formulation.supply.groups):
        if domain_name(line.kind, group.region, group.offers[0].key.zone) == line.domain:
            return min(int(p.credit[a]), left_milli(p, a, domain_of(p, a, g), left))
    return 0


def violations(spec: CapacitySpec, placement: Placement, known: Mapping[RegionId, Region]) -> tuple[Violation, ...]:
    """Return the rules of the spec that a placement with its certificate does not keep; unmet demand apart."""
    return tuple(
        violation
        for name, application in spec.named()
        for rule in (_too_few_regions, _not_surviving, _spot_violations, _share_violations, _place_violations)
        for violation in rule(_Placed.of(name, application, placement), known)
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """One application and where its capacity is, in thousandths."""

    name: ApplicationName
    application: Application
    placement: Placement
    by_region: Counter[RegionId]
    spot: Counter[RegionId]
    total: int
    largest: int
    """The largest replica: shares hold give or take one."""

    @classmethod
    def of(cls, name: ApplicationName, application: Application, placement: Placement) -> "_Placed":
        by_region: Counter[RegionId] = Counter()
        spot: Counter[RegionId] = Counter()
        for r in placement.replicas:
            if r.application == name:
                by_region[r.region] += r.count * r.milli_each
                spot[r.region] += r.count * r.milli_each * r.is_spot
        largest = max(application.replica_milli(shape) for shape in application.shapes)
        return cls(name, application, placement, by_region, spot, by_region.total(), largest)

    def violation(self, rule: SpecRule, subject: str, actual: int, required: int) -> Violation:
        return Violation(self.name, rule, subject, actual, required, unit_of(self.application))


def _too_few_regions(placed: _Placed, _known: Mapping[RegionId, Region]) -> Iterator[Violation]:
    count, required = len(placed.by_region), placed.application.regions.min
    if count < required:
        yield Violation(placed.name, SpecRule.REGIONS_MIN, "", count * MILLI, required * MILLI, Unit.REGIONS)


def _not_surviving(placed: _Placed, _known: Mapping[RegionId, Region]) -> Iterator[Violation]:
    for line in placed.placement.certificate:
        if line.application == placed.name and not line.holds:
            remaining = line.remaining_milli + line.credited_milli
            yield placed.violation(SpecRule.SURVIVE, line.domain, remaining, line.required_milli)


def _spot_violations(placed: _Placed, _known: Mapping[RegionId, Region]) -> Iterator[Violation]:
    market, demand = placed.application.market, placed.application.demand.milli
    left = share_of(demand, market.survive_spot_loss)
    for region, lost in sorted(placed.spot.items()):
        if lost and placed.total - lost < left:
            yield placed.violation(SpecRule.SURVIVE_SPOT_LOSS, region, placed.total - lost, left)
    bought, floor = placed.total - placed.spot.total(), share_of(demand, market.on_demand_floor)
    if bought < floor:
        yield placed.violation(SpecRule.ON_DEMAND_FLOOR, "", bought, floor)


def _share_violations(placed: _Placed, _known: Mapping[RegionId, Region]) -> Iterator[Violation]:
    share = placed.application.regions.max_share
    for region, carried in sorted(placed.by_region.items()):
        if carried > at_most(placed.total, share, placed.largest):
            yield placed.violation(SpecRule.MAX_SHARE, region, carried, at_most(placed.total, share, 0))


def _place_violations(placed: _Placed, known: Mapping[RegionId, Region]) -> Iterator[Violation]:
    rules, demand = placed.application.regions, placed.application.demand.milli
    for place in sorted({*rules.floors, *rules.shares}):
        inside = sum(carried for region, carried in placed.by_region.items() if is_in(region, place, known))
        floor = round(rules.floors.get(place, 0.0) * MILLI)
        if inside < floor:
            yield placed.violation(SpecRule.FLOOR, place, inside, floor)
        share = rules.shares.get(place)
        if share is None:
            continue
        if inside < share_of(demand, share.min):
            yield placed.violation(SpecRule.SHARE_MIN, place, inside, share_of(demand, share.min))
        if inside > at_most(placed.total, share.max, placed.largest):
            yield placed.violation(SpecRule.SHARE_MAX, place, inside, at_most(placed.total, share.max, 0))


def unit_of(application: Application) -> Unit:
    """Return what the demand of an application counts."""
    return Unit.REPLICAS if application.demand.requests_per_second is None else Unit.REQUESTS_PER_SECOND
