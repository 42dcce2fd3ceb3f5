"""Connections to the database: SQLite that writes durably, or PostgreSQL."""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event

BUSY_TIMEOUT_S: Final = 15


def connect(url: str) -> Engine:
    """Return an engine; on SQLite one that writes durably and waits for other writers."""
    if not url.startswith("sqlite"):
        # Without a driver's name SQLAlchemy would look for one that is not ours.
        return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's own class
        # The driver would open transactions too late for BEGIN IMMEDIATE, so it must not open any.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401  the driver's own class
        is_write = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine
