"""The certificate: for each loss that the spec names, what is left, against what must be."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.region_policy import must_be_left_alone
from scheduler.solve.domains import domain_name, is_in, required_milli, share_of
from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import PPM, UNIT
from scheduler.solve.supply import shortage_of
from state.model.catalog import Market, OfferKey, Region
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement, SpecRule, Survival, Unit, Violation
from state.model.snapshot import Snapshot
from state.model.spec import Application, CapacitySpec, FailureDomain
from state.model.units import MILLI


@dataclass(frozen=True, slots=True)
class ReplacementStock:
    """What may be bought after a loss: on-demand machines that are known to be left once the placement is there."""

    formulation: Formulation
    left: Mapping[OfferKey, int]

    @classmethod
    def of(cls, snapshot: Snapshot, placement: Placement, formulation: Formulation) -> "ReplacementStock":
        """Return the stock; neither a shortage nor a region that must be left alone has any."""
        existing = Counter(i.key for i in snapshot.instances if i.exists and i.role is Role.WORKER)
        placed: Counter[OfferKey] = Counter()
        for machine in placement.machines:
            placed[machine.offer.key] += machine.count if machine.role is Role.WORKER else 0
        left = {
            offer.key: max(0, offer.stock - max(0, placed[offer.key] - existing[offer.key]))
            for group in formulation.supply.groups
            if group.market is Market.ON_DEMAND and not must_be_left_alone(snapshot, group.region)
            for offer in group.offers
            if offer.stock is not None and shortage_of(snapshot, offer) is None
        }
        return cls(formulation, left)

    def capacity_milli(self, name: ApplicationName, kind: FailureDomain, domain: str, sharing: int) -> int:
        """Return what an application can count on outside a failure domain, at an even share of each offer."""
        p, a = self.formulation.problem, self.formulation.names.index(name)
        capacity = 0
        pairs: dict[int, list[int]] = {}
        for j in range(int(p.first[a]), int(p.first[a + 1])):
            pairs.setdefault(int(p.group[j]), []).append(j)
        for g, members in pairs.items():
            for offer in self.formulation.supply.groups[g].offers:
                count = self.left.get(offer.key, 0) // sharing
                if domain_name(kind, offer.key.region, offer.key.zone) != domain:
                    capacity += max(self._carried(j, count) for j in members)
        return capacity

    def _carried(self, pair: int, machines: int) -> int:
        """Return what so many machines carry of a pair's shape; a gang needs several for one replica."""
        p = self.formulation.problem
        gang = max(1, int(p.size[pair]) // UNIT)
        return machines // gang * int(p.per_machine[pair]) * int(p.capacity_per_replica[pair])


def certificate(
    spec: CapacitySpec, placement: Placement, stock: ReplacementStock | None = None
) -> tuple[Survival, ...]:
    """Return one line per application and failure domain, from the placement; credits from what is sold."""
    return tuple(
        line for name, application in spec.named() for line in _lines(spec, name, application, placement, stock)
    )


def _lines(
    spec: CapacitySpec,
    name: ApplicationName,
    application: Application,
    placement: Placement,
    stock: ReplacementStock | None,
) -> list[Survival]:
    kind = application.survive.any
    if kind is FailureDomain.NONE:
        return []
    carried: Counter[str] = Counter()
    for r in placement.replicas:
        if r.application == name:
            carried[domain_name(kind, r.region, r.zone or "")] += r.count * r.milli_each
    total = carried.total()
    return [
        Survival(
            application=name,
            kind=kind,
            domain=domain,
            remaining_milli=total - lost,
            required_milli=required_milli(application),
            credited_milli=_credit(spec, name, application, stock, domain),
        )
        for domain, lost in sorted(carried.items())
    ]


def _credit(
    spec: CapacitySpec, name: ApplicationName, application: Application, stock: ReplacementStock | None, domain: str
) -> int:
    """Return what may be bought after a loss.

    Applications that count on such stock share it evenly, so that no machine is counted on twice.
    """
    share = application.survive.replacement_credit
    if share == 0 or stock is None:
        return 0
    sharing = sum(a.survive.replacement_credit > 0 for _, a in spec.named())
    capacity = stock.capacity_milli(name, application.survive.any, domain, sharing)
    return min(share_of(application.demand.milli, share), capacity)


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
        if _is_above(carried, share, placed):
            yield placed.violation(SpecRule.MAX_SHARE, region, carried, round(share * placed.total))


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
        if _is_above(inside, share.max, placed):
            yield placed.violation(SpecRule.SHARE_MAX, place, inside, round(share.max * placed.total))


def _is_above(carried: int, share: float, placed: _Placed) -> bool:
    """Return whether a place carries more than its share, give or take one replica; in whole numbers, so exactly."""
    return PPM * (carried - placed.largest) > round(share * PPM) * placed.total


def unit_of(application: Application) -> Unit:
    """Return what the demand of an application counts."""
    return Unit.REPLICAS if application.demand.requests_per_second is None else Unit.REQUESTS_PER_SECOND
