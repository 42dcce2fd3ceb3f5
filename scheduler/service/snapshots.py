"""Use cases: snapshots as files, so that a decision can be replayed without credentials."""

from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from scheduler.documents.plain_errors import in_plain_words
from scheduler.documents.yaml_document import DocumentError, Problem, dotted
from state.model.snapshot import Snapshot

SNAPSHOT: Final = TypeAdapter(Snapshot)


def write_snapshot(snapshot: Snapshot, path: Path) -> int:
    """Write a snapshot as JSON, and return its size in bytes.

    Raises:
        OSError: The file cannot be written.
    """
    content = SNAPSHOT.dump_json(snapshot)
    path.write_bytes(content)
    return len(content)


def read_snapshot(path: Path) -> Snapshot:
    """Return the snapshot of a file.

    Raises:
        DocumentError: The file cannot be read, or is no snapshot.
    """
    try:
        return SNAPSHOT.validate_json(path.read_bytes())
    except OSError as error:
        raise DocumentError(
            [Problem(str(path), 1, "", error.strerror or "cannot be read", "check the path")]
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message, _ = in_plain_words(first)
        remedy = "write it with `skerry snapshot save` of this version"
        problem = Problem(str(path), 1, dotted(first["loc"]), f"is no snapshot: {message}", remedy)
        raise DocumentError([problem]) from error
