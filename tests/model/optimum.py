"""The least that must be missed and the least cost, by a program over offers: written from the spec's page alone."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import highspy

from state.model.catalog import Market, Offer
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain
from tests.model import rules, verify

INFINITY = 1e30
DOLLAR = 1_000_000


@dataclass(frozen=True)
class Optimum:
    """What every placement misses at least, the most important first, and what the cheapest such placement counts."""

    missed: tuple[float, ...]
    cost: float


@dataclass
class _Model:
    snapshot: Snapshot
    solver: Any = field(default_factory=highspy.Highs)
    machines: dict[Any, Any] = field(default_factory=dict)
    replicas: dict[tuple[str, Any, int], Any] = field(default_factory=dict)
    cost: list[tuple[float, Any]] = field(default_factory=list)
    demand: dict[int, list[tuple[float, Any]]] = field(default_factory=lambda: defaultdict(list))
    levels: dict[tuple[int, int], list[tuple[float, Any]]] = field(default_factory=lambda: defaultdict(list))

    def whole(self, upper: float = INFINITY) -> Any:
        return self.solver.addIntegral(0, upper)

    def amount(self, upper: float = INFINITY) -> Any:
        return self.solver.addVariable(0, upper)

    def rule(self, expression: Any) -> None:
        self.solver.addConstr(expression)


def total(terms: list[tuple[float, Any]]) -> Any:
    return sum((weight * column for weight, column in terms), start=highspy.highs.highs_linear_expression())


def optimum(snapshot: Snapshot) -> Optimum:
    """Solve stage by stage: demand by class, each level of rules by class, then cost."""
    assert snapshot.wanted is not None
    model = _Model(snapshot)
    model.solver.silent()
    model.solver.setOptionValue("mip_rel_gap", 1e-9)
    model.solver.setOptionValue("threads", 1)
    model.solver.setOptionValue("presolve", "off")
    _supply(model)
    spare = _spare(model)
    for name, application in snapshot.wanted.spec.applications.items():
        _application(model, name, application, spare)
    classes = sorted({a.priority for a in snapshot.wanted.spec.applications.values()}, reverse=True)
    stages = [model.demand[c] for c in classes]
    stages += [model.levels[level, c] for level in range(len(rules.LEVELS)) for c in classes]
    missed = []
    for terms in stages:
        value = 0.0
        if terms:
            model.solver.minimize(total(terms))
            value = max(0.0, model.solver.getInfo().objective_function_value)
            model.rule(total(terms) <= value + 1e-6)
        missed.append(value)
    model.solver.minimize(total(model.cost))
    return Optimum(tuple(missed), model.solver.getInfo().objective_function_value * DOLLAR)


def _supply(model: _Model) -> None:
    snapshot = model.snapshot
    assert snapshot.wanted is not None
    heads: dict[str, Any] = {}
    spent: list[tuple[float, Any]] = []
    quotas: dict[tuple[str, Market], list[tuple[float, Any]]] = defaultdict(list)
    for offer in snapshot.offers:
        region = str(offer.key.region)
        counted = float(verify.started(snapshot, offer.key)) / DOLLAR
        if not offer.machine.gpus:
            heads[region] = model.whole(1)
            model.cost.append((counted, heads[region]))
            spent.append((offer.price.per_hour.dollars, heads[region]))
            continue
        stock = snapshot.limits.machines_per_offer if offer.stock is None else offer.stock
        machines = model.machines[offer.key] = model.whole(stock)
        model.cost.append((counted, machines))
        spent.append((offer.price.per_hour.dollars, machines))
        quotas[region, offer.key.market].append((offer.machine.gpus, machines))
        _packed(model, offer, machines)
    for key, machines in model.machines.items():
        sold = next(o.stock for o in snapshot.offers if o.key == key)
        bound = snapshot.limits.machines_per_offer if sold is None else sold
        model.rule(machines - bound * heads[str(key.region)] <= 0)
    model.rule(total(spent) <= snapshot.wanted.spec.budget.max_usd_per_hour)
    for quota in snapshot.quotas:
        used = [] if quota.market is None else quotas[str(quota.region), quota.market]
        if used:
            model.rule(total(used) <= quota.limit)


def _packed(model: _Model, offer: Offer, machines: Any) -> None:
    """Full machines of one size, gangs, and machines that sizes share in places."""
    snapshot = model.snapshot
    assert snapshot.wanted is not None
    taken: list[tuple[float, Any]] = []
    sizes: dict[int, list[tuple[float, Any]]] = defaultdict(list)
    for name, application in snapshot.wanted.spec.applications.items():
        for number, shape in enumerate(application.shapes):
            held = rules.held_alone(shape, offer.machine)
            if not held or not rules.may_use(application, offer):
                continue
            replicas = model.replicas[name, offer.key, number] = model.whole(64 * held)
            if offer.key.market is Market.SPOT and application.market.spot == "allowed":
                model.cost.append((float(verify.risk(snapshot, shape, offer.key)) / DOLLAR, replicas))
            if shape.machines > 1:
                taken.append((shape.machines, replicas))
            else:
                sizes[held].append((1, replicas))
    shared: list[tuple[float, Any]] = []
    scale = 48 * 1024
    for held, terms in sizes.items():
        own, rest = model.whole(64), model.amount()
        model.rule(total(terms) - held * own - rest <= 0)
        taken.append((1, own))
        shared.append((scale / rules.places(held, offer.machine.gpus), rest))
    model.rule(total(shared) + total([(scale * n, column) for n, column in taken]) - scale * machines <= 0)


def _spare(model: _Model) -> dict[Any, Any]:
    """Machines of each on-demand offer in stock that every application with a credit may count on."""
    snapshot = model.snapshot
    among = rules.sharing(snapshot)
    found = {}
    for offer in snapshot.offers:
        if among and offer.machine.gpus and offer.key.market is Market.ON_DEMAND and offer.stock is not None:
            found[offer.key] = model.whole(offer.stock)
            model.rule(among * found[offer.key] + model.machines[offer.key] <= offer.stock)
    return found


def _application(model: _Model, name: str, application: Application, spare: dict[Any, Any]) -> None:
    a, demand = application, rules.demand_of(application)
    c, unit = a.priority, rules.largest_of(a)
    mine: list[tuple[tuple[str, str, bool], int, int, Any]] = []
    for (owner, key, number), column in model.replicas.items():
        if owner == name:
            place = (str(key.region), key.zone, key.market is Market.SPOT)
            mine.append((place, rules.carries(a, a.shapes[number]), number, column))
    everything = [(float(n), column) for _, n, _, column in mine]
    short = model.amount()
    model.demand[c].append((1 / unit, short))
    model.rule(total(everything) + short >= demand)
    regions = sorted({place[0] for place, *_ in mine})

    def inside(test: Any) -> list[tuple[float, Any]]:
        return [(float(n), column) for place, n, _, column in mine if test(place)]

    missed: dict[int, Any] = {}

    def soft(level: int, scale: float = 1 / unit) -> Any:
        if level not in missed:
            missed[level] = model.amount()
            model.levels[level, c].append((scale, missed[level]))
        return missed[level]

    _survival(model, a, mine, spare, soft)
    _places(model, a, inside, regions, soft)
    model.rule(total(inside(lambda p: not p[2])) + soft(0) >= rules.at_least(a.market.on_demand_floor, demand))
    _spread(model, a, mine, soft)
    _regions(model, a, mine, soft)


def _spread(model: _Model, a: Application, mine: Any, soft: Any) -> None:
    demand, unit = rules.demand_of(a), rules.largest_of(a)
    everything = [(float(n), column) for _, n, _, column in mine]

    def inside(test: Any) -> list[tuple[float, Any]]:
        return [(float(n), column) for place, n, _, column in mine if test(place)]

    for region in sorted({place[0] for place, *_ in mine}):
        spot = inside(lambda p, r=region: p[0] == r and p[2])
        rest = total(everything) - total(spot)
        if spot:
            # The rule is about regions that have spot machines in use; without them it asks for no more than demand.
            used = model.whole(1)
            big = demand + 1000
            model.rule(total([(1, x) for p, _, _, x in mine if p[0] == region and p[2]]) - 10_000 * used <= 0)
            needs = rules.at_least(a.market.survive_spot_loss, demand)
            model.rule(rest + soft(0) - big * used >= needs - big)
        ceiling = float(rules.exactly(a.regions.max_share))
        model.rule(total(inside(lambda p, r=region: p[0] == r)) - ceiling * total(everything) - soft(3) <= unit)


def _regions(model: _Model, a: Application, mine: Any, soft: Any) -> None:
    regions = sorted({place[0] for place, *_ in mine})
    uses = {region: model.whole(1) for region in regions}
    for region in regions:
        shapes: dict[int, list[tuple[float, Any]]] = defaultdict(list)
        for place, _, number, column in mine:
            if place[0] == region:
                shapes[number].append((1, column))
        model.rule(uses[region] - sum((total(terms) for terms in shapes.values()), start=0) <= 0)
        only = {number: model.whole(1) for number in shapes}
        model.rule(total([(1, column) for column in only.values()]) <= 1)
        for number, terms in shapes.items():
            model.rule(total(terms) - 10_000 * only[number] <= 0)
    model.rule(total([(1, column) for column in uses.values()]) + soft(2, 1.0) >= a.regions.min)


def _survival(model: _Model, a: Application, mine: Any, spare: dict[Any, Any], soft: Any) -> None:
    kind, demand = a.survive.any, rules.demand_of(a)
    if kind is FailureDomain.NONE:
        return
    required = rules.at_least(a.survive.share, demand)
    bound = min(required, rules.at_least(a.survive.replacement_credit, demand))
    everything = total([(float(n), column) for _, n, _, column in mine])
    for lost in sorted({rules.domain(kind, place[0], place[1]) for place, *_ in mine}):
        inside = [(float(n), column) for p, n, _, column in mine if rules.domain(kind, p[0], p[1]) == lost]
        credit, used = model.amount(bound), model.whole(1)
        bought: list[tuple[float, Any]] = []
        for key, machines in spare.items():
            offer = next(o for o in model.snapshot.offers if o.key == key)
            use = rules.best_use(a, offer)
            if use is not None and rules.domain(kind, str(key.region), key.zone) != lost:
                gangs = model.whole()
                model.rule(use[0] * gangs - machines <= 0)
                bought.append((float(use[1]), gangs))
        model.rule(credit - total(bought) <= 0)
        model.rule(total([(1, column) for _, column in inside]) - 10_000 * used <= 0)
        # A domain without replicas cannot be lost.
        model.rule(everything - total(inside) + credit + soft(0) - required * used >= 0)
    # And an application without any cannot survive.
    model.rule(everything + soft(0) >= required - bound)


def _places(model: _Model, a: Application, inside: Any, regions: list[str], soft: Any) -> None:
    demand, unit = rules.demand_of(a), rules.largest_of(a)
    for place in {*a.regions.floors, *a.regions.shares}:
        here = inside(lambda p, name=place: rules.is_in(p[0], name))
        share = a.regions.shares.get(place)
        floor = rules.thousandths(a.regions.floors.get(place, 0))
        model.rule(total(here) + soft(1) >= max(floor, 0 if share is None else rules.at_least(share.min, demand)))
        if share is not None and share.max < 1:
            everything = inside(lambda _: True)
            model.rule(total(here) - float(rules.exactly(share.max)) * total(everything) - soft(3) <= unit)
