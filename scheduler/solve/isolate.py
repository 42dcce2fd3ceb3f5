"""A placement in which some applications stay as they were placed, and all others are placed on the rest. Pure.

It is for a plan that breaks a rule for one application: the others go on without it. What stands of it keeps machines
to itself, so that both parts fit whatever the others get.
"""

from collections import Counter, defaultdict
from dataclasses import replace

from providers.regions import known_regions
from scheduler.region_policy import is_excluded
from scheduler.solve.certificate import certificate, unit_of, violations
from scheduler.solve.fit import replicas_per_machine
from scheduler.solve.hold import Settled, settle
from scheduler.solve.supply import offer_of
from state.model.catalog import ChoiceKind, Market, Offer, OfferChoice
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Instance, Role
from state.model.placement import MachineCount, Placement, ReplicaCount, UnmetDemand
from state.model.snapshot import Snapshot, Wanted
from state.model.spec import CapacitySpec
from state.model.units import Usd, total

_Pool = tuple[RegionId, str | None, str, Market]
"""Region, zone where it matters, instance type and market."""


def settle_apart(snapshot: Snapshot, apart: frozenset[ApplicationName]) -> Settled:
    """Return the placement to act on with some applications left as they stand.

    Args:
        snapshot: What is known; something is wanted.
        apart: Applications that nothing is decided for; one that stands nowhere is not placed.
    """
    wanted = snapshot.wanted
    if wanted is None:
        msg = "nothing is wanted"
        raise AssertionError(msg)
    kept, machines = _kept_replicas(snapshot, wanted.spec, apart)
    others = settle(_without(snapshot, wanted, apart, machines))
    named = {name: application for name, application in wanted.spec.applications.items() if name in apart}
    own = wanted.spec.model_copy(update={"applications": named})
    placement = others.placement
    placement = replace(
        placement,
        machines=_together(snapshot, placement.machines, machines),
        replicas=(*placement.replicas, *kept),
        gap=None,
    )
    lines = certificate(own, placement)
    found = replace(placement, certificate=lines)
    return replace(
        others,
        placement=replace(
            placement,
            certificate=(*placement.certificate, *lines),
            unmet=(*placement.unmet, *_unmet(own, placement)),
            violations=(*placement.violations, *violations(own, found, known_regions(snapshot.own_regions))),
        ),
    )


def _kept_replicas(
    snapshot: Snapshot, spec: CapacitySpec, apart: frozenset[ApplicationName]
) -> tuple[tuple[ReplicaCount, ...], tuple[Instance, ...]]:
    """Return the replicas of applications that machines which exist can hold, and those machines."""
    free: dict[_Pool, list[Instance]] = defaultdict(list)
    by_zone = any(replicas.zone is not None for replicas in snapshot.placed)
    for instance in sorted(snapshot.instances, key=lambda i: i.id):
        if instance.exists and instance.role is Role.WORKER and not is_excluded(snapshot, instance.region):
            key = instance.key
            free[key.region, key.zone if by_zone else None, key.instance_type, key.market].append(instance)
    kept: list[ReplicaCount] = []
    used: list[Instance] = []
    for replicas in snapshot.placed:
        application = spec.applications.get(replicas.application)
        if replicas.application not in apart or application is None or replicas.shape >= len(application.shapes):
            continue
        pool = free[replicas.region, replicas.zone, replicas.instance_type, _market(replicas)]
        shape = application.shapes[replicas.shape]
        per_machine = replicas_per_machine(shape, pool[0].machine) if pool else 0
        count = min(replicas.count, len(pool) * per_machine // shape.machines) if per_machine else 0
        if count:
            needed = -(-count * shape.machines // per_machine)
            used += pool[:needed]
            del pool[:needed]
            kept.append(replace(replicas, count=count, milli_each=application.replica_milli(shape)))
    return tuple(kept), tuple(used)


def _market(replicas: ReplicaCount) -> Market:
    if replicas.is_reserved:
        return Market.RESERVED
    return Market.SPOT if replicas.is_spot else Market.ON_DEMAND


def _without(
    snapshot: Snapshot, wanted: Wanted, apart: frozenset[ApplicationName], machines: tuple[Instance, ...]
) -> Snapshot:
    """Return the snapshot without some applications, their machines, and what these cost.

    What was placed of them stays in it: where it is by zone, the others are too.
    """
    held = {machine.id for machine in machines}
    left = max(0, wanted.spec.max_per_hour.micros - total([m.price_per_hour for m in machines]).micros)
    others = {name: a for name, a in wanted.spec.applications.items() if name not in apart}
    budget = wanted.spec.budget.model_copy(update={"max_usd_per_hour": Usd(left).dollars})
    spec = wanted.spec.model_copy(update={"applications": others, "budget": budget})
    return replace(
        snapshot,
        wanted=replace(wanted, spec=spec),
        instances=tuple(i for i in snapshot.instances if i.id not in held),
    )


def _together(
    snapshot: Snapshot, placed: tuple[MachineCount, ...], machines: tuple[Instance, ...]
) -> tuple[MachineCount, ...]:
    """Return machines of a placement with others that exist, and the heads of their cells."""
    sold: dict[object, Offer] = {offer.key: offer for offer in snapshot.offers}
    opened = {m.offer.key.region for m in placed}
    regions = {machine.region for machine in machines} - opened
    heads = (i for i in snapshot.instances if i.role is Role.HEAD and i.exists and i.region in regions)
    counts: Counter[tuple[Offer, Role]] = Counter()
    for machine in (*machines, *heads):
        counts[sold.get(machine.key) or offer_of(machine), machine.role] += 1
    found = [replace(m, count=m.count + counts.pop((m.offer, m.role), 0)) for m in placed]
    added = sorted(counts.items(), key=lambda item: (item[0][0].key, item[0][1]))
    return (*found, *(MachineCount(offer, role, n, OfferChoice(ChoiceKind.FIXED)) for (offer, role), n in added))


def _unmet(spec: CapacitySpec, placement: Placement) -> tuple[UnmetDemand, ...]:
    return tuple(
        UnmetDemand(name, missing, application.demand.milli, unit_of(application), ())
        for name, application in spec.named()
        if (missing := application.demand.milli - placement.capacity_milli(name)) > 0
    )
