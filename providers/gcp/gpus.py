"""How Compute Engine spells GPUs, and machine types with GPUs attached. Pure."""

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
