"""From the snapshot to the problem's arrays: what each application requires, in numbers.

Expected costs enter here: a spot machine's interruptions, a launch that may be refused, a move that runs double and
loads the weights again, and distance from the clients.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from providers.gpus import same_gpu
from scheduler import shortages
from scheduler.region_policy import is_excluded
from scheduler.solve.assemble import (
    ApplicationRequirements,
    Bounds,
    Floor,
    PruningLimits,
    ShapeRequirements,
    Table,
    assemble,
)
from scheduler.solve.domains import is_in, millionths, required_milli, share_of
from scheduler.solve.latency import Atlas, atlas, distance
from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, REGION, ZONE, BoolArray, FloatArray, Problem
from scheduler.solve.quotas import quota_bounds
from scheduler.solve.refusals import is_zoneless, refusals, region_causes
from scheduler.solve.supply import OfferGroup, Supply
from state.model.catalog import Market
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.placement import RefusalCause
from state.model.settings import CostModel, Limits
from state.model.snapshot import Snapshot
from state.model.spec import Application, CapacitySpec, FailureDomain, Shape, Spot
from state.model.units import MILLI

Named = tuple[tuple[ApplicationName, Application], ...]

CLASSES_MAX: Final = 8
"""Priority classes above the lowest that have weights of their own: those of more would be too large for floats."""
DEMAND_FACTOR: Final = 100
"""How much more demand counts in the search than any other rule."""
SOFT_FACTOR: Final = 2
"""How much more a rule counts in the search than the same of the next lower class."""
KINDS: Final = {
    FailureDomain.NONE: NO_DOMAIN,
    FailureDomain.ZONE: ZONE,
    FailureDomain.REGION: REGION,
    FailureDomain.PROVIDER: PROVIDER,
}


@dataclass(frozen=True, slots=True)
class Formulation:
    """A problem, and what its numbers mean."""

    problem: Problem
    supply: Supply
    names: tuple[ApplicationName, ...]
    regions: tuple[RegionId, ...]
    refusals: tuple[tuple[ApplicationName, RefusalCause, int], ...]


def formulate(snapshot: Snapshot, spec: CapacitySpec, supply: Supply) -> Formulation:
    """Return the problem of serving *spec* from what is sold."""
    named = spec.named()
    regions = tuple(sorted({group.region for group in supply.groups}))
    table = _table(supply.groups, regions, _costs(snapshot))
    places = sorted({place for _, a in named for place in (*a.regions.floors, *a.regions.shares)})
    gpus = sorted({group.machine.gpu or "" for group in supply.groups})
    weights = _weights(spec, supply.groups, snapshot.cost_model)
    classes = sorted({application.priority for _, application in spec.named()})
    where = atlas(snapshot)
    applications = []
    refused: list[tuple[ApplicationName, RefusalCause, int]] = []
    for name, application in named:
        causes = region_causes(application, regions, where)
        allowed = np.array([region not in causes for region in regions], np.bool_)
        per_unit = _distance_costs(application, regions, where)
        requirements = _requirements(application, gpus, allowed, weights[name], snapshot.cost_model)
        requirements = replace(
            _placed_in(requirements, application, places),
            per_unit=per_unit,
            priority=classes.index(application.priority),
            soft_weight=_soft_weight(application, classes, supply.groups, snapshot.cost_model),
        )
        applications.append(requirements)
        counts = supply.refused + refusals(application, supply.groups, causes)
        refused += [(name, cause, count) for cause, count in sorted(counts.items())]
    bounds = Bounds(
        head=np.array([_head_cost(snapshot, supply, region) for region in regions], np.int64),
        place_has=np.array([[is_in(r, place, where.known) for r in regions] for place in places], np.bool_).reshape(
            len(places), len(regions)
        ),
        budget=_budget(snapshot, spec, supply),
        quotas=quota_bounds(snapshot, supply.groups),
    )
    limits = _pruning_limits(snapshot.limits, len(named) * len(supply.groups))
    problem = assemble(table, applications, bounds, limits)
    problem = problem._replace(spare=np.array([sum(n for _, n in g.spare) for g in supply.groups], np.int64))
    problem = _with_current(problem, snapshot, named, supply.groups)
    return Formulation(problem, supply, tuple(name for name, _ in named), regions, tuple(refused))


def _costs(snapshot: Snapshot) -> CostModel:
    """Return the costs beside list prices; a surer machine is worth more while demand waits, the more it waited for."""
    costs = snapshot.cost_model
    urgency = shortages.urgency(snapshot.shortages, snapshot.taken_at, snapshot.shortage_policy)
    return replace(costs, urgent_stockout_share=costs.urgent_stockout_share * urgency)


def _pruning_limits(limits: Limits, pairs: int) -> PruningLimits:
    if pairs <= limits.pairs_unpruned:
        return PruningLimits()
    return PruningLimits(per_place=limits.pairs_per_place, in_all=limits.pairs_per_application)


def _table(groups: tuple[OfferGroup, ...], regions: tuple[RegionId, ...], costs: CostModel) -> Table:
    names = sorted({group.machine.gpu or "" for group in groups})
    zones = sorted({(g.region, g.offers[0].key.zone) for g in groups})
    clouds = sorted({provider_of(group.region) for group in groups})

    def whole(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(values, np.int64)

    return Table(
        gpu=whole([names.index(g.machine.gpu or "") for g in groups]),
        gpus=whole([g.machine.gpus * MILLI for g in groups]),
        gpu_memory=np.array([g.machine.gpu_memory_gib for g in groups], np.float64),
        vcpus=np.array([g.machine.vcpus for g in groups], np.float64),
        memory=np.array([g.machine.memory_gib for g in groups], np.float64),
        price=whole([g.price.micros for g in groups]),
        start=whole(_start_costs(groups, costs)),
        low=whole([g.low for g in groups]),
        high=whole([g.high for g in groups]),
        existing=whole([g.existing for g in groups]),
        min_batch=whole([g.offers[0].minimum for g in groups]),
        zone=whole([zones.index((g.region, g.offers[0].key.zone)) for g in groups]),
        region=whole([regions.index(g.region) for g in groups]),
        provider=whole([clouds.index(provider_of(g.region)) for g in groups]),
        is_spot=np.array([g.market is Market.SPOT for g in groups], np.bool_),
        risk=np.array([_risk(g, costs) for g in groups], np.float64),
        is_zoneless=np.array([is_zoneless(g) for g in groups], np.bool_),
    )


def _risk(group: OfferGroup, costs: CostModel) -> float:
    """Return what a spot machine's interruptions are expected to cost, as a share of its price."""
    if group.market is not Market.SPOT:
        return 0.0
    rates = [offer.interruptions_per_hour for offer in group.offers]
    return costs.interruption_hours * max(costs.interruptions_per_hour if rate is None else rate for rate in rates)


