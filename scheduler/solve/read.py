"""The solver's answer, read back as a placement: zones chosen, reasons given."""

from collections import Counter
from dataclasses import replace

import numpy as np

from scheduler.solve.answer import Answer
from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import UNIT
from scheduler.solve.supply import OfferGroup, shortage_covers, zones_matter
from state.model.catalog import Market, Offer
from state.model.ids import ApplicationName
from state.model.inventory import Role
from state.model.placement import MachineCount, Placement, ReplicaCount, UnmetDemand
from state.model.snapshot import Snapshot
from state.model.spec import Application, CapacitySpec
from state.model.units import MILLI


def read_placement(snapshot: Snapshot, spec: CapacitySpec, formulation: Formulation, answer: Answer) -> Placement:
    """Return the placement that *answer* stands for."""
    p, groups = formulation.problem, formulation.sold.groups
    owner = p.owner
    by_zone = zones_matter(spec)
    replicas = tuple(
        ReplicaCount(
            application=formulation.names[owner[j]],
            region=groups[p.group[j]].region,
            shape=int(p.shape[j]),
            instance_type=groups[p.group[j]].instance_type,
            is_spot=groups[p.group[j]].market is Market.SPOT,
            count=int(answer.replicas[j]),
            milli_each=int(p.each[j]),
            zone=groups[p.group[j]].offers[0].key.zone if by_zone else None,
            is_reserved=groups[p.group[j]].market is Market.RESERVED,
        )
        for j in np.flatnonzero(answer.replicas)
    )
    costs = _unit_costs(formulation)
    machines: list[MachineCount] = []
    for g, group in enumerate(groups):
        count = int(answer.machines[g])
        if count:
            reason = _reason(g, costs, count > group.standing)
            machines += [MachineCount(offer, Role.WORKER, n, reason) for offer, n in _spread(snapshot, group, count)]
    for region in sorted({machine.offer.key.region for machine in machines}):
        reason = "cheapest on-demand machine fit for a head"
        machines.append(MachineCount(formulation.sold.heads[region], Role.HEAD, 1, reason))
    placement = Placement(tuple(machines), replicas, refusals=formulation.refusals, gap=answer.gap)
    unmet = (_unmet(name, application, placement, formulation) for name, application in spec.named())
    return replace(placement, unmet=tuple(line for line in unmet if line is not None))


def nothing(spec: CapacitySpec, formulation: Formulation) -> Placement:
    """Return the placement of nothing, with the reasons."""
    unmet = (_unmet(name, application, Placement(), formulation) for name, application in spec.named())
    return Placement(unmet=tuple(line for line in unmet if line is not None), refusals=formulation.refusals)


def _spread(snapshot: Snapshot, group: OfferGroup, count: int) -> list[tuple[Offer, int]]:
    """Return how many machines stand in which zone: those that stand stay, new ones go where fewest are.

    A zone that is short of machines, or has no more stock, gets no new ones.
    """
    standing: Counter[str] = Counter(
        i.key.zone
        for i in snapshot.instances
        if i.is_standing and i.role is Role.WORKER and any(i.key == o.key for o in group.offers)
    )
    room = {
        offer.key.zone: snapshot.limits.machines_per_offer if offer.stock is None else offer.stock
        for offer in group.offers
        if not any(shortage_covers(snapshot, offer))
    }
    while standing.total() < count:
        zone = min((z for z in room if room[z] > 0), key=lambda z: (standing[z], z))
        standing[zone] += 1
        room[zone] -= 1
    while standing.total() > count:
        zone = max(standing, key=lambda z: (standing[z], z))
        standing[zone] -= 1
    return [(offer, standing[offer.key.zone]) for offer in group.offers if standing[offer.key.zone]]


def _unit_costs(formulation: Formulation) -> dict[int, float]:
    """Return by group what a unit of demand costs there at best, in dollars per hour."""
    p = formulation.problem
    cost = p.price[p.group] * (p.size / UNIT) / p.each * (MILLI / 1_000_000)
    best = np.full(p.groups, np.inf)
    np.minimum.at(best, p.group, cost)
    return {int(g): float(best[g]) for g in np.flatnonzero(np.isfinite(best))}


def _reason(index: int, costs: dict[int, float], is_new: bool) -> str:  # noqa: FBT001  read, not passed on
    """Return why this group: what a unit of demand costs here, and how that ranks."""
    if index not in costs:
        return "stands in a region that must not be touched"
    rank = 1 + sum(cost < costs[index] for cost in costs.values())
    kept = "" if is_new else ", already stands"
    return f"${costs[index]:.3f} per unit of demand and hour, rank {rank} of {len(costs)}{kept}"


def _unmet(
    name: ApplicationName, application: Application, placement: Placement, formulation: Formulation
) -> UnmetDemand | None:
    demand = application.demand.milli
    missing = demand - placement.capacity_milli(name)
    if missing <= 0:
        return None
    causes = tuple((cause, count) for app, cause, count in formulation.refusals if app == name)
    return UnmetDemand(name, missing, demand, causes)
