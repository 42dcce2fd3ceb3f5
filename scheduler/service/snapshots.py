"""Use cases: snapshots that the store keeps, and snapshots as files, so that a decision can be replayed elsewhere."""

from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from scheduler.documents.files import read_content
from scheduler.documents.plain_errors import in_plain_words
from scheduler.documents.yaml_document import DocumentError, Problem, dotted
from scheduler.observe import observe
from scheduler.ports import Ports
from state.model.snapshot import Snapshot
from state.store import KeptSnapshot, Store

SNAPSHOT: Final = TypeAdapter(Snapshot)


class NoSnapshotError(Exception):
    """The store has no such snapshot, or no tick has run yet."""

    def __init__(self, snapshot_id: str | None) -> None:
        """Keep the id that was asked for; None: the last tick's."""
        super().__init__(snapshot_id)
        self.snapshot_id = snapshot_id


def take_snapshot(ports: Ports) -> Snapshot:
    """Return what is observed now. Nothing is changed."""
    return observe(ports)


def list_snapshots(store: Store) -> tuple[KeptSnapshot, ...]:
    """Return the snapshots that are kept, newest first: of ticks that acted, and of refused plans."""
    return store.snapshots()


def find_snapshot(store: Store, snapshot_id: str | None) -> Snapshot:
    """Return a kept snapshot; the last tick's where no id is given.

    Raises:
        NoSnapshotError: There is none.
    """
    if snapshot_id is None:
        last = store.last_tick()
        found = None if last is None else last.snapshot
    else:
        found = store.snapshot(snapshot_id)
    if found is None:
        raise NoSnapshotError(snapshot_id)
    return found


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
        return SNAPSHOT.validate_json(read_content(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message, _ = in_plain_words(first)
        remedy = "write it with `skerry snapshot save` of this version"
        problem = Problem(str(path), 1, dotted(first["loc"]), f"is no snapshot: {message}", remedy)
        raise DocumentError([problem]) from error
