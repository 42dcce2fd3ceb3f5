"""A mixed-integer program as rows and columns, and HiGHS to solve it.

HiGHS runs on one thread with a fixed seed, so that equal programs give equal answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

INFINITY: Final = highspy.kHighsInf
GAP: Final = 1e-4


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

    def count(self, column: int) -> int:
        """Return the value of an integer column, exactly."""
        return round(self.values[column])


@dataclass(frozen=True, slots=True)
class Work:
    """How far HiGHS is to go."""

    gap: float = GAP
    nodes: int = 2**31 - 1
    """Of the search tree: a bound on the work that is the same on every machine."""


USUAL: Final = Work()


def minimise(
    program: Program, cost: list[float] | None = None, work: Work = USUAL, start: Mapping[int, float] | None = None
) -> Point | None:
    """Return the best point found, or None where there is none.

    Args:
        program: The program.
        cost: Costs to use instead of the program's own, one per column.
        work: How near the optimum, and how many nodes at most.
        start: Values of some columns at a feasible point to start from.
    """
    model = _loaded(program, program.cost if cost is None else cost, work)
    if start:
        model.setSolution(len(start), np.array(list(start), np.int32), np.array(list(start.values()), np.float64))
    model.run()
    info = model.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    values = tuple(model.getSolution().col_value)
    gap = info.mip_gap if any(program.integer) and np.isfinite(info.mip_gap) else 0.0
    return Point(values, info.objective_function_value, max(0.0, gap))


def least(program: Program, work: Work) -> float:
    """Return a proven lower bound on the optimum."""
    model = _loaded(program, program.cost, work)
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
    model = _loaded(linear, program.cost, USUAL)
    model.setOptionValue("solver", "ipm")
    model.setOptionValue("run_crossover", "off")
    model.run()
    solution = model.getSolution()
    return Duals(np.array(solution.row_dual), np.array(solution.col_dual))


def _loaded(program: Program, cost: list[float], work: Work) -> highspy.Highs:
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()  # it would print on standard output, which belongs to the commands
    for name, value in (("threads", 1), ("random_seed", 1), ("mip_rel_gap", work.gap)):
        model.setOptionValue(name, value)
    model.setOptionValue("mip_max_nodes", work.nodes)
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
