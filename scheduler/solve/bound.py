"""A proven lower bound for fleets too large for an exact program: the integer-Lagrangean bound.

Stock and quota rows are priced instead of kept, and machines may be bought in fractions. What remains falls apart
into one small program per application, whose integer optimum HiGHS proves:

    cost ≥ Σ_a min { Σ (price/UNIT + λ)·size·x + extra·x + weight·short : the rules of a } - Σ λ·stock - Σ μ·headroom

for any λ, μ ≥ 0. Source: Geoffrion, Lagrangean relaxation for integer programming (1974). Prices from the search
make it tight; that they are not optimal costs tightness, never validity. Each term is HiGHS's own lower bound.
"""

from collections import defaultdict
from collections.abc import Iterable

from scheduler.solve.highs import INFINITY, Program, lower_bound
from scheduler.solve.problem import NO_DOMAIN, PPM, UNIT, FloatArray, Problem
from scheduler.solve.search.prices import Prices
from scheduler.solve.search.scratch import domain_index
from state.model.settings import SolveBudget

DOLLAR = 1_000_000.0


def unit_prices(p: Problem, prices: Prices) -> FloatArray:
    """Return what one machine of each group costs, in micro-dollars, scarcity included."""
    price: FloatArray = p.price + prices.group
    for g in range(p.groups):
        for k in range(p.quota_first[g], p.quota_first[g + 1]):
            price[g] += p.quota_size[k] * prices.quota[p.quota[k]]
    return price


def application_bound(p: Problem, a: int, price: FloatArray, gap: float = 2e-3) -> float:
    """Return a lower bound on what one application costs at *price* per machine, in micro-dollars."""
    bound = lower_bound(_single(p, a, price), SolveBudget(exact_nodes=2_000, gap=gap)) * DOLLAR
    return bound if bound < INFINITY else 0.0


def lagrangean_bound(p: Problem, prices: Prices, applications: Iterable[int]) -> tuple[float, int]:
    """Return the sum of the bounds of some applications, scaled up to all by nothing, and how many there were.

    With all applications it is the bound on the cost of the fleet, less `paid_back`.
    """
    price = unit_prices(p, prices)
    bounds = [application_bound(p, a, price) for a in applications]
    return sum(bounds), len(bounds)


def paid_back(p: Problem, prices: Prices) -> float:
    """Return what the priced rows give back: price times what there is, in micro-dollars."""
    return float((prices.group * p.high).sum() + (prices.quota * p.quota_headroom).sum())


def _single(p: Problem, a: int, price: FloatArray) -> Program:
    program = Program()
    scale = max(float(p.slack[a]), 1.0)
    by_domain: dict[int, dict[int, float]] = defaultdict(dict)
    by_region: dict[int, dict[int, float]] = defaultdict(dict)
    on_demand: dict[int, float] = {}
    for j in range(p.first[a], p.first[a + 1]):
        g = int(p.group[j])
        cost = (price[g] * p.size[j] / UNIT + p.extra[j]) / DOLLAR
        column = program.column(int(p.high[g] * UNIT // p.size[j]), cost, integer=True)
        capacity = int(p.capacity_per_replica[j]) / scale
        domain = domain_index(int(p.kind[a]), int(p.zone[g]), int(p.region[g]), int(p.provider[g]))
        by_domain[domain][column] = capacity
        by_region[int(p.region[g])][column] = capacity
        if not p.is_spot[g]:
            on_demand[column] = capacity
    short = program.column(0)
    total = program.column(INFINITY)
    program.row({total: 1.0} | {c: -v for terms in by_region.values() for c, v in terms.items()}, at_least=0, at_most=0)
    program.row({total: 1.0, short: 1.0}, at_least=p.demand[a] / scale)
    if p.kind[a] != NO_DOMAIN and p.required[a] > 0:
        program.row({total: 1.0, short: 1.0}, at_least=p.required[a] / scale)
        for terms in by_domain.values():
            program.row({total: 1.0, short: 1.0} | {c: -v for c, v in terms.items()}, at_least=p.required[a] / scale)
    if p.on_demand[a] > 0:
        program.row(on_demand | {short: 1.0}, at_least=p.on_demand[a] / scale)
    if p.share[a] < PPM:
        for terms in by_region.values():
            program.row(terms | {total: -p.share[a] / PPM, short: -1.0}, at_most=p.slack[a] / scale)
    return program
