"""Canonical GPU names and memory, and how NVIDIA's driver spells them; each cloud's spelling is in its folder."""

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

_NVIDIA: Final = (
    (re.compile(r"A100.*80GB"), "A100-80GB"),
    (re.compile(r"A100.*40GB"), "A100-40GB"),
    (re.compile(r"H100.*NVL"), "H100-NVL"),
    (re.compile(r"RTX PRO 6000"), "RTXPRO6000"),
    (re.compile(r"V100.*32GB"), "V100-32GB"),
    (re.compile(r"\b(A10G|A10|B200|B300|H100|H200|L40S|L4|P100|T4G|T4|V100)\b"), None),
)


_PARTS: Final = (
    re.compile(r"\b(?P<gpu>[A-Z]+\d+[A-Z]*)(?:-\d+)?-(?P<part>\d+[ABCQ]\w*)"),
    re.compile(r"\b(?P<gpu>[A-Z]+\d+[A-Z]*)\b.* MIG (?P<part>\S+)"),
)
"""How the driver names a virtual GPU (`NVIDIA A10-4Q`) and a MIG device (`NVIDIA A100-SXM4-80GB MIG 1g.10gb`). Source:
NVIDIA, "Virtual GPU Software User Guide", "Virtual GPU Types", and "MIG User Guide"."""


def nvidia_gpu(name: str) -> str:
    """Return the canonical name of a GPU as its driver spells it: `A100-80GB` of `NVIDIA A100-SXM4-80GB`.

    Models that no cloud sells keep their own name, without spaces and the maker's: `RTX4090`. A part of a GPU is a
    model of its own, `A10.4Q` or `A100.1g.10gb`, and no variant of the whole one.
    """
    for part in _PARTS:
        if (found := part.search(name)) is not None:
            return f"{found['gpu']}.{found['part']}"
    for pattern, canonical in _NVIDIA:
        if (found := pattern.search(name)) is not None:
            return canonical or found.group(1)
    return "".join(word for word in name.upper().split() if word not in {"NVIDIA", "GEFORCE", "TESLA"})


def same_gpu(wanted: str, offered: str) -> bool:
    """Return whether an offered GPU is of the wanted model: `A100` means either memory size, `H100` any variant."""
    wanted, offered = wanted.upper(), offered.upper()
    return offered == wanted or offered.startswith(f"{wanted}-")
