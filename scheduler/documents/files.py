"""The one place that opens documents that people write: regular files of a bounded size."""

import os
import stat
from pathlib import Path
from typing import Final

from scheduler.documents.yaml_document import Document, DocumentError, Problem, parse_document

SIZE_MAX: Final = 64 * 1024


def read_document(path: Path, size_max: int = SIZE_MAX) -> Document:
    """Return the one document of a file.

    Raises:
        DocumentError: The file cannot be read, or holds what is not allowed.
    """
    return parse_document(read_text(path, size_max), str(path))


def read_text(path: Path, size_max: int | None = None) -> str:
    """Return the text of a file.

    Args:
        path: The file.
        size_max: The largest size allowed, in bytes; None for any.

    Raises:
        DocumentError: The file cannot be read, is too large, or is not UTF-8.
    """
    content = read_content(path, size_max)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DocumentError([Problem(str(path), line, "", "is not UTF-8 text", "save it as UTF-8")]) from error


def read_content(path: Path, size_max: int | None = None) -> bytes:
    """Return the bytes of a regular file; a pipe or a device is refused, since reading it might never end.

    Raises:
        DocumentError: The file cannot be read, is no regular file, or is too large.
    """
    name = str(path)
    try:
        # Without this flag, opening a pipe would wait for its writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
                raise DocumentError([Problem(name, 1, "", what, "check the path")])
            content = file.read() if size_max is None else file.read(size_max + 1)
    except OSError as error:
        raise DocumentError([Problem(name, 1, "", error.strerror or "cannot be read", "check the path")]) from error
    if size_max is not None and len(content) > size_max:
        size = max(found.st_size, len(content))
        raise DocumentError([Problem(name, 1, "", f"{size} bytes, {size_max} at most", "split it")])
    return content
