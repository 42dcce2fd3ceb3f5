"""daemon."""

from datetime import timedelta

from scheduler.cli.exits import Exit, Output, fail
from scheduler.daemon import Daemon
from scheduler.logs import configure_logs
from scheduler.settings import load_settings, settings_file
from scheduler.wiring import open_outside


def run(output: Output) -> None:
    """Run the daemon until it is told to stop."""
    configure_logs(as_json=output is Output.JSON)
    settings = load_settings()
    if not settings.cells:
        raise fail(Exit.BAD_INPUT, f"no cloud is set up in {settings_file()}")
    outside = open_outside(settings)
    outside.gateway.ensure_running()  # type: ignore[attr-defined]
    Daemon(outside, timedelta(seconds=settings.tick_seconds)).run()
