"""Whether a placement is what it claims to be: every fault is a line of text."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from state.model.catalog import Machine, Market, OfferKey
from state.model.inventory import Role
from state.model.placement import Placement, SpecRule
from state.model.snapshot import Snapshot
from state.model.spec import Shape
from tests.model import rules

Bin = tuple[tuple[int, ...], Fraction, Fraction]
"""Free thousandths of each GPU, vCPUs and memory of one machine."""


def faults(snapshot: Snapshot, placement: Placement) -> list[str]:
    """Return what is wrong with a placement or with what it says of itself."""
    return [*_supply_faults(snapshot, placement), *_packing_faults(snapshot, placement), *_report(snapshot, placement)]


def what_is_missed(snapshot: Snapshot, placement: Placement) -> tuple[Fraction, ...]:
    """Return what a placement misses, the most important first."""
    assert snapshot.wanted is not None
    unserved, missed = {}, {}
    for name, application in snapshot.wanted.spec.applications.items():
        where = where_is(snapshot, placement, name)
        unserved[name] = max(0, rules.demand_of(application) - where.total)
        missed[name] = rules.misses(where, _credits(snapshot, placement, where))
    return rules.in_order(snapshot, unserved, missed)


def where_is(snapshot: Snapshot, placement: Placement, name: str) -> rules.Where:
    assert snapshot.wanted is not None
    application = snapshot.wanted.spec.applications[name]
    parts: Counter[tuple[str, str, bool]] = Counter()
    for r in placement.replicas:
        if r.application == name:
            carried = r.count * rules.carries(application, application.shapes[r.shape])
            parts[str(r.region), r.zone or "a", r.is_spot] += carried
    return rules.Where(application, dict(parts))


def _credits(snapshot: Snapshot, placement: Placement, where: rules.Where) -> dict[str, int]:
    used = rules.machines_of(placement)
    return {name: rules.credit_after(snapshot, where.application, used, name) for name in where.lost()}


def _supply_faults(snapshot: Snapshot, placement: Placement) -> Iterator[str]:
    assert snapshot.wanted is not None
    sold = {offer.key: offer for offer in snapshot.offers}
    spent, quota_used = 0, Counter[tuple[str, Market]]()
    for machine in placement.machines:
        key = machine.offer.key
        spent += machine.count * sold[key].price.per_hour.micros
        stock = sold[key].stock
        if machine.count > (snapshot.limits.machines_per_offer if stock is None else stock):
            yield f"{machine.count} of {key}, stock {stock}"
        if machine.role is Role.WORKER:
            quota_used[str(key.region), key.market] += machine.count * sold[key].machine.gpus
    workers = {m.offer.key.region for m in placement.machines if m.role is Role.WORKER}
    if workers != {m.offer.key.region for m in placement.machines if m.role is Role.HEAD}:
        yield "heads are not where workers are"
    if spent > snapshot.wanted.spec.max_per_hour.micros:
        yield f"spends {spent}"
    for quota in snapshot.quotas:
        if quota.market is not None and quota_used[str(quota.region), quota.market] > quota.limit:
            yield f"quota of {quota.region} {quota.market}"


def _packing_faults(snapshot: Snapshot, placement: Placement) -> Iterator[str]:
    assert snapshot.wanted is not None
    pools: dict[tuple[str, str, Market], list[tuple[Shape, int]]] = defaultdict(list)
    shapes: dict[tuple[str, str], set[int]] = defaultdict(set)
    for r in placement.replicas:
        application = snapshot.wanted.spec.applications[r.application]
        pools[rules.pool_of(r)].append((application.shapes[r.shape], r.count))
        shapes[r.application, str(r.region)].add(r.shape)
        if r.is_spot and application.market.spot == "never":
            yield f"{r.application} on spot"
    for (name, region), several in shapes.items():
        if len(several) > 1:
            yield f"{name} has {len(several)} shapes in {region}"
    machines: Counter[tuple[str, str, Market]] = Counter()
    kinds: dict[tuple[str, str, Market], Machine] = {}
    for key, count in rules.machines_of(placement).items():
        pool = (str(key.region), key.instance_type, key.market)
        machines[pool] += count
        kinds[pool] = next(o.machine for o in snapshot.offers if o.key == key)
    for pool, wanted in pools.items():
        if pool not in kinds or needed(kinds[pool], wanted) > machines[pool]:
            yield f"{pool}: {wanted} on {machines[pool]} machines, by the rule"
        elif not packs(kinds[pool], machines[pool], wanted):
            yield f"{pool}: {wanted} on {machines[pool]} machines, GPU by GPU"


def needed(machine: Machine, wanted: list[tuple[Shape, int]]) -> int:
    """Return how many machines replicas need by the rule of the spec's page."""
    whole, counts = 0, Counter[int]()
    for shape, count in wanted:
        if shape.machines > 1:
            whole += count * shape.machines
        else:
            held = rules.held_alone(shape, machine)
            if not held:
                return 1 << 30
            counts[held] += count
    mixed = Fraction()
    for held, count in counts.items():
        whole += count // held
        mixed += min(Fraction(1), Fraction(count % held, rules.places(held, machine.gpus)))
    return whole + ceil(mixed)


