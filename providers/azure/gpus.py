"""How Azure's VM sizes name their GPUs. Pure."""

import re
from typing import Final

SIZES: Final = (
    (re.compile(r"ND_?\d*.*MI300X"), "MI300X"),
    (re.compile(r"NC.*_H100_v5|NCC.*_H100"), "H100-NVL"),
    (re.compile(r"ND.*_H100_v5"), "H100"),
    (re.compile(r"ND.*_H200_v5"), "H200"),
    (re.compile(r"ND.*am.*_A100_v4|NC.*_A100_v4"), "A100-80GB"),
    (re.compile(r"ND96a.*_v4"), "A100-40GB"),
    (re.compile(r"NV.*_A10_v5"), "A10"),
    (re.compile(r"NC.*_T4_v3"), "T4"),
    (re.compile(r"NC.*s_v3|ND40rs_v2"), "V100"),
)


def azure_gpu(size: str) -> str | None:
    """Return the canonical name of the GPU of a VM size, or None for an unknown one. Azure states it nowhere else."""
    short = size.removeprefix("Standard_")
    return next((gpu for pattern, gpu in SIZES if pattern.match(short)), None)
