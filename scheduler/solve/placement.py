"""From a solution in counts to a placement: zones chosen, choices and causes in figures. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from providers.regions import known_regions
from scheduler.solve.certificate import certificate, unit_of, violations
from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import UNIT, IntArray
from scheduler.solve.solution import Solution
from scheduler.solve.supply import OfferGroup, shortage_of, zones_matter
from state.model.catalog import ChoiceKind, Market, Offer, OfferChoice
from state.model.ids import ApplicationName
from state.model.inventory import Role
from state.model.placement import MachineCount, Placement, RefusalCause, ReplicaCount, UnmetDemand
from state.model.snapshot import Snapshot
from state.model.spec import Application, CapacitySpec
from state.model.units import MILLI, Usd


@dataclass(frozen=True, slots=True)
class _Context:
    """A formulation, and what a solution leaves of its limits."""

    formulation: Formulation
    machines: IntArray
    """By group."""
    quota_left: IntArray
    """By quota."""

    @classmethod
    def of(cls, formulation: Formulation, machines: IntArray) -> "_Context":
        p = formulation.problem
        size = p.quota_size * np.repeat(machines, np.diff(p.quota_first))
        left = p.quota_headroom.copy()
        np.subtract.at(left, p.quota, size)
        return cls(formulation, machines, left)

    def head_price(self, group: OfferGroup) -> int:
        return self.formulation.supply.heads[group.region].price.per_hour.micros


def placement_of(snapshot: Snapshot, spec: CapacitySpec, formulation: Formulation, solution: Solution) -> Placement:
    """Return the placement that *solution* describes."""
    machines = (*_workers(snapshot, formulation, solution), *_heads(formulation, solution))
    placement = Placement(
        machines, _replicas(snapshot, spec, formulation, solution), refusals=formulation.refusals, gap=solution.gap
    )
    context = _Context.of(formulation, solution.machines)
    placement = replace(placement, certificate=certificate(spec, placement, formulation))
    missed = violations(spec, placement, known_regions(snapshot.own_regions))
    unmet = (_unmet(name, application, placement, context) for name, application in spec.named())
    return replace(
        placement,
        unmet=tuple(line for line in unmet if line is not None),
        violations=tuple(replace(v, causes=_causes(v.application, placement, context)) for v in missed),
    )


def _replicas(
    snapshot: Snapshot, spec: CapacitySpec, formulation: Formulation, solution: Solution
) -> tuple[ReplicaCount, ...]:
    p, groups, owner = formulation.problem, formulation.supply.groups, formulation.problem.owner
    by_zone = zones_matter(snapshot, spec)
    found = []
    for j in np.flatnonzero(solution.replicas):
        group = groups[p.group[j]]
        found.append(
            ReplicaCount(
                application=formulation.names[owner[j]],
                region=group.region,
                shape=int(p.shape[j]),
                instance_type=group.instance_type,
                is_spot=group.market is Market.SPOT,
                count=int(solution.replicas[j]),
                milli_each=int(p.capacity_per_replica[j]),
                zone=group.offers[0].key.zone if by_zone else None,
                is_reserved=group.market is Market.RESERVED,
            )
        )
    return tuple(found)


def _workers(snapshot: Snapshot, formulation: Formulation, solution: Solution) -> Iterator[MachineCount]:
    costs = _unit_costs(formulation)
    for g, group in enumerate(formulation.supply.groups):
        count = int(solution.machines[g])
        if count:
            choice = _choice(g, costs, is_new=count > group.existing)
            yield from (MachineCount(o, Role.WORKER, n, choice) for o, n in _spread(snapshot, group, count))


def _heads(formulation: Formulation, solution: Solution) -> Iterator[MachineCount]:
    groups = formulation.supply.groups
    for region in sorted({groups[g].region for g in np.flatnonzero(solution.machines)}):
        yield MachineCount(formulation.supply.heads[region], Role.HEAD, 1, OfferChoice(ChoiceKind.HEAD))


def _spread(snapshot: Snapshot, group: OfferGroup, count: int) -> list[tuple[Offer, int]]:
    """Return how many machines go in which zone: existing ones stay, new ones go where fewest are.

    A zone that is short of machines, or has no more stock, gets no new ones.
    """
    existing: Counter[str] = Counter(
        i.key.zone
        for i in snapshot.instances
        if i.exists and i.role is Role.WORKER and any(i.key == o.key for o in group.offers)
    )
    headroom = {
        offer.key.zone: snapshot.limits.machines_per_offer if offer.stock is None else offer.stock
        for offer in group.offers
        if shortage_of(snapshot, offer) is None
    }
    while existing.total() < count:
        zone = min((z for z in headroom if headroom[z] > 0), key=lambda z: (existing[z], z))
        existing[zone] += 1
        headroom[zone] -= 1
    while existing.total() > count:
        zone = max(existing, key=lambda z: (existing[z], z))
        existing[zone] -= 1
    return [(offer, existing[offer.key.zone]) for offer in group.offers if existing[offer.key.zone]]


def _unit_costs(formulation: Formulation) -> dict[int, float]:
    """Return by group what a unit of demand costs there at best, in dollars per hour."""
    p = formulation.problem
    cost = p.price[p.group] * (p.size / UNIT) / p.capacity_per_replica * (MILLI / 1_000_000)
    best = np.full(p.groups, np.inf)
    np.minimum.at(best, p.group, cost)
    return {int(g): float(best[g]) for g in np.flatnonzero(np.isfinite(best))}


def _choice(index: int, costs: dict[int, float], *, is_new: bool) -> OfferChoice:
    """Return why this group: what a unit of demand costs here, and how that ranks."""
    if index not in costs:
        return OfferChoice(ChoiceKind.FIXED)
    rank = 1 + sum(cost < costs[index] for cost in costs.values())
    kind = ChoiceKind.RANKED if is_new else ChoiceKind.EXISTING
    return OfferChoice(kind, Usd.of(round(costs[index], 6)), rank, len(costs))


def _unmet(
    name: ApplicationName, application: Application, placement: Placement, context: _Context
) -> UnmetDemand | None:
    demand = application.demand.milli
    missing = demand - placement.capacity_milli(name)
    if missing <= 0:
        return None
    return UnmetDemand(name, missing, demand, unit_of(application), _causes(name, placement, context))


def _causes(name: ApplicationName, placement: Placement, context: _Context) -> tuple[tuple[RefusalCause, int], ...]:
    """Return why an application has no more replicas: how many offers each cause excludes, the most first."""
    causes = Counter({cause: count for app, cause, count in context.formulation.refusals if app == name})
    causes += _used_up(name, placement, context)
    return tuple(sorted(causes.items(), key=lambda pair: (-pair[1], pair[0])))


def _used_up(name: ApplicationName, placement: Placement, context: _Context) -> Counter[RefusalCause]:
    """Return how many offers that the application may use have no headroom for one more machine, by cause."""
    p, a = context.formulation.problem, context.formulation.names.index(name)
    causes: Counter[RefusalCause] = Counter()
    for g in sorted({int(g) for g in p.group[int(p.first[a]) : int(p.first[a + 1])]}):
        group = context.formulation.supply.groups[g]
        quotas = range(int(p.quota_first[g]), int(p.quota_first[g + 1]))
        head = 0 if any(m.offer.key.region == group.region for m in placement.machines) else context.head_price(group)
        if context.machines[g] >= p.high[g]:
            causes[RefusalCause.STOCK_OUT] += len(group.offers)
        elif any(context.quota_left[p.quota[k]] < p.quota_size[k] for k in quotas):
            causes[RefusalCause.QUOTA] += len(group.offers)
        elif placement.per_hour.micros + int(p.price[g]) + head > p.budget:
            causes[RefusalCause.BUDGET] += len(group.offers)
    return causes
