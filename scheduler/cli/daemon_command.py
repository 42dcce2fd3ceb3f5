"""The `daemon` command."""

from datetime import timedelta

from scheduler.cli.exits import Exit, Output, fail
from scheduler.daemon.logs import configure_logs
from scheduler.daemon.loop import Daemon
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import load_settings, settings_file


def run(output: Output) -> None:
    """Run the daemon until it is stopped."""
    configure_logs(as_json=output is Output.JSON)
    settings = load_settings()
    if not settings.cells:
        raise fail(Exit.BAD_INPUT, f"no cloud is set up in {settings_file()}")
    ports = open_ports(settings)
    ports.gateway.ensure_running()
    Daemon(ports, timedelta(seconds=settings.tick_seconds)).run()
