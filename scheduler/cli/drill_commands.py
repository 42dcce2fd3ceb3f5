"""drill region, list, show."""

import json
import sys
from dataclasses import dataclass, replace
from datetime import timedelta

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import show
from scheduler.cli.session import confirm, opened, working
from scheduler.daemon.wiring import open_gateway, open_store
from scheduler.documents.settings_file import Settings, load_settings
from scheduler.drills.live import Cut, DrillRefusedError, DrillReport, LiveDrill, simulate
from scheduler.drills.load import SteadyLoad
from scheduler.embedded.local import Control
from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from state.model.history import Drill, DrillState
from state.model.ids import DrillId, RegionId, derive_id


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """Which drill to run."""

    region: str
    mode: str
    minutes: float
    requests_per_second: float


def region(asked: DrillRequest, *, yes: bool, output: Output) -> None:
    """Run a drill."""
    if asked.mode not in {"simulate", "live"}:
        raise fail(Exit.BAD_INPUT, f"--mode {asked.mode}: use simulate or live")
    settings, ports = opened()
    if RegionId(asked.region) not in {cell.region for cell in ports.cell_settings}:
        known = ", ".join(cell.region for cell in ports.cell_settings)
        raise fail(Exit.BAD_INPUT, f"{asked.region} is not set up; there are {known}")
    try:
        drill, report = _simulated(asked, ports) if asked.mode == "simulate" else _live(asked, settings, ports, yes)
    except DrillRefusedError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    if output is Output.JSON:
        answer_json(show.drill_json(drill, report.as_json()))
    else:
        sys.stdout.write("\n".join(show.drill_lines(report.as_json())) + "\n")
    if not report.recovered:
        raise typer.Exit(Exit.FAILED)


def _simulated(asked: DrillRequest, ports: Ports) -> tuple[Drill, DrillReport]:
    with working("looking at the clouds and solving"):
        report = simulate(observe(ports), RegionId(asked.region))
    now = ports.clock.now()
    state = DrillState.SUCCEEDED if report.recovered else DrillState.FAILED
    drill_id = DrillId(derive_id("drill", asked.region, now.isoformat()))
    text = json.dumps(report.as_json())
    drill = Drill(drill_id, RegionId(asked.region), "simulate", state, now, now, cuts_off=False, report=text)
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
    """Do nothing: the scheduler itself stops listening to the region."""


def list_drills(output: Output) -> None:
    """List drills."""
    drills = open_store(load_settings()).drills()
    if output is Output.JSON:
        answer_json([show.drill_json(drill, json.loads(drill.report)) for drill in drills])
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
    report = json.loads(drill.report)
    if output is Output.JSON:
        answer_json(show.drill_json(replace(drill), report))
    elif report:
        sys.stdout.write("\n".join(show.drill_lines(report)) + "\n")
    else:
        sys.stdout.write(f"{drill.id} {drill.region} {drill.state}: no report yet\n")
