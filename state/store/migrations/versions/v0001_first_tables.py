"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    text = sa.String
    op.create_table("setting", sa.Column("name", text, primary_key=True), sa.Column("value", text, nullable=False))
    op.create_table(
        "spec",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("applied_at", text, nullable=False),
        sa.Column("actor", text, nullable=False),
        sa.Column("body", text),
    )
    op.create_table(
        "instance",
        sa.Column("id", text, primary_key=True),
        sa.Column("status", text, nullable=False, index=True),
        sa.Column("region", text, nullable=False),
        sa.Column("requested_at", text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "plan",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("made_at", text, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "outcome",
        sa.Column("plan_id", text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", text, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "shortage",
        sa.Column("scope", text, primary_key=True),
        sa.Column("until", text, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "region_health",
        sa.Column("region", text, primary_key=True),
        sa.Column("state", text, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "drill",
        sa.Column("id", text, primary_key=True),
        sa.Column("state", text, nullable=False, index=True),
        sa.Column("started_at", text, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", text, nullable=False),
        sa.Column("actor", text, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("subject", text, nullable=False),
        sa.Column("detail", text, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", text, primary_key=True),
        sa.Column("holder", text, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("expires_at", text, nullable=False),
    )


def downgrade() -> None:
    """Refuse: going back would lose what is held in the clouds."""
    msg = "there is no way back from the first tables"
    raise NotImplementedError(msg)
