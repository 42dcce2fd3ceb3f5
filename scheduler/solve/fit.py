"""How many replicas of a shape one machine holds. Pure."""

from providers.gpus import same_gpu
from state.model.catalog import Machine
from state.model.spec import Shape
from state.model.units import MILLI


def replicas_per_machine(shape: Shape, machine: Machine) -> int:
    """Return how many replicas of *shape* fit, by GPUs, vCPUs and memory; 1 for one machine's part of a gang."""
    if machine.gpu is None or not same_gpu(shape.gpu, machine.gpu) or machine.gpu_memory_gib < shape.gpu_memory_gib:
        return 0
    headroom = machine.gpus * MILLI // shape.gpu_milli
    if shape.cpus > 0:
        headroom = min(headroom, int(machine.vcpus / shape.cpus))
    if shape.memory_gib > 0:
        headroom = min(headroom, int(machine.memory_gib / shape.memory_gib))
    return min(headroom, 1) if shape.machines > 1 else headroom
