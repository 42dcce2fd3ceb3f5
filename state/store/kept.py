"""What an SQL store keeps of ticks: the last one, and the snapshots of those that acted or were refused."""

from sqlmodel import Session, col, select

from state.model.snapshot import Snapshot
from state.store import SNAPSHOTS_KEPT, KeptSnapshot, LastTick
from state.store import rows as r
from state.store.tables import LastTickRow, SnapshotRow


def put_last_tick(session: Session, last: LastTick) -> None:
    """Write the last tick; one that found nothing new changes its time alone."""
    row = session.get(LastTickRow, r.LAST)
    if row is not None and row.digest == r.digest_of(last):
        row.at = r.stamp(last.at)
        session.add(row)
    else:
        session.merge(r.last_tick_row(last))


def keep(session: Session, kept: KeptSnapshot, snapshot: Snapshot) -> None:
    """Add a snapshot, and drop the oldest of its kind."""
    session.merge(r.snapshot_row(kept, snapshot))
    session.flush()
    of_kind = select(SnapshotRow.id).where(SnapshotRow.kind == kept.kind)
    newest = of_kind.order_by(col(SnapshotRow.taken_at).desc(), col(SnapshotRow.id).desc())
    for old in session.exec(newest.offset(SNAPSHOTS_KEPT)).all():
        session.delete(session.get_one(SnapshotRow, old))
