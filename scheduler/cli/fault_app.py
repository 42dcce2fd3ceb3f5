"""`skerry local fault`: the commands' arguments."""

from typing import Annotated, Any

import typer

from scheduler.cli.exits import Output, errors_as_exits

fault = typer.Typer(no_args_is_help=True, help="Let the embedded clouds go wrong on purpose.")

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Answer as text or as one JSON document.")]
Region = Annotated[str, typer.Argument(metavar="REGION", help="As provider/region.")]
Zone = Annotated[str, typer.Argument(metavar="ZONE", help="In the cloud's own spelling.")]
InstanceType = Annotated[str, typer.Argument(metavar="TYPE", help="An instance type.")]
Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="Its name; `skerry local status` lists them.")]


def _tell(action: str, asked: dict[str, Any], output: Output) -> None:
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.tell(action, asked, output)


@fault.command("call")
def call(  # noqa: PLR0913, PLR0917  one parameter an option
    kind: Annotated[
        str,
        typer.Argument(
            help="error, error_after, throttle, denied, shortage, quota, timeout, lost, drop, drop_after, delay or "
            "garbage. lost, drop_after and error_after: it is done, but not said."
        ),
    ],
    cloud: Annotated[str, typer.Option(help="Its provider name; * for any.")] = "*",
    operation: Annotated[
        str, typer.Option(help="offers, prices, quotas, instances, launch, terminate, notices, health; * for any.")
    ] = "*",
    region: Annotated[str | None, typer.Option(help="Only calls to this region, as provider/region.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="So many calls; until it is cleared if not given.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="So many calls go well first.")] = 0,
    chance: Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of the calls that it befalls.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.0, help="How late an answer comes, or a connection is cut.")] = 0.0,
    code: Annotated[str, typer.Option(help="The cloud's error code, instead of the usual one.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Let calls to the clouds' APIs go wrong."""
    asked = {"kind": kind, "cloud": cloud, "operation": operation, "region": region, "times": times, "skip": skip}
    _tell("faults", asked | {"chance": chance, "seconds": seconds, "code": code}, output)


@fault.command("list")
def list_faults(output: OutputOption = Output.TEXT) -> None:
    """Show the faults in force."""
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.listed(output)


@fault.command("clear")
def clear(output: OutputOption = Output.TEXT) -> None:
    """Let all calls, lists, boots and prices be as usual again; lost places stay lost."""
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.clear(output)


@fault.command("seed")
def seed(number: Annotated[int, typer.Argument(help="The seed.")], output: OutputOption = Output.TEXT) -> None:
    """Draw the chances of faults anew, from a seed."""
    _tell("seed", {"seed": number}, output)


@fault.command("lists")
def lists(
    lag: Annotated[float | None, typer.Option(min=0.0, help="Seconds by which lists are behind.")] = None,
    page: Annotated[int | None, typer.Option(min=1, help="Most items of a page.")] = None,
    duplicates: Annotated[bool | None, typer.Option("--duplicates/--once", help="Name every machine twice.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let lists of machines be late, on short pages, or name machines twice."""
    asked = {"lag_seconds": lag, "page": page, "duplicates": duplicates}
    _tell("lists", {name: value for name, value in asked.items() if value is not None}, output)


@fault.command("boots")
def boots(
    fail: Annotated[int, typer.Option(min=0, help="So many of the next machines never come up.")] = 0,
    dead_gpus: Annotated[int, typer.Option(min=0, help="So many come up without a GPU that works.")] = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let the next machines boot badly."""
    _tell("boots", {"fail": fail, "dead_gpus": dead_gpus}, output)


@fault.command("lose")
def lose(
    place: Annotated[str, typer.Argument(help="A region, as provider/region, or a zone.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a region die and fall silent, or a zone go dark."""
    _tell("lose", _place(place), output)


@fault.command("restore")
def restore(
    place: Annotated[str, typer.Argument(help="A region, as provider/region, or a zone.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a lost region answer again, or a dark zone start machines again; what died stays dead."""
    _tell("restore", _place(place), output)


def _place(name: str) -> dict[str, str]:
    return {"region" if "/" in name else "zone": name}


@fault.command("stock")
def stock(
    region: Region,
    zone: Zone,
    instance_type: InstanceType,
    count: Annotated[int, typer.Argument(min=0, help="How many are left.")],
    spot: Annotated[bool, typer.Option("--spot", help="Of the spot market.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Set how many machines of a type a zone has left."""
    _tell("stock", {"region": region, "zone": zone, "type": instance_type, "count": count, "spot": spot}, output)


@fault.command("quota")
def quota(
    region: Region,
    name: Annotated[str, typer.Argument(help="The quota, in the cloud's own spelling.")],
    limit: Annotated[int, typer.Argument(min=0, help="The new limit.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Set a quota of a region."""
    _tell("quota", {"region": region, "name": name, "limit": limit}, output)


@fault.command("price")
def price(
    region: Region,
    instance_type: InstanceType,
    factor: Annotated[float, typer.Argument(min=0.0, help="How many times the catalogue's spot price it costs.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Change the spot price of a type in a region."""
    _tell("price", {"region": region, "type": instance_type, "factor": factor}, output)


@fault.command("reserve")
def reserve(  # noqa: PLR0913, PLR0917  one parameter an option
    region: Region,
    zone: Zone,
    instance_type: InstanceType,
    count: Annotated[int, typer.Argument(min=1, help="How many machines.")],
    name: Annotated[str, typer.Option(help="Its id.")] = "cr-0001",
    begins: Annotated[str | None, typer.Option(help="When it begins, as ISO 8601 with an offset.")] = None,
    ends: Annotated[str | None, typer.Option(help="When it ends, as ISO 8601 with an offset.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give the account a capacity reservation."""
    asked = {"id": name, "region": region, "zone": zone, "type": instance_type, "count": count}
    _tell("reservation", asked | {"begins": begins, "ends": ends}, output)


@fault.command("reclaim")
def reclaim(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Take a spot machine back, with the notice that its cloud gives."""
    _tell("reclaim", {"machine": machine}, output)


@fault.command("rebalance")
def rebalance(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Recommend leaving a spot machine, as a cloud does where a reclaim is likelier than usual."""
    _tell("rebalance", {"machine": machine}, output)


@fault.command("impair")
def impair(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Let a machine fail its cloud's own checks."""
    _tell("impair", {"machine": machine}, output)


@fault.command("maintenance")
def maintenance(
    machine: Machine,
    minutes: Annotated[float, typer.Option(min=0.0, help="In how many minutes it begins.")] = 60.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Announce that a machine's host will be worked on."""
    _tell("maintenance", {"machine": machine, "minutes": minutes}, output)
