"""How many replicas of a shape one machine holds, and how replicas of several shapes share it. Pure.

Ray puts a part of a GPU into one GPU, so parts are counted GPU by GPU. `docs/reference/spec.md` states the rule.
"""

from typing import Final, TypeVar

import numpy as np

from providers.gpus import same_gpu
from scheduler.solve.problem import UNIT, IntArray
from state.model.catalog import Machine
from state.model.spec import Shape

MILLI_GPU: Final = 1000
PLACES_MAX: Final = 1024
"""A replica beside others of another size takes no smaller part of a machine."""
Count = TypeVar("Count", int, IntArray)


def replicas_on_gpus(gpus: Count, gpu_milli: int) -> Count:
    """Return how many replicas so many GPUs hold, by GPUs alone: a part lies in one GPU."""
    if gpu_milli < MILLI_GPU:
        return gpus * (MILLI_GPU // gpu_milli)
    return gpus // (gpu_milli // MILLI_GPU)


def replicas_per_machine(shape: Shape, machine: Machine) -> int:
    """Return how many replicas of *shape* fit, by GPUs, vCPUs and memory; 1 for one machine's part of a gang."""
    if machine.gpu is None or not same_gpu(shape.gpu, machine.gpu) or machine.gpu_memory_gib < shape.gpu_memory_gib:
        return 0
    headroom = replicas_on_gpus(machine.gpus, shape.gpu_milli)
    if shape.cpus > 0:
        headroom = min(headroom, int(machine.vcpus / shape.cpus))
    if shape.memory_gib > 0:
        headroom = min(headroom, int(machine.memory_gib / shape.memory_gib))
    return min(headroom, 1) if shape.machines > 1 else headroom


def places_for(replicas: IntArray, gpus: IntArray) -> IntArray:
    """Return into how many equal places a machine is divided for a replica that shares it with other sizes.

    The largest of 1, o, 2o, 4o and so on that is not above *replicas*, the number that it holds alone; o is the odd
    part of its number of GPUs. So places divide one another, and none straddles a GPU that it does not fill.
    """
    odd = gpus // np.maximum(gpus & -gpus, 1)
    fold = np.minimum(replicas, PLACES_MAX) // np.maximum(odd, 1)
    doubled = np.left_shift(1, np.maximum(np.frexp(fold)[1] - 1, 0))
    fits = (fold > 0) & (odd > 0) & (UNIT % np.maximum(odd, 1) == 0)
    return np.asarray(np.where(fits, odd * doubled, 1), np.int64)
