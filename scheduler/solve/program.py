"""The placement as a mixed-integer program.

Columns, for applications a, shapes s, groups of offers g, regions r:

    x[a,s,g]  replicas                      y[g]  machines             n[g]  machines beyond those that stand
    open[r]   the cell has a head           use[a,r]  a stands in r    only[a,s,r]  a runs in shape s in r
    cap[a,r] = Σ milli · x in r             T[a] = Σ cap[a,r]
    short[a]  demand without a place        exposed[a]  demand that a loss would leave unserved

Rows:

    T[a] + short[a] ≥ Q[a]
    T[a] - Σ_{r in domain} cap[a,r] + exposed[a] ≥ share · Q[a]          for each fate domain (survive)
    cap[a,r] ≤ max_share · T[a] + one replica                            for each region
    Σ use[a,r] + scarce[a] ≥ min,  use[a,r] ≤ Σ x in r
    Σ cap[a,·] over a jurisdiction or region + lacking[a,·] ≥ floor
    Σ cap[a,·] on demand + short[a] ≥ on_demand_floor · Q[a]
    Σ need · x ≤ size · y[g]  for GPUs, vCPUs, memory;  x[a,s,g] ≤ per_machine · y[g]
    y[g] ≤ high[g] · open[r];  Σ_{g in quota} size · y[g] ≤ room;  Σ price · y + Σ head · open ≤ budget

Everything that capacity is summed from is a whole number of thousandths, so that no tolerance of the
solver can stand for a replica. Source: the formulation is the usual capacity-planning one; the survival
rows are linear because the loss of a domain removes exactly its own capacity.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from providers.regions import KNOWN
from scheduler.solve.feasible import Candidates, Group, Pair, is_excluded
from scheduler.solve.highs import INFINITY, Program
from state.model.catalog import Market, Quota
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.plan import Snapshot
from state.model.spec import Application, CapacitySpec, FateDomain, Shape, Spot

SPOT_RISK: Final = 0.10
"""Share of a spot machine's price that its interruptions are taken to cost, where spot is `allowed`."""
MOVE_COST: Final = 0.15
"""Share of its price that a machine which does not stand yet costs on top: a move must save at least this."""


@dataclass(slots=True)
class Columns:
    """Where each variable stands in the program."""

    replicas: dict[int, int] = field(default_factory=dict)
    """By index of the pair."""
    machines: list[int] = field(default_factory=list)
    """By index of the group."""
    open_cells: dict[RegionId, int] = field(default_factory=dict)
    capacity: dict[tuple[ApplicationName, RegionId], int] = field(default_factory=dict)
    total: dict[ApplicationName, int] = field(default_factory=dict)
    short: dict[ApplicationName, int] = field(default_factory=dict)
    exposed: dict[ApplicationName, list[int]] = field(default_factory=lambda: defaultdict(list))
    """All columns that stand for a requirement kept less than wholly, demand apart."""


def build(snapshot: Snapshot, spec: CapacitySpec, chosen: Candidates) -> tuple[Program, Columns]:
    """Return the program whose optimum is the placement."""
    program, columns = Program(), Columns()
    _machine_columns(snapshot, chosen, program, columns)
    for name, application in spec.named():
        pairs = [(n, pair) for n, pair in enumerate(chosen.pairs) if pair.application == name]
        _application_columns(application, name, pairs, chosen, program, columns)
        _service_rows(application, name, program, columns)
        _spread_rows(application, name, pairs, chosen, program, columns)
    _packing_rows(spec, chosen, program, columns)
    _quota_rows(snapshot, chosen, program, columns)
    _budget_row(snapshot, spec, chosen, program, columns)
    return program, columns


def _machine_columns(snapshot: Snapshot, chosen: Candidates, program: Program, columns: Columns) -> None:
    with_head = {i.region for i in snapshot.instances if i.role is Role.HEAD and i.is_standing}
    for region in sorted({group.region for group in chosen.groups}):
        head = chosen.heads[region].price.per_hour.dollars
        cost = head if region in with_head else head * (1 + MOVE_COST)
        columns.open_cells[region] = program.column(1, cost, integer=True)
    for group in chosen.groups:
        price = group.price.dollars
        machines = program.column(group.high, price, lower=group.low, integer=True)
        columns.machines.append(machines)
        program.row({machines: 1, columns.open_cells[group.region]: -group.high}, at_most=0)
        if group.high > group.standing:
            more = program.column(group.high, price * MOVE_COST)
            program.row({machines: 1, more: -1}, at_most=group.standing)


