"""Connections to the database: SQLite that writes durably, or PostgreSQL."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import URL, Engine, create_engine, event, exc, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from state.store import StoreUnreachableError, StoreUnreadableError, StoreUrlError

BUSY_TIMEOUT_S: Final = 15
CONNECT_TIMEOUT_S: Final = 10
DAMAGE: Final = (ValidationError, zlib.error)
URL_REMEDY: Final = "set SKERRY_DATABASE_URL to sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"


def database_url(text: str) -> URL:
    """Return the URL of a database that state can be kept in.

    Raises:
        StoreUrlError: It is none; the message does not repeat it, since it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        msg = f"the URL of the database is not a URL; {URL_REMEDY}"
        raise StoreUrlError(msg) from error
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        msg = f"{shown(url)}: {url.get_backend_name()} is not supported; {URL_REMEDY}"
        raise StoreUrlError(msg)
    if url.get_backend_name() == "sqlite" and not url.database:
        msg = f"{shown(url)} names no file; {URL_REMEDY}"
        raise StoreUrlError(msg)
    # Without a driver's name SQLAlchemy would look for one that is not ours.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def shown(url: URL) -> str:
    """Return a URL without its password and its options, or the path of a file."""
    if url.get_backend_name() == "sqlite":
        return url.database or str(url)
    return url.set(query={}).render_as_string(hide_password=True).replace("+psycopg://", "://")


@contextmanager
def database_errors(url: URL, damage: tuple[type[Exception], ...] = DAMAGE) -> Iterator[None]:
    """Raise the errors of the driver and of reading rows as the store's own, with the database and what to do.

    Args:
        url: The database.
        damage: What is raised where a row does not hold what it should.

    Raises:
        StoreUnreachableError: The database does not answer, cannot be opened, or is locked.
        StoreUnreadableError: It holds what cannot be read.
    """
    failures: tuple[type[Exception], ...] = (SQLAlchemyError, *damage)
    try:
        yield
    except failures as error:
        reason = _reason(error, url)
        if _is_unreachable(error):
            msg = f"the database {shown(url)} cannot be used: {reason}; check that it runs and that it can be written"
            raise StoreUnreachableError(msg) from error
        msg = f"the database {shown(url)} cannot be read: {reason}; restore it from a backup"
        raise StoreUnreadableError(msg) from error


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        # SQLite reports with this code too that a table is missing, or there already.
        return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    return isinstance(error, InterfaceError | exc.TimeoutError)


def _reason(error: Exception, url: URL) -> str:
    """Return the first line of the driver's message; what a row holds is not repeated."""
    if not isinstance(error, SQLAlchemyError):
        return "a row is damaged"
    message = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    first = next(iter(message.splitlines()), type(error).__name__)
    return first.replace(str(url.password), "***") if url.password else first


def connect(url: URL) -> Engine:
    """Return an engine; on SQLite one that writes durably and waits for other writers.

    Raises:
        StoreUrlError: The driver that the URL names is not installed.
        OSError: The folder of the database cannot be made.
    """
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
        except (ImportError, ArgumentError) as error:
            msg = f"{shown(url)}: the driver {url.drivername} is not supported; {URL_REMEDY}"
            raise StoreUrlError(msg) from error
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
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
