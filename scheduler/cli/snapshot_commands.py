"""The `snapshot` commands: save, list, show."""

import sys
from pathlib import Path

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import as_json, text
from scheduler.cli.session import console, opened, working
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.service.snapshots import (
    SNAPSHOT,
    NoSnapshotError,
    find_snapshot,
    list_snapshots,
    take_snapshot,
    write_snapshot,
)
from state.model.snapshot import Snapshot


def save(path: Path, snapshot_id: str | None, output: Output, *, refresh: bool) -> None:
    """Write a snapshot to a file: a kept one, the last tick's, or one of this moment."""
    if refresh:
        _, ports = opened()
        with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions"):
            snapshot = take_snapshot(ports)
    else:
        snapshot = _kept(snapshot_id)
    try:
        size = write_snapshot(snapshot, path)
    except OSError as error:
        raise fail(Exit.BAD_INPUT, f"{path} cannot be written: {error.strerror}") from error
    if output is Output.JSON:
        answer_json({"file": str(path), "bytes": size, "taken_at": snapshot.taken_at.isoformat()})
    else:
        sys.stdout.write(f"{path}: {size:,} bytes, taken at {snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC\n")


def list_kept(output: Output) -> None:
    """List the snapshots that are kept, newest first."""
    kept = list_snapshots(open_store(load_settings()))
    if output is Output.JSON:
        answer_json([{"snapshot": k.id, "kind": k.kind, "taken_at": k.taken_at.isoformat()} for k in kept])
        return
    for k in kept:
        sys.stdout.write(f"{k.id}  {k.taken_at:%Y-%m-%d %H:%M:%S}  {k.kind}\n")


def show(snapshot_id: str, output: Output) -> None:
    """Show what a kept snapshot has."""
    snapshot = _kept(snapshot_id)
    if output is Output.JSON:
        answer_json(SNAPSHOT.dump_python(snapshot, mode="json"))
        return
    for line in text.snapshot_lines(as_json.snapshot_json(snapshot)):
        console().print(line)


def _kept(snapshot_id: str | None) -> Snapshot:
    try:
        return find_snapshot(open_store(load_settings()), snapshot_id)
    except NoSnapshotError as error:
        if error.snapshot_id is None:
            raise fail(Exit.NOT_NOW, "no tick has run yet; pass --refresh to observe now") from error
        raise fail(Exit.BAD_INPUT, f"no snapshot {snapshot_id}; `skerry snapshot list` names them") from error
