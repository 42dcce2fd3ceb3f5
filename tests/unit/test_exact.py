"""The exact program is bounded by nodes, and reports what its nodes did not decide."""

from itertools import product
from typing import Any

import pytest

from scheduler.solve.exact import NODES_PAIRS, solve_exactly
from scheduler.solve.formulate import Formulation, formulate
from scheduler.solve.highs import Point, Program, Unsolved, minimise
from scheduler.solve.supply import build_supply
from state.model.settings import SolveBudget
from state.model.spec import CapacitySpec
from tests.builders import a_spec, application
from tests.unit.test_solve_whole import a_snapshot, supply


def knapsack(items: int, at_least: float) -> Program:
    """Items of odd sizes of which a sum must be reached: it takes many nodes to prove the optimum."""
    program = Program()
    columns = [program.column(1, 101.0 + 7 * n % 13, integer=True) for n in range(items)]
    program.row({column: 100.0 + 7 * n % 13 for n, column in enumerate(columns)}, at_least=at_least)
    return program


def test_what_nodes_do_not_decide_is_not_infeasible() -> None:
    assert minimise(knapsack(8, 250), SolveBudget(exact_nodes=0)) is Unsolved.UNDECIDED
    assert minimise(knapsack(8, 99_999), SolveBudget()) is Unsolved.INFEASIBLE
    assert isinstance(minimise(knapsack(8, 250), SolveBudget()), Point)


@pytest.mark.parametrize("nodes", [1, 3, 10])
def test_no_more_nodes_are_spent_than_the_budget_has(nodes: int) -> None:
    point = minimise(knapsack(60, 3_070.5), SolveBudget(exact_nodes=nodes, gap=0.0))

    assert isinstance(point, Point)
    assert point.nodes <= nodes


def formulated(applications: int, **changes: object) -> tuple[Formulation, CapacitySpec]:
    apps: dict[str, Any] = {
        f"app-{n:02}": application(demand={"replicas": 2 + n % 3}, survive={"any": "region"}, **changes)
        for n in range(applications)
    }
    snapshot = a_snapshot(*supply(6), **apps)
    spec = a_spec(**apps)
    return formulate(snapshot, spec, build_supply(snapshot, spec)), spec


def test_a_large_program_gets_fewer_nodes_and_none_of_them_is_no_answer() -> None:
    formulation, _ = formulated(15)
    pairs = formulation.problem.pairs
    assert pairs > NODES_PAIRS

    assert solve_exactly(formulation, SolveBudget(exact_nodes=1)) is None
    assert solve_exactly(formulation, SolveBudget(exact_nodes=pairs)) is not None


def test_demand_beyond_supply_is_served_by_priority_within_one_budget() -> None:
    shapes = [{"gpu": "L4", "count": 3}]
    apps: dict[str, Any] = {
        f"p{p}-{n}": application(demand={"replicas": 9}, priority=p, shapes=shapes) for p, n in product((1, 5), "ab")
    }
    snapshot = a_snapshot(*supply(3), **apps)
    spec = a_spec(**apps)
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))

    solution = solve_exactly(formulation, SolveBudget())

    assert solution is not None
    carried: dict[str, int] = {name: 0 for name, _ in spec.named()}
    for j, a in enumerate(formulation.problem.owner):
        carried[formulation.names[a]] += int(solution.replicas[j])
    # Five machines of four GPUs, three of each: fifteen replicas, nine of them for each of the two that matter most.
    assert carried["p5-a"] + carried["p5-b"] == 15
    assert carried["p1-a"] + carried["p1-b"] == 0
    assert solution.gap is not None
