"""How Compute Engine spells GPUs, and machine types with GPUs attached. Pure."""

import re
from typing import Final

ACCELERATORS: Final[dict[str, str]] = {
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

VCPUS_PER_GPU: Final[dict[str, int]] = {"nvidia-rtx-pro-6000": 48}
"""Of machine types with whole GPUs, by accelerators that are sold in parts too. Source: as above."""
PART: Final = re.compile(r"\b(\d+)/(\d+)\s")
"""How a machine type's description names a part of a GPU: `1/8 NVIDIA RTX PRO 6000 GPU`."""


def gpu_share(accelerator: str, count: int, vcpus: int, description: str) -> float:
    """Return which share of each GPU a machine type has, at most 1.

    The API reports one accelerator for an eighth of one too. The part is in the description; the vCPUs, by which
    such types are split, are compared as well.

    Args:
        accelerator: The accelerator type.
        count: How many the API reports; positive.
        vcpus: Of the machine type.
        description: Of the machine type.
    """
    named = PART.search(description)
    stated = int(named.group(1)) / int(named.group(2)) if named is not None else 1.0
    return min(1.0, stated, vcpus / (count * VCPUS_PER_GPU.get(accelerator, 1)))


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


def listed_type(machine_type: str, gpu: str, gpus: int) -> str:
    """Return our name of a row of the price catalogue, which has N1 with GPUs attached under the plain type's name."""
    if machine_type.startswith("n1-") and gpu in ATTACHABLE:
        return with_attached(machine_type, ATTACHABLE[gpu], gpus)
    return machine_type
