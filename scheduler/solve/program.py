"""The placement as a mixed-integer program, from the problem's arrays.

Columns, for applications a, pairs j, groups of offers g, regions r, failure domains D:

    x[j]  replicas            y[g]  machines            more[g]  machines beyond existing ones
    open[r]   the cell has a head            use[a,r]  a runs in r              only[a,s,r]  a runs in shape s in r
    sold[g]   any machines at all, where the least purchase is more than one
    T[a] = Σ capacity_per_replica·x         cap[a,r], cap[a,D]  the part in a region and in a failure domain
    short[a]  demand that is not met         exposed[a,·]  other requirements kept less than wholly

Rows:

    T[a] + short[a] ≥ Q[a]
    T[a] - cap[a,D] + exposed ≥ required[a]           for each failure domain of the kind to be survived
    T[a] - spot in r + exposed ≥ spot_left[a]         for each region's spot pool
    cap[a,r] ≤ share · T[a] + one replica             and so for places with a ceiling
    Σ use[a,r] + exposed ≥ min,  use[a,r] ≤ Σ x in r
    Σ cap[a,·] over a place + exposed ≥ floor
    Σ capacity_per_replica · x not on spot + short[a] ≥ on_demand[a]
    Σ replica · x ≤ machine · y[g]  for GPUs, vCPUs, memory
    x[j] ≤ per_machine · y[g],  machines · x[j] ≤ y[g] for gangs
    y[g] ≤ high[g] · open[r];  min_batch · sold[g] ≤ y[g] ≤ high[g] · sold[g]
    Σ_{g in quota} size · y[g] ≤ headroom;  Σ price · y + Σ head · open ≤ budget

Everything that capacity is summed from is a whole number of thousandths, so that no tolerance of the
solver can stand for a replica. Source: the formulation is the usual capacity-planning one; the survival
rows are linear because the loss of a domain removes exactly its own capacity, and each sums its own
domain only: writing the sum over all others makes them eleven times as dense.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from scheduler.solve.highs import INFINITY, Program
from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, UNIT, ZONE, FloatArray, IntArray, Problem

DOLLAR = 1_000_000.0


@dataclass(slots=True)
class Columns:
    """The column of each variable, and the rows that explanations refer to."""

    replicas: list[int] = field(default_factory=list)
    """By pair."""
    machines: list[int] = field(default_factory=list)
    """By group."""
    open_cells: list[int] = field(default_factory=list)
    """By region."""
    total: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    exposed: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By application, the columns by which requirements are kept less than wholly, demand apart."""
    rows: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """(what, application or quota or group, which) to the row's number."""

    def at(self, replicas: IntArray, machines: IntArray) -> dict[int, float]:
        """Return the columns' values at such counts, for a program to start from."""
        values: dict[int, float] = dict(zip(self.replicas, replicas.tolist(), strict=True))
        return values | dict(zip(self.machines, machines.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What replicas need and machines have, in each dimension: GPUs in thousandths, vCPUs, GiB."""

    replica: FloatArray
    """[dimension, pair]."""
    machine: FloatArray
    """[dimension, group]."""


def build(p: Problem, heads: IntArray, sizes: Sizes | None = None) -> tuple[Program, Columns]:
    """Return the program whose optimum is the placement.

    Args:
        p: The problem.
        heads: List prices of heads, by region, for the budget.
        sizes: Every dimension of packing; None: the share of a machine that a replica takes is all that counts.
    """
    program, columns = Program(), Columns()
    _machine_columns(p, program, columns)
    for j in range(p.pairs):
        high = int(p.high[p.group[j]]) * UNIT // int(p.size[j])
        columns.replicas.append(program.column(high, float(p.extra[j]) / DOLLAR, integer=True))
    for a in range(p.applications):
        _application_rows(p, a, program, columns)
    _start_rows(p, program, columns)
    _packing_rows(p, sizes, program, columns)
    _quota_rows(p, program, columns)
    _budget_row(p, heads, program, columns)
    return program, columns


def _machine_columns(p: Problem, program: Program, columns: Columns) -> None:
    columns.open_cells = [program.column(1, float(head) / DOLLAR, integer=True) for head in p.head]
    for g in range(p.groups):
        low, high, existing = int(p.low[g]), int(p.high[g]), int(p.existing[g])
        machines = program.column(high, float(p.price[g]) / DOLLAR, lower=low, integer=True)
        columns.machines.append(machines)
        columns.rows["stock", g, 0] = len(program.rows)
        program.row({machines: 1, columns.open_cells[p.region[g]]: -high}, at_most=0)
        if high > existing and p.start[g] > 0:
            more = program.column(high, float(p.start[g]) / DOLLAR)
            program.row({machines: 1, more: -1}, at_most=existing)
        if p.min_batch[g] > 1 and not low:
            sold = program.column(1, integer=True)
            program.row({machines: 1, sold: -high}, at_most=0)
            program.row({machines: 1, sold: -float(p.min_batch[g])}, at_least=0)


@dataclass(slots=True)
class _Parts:
    """The terms of an application's capacity, by where they are."""

    region: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    domain: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    spot: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    bought: dict[int, float] = field(default_factory=dict)
    shapes: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))


