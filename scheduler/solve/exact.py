"""The exact way: the whole problem as one mixed-integer program, for fleets small enough."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from scheduler.solve.formulate import Formulation
from scheduler.solve.highs import Point, Program, Unsolved, minimise
from scheduler.solve.packing import misfit, without
from scheduler.solve.problem import IntArray
from scheduler.solve.program import Columns, Sizes, build
from scheduler.solve.solution import Solution
from state.model.settings import SolveBudget
from state.model.spec import CapacitySpec
from state.model.units import MILLI

NODES_PAIRS: Final = 100
"""The size that a budget's nodes are for; a larger program gets fewer, since a node's work grows with the square."""


def solve_exactly(
    formulation: Formulation, spec: CapacitySpec, budget: SolveBudget, start: Solution | None = None
) -> tuple[Formulation, Solution] | None:
    """Return the optimum, or the best within the budget with its gap; None where nothing was found.

    Returns also the problem that it solves: pairs are dropped where machines could not be packed as counted.
    """
    budget = _for_size(budget, formulation.problem.pairs)
    while True:
        program, columns = build(formulation.problem, head_prices(formulation), sizes_of(formulation, spec))
        point = _cheapest(spec, program, columns, budget, start)
        if point is None:
            return None
        counts = _counts(point, columns.replicas)
        machines = _counts(point, columns.machines)
        stays = misfit(formulation, spec, counts, machines)
        if stays is None:
            gap = point.gap if math.isfinite(point.gap) else None
            return formulation, Solution(counts, machines, gap)
        formulation = replace(formulation, problem=without(formulation.problem, stays))
        start = None


def _for_size(budget: SolveBudget, pairs: int) -> SolveBudget:
    """Return the budget with the nodes that a program of so many pairs may spend."""
    share = min(1.0, (NODES_PAIRS / max(pairs, 1)) ** 2)
    return replace(budget, exact_nodes=int(budget.exact_nodes * share))


def head_prices(formulation: Formulation) -> IntArray:
    """Return the price of each region's head, in micro-dollars per hour."""
    return np.array(
        [formulation.supply.heads[region].price.per_hour.micros for region in formulation.regions], np.int64
    )


def sizes_of(formulation: Formulation, spec: CapacitySpec) -> Sizes:
    """Return what replicas need and machines have; a gang takes its machines whole."""
    p = formulation.problem
    machines = [group.machine for group in formulation.supply.groups]
    size = np.array([[m.gpus * MILLI, m.vcpus, m.memory_gib] for m in machines], np.float64).reshape(-1, 3).T
    need = np.zeros((3, p.pairs))
    for a, (_, application) in enumerate(spec.named()):
        for j in range(int(p.first[a]), int(p.first[a + 1])):
            shape = application.shapes[p.shape[j]]
            if shape.machines > 1:
                need[:, j] = size[:, p.group[j]] * shape.machines
            else:
                need[:, j] = (shape.gpu_milli, shape.cpus, shape.memory_gib)
    return Sizes(need, size)


def _counts(point: Point, columns: list[int]) -> IntArray:
    return np.array([point.count(column) for column in columns], np.int64)


def _cheapest(
    spec: CapacitySpec, program: Program, columns: Columns, budget: SolveBudget, start: Solution | None
) -> Point | None:
    """Return the optimum; where the rules cannot all be kept, that of the least breach, by priority.

    First as much demand as possible is served, application by priority class, then as little as possible is left
    exposed; only then is cost minimised. All stages share the nodes of *budget*. None where they do not suffice.
    """
    hint = {} if start is None else columns.at(start.replicas, start.machines)
    point = minimise(program, budget, start=hint)
    if point is not Unsolved.INFEASIBLE:
        return None if isinstance(point, Unsolved) else point
    soften(spec, program, columns)
    is_proven = True
    for violations in _stages(spec, columns):
        cost = [0.0] * len(program.cost)
        for column in violations:
            cost[column] = 1.0
        point = minimise(program, budget, cost)
        if isinstance(point, Unsolved):
            return None
        is_proven = is_proven and point.gap <= budget.gap
        budget = replace(budget, exact_nodes=max(0, budget.exact_nodes - point.nodes))
        fewest = sum(point.values[column] for column in violations)
        program.row(dict.fromkeys(violations, 1.0), at_most=max(0.0, fewest) * (1 + 1e-9) + 1e-6)
    point = minimise(program, budget)
    if isinstance(point, Unsolved):
        return None
    return point if is_proven else replace(point, gap=math.inf)


def _stages(spec: CapacitySpec, columns: Columns) -> Iterator[list[int]]:
    """Return the columns to minimise one after the other: by priority class, what is short, then what is exposed."""
    by_priority: dict[int, list[int]] = defaultdict(list)
    for a, (_, application) in enumerate(spec.named()):
        by_priority[application.priority].append(a)
    for priority in sorted(by_priority, reverse=True):
        members = by_priority[priority]
        yield [columns.short[a] for a in members]
        exposed = [column for a in members for column in columns.exposed[a]]
        if exposed:
            yield exposed


def soften(spec: CapacitySpec, program: Program, columns: Columns) -> None:
    """Let every requirement be kept less than wholly."""
    for a, (_, application) in enumerate(spec.named()):
        demand = application.demand.milli
        program.upper[columns.short[a]] = float(demand)
        for column in columns.exposed[a]:
            program.upper[column] = float(max(demand, MILLI))
