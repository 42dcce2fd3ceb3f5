"""What commands that look at the fleet share: settings, everything outside, a console."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console

from scheduler.cli.exits import Exit, fail, say
from scheduler.daemon.logs import configure_logs
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import Settings, load_settings, settings_file
from scheduler.ports import Ports


def console() -> Console:
    """Return a console on standard output; wide where that is no terminal, so that lines stay whole."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 180, highlight=False)


class Progress(Protocol):
    """Where a command says what it is doing."""

    def update(self, text: str) -> None:
        """Say what is done now."""


class _Lines:
    """Progress where nobody watches: a line for each new thing."""

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
    """Return the settings and everything outside.

    Raises:
        typer.Exit: No cloud is set up.
    """
    configure_logs(quiet=True)
    settings = load_settings()
    if not settings.cells:
        message = f"no cloud is set up in {settings_file()}; `skerry local up` starts embedded ones"
        raise fail(Exit.BAD_INPUT, message)
    return settings, open_ports(settings)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to.

    Raises:
        typer.Exit: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise fail(Exit.BAD_INPUT, "there is nobody to ask; say --yes")
    if not typer.confirm(question, err=True):
        raise fail(Exit.FAILED, "nothing was changed")