def _application_columns(
    application: Application,
    name: ApplicationName,
    pairs: list[tuple[int, Pair]],
    chosen: Candidates,
    program: Program,
    columns: Columns,
) -> None:
    by_region: dict[RegionId, dict[int, float]] = defaultdict(dict)
    demand = application.demand.milli
    for number, pair in pairs:
        group = chosen.groups[pair.group]
        risk = group.price.dollars * SPOT_RISK / pair.per_machine
        is_risky = group.market is Market.SPOT and application.market.spot is Spot.ALLOWED
        most = min(pair.per_machine * group.high, _most_replicas(demand, pair))
        column = program.column(most, risk if is_risky else 0.0, integer=True)
        columns.replicas[number] = column
        by_region[group.region][column] = pair.milli_each
        program.row({column: 1, columns.machines[pair.group]: -pair.per_machine}, at_most=0)
    columns.total[name] = program.column(INFINITY)
    columns.short[name] = program.column(0)
    for region, terms in sorted(by_region.items()):
        capacity = program.column(INFINITY)
        columns.capacity[name, region] = capacity
        program.row({capacity: 1} | {column: -value for column, value in terms.items()}, at_least=0, at_most=0)
    own = {columns.capacity[name, region]: -1.0 for region in by_region}
    program.row({columns.total[name]: 1} | own, at_least=0, at_most=0)


