"""Atomic writes of files that only their owner can read."""

import os
from pathlib import Path


def write_atomic(path: Path, text: str) -> None:
    """Replace a file's content in one step, with mode 600; it is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
