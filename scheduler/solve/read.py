"""The solver's answer, read back as a placement: zones chosen, reasons given."""

from collections import Counter
from dataclasses import replace

from scheduler.solve.feasible import Candidates, Group, shortage_covers
from scheduler.solve.highs import Answer
from scheduler.solve.program import Columns
from state.model.catalog import Market, Offer
from state.model.ids import ApplicationName
from state.model.inventory import Role
from state.model.plan import MachineCount, Placement, ReplicaCount, Snapshot, Unplaced
from state.model.spec import Application, CapacitySpec
from state.model.units import MILLI


def read_placement(
    snapshot: Snapshot, spec: CapacitySpec, chosen: Candidates, columns: Columns, answer: Answer
) -> Placement:
    """Return the placement that *answer* stands for."""
    replicas = tuple(
        ReplicaCount(
            application=pair.application,
            region=chosen.groups[pair.group].region,
            shape=pair.shape,
            instance_type=chosen.groups[pair.group].instance_type,
            is_spot=chosen.groups[pair.group].market is Market.SPOT,
            count=count,
            milli_each=pair.milli_each,
        )
        for number, pair in enumerate(chosen.pairs)
        if (count := answer.count(columns.replicas[number]))
    )
    machines: list[MachineCount] = []
    for index, group in enumerate(chosen.groups):
        count = answer.count(columns.machines[index])
        reason = _reason(index, chosen, count > group.standing)
        machines += [MachineCount(offer, Role.WORKER, n, reason) for offer, n in _spread(snapshot, group, count)]
    for region in sorted({machine.offer.key.region for machine in machines}):
        reason = "cheapest on-demand machine fit for a head"
        machines.append(MachineCount(chosen.heads[region], Role.HEAD, 1, reason))
    placement = Placement(tuple(machines), replicas, refusals=chosen.refusals, gap=answer.gap)
    unplaced = (_unplaced(name, application, placement, chosen) for name, application in spec.named())
    return replace(placement, unplaced=tuple(line for line in unplaced if line is not None))


def _spread(snapshot: Snapshot, group: Group, count: int) -> list[tuple[Offer, int]]:
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


def _reason(index: int, chosen: Candidates, is_new: bool) -> str:  # noqa: FBT001  read, not passed on
    """Return why this group: what a request per second costs here, and how that ranks."""
    costs = {
        n: min(
            chosen.groups[n].price.dollars * MILLI / (pair.per_machine * pair.milli_each)
            for pair in chosen.pairs
            if pair.group == n
        )
        for n in {pair.group for pair in chosen.pairs}
    }
    if index not in costs:
        return "stands in a region that must not be touched"
    rank = 1 + sum(cost < costs[index] for cost in costs.values())
    kept = "" if is_new else ", already stands"
    return f"${costs[index]:.3f} per unit of demand and hour, rank {rank} of {len(costs)}{kept}"


def _unplaced(
    name: ApplicationName, application: Application, placement: Placement, chosen: Candidates
) -> Unplaced | None:
    demand = application.demand.milli
    missing = demand - placement.capacity_milli(name)
    if missing <= 0:
        return None
    causes = tuple((cause, count) for app, cause, count in chosen.refusals if app == name)
    return Unplaced(name, missing, demand, causes)
