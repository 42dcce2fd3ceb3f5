"""Compiled functions, by numba.

Machine code is kept on disk only where `NUMBA_CACHE_DIR` names a folder before the first import, as
`scheduler.daemon.solver` does; importing this touches no disk otherwise.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return *function* compiled at its first call, with division as in C and whole numbers of 64 bits."""
    is_kept = bool(numba.config.CACHE_DIR)  # type: ignore[attr-defined]  # numba fills its module in at run time
    made: Any = numba.njit(cache=is_kept, error_model="numpy")(function)
    return cast("Function", made)
