"""How Alembic runs: on the connection that the store hands it."""

from alembic import context
from sqlmodel import SQLModel

from state.store import tables  # noqa: F401  fills the metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
