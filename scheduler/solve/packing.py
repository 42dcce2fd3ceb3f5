"""Whether replicas really fit into the machines that were counted for them.

The program sums needs over a group's machines, which is exact for one shape alone and for needs that are
powers of two. For others, first-fit-decreasing must find a way; where it does not, the group is left to
the shape that uses it most, which is exact again. It is a proof by construction, so a plan never counts on
a packing that nobody has seen.
"""

from collections import defaultdict

from scheduler.solve.feasible import Candidates, Group
from scheduler.solve.highs import Answer
from scheduler.solve.program import Columns
from state.model.spec import CapacitySpec, Shape

Need = tuple[int, float, float]


def misfit(spec: CapacitySpec, chosen: Candidates, columns: Columns, answer: Answer) -> frozenset[int] | None:
    """Return the pairs to give up because their group cannot be packed, or None where all fits."""
    shapes = {name: application.shapes for name, application in spec.named()}
    used: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, pair in enumerate(chosen.pairs):
        count = answer.count(columns.replicas[number])
        if count:
            used[pair.group].append((count, number))
    for index, group in enumerate(chosen.groups):
        counts = used[index]
        needs = [
            (_need(shapes[chosen.pairs[number].application][chosen.pairs[number].shape]), count)
            for count, number in counts
        ]
        if not packs(group, answer.count(columns.machines[index]), needs):
            most = max(counts)[1]
            return frozenset(n for n, pair in enumerate(chosen.pairs) if pair.group == index and n != most)
    return None


def packs(group: Group, machines: int, needs: list[tuple[Need, int]]) -> bool:
    """Return whether first-fit-decreasing puts every replica into one of *machines* machines."""
    machine = group.machine
    free = [[float(machine.gpus), float(machine.vcpus), machine.memory_gib] for _ in range(machines)]
    for need, count in sorted(needs, reverse=True):
        for _ in range(count):
            room = next((f for f in free if all(have >= want for have, want in zip(f, need, strict=True))), None)
            if room is None:
                return False
            for dimension, want in enumerate(need):
                room[dimension] -= want
    return True


def _need(shape: Shape) -> Need:
    return (shape.count, shape.cpus, shape.memory_gib)
