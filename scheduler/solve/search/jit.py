"""Compiled functions: numba, with the machine code kept on disk so that it is made once per installation.

numba looks at the file of a compiled function only, not at what that calls, so code kept after a change elsewhere would
be stale. Here it is kept under a digest of all the sources that may be compiled.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_HERE: Final = Path(__file__).parent


def _digest() -> str:
    sources = [*sorted(_HERE.glob("*.py")), _HERE.parent / "problem.py"]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _cache() -> Path:
    """Return where machine code is kept: beside the sources, or with the user where those are read-only."""
    for base in (_HERE / "__pycache__", Path.home() / ".cache" / "skerry"):
        place = base / f"compiled-{_digest()}"
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        return place
    return _HERE / "__pycache__"


numba.config.CACHE_DIR = str(_cache())  # type: ignore[attr-defined]  # numba fills its module in at run time


def compiled(function: Function) -> Function:
    """Return *function* compiled at its first call, with division as in C and whole numbers of 64 bits."""
    made: Any = numba.njit(cache=True, error_model="numpy")(function)
    return cast("Function", made)