def _parts(p: Problem, a: int, columns: Columns) -> _Parts:
    parts = _Parts()
    for j in range(int(p.first[a]), int(p.first[a + 1])):
        g, column, capacity = int(p.group[j]), columns.replicas[j], float(p.capacity_per_replica[j])
        region = int(p.region[g])
        domain = {ZONE: p.zone, PROVIDER: p.provider}.get(int(p.kind[a]), p.region)[g]
        parts.region[region][column] = capacity
        parts.domain[int(domain)][column] = capacity
        parts.shapes[region][column] = int(p.shape[j])
        if p.is_spot[g]:
            parts.spot[region][column] = capacity
        else:
            parts.bought[column] = capacity
    return parts


def _application_rows(p: Problem, a: int, program: Program, columns: Columns) -> None:
    parts = _parts(p, a, columns)
    total, short = program.column(INFINITY), program.column(0)
    columns.total.append(total)
    columns.short.append(short)
    capacity = {}
    for region, terms in sorted(parts.region.items()):
        capacity[region] = _sum(program, terms)
    program.row({total: 1} | dict.fromkeys(capacity.values(), -1.0), at_least=0, at_most=0)
    columns.rows["demand", a, 0] = len(program.rows)
    program.row({total: 1, short: 1}, at_least=float(p.demand[a]))
    if p.kind[a] != NO_DOMAIN and p.required[a] > 0:
        by_region = p.kind[a] not in {ZONE, PROVIDER}
        for domain, terms in sorted(parts.domain.items()):
            lost = capacity[domain] if by_region else _sum(program, terms)
            columns.rows["survive", a, domain] = len(program.rows)
            program.row({total: 1, _soft(a, program, columns): 1, lost: -1}, at_least=float(p.required[a]))
    if p.spot_left[a] > 0:
        for region, terms in sorted(parts.spot.items()):
            columns.rows["spot", a, region] = len(program.rows)
            row = {total: 1.0, _soft(a, program, columns): 1.0} | {column: -value for column, value in terms.items()}
            program.row(row, at_least=float(p.spot_left[a]))
    if p.on_demand[a] > 0:
        columns.rows["on demand", a, 0] = len(program.rows)
        program.row(parts.bought | {short: 1}, at_least=float(p.on_demand[a]))
    _spread_rows(p, a, capacity, program, columns)
    _region_rows(p, a, parts, program, columns)


def _sum(program: Program, terms: dict[int, float]) -> int:
    """Return a column that equals a sum: rows that use it stay short."""
    column = program.column(INFINITY)
    program.row({column: 1} | {c: -value for c, value in terms.items()}, at_least=0, at_most=0)
    return column


def _spread_rows(p: Problem, a: int, capacity: dict[int, int], program: Program, columns: Columns) -> None:
    total = columns.total[a]
    if p.share[a] < PPM:
        for region, column in capacity.items():
            columns.rows["share", a, region] = len(program.rows)
            program.row({column: 1, total: -float(p.share[a]) / PPM}, at_most=float(p.slack[a]))
    for f in range(int(p.floor_first[a]), int(p.floor_first[a + 1])):
        place = int(p.floor_place[f])
        inside = [column for region, column in capacity.items() if p.place_has[place, region]]
        if p.floor_min[f] > 0:
            columns.rows["floor", a, place] = len(program.rows)
            program.row(dict.fromkeys(inside, 1.0) | {_soft(a, program, columns): 1}, at_least=float(p.floor_min[f]))
        if p.floor_max[f] < PPM and inside:
            columns.rows["ceiling", a, place] = len(program.rows)
            program.row(dict.fromkeys(inside, 1.0) | {total: -float(p.floor_max[f]) / PPM}, at_most=float(p.slack[a]))


