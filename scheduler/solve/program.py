"""The placement as a mixed-integer program, from the problem's arrays.

Columns, for applications a, pairs j, groups of offers g, regions r, failure domains D:

    x[j]  replicas            y[g]  machines            more[g]  machines beyond existing ones
    open[r]   the cell has a head            use[a,r]  a runs in r              only[a,s,r]  a runs in shape s in r
    sold[g]   any machines at all, where the least purchase is more than one
    T[a] = Σ capacity_per_replica·x         cap[a,r], cap[a,D]  the part in a region and in a failure domain
    short[a]  demand that is not met         soft[level,a]  other rules kept less than wholly
    spare[g]  machines that each application with a credit counts on        bought[a,D]  what it counts on after a loss

Rows:

    T[a] + short[a] ≥ Q[a]
    T[a] - cap[a,D] + bought[a,D] + soft ≥ required[a]    for each failure domain of the kind to be survived
    T[a] - spot in r + soft ≥ spot_left[a]                for each region's spot pool that is in use
    cap[a,r] ≤ share · T[a] + one replica + soft          and so for places with a ceiling
    Σ use[a,r] + soft ≥ min,  use[a,r] ≤ Σ x in r
    Σ cap[a,·] over a place + soft ≥ floor
    Σ capacity_per_replica · x not on spot + soft ≥ on_demand[a]
    bought[a,D] ≤ credit[a],  applications · spare[g] + max(0, y[g] - existing[g]) ≤ spare machines of g
    parts of machines ≤ y[g]: Σ x ≤ per_machine · y[g] where all replicas have one size, else
        Σ mixed_size · rest + UNIT · Σ own ≤ UNIT · y[g],  rest ≥ Σ x of a size - per_machine · own
    y[g] ≤ high[g] · open[r];  min_batch · sold[g] ≤ y[g] ≤ high[g] · sold[g]
    Σ_{g in quota} size · y[g] ≤ headroom;  Σ price · y + Σ head · open ≤ budget

Everything that capacity is summed from is a whole number of thousandths, so that no tolerance of the
solver can stand for a replica. Source: the formulation is the usual capacity-planning one; the survival
rows are linear because the loss of a domain removes exactly its own capacity, and each sums its own
domain only: writing the sum over all others makes them eleven times as dense.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from scheduler.solve.columns import DOLLAR, Columns
from scheduler.solve.credit import Credits
from scheduler.solve.highs import INFINITY, Program
from scheduler.solve.packing import packing_rows
from scheduler.solve.problem import (
    CEILINGS,
    FLOORS,
    NO_DOMAIN,
    PPM,
    PROVIDER,
    SPREAD,
    SURVIVAL,
    UNIT,
    ZONE,
    IntArray,
    Problem,
)


def build(p: Problem, heads: IntArray) -> tuple[Program, Columns]:
    """Return the program whose optimum is the placement; *heads* are list prices of heads, by region."""
    program, columns = Program(), Columns()
    _machine_columns(p, program, columns)
    for j in range(p.pairs):
        high = int(p.high[p.group[j]]) * (UNIT // int(p.size[j]) if p.size[j] < UNIT else 1)
        columns.replicas.append(program.column(high, float(p.extra[j]) / DOLLAR, integer=True))
    built = _Built(program, columns, Credits(p, program, columns))
    for a in range(p.applications):
        _application_rows(p, a, built)
    _start_rows(p, program, columns)
    packing_rows(p, program, columns)
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


@dataclass(frozen=True, slots=True)
class _Built:
    """A program while it is built."""

    program: Program
    columns: Columns
    credits: Credits


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


def _application_rows(p: Problem, a: int, built: _Built) -> None:
    program, columns = built.program, built.columns
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
    _survival_rows(p, a, parts, capacity, built)
    _spread_rows(p, a, capacity, program, columns)
    _region_rows(p, a, parts, program, columns)


def _survival_rows(p: Problem, a: int, parts: _Parts, capacity: dict[int, int], built: _Built) -> None:
    """What must remain after the loss of a failure domain or of spot machines, and what must not be spot at all."""
    program, columns, total = built.program, built.columns, built.columns.total[a]
    if p.kind[a] != NO_DOMAIN and p.required[a] + p.credit[a] > 0:
        by_region = p.kind[a] not in {ZONE, PROVIDER}
        for domain, inside in sorted(parts.domain.items()):
            lost = capacity[domain] if by_region else _sum(program, inside)
            columns.rows["survive", a, domain] = len(program.rows)
            row = {total: 1.0, _soft(SURVIVAL, a, program, columns): 1.0, lost: -1.0}
            row |= dict.fromkeys(built.credits.after_loss_of(a, domain), 1.0)
            left = float(p.required[a] + p.credit[a])
            if p.credit[a]:  # stock in a domain that is not in use would be lost with it
                program.row(row | {_use(program, inside): -left}, at_least=0)
            else:
                program.row(row, at_least=left)
        if p.credit[a]:
            program.row({total: 1.0, _soft(SURVIVAL, a, program, columns): 1.0}, at_least=float(p.required[a]))
    if p.spot_left[a] > 0:
        for region, inside in sorted(parts.spot.items()):
            columns.rows["spot", a, region] = len(program.rows)
            row = {total: 1.0, _soft(SURVIVAL, a, program, columns): 1.0} | {c: -value for c, value in inside.items()}
            program.row(row | {_use(program, inside): -float(p.spot_left[a])}, at_least=0)
    if p.on_demand[a] > 0:
        columns.rows["on demand", a, 0] = len(program.rows)
        program.row(parts.bought | {_soft(SURVIVAL, a, program, columns): 1}, at_least=float(p.on_demand[a]))


def _use(program: Program, terms: dict[int, float]) -> int:
    """Return a column that is 1 where any of some replicas is placed."""
    use = program.column(1, integer=True)
    program.row({use: -sum(program.upper[column] for column in terms)} | dict.fromkeys(terms, 1.0), at_most=0)
    return use


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
            over = _soft(CEILINGS, a, program, columns)
            program.row({column: 1, over: -1, total: -float(p.share[a]) / PPM}, at_most=float(p.slack[a]))
    for f in range(int(p.floor_first[a]), int(p.floor_first[a + 1])):
        place = int(p.floor_place[f])
        inside = [column for region, column in capacity.items() if p.place_has[place, region]]
        if p.floor_min[f] > 0:
            columns.rows["floor", a, place] = len(program.rows)
            less = _soft(FLOORS, a, program, columns)
            program.row(dict.fromkeys(inside, 1.0) | {less: 1}, at_least=float(p.floor_min[f]))
        if p.floor_max[f] < PPM and inside:
            columns.rows["ceiling", a, place] = len(program.rows)
            over = _soft(CEILINGS, a, program, columns)
            terms = dict.fromkeys(inside, 1.0) | {over: -1.0, total: -float(p.floor_max[f]) / PPM}
            program.row(terms, at_most=float(p.slack[a]))


def _soft(level: int, a: int, program: Program, columns: Columns) -> int:
    """Return the column by which the rules of a level are missed: the worst of them counts."""
    if (level, a) not in columns.soft:
        columns.soft[level, a] = program.column(0)
    return columns.soft[level, a]


def _region_rows(p: Problem, a: int, parts: _Parts, program: Program, columns: Columns) -> None:
    """Least number of regions; and one shape in each, since a Serve deployment has one set of resources."""
    if p.min_regions[a] > 1:
        scarce = _soft(SPREAD, a, program, columns)
        uses = {program.column(1, integer=True): terms for _, terms in sorted(parts.shapes.items())}
        for use, terms in uses.items():
            program.row({use: 1} | dict.fromkeys(terms, -1.0), at_most=0)
        program.row(dict.fromkeys(uses, 1.0) | {scarce: 1}, at_least=float(p.min_regions[a]))
    else:  # any replica is in a region
        replicas = [column for _, terms in sorted(parts.shapes.items()) for column in terms]
        program.row(dict.fromkeys(replicas, 1.0) | {_soft(SPREAD, a, program, columns): 1}, at_least=1)
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
