"""drill region, list, show."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, text, words
from scheduler.cli.session import confirm, opened, saved_snapshot, working
from scheduler.daemon.wiring import open_gateway, open_store
from scheduler.documents.settings_file import Settings, load_settings
from scheduler.drills.computed import simulate
from scheduler.drills.live import Cut, FleetNotStableError, LiveDrill
from scheduler.drills.load import SteadyLoad
from scheduler.drills.report import DrillRefusedError, DrillReport, loads
from scheduler.embedded.local import Control
from scheduler.execute import target_of
from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from state.model.history import Drill, DrillMode, DrillState
from state.model.ids import DrillId, RegionId, derive_id
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
    if asked.snapshot is not None:
        _replayed(asked, asked.snapshot, output)
        return
    settings, ports = opened()
    if RegionId(asked.region) not in {cell.region for cell in ports.cell_settings}:
        known = ", ".join(cell.region for cell in ports.cell_settings)
        raise fail(Exit.BAD_INPUT, f"{asked.region} is not set up; there are {known}")
    try:
        drill, report = (
            _simulated(asked, ports) if asked.mode == DrillMode.SIMULATE else _live(asked, settings, ports, yes)
        )
    except FleetNotStableError as error:
        raise fail(Exit.NOT_NOW, f"{error}: {'; '.join(_unstable(error.plan))}") from error
    except DrillRefusedError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    if output is Output.JSON:
        answer_json(as_json.drill_json(drill, report))
    else:
        sys.stdout.write("\n".join(text.drill_lines(report)) + "\n")
    if not report.recovered:
        raise typer.Exit(Exit.FAILED)


def _replayed(asked: DrillRequest, path: Path, output: Output) -> None:
    """Compute a drill from a file; nothing is read or recorded."""
    if asked.mode != DrillMode.SIMULATE:
        raise fail(Exit.BAD_INPUT, "--snapshot needs --mode simulate")
    try:
        with working("solving"):
            report = simulate(saved_snapshot(path), RegionId(asked.region))
    except DrillRefusedError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    if output is Output.JSON:
        answer_json(as_json.drill_report_json(report))
    else:
        sys.stdout.write("\n".join(text.drill_lines(report)) + "\n")
    if not report.recovered:
        raise typer.Exit(Exit.FAILED)


def _unstable(plan: Plan) -> list[str]:
    """Return what a plan still does and waits for."""
    return [*(f"{kind_of(a)} {target_of(a)}" for a in plan.actions), *map(words.blocked, plan.blocked)]


def _simulated(asked: DrillRequest, ports: Ports) -> tuple[Drill, DrillReport]:
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
        report = simulate(observe(ports), RegionId(asked.region))
    now = ports.clock.now()
    state = DrillState.SUCCEEDED if report.recovered else DrillState.FAILED
    drill_id = DrillId(derive_id("drill", asked.region, now.isoformat()))
    drill = Drill(
        drill_id,
        RegionId(asked.region),
        DrillMode.SIMULATE,
        state,
        now,
        now,
        cuts_off=False,
        report=report.dumps(),
    )
    ports.store.put_drill(drill, "drill", now)
    return drill, report


def _live(asked: DrillRequest, settings: Settings, ports: Ports, yes: bool) -> tuple[Drill, DrillReport]:  # noqa: FBT001
    confirm(f"Really lose {asked.region}?", yes=yes)
    cut = Cut(_nothing, _nothing, cuts_off=True)
    if settings.embedded is not None:
        control = Control(settings.embedded)
        cut = Cut(lambda r: say(f"{len(control.lose(r))} machines killed"), control.restore, cuts_off=False)
    load = None
    if asked.requests_per_second:
        load = SteadyLoad(_url(settings, ports), asked.requests_per_second, ports.clock)
        load.start()
    try:
        drill = LiveDrill(ports, open_gateway(settings), cut, load, say)
        return drill.run(RegionId(asked.region), timedelta(minutes=asked.minutes), restore=True)
    finally:
        if load is not None:
            load.stop()


def _url(settings: Settings, ports: Ports) -> str:
    table = ports.gateway.table()
    prefix = table.routes[0].prefix if table is not None and table.routes else "/"
    return f"http://{settings.gateway.listen}{prefix}"


def _nothing(_region: RegionId) -> None:
    """Do nothing: the scheduler itself treats the region as unreachable."""


def list_drills(output: Output) -> None:
    """List drills."""
    drills = open_store(load_settings()).drills()
    if output is Output.JSON:
        answer_json([as_json.drill_json(drill, loads(drill.report)) for drill in drills])
        return
    for drill in drills:
        sys.stdout.write(
            f"{drill.id}  {drill.started_at:%Y-%m-%d %H:%M}  {drill.region}  {drill.mode}  {drill.state}\n"
        )


def show_drill(drill_id: str, output: Output) -> None:
    """Show one drill."""
    drill = next((d for d in open_store(load_settings()).drills(1000) if d.id == drill_id), None)
    if drill is None:
        raise fail(Exit.BAD_INPUT, f"no drill {drill_id}; `skerry drill list` names them")
    report = loads(drill.report)
    if output is Output.JSON:
        answer_json(as_json.drill_json(drill, report))
    elif report is not None:
        sys.stdout.write("\n".join(text.drill_lines(report)) + "\n")
    else:
        sys.stdout.write(f"{drill.id} {drill.region} {drill.state}: no report yet\n")