def _soft(a: int, program: Program, columns: Columns) -> int:
    column = program.column(0)
    columns.exposed[a].append(column)
    return column


def _region_rows(p: Problem, a: int, parts: _Parts, program: Program, columns: Columns) -> None:
    """Least number of regions; and one shape in each, since a Serve deployment has one set of resources."""
    if p.min_regions[a] > 1:
        scarce = _soft(a, program, columns)
        uses = {program.column(1, integer=True): terms for _, terms in sorted(parts.shapes.items())}
        for use, terms in uses.items():
            program.row({use: 1} | dict.fromkeys(terms, -1.0), at_most=0)
        program.row(dict.fromkeys(uses, 1.0) | {scarce: 1}, at_least=float(p.min_regions[a]))
    for _, terms in sorted(parts.shapes.items() if p.one_shape[a] else ()):
        shapes = sorted(set(terms.values()))
        if len(shapes) == 1:
            continue
        only = {shape: program.column(1, integer=True) for shape in shapes}
        program.row(dict.fromkeys(only.values(), 1.0), at_most=1)
        for column, shape in terms.items():
            program.row({column: 1, only[shape]: -program.upper[column]}, at_most=0)


def _start_rows(p: Problem, program: Program, columns: Columns) -> None:
    """A replica beyond those that run already costs its start."""
    if not p.current.any():
        return
    for a in range(p.applications):
        for j in range(int(p.first[a]), int(p.first[a + 1])):
            if p.start_replica[a] > 0:
                started = program.column(INFINITY, float(p.start_replica[a]) / DOLLAR)
                program.row({columns.replicas[j]: 1, started: -1}, at_most=float(p.current[j]))


def _packing_rows(p: Problem, sizes: Sizes | None, program: Program, columns: Columns) -> None:
    users: dict[int, list[int]] = defaultdict(list)
    for j in range(p.pairs):
        g = int(p.group[j])
        users[g].append(j)
        whole = max(1.0, float(p.size[j] // UNIT))
        program.row({columns.replicas[j]: whole, columns.machines[g]: -float(p.per_machine[j])}, at_most=0)
    for g, members in sorted(users.items()):
        if len(members) < 2:  # noqa: PLR2004  alone, the bound by `per_machine` is exact
            continue
        if sizes is None:
            terms = {columns.replicas[j]: float(p.size[j]) / UNIT for j in members}
            program.row(terms | {columns.machines[g]: -1.0}, at_most=0)
            continue
        for replica, machine in zip(sizes.replica, sizes.machine, strict=True):
            terms = {columns.replicas[j]: float(replica[j]) for j in members}
            program.row(terms | {columns.machines[g]: -float(machine[g])}, at_most=0)


def _quota_rows(p: Problem, program: Program, columns: Columns) -> None:
    members: dict[int, dict[int, float]] = defaultdict(dict)
    for g in range(p.groups):
        for k in range(int(p.quota_first[g]), int(p.quota_first[g + 1])):
            members[int(p.quota[k])][columns.machines[g]] = float(p.quota_size[k])
    for quota, terms in sorted(members.items()):
        columns.rows["quota", quota, 0] = len(program.rows)
        program.row(terms, at_most=float(p.quota_headroom[quota]))


def _budget_row(p: Problem, heads: IntArray, program: Program, columns: Columns) -> None:
    terms = {columns.machines[g]: float(p.price[g]) / DOLLAR for g in range(p.groups)}
    terms |= {column: float(head) / DOLLAR for column, head in zip(columns.open_cells, heads, strict=True)}
    columns.rows["budget", 0, 0] = len(program.rows)
    program.row(terms, at_most=p.budget / DOLLAR)
