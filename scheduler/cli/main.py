"""The `skerry` command. Each command imports what it needs when it runs, so that `--help` is quick."""

import errno
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from scheduler.cli.exits import Exit, Output, errors_as_exits, say
from scheduler.cli.fault_app import fault
from scheduler.cli.machines_app import join, machines

app = typer.Typer(
    name="skerry",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Buy GPU capacity where it is cheap, in stock and healthy, serve Ray Serve applications on it, "
    "and survive the loss of a region.\n\n"
    "Exit codes: 0 done, 1 failed, 2 bad input, 3 not possible now, 130 interrupted.",
)
local = typer.Typer(no_args_is_help=True, help="The embedded clouds on this computer.")
drill = typer.Typer(no_args_is_help=True, help="Failover drills: lose a region, and see how the fleet recovers.")
snapshots = typer.Typer(no_args_is_help=True, help="Snapshots: what decisions were made from.")
app.add_typer(local, name="local")
app.add_typer(drill, name="drill")
app.add_typer(snapshots, name="snapshot")
app.add_typer(machines, name="machines")
app.command("join")(join)


def _version(asked: bool) -> None:  # noqa: FBT001  typer's callback
    if asked:
        sys.stdout.write(f"skerry {version('skerry')}\n")
        raise typer.Exit(Exit.DONE)


@app.callback()
def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the options of no command."""


local.add_typer(fault, name="fault")

SpecFile = Annotated[Path, typer.Argument(metavar="PATH", help="The capacity spec: a YAML file, or a folder of them.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print text or one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SnapshotFile = Annotated[
    Path | None,
    typer.Option("--snapshot", metavar="FILE", help="Decide on a saved snapshot, and not on what is observed now."),
]
Catalog = Annotated[
    bool, typer.Option("--catalog", help="Use list prices alone: no account, no settings, no cloud is called.")
]
WRITES_FAIL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How a file or device refuses what is written to it."""
Minutes = Annotated[float, typer.Option("--timeout", metavar="MINUTES", min=0.1, help="Minutes to wait at most.")]