def _start_costs(groups: tuple[OfferGroup, ...], costs: CostModel) -> list[int]:
    """Return what a machine that does not exist yet costs on top, by group: it runs double, and may be refused first.

    While demand waits, what counts is how much surer another machine with the same GPU is: the surest costs no more
    for that, however doubtful it is too.
    """
    doubts = [max(offer.stockout_probability for offer in group.offers) for group in groups]
    surest: dict[str | None, float] = {}
    for group, doubt in zip(groups, doubts, strict=True):
        if group.high > group.existing:
            surest[group.machine.gpu] = min(doubt, surest.get(group.machine.gpu, doubt))
    return [
        round(
            group.price.micros
            * (
                costs.move_share
                + costs.stockout_share * doubt
                + costs.urgent_stockout_share * max(0.0, doubt - surest.get(group.machine.gpu, doubt))
            )
        )
        for group, doubt in zip(groups, doubts, strict=True)
    ]


def _weights(spec: CapacitySpec, groups: tuple[OfferGroup, ...], costs: CostModel) -> dict[ApplicationName, float]:
    """Return what each thousandth of demand that is not served counts: by class, and more than any other rule."""
    classes = sorted({application.priority for _, application in spec.named()})
    above_rules = DEMAND_FACTOR * SOFT_FACTOR ** min(len(classes) - 1, CLASSES_MAX)
    return {
        name: _dearest(groups, costs)
        * above_rules
        * costs.priority_factor ** min(classes.index(a.priority), CLASSES_MAX)
        / min(a.replica_milli(s) for s in a.shapes)
        for name, a in spec.named()
    }


def _soft_weight(
    application: Application, classes: list[int], groups: tuple[OfferGroup, ...], costs: CostModel
) -> float:
    """Return what each thousandth counts by which a rule is missed: more than any price, and a little by class."""
    smallest = min(application.replica_milli(shape) for shape in application.shapes)
    rank: int = min(classes.index(application.priority), CLASSES_MAX)
    return float(_dearest(groups, costs) * SOFT_FACTOR**rank / smallest)


def _dearest(groups: tuple[OfferGroup, ...], costs: CostModel) -> int:
    # A machine that has to be started costs more where nothing is to move; what is missed must count more than that.
    return round(max((g.price.micros for g in groups), default=1) * max(1.0, costs.move_share))


