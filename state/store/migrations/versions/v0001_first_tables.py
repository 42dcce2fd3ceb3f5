"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False) for name in names]


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=True)


def _number(name: str, *, is_given: bool) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement="auto" if is_given else False)


def upgrade() -> None:
    """Create every table."""
    op.create_table("setting", _key("name"), *_texts("value"))
    op.create_table(
        "spec", _number("version", is_given=False), *_texts("applied_at", "actor"), sa.Column("body", sa.String)
    )
    op.create_table(
        "instance",
        _key("id"),
        sa.Column("status", sa.String, nullable=False, index=True),
        sa.Column("region", sa.String, nullable=False),
        sa.Column("requested_at", sa.String, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        *_texts("body"),
    )
    op.create_table(
        "plan",
        _number("number", is_given=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        *_texts("made_at", "body"),
    )
    op.create_table("outcome", _key("plan_id"), _number("number", is_given=False), *_texts("at", "body"))
    op.create_table("shortage", _key("scope"), *_texts("until", "body"))
    op.create_table("region_health", _key("region"), *_texts("state", "body"))
    op.create_table(
        "drill", _key("id"), sa.Column("state", sa.String, nullable=False, index=True), *_texts("started_at", "body")
    )
    op.create_table("event", _number("number", is_given=True), *_texts("at", "actor", "kind", "subject", "detail"))
    op.create_table(
        "lease",
        _key("name"),
        *_texts("holder"),
        sa.Column("fence", sa.Integer, nullable=False),
        *_texts("expires_at"),
    )


def downgrade() -> None:
    """Refuse: going back would lose what is held in the clouds."""
    msg = "there is no way back from the first tables"
    raise NotImplementedError(msg)
