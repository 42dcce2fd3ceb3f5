"""The exact way: the whole problem as one mixed-integer program, for fleets small enough."""

from dataclasses import replace

import numpy as np

from scheduler.solve.answer import Answer
from scheduler.solve.formulate import Formulation
from scheduler.solve.highs import Point, Program, Work, minimise
from scheduler.solve.packing import misfit, without
from scheduler.solve.problem import IntArray
from scheduler.solve.program import Columns, Sizes, build
from state.model.spec import CapacitySpec
from state.model.units import MILLI


def solve_exactly(
    formulation: Formulation, spec: CapacitySpec, work: Work, start: Answer | None = None
) -> tuple[Formulation, Answer] | None:
    """Return the optimum, or what was found by the end of *work* with its gap; None where nothing was.

    Returns also the problem that it answers: pairs are dropped where machines could not be packed as counted.
    """
    while True:
        program, columns = build(formulation.problem, head_prices(formulation), sizes_of(formulation, spec))
        point = _cheapest(spec, program, columns, work, start)
        if point is None:
            return None
        counts = _counts(point, columns.replicas)
        machines = _counts(point, columns.machines)
        stays = misfit(formulation, spec, counts, machines)
        if stays is None:
            return formulation, Answer(counts, machines, point.gap)
        formulation = replace(formulation, problem=without(formulation.problem, stays))
        start = None


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


def _cheapest(spec: CapacitySpec, program: Program, columns: Columns, work: Work, start: Answer | None) -> Point | None:
    """Return the optimum; where the rules cannot all be kept, that of the least breach, by priority.

    First as much demand as possible is served, application by priority class, then as little as
    possible is left exposed; only then is cost looked at.
    """
    hint = {} if start is None else columns.at(start.replicas, start.machines)
    point = minimise(program, work=work, start=hint)
    if point is not None:
        return point
    soften(spec, program, columns)
    by_priority: dict[int, list[int]] = {}
    for a, (_, application) in enumerate(spec.named()):
        by_priority.setdefault(application.priority, []).append(a)
    for priority in sorted(by_priority, reverse=True):
        members = by_priority[priority]
        for group in ([columns.short[a] for a in members], [c for a in members for c in columns.exposed[a]]):
            if not _fixed_at_least(program, group, work):
                return None
    return minimise(program, work=work)


def soften(spec: CapacitySpec, program: Program, columns: Columns) -> None:
    """Let every requirement be kept less than wholly."""
    for a, (_, application) in enumerate(spec.named()):
        demand = application.demand.milli
        program.upper[columns.short[a]] = float(demand)
        for column in columns.exposed[a]:
            program.upper[column] = float(max(demand, MILLI))


def _fixed_at_least(program: Program, violations: list[int], work: Work) -> bool:
    """Make the sum of *breaches* as small as it can be, and keep it there."""
    if not violations:
        return True
    cost = [0.0] * len(program.cost)
    for column in violations:
        cost[column] = 1.0
    point = minimise(program, cost, work)
    if point is None:
        return False
    least = sum(point.values[column] for column in violations)
    program.row(dict.fromkeys(violations, 1.0), at_most=max(0.0, least) * (1 + 1e-9) + 1e-6)
    return True
