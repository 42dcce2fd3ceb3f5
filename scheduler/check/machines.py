"""How many machines replicas need, by the rule that `docs/reference/spec.md` states; the checker's own code. Pure."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from math import ceil
from typing import Final

from scheduler.check.facts import is_model
from state.model.catalog import Machine
from state.model.spec import Shape
from state.model.units import MILLI

TOLERANCE: Final = 1e-9
"""Relative: sums of floats in another order differ in the last digits."""
PLACES_MAX: Final = 1024
"""A machine that several sizes share is divided into no more places."""


def replicas_on(shape: Shape, machine: Machine) -> int:
    """Return how many replicas of a shape one machine can hold; 1 for a machine's part of a gang."""
    is_right = is_model(shape.gpu, machine.gpu or "") and machine.gpu_memory_gib >= shape.gpu_memory_gib
    if not is_right:
        return 0
    milli = round(shape.count * MILLI)
    bounds = [machine.gpus * (MILLI // milli) if milli < MILLI else machine.gpus * MILLI // milli]
    bounds += [int(machine.vcpus / shape.cpus * (1 + TOLERANCE))] if shape.cpus else []
    bounds += [int(machine.memory_gib / shape.memory_gib * (1 + TOLERANCE))] if shape.memory_gib else []
    return min(*bounds, 1) if shape.machines > 1 else min(bounds)


def machines_for(machine: Machine, placed: Iterable[tuple[Shape, int]]) -> int:
    """Return how many machines replicas need that fit: gangs and full machines of one size first, then the rest.

    The rest of each size takes places on machines that sizes share, or a machine of its own where that is less.
    """
    needed = 0
    counts: Counter[int] = Counter()
    for shape, count in placed:
        if shape.machines > 1:
            needed += shape.machines * count
        else:
            counts[replicas_on(shape, machine)] += count
    shared = Fraction()
    for size, count in sorted(counts.items()):
        needed += count // size
        shared += min(Fraction(1), Fraction(count % size, _places(size, machine.gpus)))
    return needed + ceil(shared)


def _places(size: int, gpus: int) -> int:
    """Return how many of a size share a machine with others: the odd part of the GPUs doubled again and again, or 1."""
    places = gpus
    while places % 2 == 0:
        places //= 2
    if places > min(size, PLACES_MAX):
        return 1
    while 2 * places <= min(size, PLACES_MAX):
        places *= 2
    return places
