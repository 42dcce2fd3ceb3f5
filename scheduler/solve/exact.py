"""The exact way: the whole problem as one mixed-integer program, for fleets small enough."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from scheduler.solve.columns import Columns
from scheduler.solve.formulate import Formulation
from scheduler.solve.highs import INFINITY, Point, Program, Unsolved, minimise
from scheduler.solve.problem import RULE_LEVELS, SPREAD, IntArray, Problem
from scheduler.solve.program import build
from scheduler.solve.solution import Solution
from state.model.settings import SolveBudget

KEPT: Final = 0.5
"""Rules are missed by whole thousandths, so less than this is a solver's tolerance."""
NODES_PAIRS: Final = 100
"""The size that a budget's nodes are for; a larger program gets fewer, since a node's work grows with the square."""


def solve_exactly(formulation: Formulation, budget: SolveBudget, start: Solution | None = None) -> Solution | None:
    """Return the optimum, or the best within the budget with its gap; None where nothing was found."""
    p = formulation.problem
    program, columns = build(p, head_prices(formulation))
    point = cheapest(p, program, columns, _for_size(budget, p.pairs), start)
    if point is None:
        return None
    gap = point.gap if math.isfinite(point.gap) else None
    return Solution(_counts(point, columns.replicas), _counts(point, columns.machines), gap)


def _for_size(budget: SolveBudget, pairs: int) -> SolveBudget:
    """Return the budget with the nodes that a program of so many pairs may spend."""
    share = min(1.0, (NODES_PAIRS / max(pairs, 1)) ** 2)
    return replace(budget, exact_nodes=int(budget.exact_nodes * share))


def head_prices(formulation: Formulation) -> IntArray:
    """Return the price of each region's head, in micro-dollars per hour."""
    return np.array(
        [formulation.supply.heads[region].price.per_hour.micros for region in formulation.regions], np.int64
    )


def _counts(point: Point, columns: list[int]) -> IntArray:
    return np.array([point.count(column) for column in columns], np.int64)


def cheapest(
    p: Problem, program: Program, columns: Columns, budget: SolveBudget, start: Solution | None
) -> Point | None:
    """Return the optimum of a problem's program; where not all rules can be kept, that of the least breach, in order.

    First as much demand as possible is served, by priority class; then each level of rules is missed as little as
    possible; only then is cost minimised. What the last point keeps wholly needs no stage of its own. All stages
    share the nodes of *budget*. None where they do not suffice.
    """
    hint = {} if start is None else columns.at(start.replicas, start.machines)
    point = minimise(program, budget, start=hint)
    if point is not Unsolved.INFEASIBLE:
        return None if isinstance(point, Unsolved) else point
    soften(program, columns)
    is_proven = True
    for missed in stages(p, columns):
        if isinstance(point, Unsolved) or sum(point.values[column] for column in missed) > KEPT:
            cost = [0.0] * len(program.cost)
            for column, weight in missed.items():
                cost[column] = weight
            hint = {} if isinstance(point, Unsolved) else dict(enumerate(point.values))
            point = minimise(program, budget, cost, hint)
            if isinstance(point, Unsolved):
                return None
            is_proven = is_proven and point.gap <= budget.gap
            budget = replace(budget, exact_nodes=max(0, budget.exact_nodes - point.nodes))
        fewest = sum(point.values[column] * weight for column, weight in missed.items())
        program.row(missed, at_most=max(0.0, fewest) * (1 + 1e-9) + 1e-6)
    final = minimise(program, budget, start=dict(enumerate(point.values)) if isinstance(point, Point) else None)
    if isinstance(final, Unsolved):
        return None
    return final if is_proven else replace(final, gap=math.inf)


def stages(p: Problem, columns: Columns) -> Iterator[dict[int, float]]:
    """Return what to make small one after the other, as columns with weights that count in largest replicas.

    Demand comes first, by priority class, then each level of rules, again by class.
    """
    classes = sorted(set(p.priority.tolist()), reverse=True)
    unit = [1.0 / max(int(slack), 1) for slack in p.slack]
    members = {priority: np.flatnonzero(p.priority == priority).tolist() for priority in classes}
    for priority in classes:
        yield {columns.short[a]: unit[a] for a in members[priority]}
    for level in RULE_LEVELS:
        for priority in classes:
            missed = {
                columns.soft[level, a]: 1.0 if level == SPREAD else unit[a]
                for a in members[priority]
                if (level, a) in columns.soft
            }
            if missed:
                yield missed


def soften(program: Program, columns: Columns) -> None:
    """Let every rule that may give way be kept less than wholly."""
    for column in (*columns.short, *columns.soft.values()):
        program.upper[column] = INFINITY
