"""Detection of this machine's hardware and address."""

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import psutil

from providers.gpus import nvidia_gpu
from providers.static.wire import Hardware

QUERY: Final = ("nvidia-smi", "--query-gpu=name,mig.mode.current,memory.total", "--format=csv,noheader,nounits")
IN_PARTS: Final = "Enabled"
"""The MIG mode of a GPU that only its parts can be used of."""
QUERY_SECONDS: Final = 20
"""A driver that hangs longer counts as reporting no GPU."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that respond."""

    model: str | None
    count: int
    memory_gib: float
    """Per GPU."""


def detect_gpus() -> Gpus | None:
    """Return the GPUs that NVIDIA's driver reports; None without such a driver."""
    try:
        result = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False)
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return Gpus(None, 0, 0)
    return parse_gpus(result.stdout) if result.returncode == 0 else Gpus(None, 0, 0)


def parse_gpus(output: str) -> Gpus:
    """Return the whole GPUs in the driver's output, counting those of the first one's model. Pure.

    A GPU in MIG mode is listed whole, and cannot be used whole, so it does not count.
    """
    rows = [[part.strip() for part in line.split(",")] for line in output.splitlines() if "," in line]
    whole = [(name, mib) for name, mode, mib in rows if mode != IN_PARTS]
    if not whole:
        return Gpus(None, 0, 0)
    models = [nvidia_gpu(name) for name, _ in whole]
    memory = min(float(mib) for _, mib in whole)
    return Gpus(models[0], models.count(models[0]), round(memory / 1024))


def detect_hardware() -> Hardware:
    """Return this machine's hardware."""
    found = detect_gpus() or Gpus(None, 0, 0)
    return Hardware(
        gpu=found.model,
        gpus=found.count,
        gpu_memory_gib=found.memory_gib,
        vcpus=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 1024**3, 1),
    )


def local_address(url: str) -> str:
    """Return the address from which this machine reaches *url*.

    Raises:
        OSError: There is no route.
    """
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((parts.hostname or "", parts.port or 443))  # sends nothing
        return str(probe.getsockname()[0])
