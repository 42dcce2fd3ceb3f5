"""A mixed-integer program as rows and columns, and HiGHS to solve it.

HiGHS runs on one thread with a fixed seed and is bounded by nodes, never by seconds, so that equal programs give equal
points on every machine, however busy it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

from state.model.settings import TICK, SolveBudget

INFINITY: Final = highspy.kHighsInf
PRESOLVED_ABOVE: Final = 300
"""Columns of a program from which presolve is on. It drops the optimum of one small program in some two hundred, and
halves the time of large ones. Source: measured against `tests/model`; HiGHS issues 3043, 3073 and 3094 are alike."""


@dataclass(slots=True)
class Program:
    """Columns with bounds and costs, and rows over them."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    rows: list[tuple[float, float, tuple[int, ...], tuple[float, ...]]] = field(default_factory=list)

    def column(self, upper: float, cost: float = 0.0, *, lower: float = 0.0, integer: bool = False) -> int:
        """Add a column and return its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(cost)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, terms: dict[int, float], *, at_least: float = -INFINITY, at_most: float = INFINITY) -> None:
        """Add a row: *at_least* ≤ Σ coefficient · column ≤ *at_most*."""
        self.rows.append((at_least, at_most, tuple(terms), tuple(float(value) for value in terms.values())))


@dataclass(frozen=True, slots=True)
class Point:
    """A point that keeps every row, and how far from the optimum it can be at most."""

    values: tuple[float, ...]
    objective: float
    gap: float
    """As a share; infinite where no bound is known."""
    nodes: int
    """Nodes of the search tree that were spent."""

    def count(self, column: int) -> int:
        """Return the value of an integer column, exactly."""
        return round(self.values[column])


class Unsolved(StrEnum):
    """Why there is no point."""

    INFEASIBLE = "infeasible"
    """No point keeps every row."""
    UNDECIDED = "undecided"
    """The budget ended before one was found."""


def minimise(
    program: Program,
    budget: SolveBudget,
    cost: list[float] | None = None,
    start: Mapping[int, float] | None = None,
) -> Point | Unsolved:
    """Return the best point found, or why there is none.

    Args:
        program: The program.
        budget: How near the optimum, and how many nodes at most.
        cost: Costs to use instead of the program's own, one per column.
        start: Values of some columns at a feasible point to start from.
    """
    model = _loaded(program, program.cost if cost is None else cost, budget)
    if start:
        model.setSolution(len(start), np.array(list(start), np.int32), np.array(list(start.values()), np.float64))
    model.run()
    info = model.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        is_proven = model.getModelStatus() == highspy.HighsModelStatus.kInfeasible
        return Unsolved.INFEASIBLE if is_proven else Unsolved.UNDECIDED
    values = tuple(model.getSolution().col_value)
    gap = max(0.0, info.mip_gap) if any(program.integer) else 0.0
    return Point(values, info.objective_function_value, gap, max(0, info.mip_node_count))


def lower_bound(program: Program, budget: SolveBudget) -> float:
    """Return a proven lower bound on the optimum."""
    model = _loaded(program, program.cost, budget)
    model.run()
    return float(model.getInfo().mip_dual_bound)


@dataclass(frozen=True, slots=True)
class Duals:
    """Shadow prices of rows and reduced costs of columns, of the linear relaxation."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]


def relaxed(program: Program) -> Duals:
    """Return the duals of a program whose whole numbers may be fractions, by the interior point method."""
    linear = replace(program, integer=[False] * len(program.integer))
    model = _loaded(linear, program.cost, TICK)
    model.setOptionValue("solver", "ipm")
    model.setOptionValue("run_crossover", "off")
    model.run()
    solution = model.getSolution()
    return Duals(np.array(solution.row_dual), np.array(solution.col_dual))


def _loaded(program: Program, cost: list[float], budget: SolveBudget) -> highspy.Highs:
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()  # it would print on standard output, which belongs to the commands
    for name, value in (("threads", 1), ("random_seed", 1), ("mip_rel_gap", budget.gap)):
        model.setOptionValue(name, value)
    model.setOptionValue("mip_max_nodes", budget.exact_nodes)
    model.setOptionValue("presolve", "on" if len(program.lower) > PRESOLVED_ABOVE else "off")
    count = len(program.lower)
    model.addVars(count, np.array(program.lower), np.array(program.upper))
    model.changeColsCost(count, np.arange(count, dtype=np.int32), np.array(cost, dtype=np.float64))
    kinds = [highspy.HighsVarType.kInteger if whole else highspy.HighsVarType.kContinuous for whole in program.integer]
    model.changeColsIntegrality(count, np.arange(count, dtype=np.int32), np.array(kinds))
    starts, indices, values = [0], list[int](), list[float]()
    for _, _, columns, coefficients in program.rows:
        indices += columns
        values += coefficients
        starts.append(len(indices))
    model.addRows(
        len(program.rows),
        np.array([row[0] for row in program.rows]),
        np.array([row[1] for row in program.rows]),
        len(indices),
        np.array(starts[:-1], dtype=np.int32),
        np.array(indices, dtype=np.int32),
        np.array(values, dtype=np.float64),
    )
    return model