def packs(machine: Machine, machines: int, wanted: list[tuple[Shape, int]]) -> bool:
    """Return whether some way is found to put every replica into GPUs, vCPUs and memory of real machines.

    Full machines of one size first, then the largest first, each where least is left.
    """
    left = machines - sum(count * shape.machines for shape, count in wanted if shape.machines > 1)
    by_size: dict[int, list[Shape]] = defaultdict(list)
    for shape, count in wanted:
        if shape.machines == 1:
            by_size[rules.held_alone(shape, machine)] += [shape] * count
    rest: list[tuple[int, Shape]] = []
    for held, several in by_size.items():
        own = len(several) // held
        for n in range(own):
            free = _empty(machine)
            for shape in several[n * held : (n + 1) * held]:
                put = _put(free, shape)
                if put is None:
                    return False
                free = put
        left -= own
        rest += [(held, shape) for shape in several[own * held :]]
    bins = [_empty(machine) for _ in range(left)] if left >= 0 else []
    for _, shape in sorted(rest, key=lambda pair: (rules.places(pair[0], machine.gpus), -pair[1].count)):
        for n, free in sorted(enumerate(bins), key=lambda pair: sum(pair[1][0])):
            put = _put(free, shape)
            if put is not None:
                bins[n] = put
                break
        else:
            return False
    return left >= 0


def _empty(machine: Machine) -> Bin:
    return (1000,) * machine.gpus, Fraction(machine.vcpus), Fraction(machine.memory_gib)


def _put(free: Bin, shape: Shape) -> Bin | None:
    gpus, cpus, memory = list(free[0]), free[1] - Fraction(str(shape.cpus)), free[2] - Fraction(str(shape.memory_gib))
    milli = rules.thousandths(shape.count)
    if milli >= 1000:
        empty = [n for n, have in enumerate(gpus) if have == 1000][: milli // 1000]
        if len(empty) < milli // 1000:
            return None
        for n in empty:
            gpus[n] = 0
    else:
        fits = [n for n, have in enumerate(gpus) if have >= milli]
        if not fits:
            return None
        gpus[min(fits, key=lambda n: gpus[n])] -= milli
    return (tuple(gpus), cpus, memory) if cpus >= 0 and memory >= 0 else None


def _report(snapshot: Snapshot, placement: Placement) -> Iterator[str]:
    assert snapshot.wanted is not None
    said = {(v.application, v.rule, v.subject) for v in placement.violations}
    unmet = {u.application: u.missing_milli for u in placement.unmet}
    lines = {(line.application, line.domain): line for line in placement.certificate}
    due = set()
    for name, application in snapshot.wanted.spec.named():
        where = where_is(snapshot, placement, name)
        credit = _credits(snapshot, placement, where)
        # Of an application without replicas the certificate has no line.
        broken = set(rules.misses(where, credit)) - {(SpecRule.SURVIVE, "")}
        found = {(name, rule, subject) for rule, subject in broken}
        mine = {violation for violation in said if violation[0] == name}
        if found != mine:
            yield f"broken and not reported: {found - mine}; reported and not broken: {mine - found}"
        if unmet.get(name, 0) != max(0, rules.demand_of(application) - where.total):
            yield f"{name}: unmet {unmet.get(name, 0)}"
        for lost, amount in where.lost().items():
            due.add((name, lost))
            line = lines.get((name, lost))
            required = rules.at_least(application.survive.share, rules.demand_of(application))
            if line is None or (line.remaining_milli, line.required_milli, line.credited_milli) != (
                where.total - amount, required, credit[lost]
            ):  # fmt: skip
                yield f"{name}: line of {lost}: {line}, credit {credit[lost]}"
    if due != set(lines):
        yield f"lines of the certificate: {set(lines) ^ due}"


def paid(snapshot: Snapshot, placement: Placement) -> Fraction:
    """Return what the decision is to make least, in micro-dollars per hour: prices, starts and interruptions."""
    assert snapshot.wanted is not None
    costs, sold = snapshot.cost_model, {offer.key: offer for offer in snapshot.offers}
    total = Fraction()
    for machine in placement.machines:
        total += machine.count * started(snapshot, machine.offer.key)
    for r in placement.replicas:
        application = snapshot.wanted.spec.applications[r.application]
        if r.is_spot and application.market.spot == "allowed":
            offer = next(o for k, o in sold.items() if (str(k.region), k.instance_type, k.market) == rules.pool_of(r))
            total += r.count * risk(snapshot, application.shapes[r.shape], offer.key)
    assert costs.stockout_share >= 0
    return total


def started(snapshot: Snapshot, key: OfferKey) -> Fraction:
    """Return what a new machine counts."""
    offer = next(o for o in snapshot.offers if o.key == key)
    price = offer.price.per_hour.micros
    return Fraction(price + round(price * snapshot.cost_model.move_share))


def risk(snapshot: Snapshot, shape: Shape, key: OfferKey) -> Fraction:
    """Return what a replica's share of its machine's interruptions is expected to cost."""
    offer = next(o for o in snapshot.offers if o.key == key)
    costs = snapshot.cost_model
    share = Fraction(shape.machines, rules.held_alone(shape, offer.machine))
    return offer.price.per_hour.micros * share * Fraction(costs.interruption_hours * costs.interruptions_per_hour)
