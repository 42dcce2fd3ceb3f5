"""How replicas share machines, as rows of the exact program.

A machine holds replicas of one size, as many as fit, or replicas of several sizes, each in a place. Places of a machine
divide one another, so whatever adds up can be packed, in any dimension and GPU by GPU: no packing needs a proof later.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.solve.columns import Columns
from scheduler.solve.highs import INFINITY, Program
from scheduler.solve.problem import UNIT, BoolArray, Problem


def packing_rows(p: Problem, program: Program, columns: Columns) -> None:
    """Add rows that give every replica its part of a machine of its group."""
    users: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for j in range(p.pairs):
        users[int(p.group[j])][int(p.fit[j])].append(j)
    for g, sizes in sorted(users.items()):
        gangs = {columns.replicas[j]: int(p.size[j]) // UNIT for js in sizes.values() for j in js if p.size[j] >= UNIT}
        shared = [js for _, js in sorted(sizes.items()) if p.size[js[0]] < UNIT]
        machine = columns.machines[g]
        for js in shared:
            many = float(p.per_machine[js[0]])
            alone = {columns.replicas[j]: 1.0 for j in js} | {c: many * n for c, n in gangs.items()}
            program.row(alone | {machine: -many}, at_most=0)
        if not shared:
            program.row({c: float(n) for c, n in gangs.items()} | {machine: -1.0}, at_most=0)
        if len(shared) > 1:
            _mixed(p, program, columns, shared, {machine: -1.0} | {c: float(n) for c, n in gangs.items()})


def _mixed(
    p: Problem, program: Program, columns: Columns, shared: Sequence[list[int]], whole: Mapping[int, float]
) -> None:
    """Let replicas of several sizes share machines; of some sizes more fit where a machine is theirs alone."""
    places = max(UNIT // int(p.mixed_size[js[0]]) for js in shared)
    row = {column: places * count for column, count in whole.items()}
    for js in shared:
        part = float(places * int(p.mixed_size[js[0]]) // UNIT)
        if p.mixed_size[js[0]] == p.size[js[0]]:
            row |= {columns.replicas[j]: part for j in js}
            continue
        own = program.column(float(p.high[p.group[js[0]]]), integer=True)
        rest = program.column(INFINITY)
        members = {columns.replicas[j]: 1.0 for j in js}
        program.row(members | {rest: -1.0, own: -float(p.per_machine[js[0]])}, at_most=0)
        row |= {rest: part, own: float(places)}
    program.row(row, at_most=0)


def without(problem: Problem, stays: BoolArray) -> Problem:
    """Return the problem with fewer pairs."""
    kept = np.concatenate([[0], np.cumsum(stays)])
    names = ("group", "shape", "capacity_per_replica", "per_machine", "size", "mixed_size", "fit", "extra", "current")
    columns = {name: getattr(problem, name)[stays] for name in names}
    return problem._replace(first=kept[problem.first].astype(np.int64), **columns)
