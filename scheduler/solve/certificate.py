"""The certificate: for each loss that the spec names, what is left, against what must be."""

from collections import Counter
from collections.abc import Mapping

from scheduler.solve.formulate import Formulation
from scheduler.solve.places import domain_of, is_in, required_milli, share_of
from state.model.catalog import Market, Region
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement, Survival
from state.model.spec import Application, CapacitySpec, FailureDomain
from state.model.units import MILLI


def certificate(
    spec: CapacitySpec, placement: Placement, formulation: Formulation | None = None
) -> tuple[Survival, ...]:
    """Return one line per application and failure domain, from the placement; credits from what is sold."""
    return tuple(
        line for name, application in spec.named() for line in _lines(spec, name, application, placement, formulation)
    )


def _lines(
    spec: CapacitySpec,
    name: ApplicationName,
    application: Application,
    placement: Placement,
    formulation: Formulation | None,
) -> list[Survival]:
    kind = application.survive.any
    if kind is FailureDomain.NONE:
        return []
    carried: Counter[str] = Counter()
    for r in placement.replicas:
        if r.application == name:
            carried[domain_of(kind, r.region, r.zone or "")] += r.count * r.milli_each
    total = carried.total()
    return [
        Survival(
            application=name,
            kind=kind,
            domain=domain,
            remaining_milli=total - lost,
            required_milli=required_milli(application),
            credited_milli=_credit(spec, name, application, placement, formulation, domain),
        )
        for domain, lost in sorted(carried.items())
    ]


def _credit(
    spec: CapacitySpec,
    name: ApplicationName,
    application: Application,
    placement: Placement,
    formulation: Formulation | None,
    domain: str,
) -> int:
    """Return what may be bought after a loss: on-demand stock that is known, elsewhere, and nobody's yet.

    Applications that count on such stock share it evenly, so that no machine is counted on twice.
    """
    share = application.survive.replacement_credit
    if share == 0 or formulation is None:
        return 0
    sharing = sum(a.survive.replacement_credit > 0 for _, a in spec.named())
    used: Counter[object] = Counter()
    for machine in placement.machines:
        if machine.role is Role.WORKER:
            used[machine.offer.key] += machine.count
    p = formulation.problem
    a = formulation.names.index(name)
    spare = 0
    for g in {int(p.group[j]) for j in range(int(p.first[a]), int(p.first[a + 1]))}:
        group = formulation.sold.groups[g]
        kind = application.survive.any
        if group.market is not Market.ON_DEMAND:
            continue
        best = max(
            int(p.per_machine[j] * p.each[j])
            for j in range(int(p.first[a]), int(p.first[a + 1]))
            if int(p.group[j]) == g
        )
        for offer in group.offers:
            if offer.stock is not None and domain_of(kind, group.region, offer.key.zone) != domain:
                new = max(0, used[offer.key] - group.standing)
                spare += max(0, offer.stock - new) // sharing * best
    return min(share_of(application.demand.milli, share), spare)


def violations(spec: CapacitySpec, placement: Placement, known: Mapping[RegionId, Region]) -> tuple[str, ...]:
    """Return the rules that a placement with its certificate does not keep, in words; unplaced demand apart."""
    return tuple(
        text for name, application in spec.named() for text in _violations(name, application, placement, known)
    )


def _violations(
    name: ApplicationName, application: Application, placement: Placement, known: Mapping[RegionId, Region]
) -> list[str]:
    found = []
    mine = [r for r in placement.replicas if r.application == name]
    regions = {r.region for r in mine}
    if len(regions) < application.regions.min:
        found.append(f"{name}: stands in {len(regions)} regions, not in {application.regions.min}")
    for line in placement.certificate:
        if line.application == name and not line.holds:
            short = (line.required_milli - line.remaining_milli - line.credited_milli) / MILLI
            found.append(f"{name}: the loss of {line.domain} would leave {short:g} of the demand unserved")
    total = placement.capacity_milli(name)
    demand = application.demand.milli
    left = share_of(demand, application.market.survive_spot_loss)
    spot = Counter(dict.fromkeys(regions, 0))
    for r in mine:
        spot[r.region] += r.count * r.milli_each * r.is_spot
    for region, lost in sorted(spot.items()):
        if lost and total - lost < left:
            found.append(
                f"{name}: {region} without its spot machines would leave {(left - total + lost) / MILLI:g} short"
            )
    return found + _place_violations(name, application, placement, known)


def _place_violations(
    name: ApplicationName, application: Application, placement: Placement, known: Mapping[RegionId, Region]
) -> list[str]:
    found = []
    rules = application.regions
    total = placement.capacity_milli(name)
    largest = max((application.replica_milli(shape) for shape in application.shapes), default=0)
    for place in sorted({*rules.floors, *rules.shares}):
        share = rules.shares.get(place)
        least = round(rules.floors.get(place, 0.0) * MILLI)
        if share is not None:
            least = max(least, share_of(application.demand.milli, share.min))
        inside = sum(
            r.count * r.milli_each
            for r in placement.replicas
            if r.application == name and is_in(r.region, place, known)
        )
        if inside < least:
            found.append(f"{name}: {place} carries {inside / MILLI:g}, not {least / MILLI:g}")
        if share is not None and inside > share.max * total + largest:
            found.append(f"{name}: {place} carries {inside / MILLI:g} of {total / MILLI:g}, more than its share")
    return found