@app.command()
def demo(
    spec: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A capacity spec; default: the chat example.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the whole product on this computer: a fleet on three clouds, and a region lost under load."""
    from scheduler.cli import demo_command

    with errors_as_exits():
        demo_command.run(spec, keep=keep, output=output)


@app.command()
def validate(
    spec: SpecFile,
    show: Annotated[bool, typer.Option("--show", help="Print the spec with every default filled in.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a capacity spec and the Serve configs that it refers to, without any cloud."""
    from scheduler.cli import spec_commands

    with errors_as_exits():
        spec_commands.validate(spec, output, show=show)


@app.command()
def schema(output: OutputOption = Output.JSON) -> None:
    """Print the JSON Schema of the capacity spec; it has no text form."""
    del output
    from scheduler.cli import spec_commands

    spec_commands.schema()


@app.command()
def offers(  # noqa: PLR0913, PLR0917  one parameter an option
    gpu: Annotated[str | None, typer.Option(help="Only this GPU model.")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region, or all of a provider.")] = None,
    market: Annotated[str | None, typer.Option(help="on_demand or spot.")] = None,
    max_price: Annotated[float | None, typer.Option(metavar="N", help="Only up to N US dollars per hour.")] = None,
    sort: Annotated[str, typer.Option(help="price, price-per-gpu, gpu or region.")] = "price",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N.")] = 50,
    catalog: Catalog = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List what the clouds sell, with prices, their source and age."""
    from scheduler.cli import offers_command

    with errors_as_exits():
        asked = offers_command.OffersRequest(gpu, region, market, max_price, sort, limit)
        offers_command.offers(asked, output, catalogue=catalog)


@app.command()
def plan(
    spec: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="The capacity spec; default: a snapshot's.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Prove the cost to within 1 %, with bounded work.")] = False,
    catalog: Catalog = False,
    snapshot: SnapshotFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what would be bought and why, what it costs, and what it survives. Nothing is changed."""
    from scheduler.cli import plan_commands

    with errors_as_exits():
        asked = plan_commands.PlanRequest(spec, snapshot, catalogue=catalog, exact=exact)
        plan_commands.plan(asked, output)


@app.command()
def apply(
    spec: SpecFile,
    yes: Yes = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the spec lacks; rename the fleet.")] = False,
    timeout: Minutes = 30,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put a spec in force: show the plan, ask, and wait until everything serves.

    A running daemon does the work; without one, this command does it itself.
    """
    from scheduler.cli import plan_commands

    with errors_as_exits():
        plan_commands.apply(spec, yes=yes, prune=prune, minutes=timeout, output=output)


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every few seconds.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Observe now, instead of showing the last tick.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what exists, what serves, how healthy it is and what it costs, as the last tick observed it."""
    from scheduler.cli import status_commands

    with errors_as_exits():
        status_commands.status(watch=watch, refresh=refresh, output=output)


@app.command()
def explain(
    application: Annotated[str, typer.Argument(metavar="APP", help="An application of the fleet.")],
    why_not: Annotated[str | None, typer.Option(metavar="PLACE", help="Why not a provider, region or offer?")] = None,
    what_if: Annotated[
        str | None,
        typer.Option(metavar="FIELD=VALUE", help="What changes if a field of the spec is set to VALUE?"),
    ] = None,
    snapshot: SnapshotFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Explain where an application is placed, what each rule costs, what was refused, and what it survives."""
    from scheduler.cli import explain_command

    with errors_as_exits():
        explain_command.explain(explain_command.Question(application, why_not, what_if, snapshot), output)


@snapshots.command("save")
def snapshot_save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, JSON.")],
    snapshot_id: Annotated[
        str | None, typer.Option("--id", metavar="SNAPSHOT", help="A kept snapshot; the last tick's if none.")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Observe now, instead.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a snapshot to a file, from which `plan`, `explain` and `drill` decide without credentials."""
    from scheduler.cli import snapshot_commands

    with errors_as_exits():
        snapshot_commands.save(file, snapshot_id, output, refresh=refresh)


@snapshots.command("list")
def snapshot_list(output: OutputOption = Output.TEXT) -> None:
    """List the snapshots that are kept: of ticks that acted, and of refused plans."""
    from scheduler.cli import snapshot_commands

    with errors_as_exits():
        snapshot_commands.list_kept(output)


@snapshots.command("show")
def snapshot_show(
    snapshot_id: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id.")], output: OutputOption = Output.TEXT
) -> None:
    """Show what a kept snapshot has; as JSON, all of it."""
    from scheduler.cli import snapshot_commands

    with errors_as_exits():
        snapshot_commands.show(snapshot_id, output)


@app.command()
def doctor(output: OutputOption = Output.TEXT) -> None:
    """Check credentials, permissions, quotas, clocks and settings; each finding has its remedy. Nothing is changed."""
    from scheduler.cli import doctor_command

    with errors_as_exits():
        doctor_command.run(output)


@app.command()
def daemon(output: OutputOption = Output.TEXT) -> None:
    """Keep the fleet as the spec describes it, until stopped. Logs go to standard error, as JSON where asked for."""
    from scheduler.cli import daemon_command

    with errors_as_exits():
        daemon_command.run(output)


@app.command()
def events(
    after: Annotated[int, typer.Option(metavar="N", min=0, help="Only events numbered above this.")] = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Show at most N, the newest ones.")] = 50,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what happened: one line an event, oldest first."""
    from scheduler.cli import status_commands

    with errors_as_exits():
        status_commands.events(after, limit, output)


@app.command()
def weather(
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N pools, the worst ones.")] = 50,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how likely launches fail, how long machines take to start, and how often spot is interrupted, by pool."""
    from scheduler.cli import weather_command

    with errors_as_exits():
        weather_command.weather(output, limit=limit)


@app.command()
def destroy(yes: Yes = False, timeout: Minutes = 30, output: OutputOption = Output.TEXT) -> None:
    """End every machine of the fleet, and verify that none is left in any region."""
    from scheduler.cli import plan_commands

    with errors_as_exits():
        plan_commands.destroy(yes=yes, minutes=timeout, output=output)


@local.command("up")
def local_up(
    apps: Annotated[
        list[Path] | None,
        typer.Option("--apps", metavar="FOLDER", help="Folder with Serve applications; examples/chat if none."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start the embedded clouds and a gateway on loopback; the other commands then work against them."""
    from scheduler.cli import local_commands

    with errors_as_exits():
        local_commands.up(tuple(apps or ()), output)


@local.command("down")
def local_down(output: OutputOption = Output.TEXT) -> None:
    """End the embedded clouds and everything that runs on them, also what a crash left."""
    from scheduler.cli import local_commands

    with errors_as_exits():
        local_commands.down(output)


@local.command("status")
def local_status(output: OutputOption = Output.TEXT) -> None:
    """Show whether the embedded clouds run, and their machines."""
    from scheduler.cli import local_commands

    with errors_as_exits():
        local_commands.status(output)


@drill.command("region")
def drill_region(  # noqa: PLR0913, PLR0917  one parameter an option
    region: Annotated[str, typer.Argument(metavar="REGION", help="The region to lose, as provider/region.")],
    mode: Annotated[str, typer.Option(help="simulate: computed; live: really done.")] = "simulate",
    timeout: Minutes = 10,
    rps: Annotated[float, typer.Option(min=0, help="Requests per second to send meanwhile (live).")] = 0.0,
    snapshot: SnapshotFile = None,
    yes: Yes = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compute or cause the loss of a region, and report how the fleet recovers."""
    from scheduler.cli import drill_commands

    with errors_as_exits():
        asked = drill_commands.DrillRequest(region, mode, timeout, rps, snapshot)
        drill_commands.region(asked, yes=yes, output=output)


@drill.command("list")
def drill_list(output: OutputOption = Output.TEXT) -> None:
    """List drills, newest first."""
    from scheduler.cli import drill_commands

    with errors_as_exits():
        drill_commands.list_all(output)


@drill.command("show")
def drill_show(
    drill_id: Annotated[str, typer.Argument(metavar="DRILL", help="Its id.")], output: OutputOption = Output.TEXT
) -> None:
    """Show a drill's report."""
    from scheduler.cli import drill_commands

    with errors_as_exits():
        drill_commands.show(drill_id, output)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    code = _run()
    if code == Exit.INTERRUPTED:
        say("skerry: interrupted")
    raise SystemExit(code)


def _run() -> int:
    """Run a command, and return its exit code once its whole answer is written."""
    try:
        try:
            app()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else Exit.DONE if ended.code is None else Exit.FAILED
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return Exit.FAILED
    except OSError as error:
        if error.errno not in WRITES_FAIL:
            raise
        _drop_output()
        say(f"skerry: cannot write: {error.strerror}")
        return Exit.FAILED
    return code


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that Python does not fail on it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
