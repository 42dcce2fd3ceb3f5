"""Alembic migrations, run when a store is opened; released ones are never edited."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine

from state.store import StoreUnreadableError


def migrate(engine: Engine, name: str) -> None:
    """Bring the schema to its newest version, in one transaction.

    Args:
        engine: The database.
        name: Its name, for messages.

    Raises:
        StoreUnreadableError: A newer version of Skerry has changed the schema.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    with engine.connect().execution_options(writes=True) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # the schema has a version that is not in this folder
            msg = f"the database {name} is of a newer version: upgrade Skerry"
            raise StoreUnreadableError(msg) from error
        connection.commit()
