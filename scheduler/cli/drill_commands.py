"""drill region, list, show."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, text, words
from scheduler.cli.session import confirm, opened, saved, working
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.drills.computed import simulate
from scheduler.drills.live import FleetNotStableError
from scheduler.drills.report import DrillRefusedError, DrillReport
from scheduler.execute import target_of
from scheduler.service.drilling import LiveRequest, find_drill, run_live_drill, simulate_drill
from scheduler.service.drilling import list_drills as listed
from state.model.history import Drill, DrillMode
from state.model.ids import RegionId
from state.model.plan import Plan, kind_of


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
        drill, report = _replayed(asked, asked.snapshot) if asked.snapshot is not None else _run(asked, yes=yes)
    except FleetNotStableError as error:
        raise fail(Exit.NOT_NOW, f"{error}: {'; '.join(_unstable(error.plan))}") from error
    except DrillRefusedError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    if output is Output.JSON:
        answer_json(as_json.drill_report_json(report) if drill is None else as_json.drill_json(drill, report))
    else:
        sys.stdout.write("\n".join(text.drill_lines(report)) + "\n")
    if not report.recovered:
        raise typer.Exit(Exit.FAILED)


def _replayed(asked: DrillRequest, path: Path) -> tuple[Drill | None, DrillReport]:
    """Compute a drill from a file; nothing is read or recorded."""
    if asked.mode != DrillMode.SIMULATE:
        raise fail(Exit.BAD_INPUT, "--snapshot needs --mode simulate")
    snapshot = saved(path)
    with working("solving"):
        return None, simulate(snapshot, RegionId(asked.region))


def _run(asked: DrillRequest, *, yes: bool) -> tuple[Drill | None, DrillReport]:
    settings, ports = opened()
    if RegionId(asked.region) not in {cell.region for cell in ports.cell_settings}:
        known = ", ".join(cell.region for cell in ports.cell_settings)
        raise fail(Exit.BAD_INPUT, f"{asked.region} is not set up; there are {known}")
    if asked.mode == DrillMode.SIMULATE:
        with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
            return simulate_drill(ports, RegionId(asked.region))
    confirm(f"Really cut off {asked.region}?", yes=yes)
    request = LiveRequest(RegionId(asked.region), timedelta(minutes=asked.minutes), asked.requests_per_second)
    return run_live_drill(ports, settings, request, say)


def _unstable(plan: Plan) -> list[str]:
    """Return what a plan still does and waits for."""
    return [*(f"{kind_of(a)} {target_of(a)}" for a in plan.actions), *map(words.blocked, plan.blocked)]


def list_drills(output: Output) -> None:
    """List drills."""
    drills = listed(open_store(load_settings()))
    if output is Output.JSON:
        answer_json([as_json.drill_json(found.drill, found.report) for found in drills])
        return
    for drill in (found.drill for found in drills):
        sys.stdout.write(
            f"{drill.id}  {drill.started_at:%Y-%m-%d %H:%M}  {drill.region}  {drill.mode}  {drill.state}\n"
        )


def show_drill(drill_id: str, output: Output) -> None:
    """Show one drill."""
    found = find_drill(open_store(load_settings()), drill_id)
    if found is None:
        raise fail(Exit.BAD_INPUT, f"no drill {drill_id}; `skerry drill list` names them")
    drill, report = found.drill, found.report
    if output is Output.JSON:
        answer_json(as_json.drill_json(drill, report))
    elif report is not None:
        sys.stdout.write("\n".join(text.drill_lines(report)) + "\n")
    else:
        sys.stdout.write(f"{drill.id} {drill.region} {drill.state}: no report yet\n")
