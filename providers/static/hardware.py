"""What a machine finds out about itself."""

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import psutil

from providers.gpus import nvidia_gpu
from providers.static.wire import Facts

QUERY: Final = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS: Final = 20
"""A driver that hangs longer than this answers for no GPU."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that answer."""

    model: str | None
    count: int
    memory_gib: float
    """Per GPU."""


def gpus() -> Gpus | None:
    """Return the GPUs that NVIDIA's driver sees; None where there is no such driver."""
    try:
        told = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False)
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return Gpus(None, 0, 0)
    return read_gpus(told.stdout) if told.returncode == 0 else Gpus(None, 0, 0)


def read_gpus(told: str) -> Gpus:
    """Return the GPUs of the driver's answer: as many as are of the first one's model. Pure."""
    rows = [line.rpartition(",") for line in told.splitlines() if "," in line]
    if not rows:
        return Gpus(None, 0, 0)
    models = [nvidia_gpu(name) for name, _, _ in rows]
    memory = min(float(mib) for _, _, mib in rows)
    return Gpus(models[0], models.count(models[0]), round(memory / 1024))


def facts() -> Facts:
    """Return what this machine consists of."""
    found = gpus() or Gpus(None, 0, 0)
    return Facts(
        gpu=found.model,
        gpus=found.count,
        gpu_memory_gib=found.memory_gib,
        vcpus=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 1024**3, 1),
    )


def address_towards(url: str) -> str:
    """Return this machine's address as it is seen from its register.

    Raises:
        OSError: There is no way there.
    """
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((parts.hostname or "", parts.port or 443))  # sends nothing
        return str(probe.getsockname()[0])
