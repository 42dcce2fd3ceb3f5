"""The `status` and `events` commands."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, text, words
from scheduler.cli.render.spec import warning_text
from scheduler.cli.session import console, opened, settings_with_cells, working
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.service.reports import StatusReport
from scheduler.service.status import list_events, read_status, refresh_status
from state.clock import Clock, SystemClock

WATCH_EVERY: Final = timedelta(seconds=3)


def status(*, watch: bool, refresh: bool, output: Output) -> None:
    """Show the state of the fleet: what the last tick observed and decided, or what an observation finds now."""
    clock = SystemClock()
    read = _refreshed() if refresh else _last(clock)
    while True:
        report = read()
        facts = as_json.status_json(report)
        if output is Output.JSON:
            answer_json(facts)
        else:
            for warning in report.warnings:
                say(warning_text(warning))
            _print_status(facts, clear=watch)
        if not watch:
            return
        clock.sleep(WATCH_EVERY)


def _refreshed() -> Callable[[], StatusReport]:
    _, ports = opened()

    def read() -> StatusReport:
        with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
            return refresh_status(ports)

    return read


def _last(clock: Clock) -> Callable[[], StatusReport]:
    store = open_store(settings_with_cells())

    def read() -> StatusReport:
        report = read_status(store, clock.now())
        refusal = store.last_refusal() if report is None else None
        if refusal is not None:
            raise fail(Exit.NOT_NOW, f"nothing was committed yet: {words.refusal(refusal)}")
        if report is None:
            raise fail(Exit.NOT_NOW, "no tick has run yet; start `skerry daemon`, or pass --refresh to observe now")
        return report

    return read


def _print_status(facts: dict[str, Any], *, clear: bool) -> None:
    screen = console()
    if clear:
        screen.clear()
    for shown in text.status_parts(facts):
        screen.print(shown)


def events(after: int, limit: int, output: Output) -> None:
    """Show the event log."""
    found = list_events(open_store(load_settings()), after, limit)
    if output is Output.JSON:
        answer_json([as_json.event_json(event) for event in found])
        return
    for event in found:
        line = f"{event.number:6} {event.at:%H:%M:%S} {event.kind:17} {event.subject}  {words.event(event)}"
        sys.stdout.write(f"{line}\n")
