"""Whether replicas really fit into the machines that were counted for them.

Counting sums needs over a group's machines, which is exact for one shape alone and for needs that are
powers of two. For others, first-fit-decreasing must find a way; where it does not, the group is left to
the shape that uses it most, which is exact again. It is a proof by construction, so a plan never counts on
a packing that was not constructed.
"""

from collections import defaultdict

import numpy as np

from scheduler.solve.formulate import Formulation
from scheduler.solve.problem import BoolArray, IntArray, Problem
from state.model.catalog import Machine
from state.model.spec import CapacitySpec, Shape
from state.model.units import MILLI

Resources = tuple[float, float, float]


def misfit(formulation: Formulation, spec: CapacitySpec, counts: IntArray, machines: IntArray) -> BoolArray | None:
    """Return which pairs stay if those whose group cannot be packed go, or None where all fits."""
    p = formulation.problem
    shapes = [application.shapes for _, application in spec.named()]
    owner = p.owner
    used: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for j in np.flatnonzero(counts):
        used[int(p.group[j])].append((int(counts[j]), int(j)))
    stays = np.ones(p.pairs, np.bool_)
    for g, members in sorted(used.items()):
        if len(members) == 1:
            continue  # the bound by replicas per machine is exact
        wanted = [(shapes[owner[j]][p.shape[j]], count) for count, j in members]
        if not packs(formulation.supply.groups[g].machine, int(machines[g]), wanted):
            main_user = max(members)[1]
            stays &= (p.group != g) | (np.arange(p.pairs) == main_user)
    return None if stays.all() else stays


def packs(machine: Machine, machines: int, wanted: list[tuple[Shape, int]]) -> bool:
    """Return whether first-fit-decreasing puts every replica into one of *machines* machines, gangs into empty ones."""
    left = machines - sum(shape.machines * count for shape, count in wanted if shape.machines > 1)
    if left < 0:
        return False
    free = [[machine.gpus * float(MILLI), float(machine.vcpus), machine.memory_gib] for _ in range(left)]
    alone = [((float(s.gpu_milli), s.cpus, s.memory_gib), count) for s, count in wanted if s.machines == 1]
    return all(_put(free, replica) for replica, count in sorted(alone, reverse=True) for _ in range(count))


def _put(free: list[list[float]], replica: Resources) -> bool:
    machine = next((f for f in free if all(have >= want for have, want in zip(f, replica, strict=True))), None)
    if machine is None:
        return False
    for dimension, want in enumerate(replica):
        machine[dimension] -= want
    return True


def without(problem: Problem, stays: BoolArray) -> Problem:
    """Return the problem with fewer pairs."""
    kept = np.concatenate([[0], np.cumsum(stays)])
    columns = {
        name: getattr(problem, name)[stays]
        for name in ("group", "shape", "capacity_per_replica", "per_machine", "size", "extra", "current")
    }
    return problem._replace(first=kept[problem.first].astype(np.int64), **columns)
