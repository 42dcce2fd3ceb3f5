"""Canonical GPU names and memory, and each cloud's spelling of them."""

import re
from typing import Final

MEMORY_GIB: Final[dict[str, float]] = {
    "A10": 24,
    "A10G": 24,
    "A100-40GB": 40,
    "A100-80GB": 80,
    "B200": 180,
    "B300": 288,
    "H100": 80,
    "H100-NVL": 94,
    "H200": 141,
    "L4": 24,
    "L40S": 48,
    "MI300X": 192,
    "P100": 16,
    "RTXPRO6000": 96,
    "T4": 16,
    "T4G": 16,
    "V100": 16,
    "V100-32GB": 32,
}
"""Per GPU. Source: the vendors' data sheets."""

GCP_ACCELERATORS: Final[dict[str, str]] = {
    "nvidia-a100-80gb": "A100-80GB",
    "nvidia-b200": "B200",
    "nvidia-h100-80gb": "H100",
    "nvidia-h100-mega-80gb": "H100",
    "nvidia-h200-141gb": "H200",
    "nvidia-l4": "L4",
    "nvidia-rtx-pro-6000": "RTXPRO6000",
    "nvidia-tesla-a100": "A100-40GB",
    "nvidia-tesla-p100": "P100",
    "nvidia-tesla-t4": "T4",
    "nvidia-tesla-v100": "V100",
}
"""Source: Compute Engine documentation, "GPU machine types"."""

ATTACHABLE: Final = {"P100": "nvidia-tesla-p100", "T4": "nvidia-tesla-t4", "V100": "nvidia-tesla-v100"}
"""GPUs that are attached to GCE's N1 machine types. Source: Compute Engine documentation, "GPU machine types"."""


def with_attached(machine_type: str, accelerator: str, count: int) -> str:
    """Return our name of an N1 machine type with GPUs attached: `n1-standard-4+nvidia-tesla-t4x1`."""
    return f"{machine_type}+{accelerator}x{count}"


def split_attached(name: str) -> tuple[str, str, int]:
    """Return (machine type, accelerator, how many) of a name; without GPUs attached, the name, nothing and 0."""
    machine_type, _, attached = name.partition("+")
    accelerator, _, count = attached.rpartition("x")
    return machine_type, accelerator, int(count or 0)


_AZURE: Final = (
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


def aws_gpu(name: str, memory_mib: int) -> str:
    """Return the canonical name of a GPU as `DescribeInstanceTypes` spells it, told apart by memory where needed."""
    short = name.upper().replace(" ", "")
    if short == "A100":
        return "A100-80GB" if memory_mib > 60_000 else "A100-40GB"  # noqa: PLR2004  between the two sizes
    if short == "V100" and memory_mib > 20_000:  # noqa: PLR2004  between the two sizes
        return "V100-32GB"
    if short.startswith("RTXPROSERVER6000"):
        return "RTXPRO6000"
    return short


_NVIDIA: Final = (
    (re.compile(r"A100.*80GB"), "A100-80GB"),
    (re.compile(r"A100.*40GB"), "A100-40GB"),
    (re.compile(r"H100.*NVL"), "H100-NVL"),
    (re.compile(r"RTX PRO 6000"), "RTXPRO6000"),
    (re.compile(r"V100.*32GB"), "V100-32GB"),
    (re.compile(r"\b(A10G|A10|B200|B300|H100|H200|L40S|L4|P100|T4G|T4|V100)\b"), None),
)


def nvidia_gpu(name: str) -> str:
    """Return the canonical name of a GPU as its driver spells it: `A100-80GB` of `NVIDIA A100-SXM4-80GB`.

    Models that no cloud sells keep their own name, without spaces and the maker's: `RTX4090`.
    """
    for pattern, canonical in _NVIDIA:
        if (found := pattern.search(name)) is not None:
            return canonical or found.group(1)
    return "".join(word for word in name.upper().split() if word not in {"NVIDIA", "GEFORCE", "TESLA"})


def azure_gpu(size: str) -> str | None:
    """Return the canonical name of the GPU of a VM size, or None for an unknown one. Azure states it nowhere else."""
    short = size.removeprefix("Standard_")
    return next((gpu for pattern, gpu in _AZURE if pattern.match(short)), None)


def same_gpu(wanted: str, offered: str) -> bool:
    """Return whether an offered GPU is of the wanted model: `A100` means either memory size, `H100` any variant."""
    wanted, offered = wanted.upper(), offered.upper()
    return offered == wanted or offered.startswith(f"{wanted}-")
