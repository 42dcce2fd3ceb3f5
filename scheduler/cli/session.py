"""What commands on the fleet share: settings, the dependencies of a tick, a console."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import typer
from rich.console import Console

from providers.catalogue.source import Catalogue, load_catalogue
from scheduler.cli.exits import Exit, fail, say
from scheduler.daemon.logs import configure_logs
from scheduler.daemon.solver import prepare_solver
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import Settings, load_settings, settings_file
from scheduler.embedded.local import Local
from scheduler.ports import Ports
from scheduler.service.snapshots import read_snapshot
from state.clock import Clock
from state.model.snapshot import Snapshot


def console() -> Console:
    """Return a console on standard output; wide where that is no terminal, so that lines stay whole."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 180, highlight=False)


class Progress(Protocol):
    """Where a command reports what it does."""

    def update(self, text: str) -> None:
        """Report what is done now."""


class _Lines:
    """Progress where no terminal is: a line for each new step."""

    def __init__(self) -> None:
        self._last = ""

    def update(self, text: str) -> None:
        if text != self._last:
            self._last = text
            say(text)


@contextmanager
def working(text: str) -> Iterator[Progress]:
    """Show on standard error that something takes a while: a spinner, or lines where that is no terminal."""
    if not sys.stderr.isatty():
        lines = _Lines()
        lines.update(text)
        yield lines
        return
    with Console(stderr=True).status(text) as status:
        yield status


def opened() -> tuple[Settings, Ports]:
    """Return the settings and the dependencies of a tick.

    Raises:
        typer.Exit: No cloud is set up.
    """
    settings = settings_with_cells()
    return settings, open_ports(settings)


def settings_with_cells() -> Settings:
    """Return the settings, for commands that need a fleet.

    Raises:
        typer.Exit: No cloud is set up.
    """
    configure_logs(quiet=True)
    settings = load_settings()
    if not settings.cells:
        message = f"no cloud is set up in {settings_file()}"
        remedy = "`skerry local up` starts embedded ones; `skerry plan PATH --catalog` needs none"
        raise fail(Exit.BAD_INPUT, f"{message}; {remedy}")
    return settings


def listed_prices(clock: Clock) -> tuple[Catalogue, datetime]:
    """Return the price catalogue and the time, for commands that call no cloud."""
    configure_logs(quiet=True)
    prepare_solver()
    now = clock.now()
    with working("reading the price catalogue"):
        return load_catalogue(now), now


def saved(path: Path) -> Snapshot:
    """Return the snapshot of a file, to be decided on in this process.

    Raises:
        DocumentError: The file cannot be read, or is no snapshot.
    """
    configure_logs(quiet=True)
    prepare_solver()
    return read_snapshot(path)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless *yes* answers.

    Raises:
        typer.Exit: The answer is no, or standard input ended or is not a terminal.
        KeyboardInterrupt: The question was interrupted.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise fail(Exit.BAD_INPUT, "not a terminal: pass --yes to apply")
    with _answers():
        agrees = typer.confirm(question, err=True)
    if not agrees:
        raise fail(Exit.FAILED, "nothing was changed")


@contextmanager
def _answers() -> Iterator[None]:
    """Distinguish the two ways in which a question stays without an answer.

    Raises:
        typer.Exit: Standard input ended.
        KeyboardInterrupt: The question was interrupted.
    """
    try:
        yield
    except typer.Abort as error:
        say("")  # the cursor is still behind the question
        if isinstance(error.__context__, EOFError):
            raise fail(Exit.FAILED, "nothing was changed") from error
        raise KeyboardInterrupt from error


def confirm_names(names: list[tuple[str, str]], *, refusal: str) -> None:
    """Have each name typed in before what it names is removed or renamed.

    Args:
        names: Each name, and what typing it in leads to.
        refusal: What is reported where standard input is not a terminal.

    Raises:
        typer.Exit: Another name was typed in, or standard input ended or is not a terminal; *refusal* has the remedy.
        KeyboardInterrupt: The question was interrupted.
    """
    if not sys.stdin.isatty():
        raise fail(Exit.BAD_INPUT, refusal)
    for name, effect in names:
        with _answers():
            answer = typer.prompt(f"Type {name} to {effect}", err=True)
        if answer.strip() != name:
            raise fail(Exit.FAILED, "nothing was changed")


def are_embedded_clouds_down() -> bool:
    """Return whether the settings are for embedded clouds, and these do not run."""
    return load_settings().embedded is not None and not Local().log.sessions()
