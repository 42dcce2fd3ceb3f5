"""Weather: what launches and machines taught of each pool."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "weather",
        sa.Column("pool", sa.String, primary_key=True),
        sa.Column("at", sa.String, nullable=False, index=True),
        sa.Column("body", sa.String, nullable=False),
    )


def downgrade() -> None:
    """Drop the table: it is learned again."""
    op.drop_table("weather")
