"""The `demo` command: the whole product on this computer."""

import signal
import sys
from pathlib import Path
from typing import Any

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import progress, text
from scheduler.cli.session import console
from scheduler.daemon.logs import configure_logs
from scheduler.drills.report import DrillRefusedError
from scheduler.embedded.demo import EXAMPLE, Demo, DemoFailedError, DemoReport
from scheduler.embedded.local import Local, LocalError, locked_home
from scheduler.explain.resilience import ResiliencePrice
from state.model.plan import Plan
from state.model.snapshot import Snapshot


def run(spec: Path | None, *, keep: bool, output: Output) -> None:
    """Run the demo, and end everything whatever happens."""
    configure_logs(quiet=True)
    signal.signal(signal.SIGTERM, _interrupt)
    local = Local()
    story = Demo(spec or EXAMPLE, local, lambda after, step: say(progress.demo(after, step)))

    def show_plan(plan: Plan, resilience: tuple[ResiliencePrice, ...], _snapshot: Snapshot) -> None:
        if output is Output.TEXT:
            for shown in text.plan_parts(plan, resilience):
                console().print(shown)

    try:
        with locked_home(local.home):
            report = story.run(show_plan, keep=keep)
    except (LocalError, DemoFailedError, DrillRefusedError) as error:
        if output is Output.JSON:
            answer_json(story.report.as_json())
        message = progress.refusal(error) if isinstance(error, DrillRefusedError) else str(error)
        raise fail(Exit.FAILED, message) from error
    if output is Output.JSON:
        answer_json(report.as_json())
    else:
        sys.stdout.write("\n".join(_lines(report)) + "\n")
    if keep:
        say("everything is left running: try `skerry status`, `skerry explain chat`, `skerry events`;")
        say("`skerry destroy --yes` ends the fleet and `skerry local down` the clouds")
    if not (report.is_success or (keep and report.recovered)):
        raise typer.Exit(Exit.FAILED)


def _interrupt(_number: int, _frame: Any) -> None:  # noqa: ANN401  the signal module's own
    raise KeyboardInterrupt


def _lines(report: DemoReport) -> list[str]:
    seconds = ", ".join(f"{n.replace('_', ' ')} {v:.1f}" for n, v in report.seconds.items() if v is not None)
    return [
        "",
        f"Drill report: {'recovered' if report.recovered else 'NOT recovered'}",
        f"  seconds: {seconds}",
        "  requests: " + ", ".join(f"{n.replace('_', ' ')} {v}" for n, v in report.requests.items()),
        "  cost: " + ", ".join(f"{n} ${v:.2f}/h" for n, v in report.usd_per_hour.items()),
        *(f"  regions {when}: {', '.join(regions)}" for when, regions in report.regions.items()),
        f"  leaked: {report.instances_leaked} instances, {report.processes_leaked} processes",
        *([f"  machines not read at the end: {', '.join(report.unreachable)}"] if report.unreachable else []),
        f"  peak memory: {report.peak_memory_mib} MiB",
    ]
