"""Typed reasons: events keep values instead of text; snapshots and the last tick are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = ("requested", "running", "terminating")


def upgrade() -> None:
    """Create the new tables; what an earlier development version recorded cannot be read, and goes.

    Raises:
        RuntimeError: The store has live machines, which that version must end first.
    """
    connection = op.get_bind()
    instance = sa.table("instance", sa.column("status"))
    live = connection.scalar(sa.select(sa.func.count()).select_from(instance).where(instance.c.status.in_(LIVE)))
    if live:
        msg = f"an earlier development version recorded {live} live machines here; run its `skerry destroy` first"
        raise RuntimeError(msg)
    for name in ("instance", "plan", "outcome", "shortage", "region_health", "drill", "spec"):
        op.execute(sa.delete(sa.table(name)))
    op.execute(
        sa.update(sa.table("setting", sa.column("name"))).where(sa.column("name") == "nudges").values(name="wakes")
    )
    op.drop_table("event")
    op.create_table(
        "event",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("at", "actor", "kind", "subject", "body")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False, index=True),
        sa.Column("taken_at", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "last_tick",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("snapshot", sa.LargeBinary, nullable=False),
        sa.Column("plan", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose what is held in the clouds."""
    msg = "there is no way back from typed reasons"
    raise NotImplementedError(msg)