def _distance_costs(application: Application, regions: tuple[RegionId, ...], where: Atlas) -> FloatArray | None:
    """Return by region what a thousandth of capacity pays for its distance from the clients; None for nothing."""
    latency = application.latency
    if latency is None or latency.usd_per_ms == 0:
        return None
    far = [distance(latency, region, where) for region in regions]
    trips = np.array([0.0 if d is None else d.expected_ms for d in far])
    return np.asarray(trips * latency.usd_per_ms * 1_000_000 / MILLI, np.float64)


def _requirements(
    application: Application, gpus: list[str], allowed: BoolArray, weight: float, costs: CostModel
) -> ApplicationRequirements:
    demand = application.demand.milli
    survive, market, rules = application.survive, application.market, application.regions
    required = required_milli(application)
    credit = min(required, share_of(demand, survive.replacement_credit))
    return ApplicationRequirements(
        shapes=tuple(_shape_requirements(application, shape, gpus) for shape in application.shapes),
        demand=demand,
        weight=weight,
        regions=allowed,
        spot=market.spot is not Spot.NEVER,
        kind=KINDS[survive.any],
        required=required - credit,
        credit=credit,
        spot_left=share_of(demand, market.survive_spot_loss),
        on_demand=share_of(demand, market.on_demand_floor),
        share_ppm=millionths(rules.max_share),
        min_regions=rules.min,
        start_replica=round(application.weights_gib * costs.egress_usd_per_gib / costs.payback_hours * 1_000_000),
        pays_risk=market.spot is not Spot.PREFERRED,
    )


def _shape_requirements(application: Application, shape: Shape, gpus: list[str]) -> ShapeRequirements:
    return ShapeRequirements(
        gpus=frozenset(n for n, gpu in enumerate(gpus) if gpu and same_gpu(shape.gpu, gpu)),
        gpu_milli=shape.gpu_milli,
        capacity_per_replica=application.replica_milli(shape),
        cpus=shape.cpus,
        memory=shape.memory_gib,
        gpu_memory=shape.gpu_memory_gib,
        machines=shape.machines,
    )


def _placed_in(
    requirements: ApplicationRequirements, application: Application, places: list[str]
) -> ApplicationRequirements:
    rules = application.regions
    floors = []
    for place in sorted({*rules.floors, *rules.shares}):
        share = rules.shares.get(place)
        at_least = round(rules.floors.get(place, 0.0) * MILLI)
        if share is not None:
            at_least = max(at_least, share_of(requirements.demand, share.min))
        floors.append(Floor(places.index(place), at_least, PPM if share is None else millionths(share.max)))
    return replace(requirements, floors=tuple(floors))


def _head_cost(snapshot: Snapshot, supply: Supply, region: RegionId) -> int:
    """Return what opening a cell costs: its head's price, and its start where there is none."""
    price = supply.heads[region].price.per_hour.micros
    exists = any(i.region == region and i.role is Role.HEAD and i.exists for i in snapshot.instances)
    return price if exists else round(price * (1 + snapshot.cost_model.move_share))


def _budget(snapshot: Snapshot, spec: CapacitySpec, supply: Supply) -> int:
    """Return what machines may cost together; never less than what must not be touched costs anyway."""
    # Machines in regions that do not count still cost, and the budget is for all of them.
    apart = sum(i.price_per_hour.micros for i in snapshot.instances if is_excluded(snapshot, i.region))
    fixed = sum(g.low * g.price.micros for g in supply.groups)
    fixed += sum(supply.heads[r].price.per_hour.micros for r in {g.region for g in supply.groups if g.low})
    return max(spec.max_per_hour.micros - apart, fixed)


def _with_current(problem: Problem, snapshot: Snapshot, named: Named, groups: tuple[OfferGroup, ...]) -> Problem:
    """Return the problem with the replicas that were placed last on machines that still exist."""
    placed: Counter[tuple[str, int, RegionId, str, bool]] = Counter()
    for replicas in snapshot.placed:
        key = (replicas.application, replicas.shape, replicas.region, replicas.instance_type, replicas.is_spot)
        placed[key] += replicas.count
    if not placed:
        return problem
    current = np.zeros(problem.pairs, np.int64)
    for a, (name, _) in enumerate(named):
        for j in range(int(problem.first[a]), int(problem.first[a + 1])):
            group = groups[problem.group[j]]
            key = (name, int(problem.shape[j]), group.region, group.instance_type, group.market is Market.SPOT)
            if placed[key]:
                fits = group.existing * int(problem.per_machine[j])
                current[j] = min(placed[key], fits)
                placed[key] -= int(current[j])
    return problem._replace(current=current)
