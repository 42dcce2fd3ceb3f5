"""The `drill` commands: region, list, show."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, progress, text
from scheduler.cli.session import confirm, opened, saved, working
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.drills.report import DrillRefusedError
from scheduler.service.drilling import (
    LiveRequest,
    find_drill,
    list_drills,
    replay_drill,
    run_live_drill,
    simulate_drill,
)
from scheduler.service.reports import DrillResult
from state.model.history import DrillMode
from state.model.ids import RegionId


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """Which drill to run."""

    region: str
    mode: str
    minutes: float
    requests_per_second: float
    snapshot: Path | None = None
    """A file to compute from, instead of what is observed now."""


def region(asked: DrillRequest, *, yes: bool, output: Output) -> None:
    """Run a drill."""
    if asked.mode not in list(DrillMode):
        raise fail(Exit.BAD_INPUT, f"--mode {asked.mode}: use {' or '.join(DrillMode)}")
    try:
        result = _replayed(asked, asked.snapshot) if asked.snapshot is not None else _run(asked, yes=yes)
    except DrillRefusedError as error:
        raise fail(Exit.NOT_NOW, progress.refusal(error)) from error
    if output is Output.JSON:
        answer_json(as_json.drill_json(result))
    elif result.report is not None:
        sys.stdout.write("\n".join(text.drill_lines(result.report)) + "\n")
    if result.report is None or not result.report.recovered:
        raise typer.Exit(Exit.FAILED)


def _replayed(asked: DrillRequest, path: Path) -> DrillResult:
    """Compute a drill from a file; nothing is read or recorded."""
    if asked.mode != DrillMode.SIMULATE:
        raise fail(Exit.BAD_INPUT, "--snapshot needs --mode simulate")
    snapshot = saved(path)
    with working("solving"):
        return replay_drill(snapshot, RegionId(asked.region))


def _run(asked: DrillRequest, *, yes: bool) -> DrillResult:
    settings, ports = opened()
    if RegionId(asked.region) not in {cell.region for cell in ports.cell_settings}:
        known = ", ".join(cell.region for cell in ports.cell_settings)
        raise fail(Exit.BAD_INPUT, f"{asked.region} is not set up; there are {known}")
    if asked.mode == DrillMode.SIMULATE:
        with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
            return simulate_drill(ports, RegionId(asked.region))
    confirm(f"Really cut off {asked.region}?", yes=yes)
    request = LiveRequest(RegionId(asked.region), timedelta(minutes=asked.minutes), asked.requests_per_second)
    return run_live_drill(ports, settings, request, lambda step: say(progress.drill(step)))


def list_all(output: Output) -> None:
    """List drills."""
    results = list_drills(open_store(load_settings()))
    if output is Output.JSON:
        answer_json([as_json.drill_json(result) for result in results])
        return
    for result in results:
        sys.stdout.write(f"{text.drill_line(result)}\n")


def show(drill_id: str, output: Output) -> None:
    """Show one drill."""
    result = find_drill(open_store(load_settings()), drill_id)
    if result is None:
        raise fail(Exit.BAD_INPUT, f"no drill {drill_id}; `skerry drill list` names them")
    if output is Output.JSON:
        answer_json(as_json.drill_json(result))
    elif result.report is not None:
        sys.stdout.write("\n".join(text.drill_lines(result.report)) + "\n")
    else:
        sys.stdout.write(f"{text.drill_line(result)}: no report yet\n")
