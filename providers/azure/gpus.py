"""How Azure's VM sizes name their GPUs. Pure."""

import re
from typing import Final

SIZES: Final = (
    (re.compile(r"ND_?\d*.*MI300X"), "MI300X", 12),
    (re.compile(r"NC.*_H100_v5|NCC.*_H100"), "H100-NVL", 40),
    (re.compile(r"ND.*_H100_v5"), "H100", 12),
    (re.compile(r"ND.*_H200_v5"), "H200", 12),
    (re.compile(r"ND.*am.*_A100_v4"), "A100-80GB", 12),
    (re.compile(r"NC.*_A100_v4"), "A100-80GB", 24),
    (re.compile(r"ND96a.*_v4"), "A100-40GB", 12),
    (re.compile(r"NV.*_A10_v5"), "A10", 36),
    (re.compile(r"NC.*_T4_v3"), "T4", 4),
    (re.compile(r"NC.*s_v3"), "V100", 6),
    (re.compile(r"ND40rs_v2"), "V100-32GB", 5),
)
"""A series' GPU, and the fewest vCPUs that it has per whole one. Source: Azure documentation, "GPU accelerated sizes".
"""


def azure_gpu(size: str) -> str | None:
    """Return the canonical name of the GPU of a VM size, or None for an unknown one. Azure states it nowhere else."""
    found = _series(size)
    return None if found is None else found[0]


def gpu_share(size: str, gpus: float, vcpus: int) -> float:
    """Return which share of each GPU a VM size has, at most 1.

    Azure's SKUs report one GPU for a sixth of one too, so the share is that of the vCPUs, by which a series is split.

    Args:
        size: The VM size, of a known series.
        gpus: The SKU's `GPUs`; positive.
        vcpus: The SKU's `vCPUs`.
    """
    found = _series(size)
    whole = 1 if found is None else found[1]
    return min(1.0, gpus, vcpus / (max(gpus, 1) * whole))


def has_whole_gpus(size: str, gpus: int, vcpus: int) -> bool:
    """Return whether a VM size is of a known series, and its GPUs are whole ones; arguments as for `gpu_share`."""
    return _series(size) is not None and gpu_share(size, gpus, vcpus) >= 1


def _series(size: str) -> tuple[str, int] | None:
    short = size.removeprefix("Standard_")
    return next(((gpu, vcpus) for pattern, gpu, vcpus in SIZES if pattern.match(short)), None)