def _most_replicas(demand: int, pair: Pair) -> int:
    """Return more replicas of one kind than any placement needs: the whole demand twice, and a few."""
    return 2 * -(-demand // pair.milli_each) + 4


def _service_rows(application: Application, name: ApplicationName, program: Program, columns: Columns) -> None:
    demand = application.demand.milli
    total, short = columns.total[name], columns.short[name]
    program.row({total: 1, short: 1}, at_least=demand)
    required = required_milli(application)
    for _, regions in fate_domains(application.survive.any, [r for a, r in columns.capacity if a == name]):
        exposed = program.column(0)
        columns.exposed[name].append(exposed)
        lost = {columns.capacity[name, region]: -1.0 for region in regions}
        program.row({total: 1, exposed: 1} | lost, at_least=required)


def required_milli(application: Application) -> int:
    """Return what must remain of an application's capacity after the loss of a fate domain, in thousandths."""
    share = round(application.survive.share * 1_000_000)
    return -(-application.demand.milli * share // 1_000_000)


def fate_domains(kind: FateDomain, regions: list[RegionId]) -> list[tuple[str, list[RegionId]]]:
    """Return each domain of a kind with the regions it takes along, in order."""
    if kind is FateDomain.NONE:
        return []
    if kind is FateDomain.REGION:
        return [(region, [region]) for region in sorted(regions)]
    providers = sorted({provider_of(region) for region in regions})
    return [(provider, [r for r in sorted(regions) if provider_of(r) == provider]) for provider in providers]


def _spread_rows(
    application: Application,
    name: ApplicationName,
    pairs: list[tuple[int, Pair]],
    chosen: Candidates,
    program: Program,
    columns: Columns,
) -> None:
    rules = application.regions
    capacity = {region: column for (a, region), column in columns.capacity.items() if a == name}
    one_replica = max((pair.milli_each for _, pair in pairs), default=0)
    if rules.max_share < 1:
        for column in capacity.values():
            program.row({column: 1, columns.total[name]: -rules.max_share}, at_most=one_replica)
    replicas_in: dict[RegionId, dict[int, int]] = defaultdict(dict)
    for number, pair in pairs:
        replicas_in[chosen.groups[pair.group].region][columns.replicas[number]] = pair.shape
    if rules.min > 1:
        scarce = _soft(name, program, columns)
        uses = {program.column(1, integer=True): terms for _, terms in sorted(replicas_in.items())}
        for use, terms in uses.items():
            program.row({use: 1} | dict.fromkeys(terms, -1.0), at_most=0)
        program.row(dict.fromkeys(uses, 1.0) | {scarce: 1}, at_least=rules.min)
    for place, floor in sorted(rules.floors.items()):
        inside = [c for region, c in capacity.items() if is_in(region, place)]
        program.row(dict.fromkeys(inside, 1.0) | {_soft(name, program, columns): 1}, at_least=round(floor * 1000))
    if application.market.on_demand_floor > 0:
        bought = {
            columns.replicas[number]: float(pair.milli_each)
            for number, pair in pairs
            if chosen.groups[pair.group].market is Market.ON_DEMAND
        }
        floor_milli = application.market.on_demand_floor * application.demand.milli
        program.row(bought | {columns.short[name]: 1}, at_least=floor_milli)
    _one_shape_per_cell(replicas_in, program)


def _soft(name: ApplicationName, program: Program, columns: Columns) -> int:
    column = program.column(0)
    columns.exposed[name].append(column)
    return column


def is_in(region: RegionId, place: str) -> bool:
    """Return whether a region is *place*, or lies in the jurisdiction of that name."""
    known = KNOWN.get(region)
    return region == place or (known is not None and known.jurisdiction == place)


def _one_shape_per_cell(replicas_in: dict[RegionId, dict[int, int]], program: Program) -> None:
    """A Serve deployment has one set of resources per replica, so in a cell all its replicas are alike."""
    for _, terms in sorted(replicas_in.items()):
        shapes = sorted(set(terms.values()))
        if len(shapes) == 1:
            continue
        only = {shape: program.column(1, integer=True) for shape in shapes}
        program.row(dict.fromkeys(only.values(), 1.0), at_most=1)
        for column, shape in terms.items():
            program.row({column: 1, only[shape]: -program.upper[column]}, at_most=0)


def _packing_rows(spec: CapacitySpec, chosen: Candidates, program: Program, columns: Columns) -> None:
    shapes: dict[ApplicationName, tuple[Shape, ...]] = {name: a.shapes for name, a in spec.named()}
    users: dict[int, list[tuple[int, Shape]]] = defaultdict(list)
    for number, pair in enumerate(chosen.pairs):
        users[pair.group].append((columns.replicas[number], shapes[pair.application][pair.shape]))
    for index, group in enumerate(chosen.groups):
        if len(users[index]) < 2:  # noqa: PLR2004  alone, the bound by `per_machine` says it all
            continue
        machines = columns.machines[index]
        sizes = _sizes(group)
        for need, size in sizes.items():
            terms = {column: getattr(shape, need) for column, shape in users[index]}
            program.row(terms | {machines: -size}, at_most=0)


def _sizes(group: Group) -> dict[str, float]:
    machine = group.machine
    return {"count": machine.gpus, "cpus": machine.vcpus, "memory_gib": machine.memory_gib}


def _quota_rows(snapshot: Snapshot, chosen: Candidates, program: Program, columns: Columns) -> None:
    for quota in snapshot.quotas:
        members = {
            columns.machines[n]: float(quota_size(quota, g.machine.gpus, g.machine.vcpus))
            for n, g in enumerate(chosen.groups)
            if (g.region, g.machine.family, g.market) == (quota.region, quota.family, quota.market)
        }
        if members:
            program.row(members, at_most=max(quota_room(snapshot, quota), _low_use(quota, chosen)))


def quota_size(quota: Quota, gpus: int, vcpus: int) -> int:
    """Return what one machine takes of a quota."""
    return gpus if quota.unit == "gpus" else vcpus


def quota_room(snapshot: Snapshot, quota: Quota) -> int:
    """Return what we may use of a quota, our own machines included: its limit less what others use."""
    ours = sum(
        quota_size(quota, i.machine.gpus, i.machine.vcpus)
        for i in snapshot.instances
        if i.cloud_id is not None
        and (i.region, i.machine.family, i.key.market) == (quota.region, quota.family, quota.market)
    )
    return quota.limit - max(0, quota.used - ours)


def _low_use(quota: Quota, chosen: Candidates) -> int:
    """Return what machines that must not be touched take of a quota; it never makes the program infeasible."""
    return sum(
        g.low * quota_size(quota, g.machine.gpus, g.machine.vcpus)
        for g in chosen.groups
        if (g.region, g.machine.family, g.market) == (quota.region, quota.family, quota.market)
    )


def _budget_row(snapshot: Snapshot, spec: CapacitySpec, chosen: Candidates, program: Program, columns: Columns) -> None:
    # Machines in regions that do not count still cost, and the budget is for all of them.
    apart = sum(i.price_per_hour.micros for i in snapshot.instances if is_excluded(snapshot, i.region))
    terms = {columns.machines[n]: float(g.price.micros) for n, g in enumerate(chosen.groups)}
    terms |= {c: float(chosen.heads[region].price.per_hour.micros) for region, c in columns.open_cells.items()}
    fixed = sum(g.low * g.price.micros for g in chosen.groups)
    fixed += sum(chosen.heads[r].price.per_hour.micros for r in {g.region for g in chosen.groups if g.low})
    room = max(spec.max_per_hour.micros - apart, fixed)
    scale = 1_000_000.0
    program.row({column: value / scale for column, value in terms.items()}, at_most=room / scale)
