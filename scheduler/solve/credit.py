"""What may be bought after a loss: machines that are in stock and that a placement leaves.

Applications with a credit share each offer group's machines evenly, so that none is counted on twice.
"""

from dataclasses import dataclass, field

import numpy as np

from scheduler.solve.columns import Columns
from scheduler.solve.highs import Program
from scheduler.solve.problem import PROVIDER, UNIT, ZONE, IntArray, Problem


def sharing(p: Problem) -> int:
    """Return how many applications count on what is left."""
    return int((p.credit > 0).sum())


def best_pairs(p: Problem, a: int) -> dict[int, int]:
    """Return by group the pair of an application that carries most on a machine, where any are in stock."""
    found: dict[int, int] = {}
    for j in range(int(p.first[a]), int(p.first[a + 1])):
        g = int(p.group[j])
        if p.spare[g] > 0 and (g not in found or _per_machine(p, j) > _per_machine(p, found[g])):
            found[g] = j
    return found


def _per_machine(p: Problem, j: int) -> float:
    return float(carried(p, j)) / machines_of(p, j)


def carried(p: Problem, j: int) -> int:
    """Return what the machine of a pair carries, or the machines of a gang do."""
    return int(p.per_machine[j]) * int(p.capacity_per_replica[j])


def machines_of(p: Problem, j: int) -> int:
    """Return how many machines a replica spans."""
    return max(1, int(p.size[j]) // UNIT)


def domain_of(p: Problem, a: int, g: int) -> int:
    """Return the failure domain of a group, of the kind that an application survives."""
    return int({ZONE: p.zone, PROVIDER: p.provider}.get(int(p.kind[a]), p.region)[g])


def stock_left(p: Problem, machines: IntArray) -> IntArray:
    """Return by group how many machines are in stock beside a placement's."""
    return np.asarray(np.maximum(p.spare - np.maximum(machines - p.existing, 0), 0), np.int64)


def left_milli(p: Problem, a: int, domain: int, stock: IntArray) -> int:
    """Return what an application can count on outside a failure domain: its even share of what is in stock."""
    mine = stock // max(sharing(p), 1)
    return sum(
        int(mine[g]) // machines_of(p, j) * carried(p, j)
        for g, j in best_pairs(p, a).items()
        if domain_of(p, a, g) != domain
    )


@dataclass(slots=True)
class Credits:
    """The columns of what may be bought, made where they are needed."""

    p: Problem
    program: Program
    columns: Columns
    spare: dict[int, int] = field(default_factory=dict)
    """By group: machines that each application counts on."""
    carried: dict[tuple[int, int], int] = field(default_factory=dict)
    """By application and group: gangs that such machines make."""

    def after_loss_of(self, a: int, domain: int) -> list[int]:
        """Return the column of what an application may buy after the loss of a domain; none without a credit."""
        p = self.p
        if p.credit[a] == 0:
            return []
        bought = self.program.column(float(p.credit[a]))
        terms = {
            self._usable(a, g, j): -float(carried(p, j))
            for g, j in sorted(best_pairs(p, a).items())
            if domain_of(p, a, g) != domain
        }
        self.program.row({bought: 1.0} | terms, at_most=0)
        return [bought]

    def _usable(self, a: int, g: int, j: int) -> int:
        machines = self._machines(g)
        gang = machines_of(self.p, j)
        if gang == 1:
            return machines
        if (a, g) not in self.carried:
            self.carried[a, g] = self.program.column(self.program.upper[machines], integer=True)
            self.program.row({self.carried[a, g]: float(gang), machines: -1.0}, at_most=0)
        return self.carried[a, g]

    def _machines(self, g: int) -> int:
        if g not in self.spare:
            p, among = self.p, sharing(self.p)
            self.spare[g] = self.program.column(float(p.spare[g] // among), integer=True)
            row = {self.spare[g]: float(among), self.columns.machines[g]: 1.0}
            self.program.row(row, at_most=float(p.spare[g] + p.existing[g]))
        return self.spare[g]
