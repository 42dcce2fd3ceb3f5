"""What a process does before it solves: keep compiled code on disk, and keep HiGHS silent."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SOLVE: Final = Path(__file__).parents[1] / "solve"


def prepare_solver() -> None:
    """Let a solve in this process start quickly and write nothing on standard output."""
    keep_compiled_code()
    silence_solver()


def keep_compiled_code() -> None:
    """Keep the search's machine code on disk, so that it is made once per installation; call it before a solve.

    The folder lies beside the sources, or with the user where those are read-only. It is named by a digest of the
    sources: numba compares the file of a compiled function only, not what that calls, and would use stale code.
    """
    sources = [*sorted((_SOLVE / "search").glob("*.py")), _SOLVE / "problem.py"]
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    for base in (_SOLVE / "search" / "__pycache__", Path.home() / ".cache" / "skerry"):
        folder = base / f"compiled-{digest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        return


@contextmanager
def _standard_output_closed() -> Iterator[None]:
    """Let nothing that is written below Python reach standard output."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def silence_solver() -> None:
    """Let HiGHS print its banner, which it does once per process, where it is not seen."""
    import highspy  # noqa: PLC0415  slow, and only commands that solve pay for it

    with _standard_output_closed():
        highspy.Highs()  # type: ignore[no-untyped-call]
