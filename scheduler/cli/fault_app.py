"""`skerry local fault`: the commands' arguments."""

from typing import Annotated, Any

import typer

from scheduler.cli.exits import Output, errors_as_exits

fault = typer.Typer(no_args_is_help=True, help="Inject faults into the embedded clouds.")

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print text or one JSON document.")]
Region = Annotated[str, typer.Argument(metavar="REGION", help="Region, as provider/region.")]
Zone = Annotated[str, typer.Argument(metavar="ZONE", help="Zone, in the cloud's own spelling.")]
InstanceType = Annotated[str, typer.Argument(metavar="TYPE", help="Instance type.")]
Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="Machine name, as `skerry local status` shows it.")]


def _inject(action: str, body: dict[str, Any], output: Output) -> None:
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.inject(action, body, output)


@fault.command("call")
def call(  # noqa: PLR0913, PLR0917  one parameter an option
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="error, error_after, throttle, denied, shortage, quota, timeout, lost, drop, drop_after, delay or "
            "garbage. With error_after, lost and drop_after the cloud executes the call.",
        ),
    ],
    cloud: Annotated[str, typer.Option(help="Provider name; *: any.")] = "*",
    operation: Annotated[
        str, typer.Option(help="offers, prices, quotas, instances, launch, terminate, notices, health; *: any.")
    ] = "*",
    region: Annotated[str | None, typer.Option(help="Region of the calls, as provider/region; default: any.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="Number of calls that fail; default: until cleared.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Number of calls that succeed first.")] = 0,
    chance: Annotated[float, typer.Option(min=0.0, max=1.0, help="Probability that a call fails.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.0, help="Delay of the response, or of the connection's end.")] = 0.0,
    code: Annotated[str, typer.Option(help="Error code; default: the cloud's usual one.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Make calls to the clouds' APIs fail."""
    rule = {"kind": kind, "cloud": cloud, "operation": operation, "region": region, "times": times, "skip": skip}
    _inject("faults", rule | {"chance": chance, "seconds": seconds, "code": code}, output)


@fault.command("list")
def list_faults(output: OutputOption = Output.TEXT) -> None:
    """List the faults in force."""
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.list_faults(output)


@fault.command("clear")
def clear(output: OutputOption = Output.TEXT) -> None:
    """Remove all faults of calls, lists, boots and prices; lost regions and zones stay lost."""
    from scheduler.cli import fault_commands

    with errors_as_exits():
        fault_commands.clear(output)


@fault.command("seed")
def seed(
    number: Annotated[int, typer.Argument(metavar="SEED", help="Seed of the fault probabilities.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Restart the random sequence of fault probabilities from a seed."""
    _inject("seed", {"seed": number}, output)


@fault.command("lists")
def lists(
    lag: Annotated[float | None, typer.Option(min=0.0, help="Seconds until lists show a change.")] = None,
    page: Annotated[int | None, typer.Option(min=1, help="Maximal number of items per page.")] = None,
    duplicates: Annotated[bool | None, typer.Option("--duplicates/--once", help="List every machine twice.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make lists of machines lag, have short pages, or contain duplicates."""
    changes = {"lag_seconds": lag, "page": page, "duplicates": duplicates}
    _inject("lists", {name: value for name, value in changes.items() if value is not None}, output)


@fault.command("boots")
def boots(
    fail: Annotated[int, typer.Option(min=0, help="Number of the next machines that never boot.")] = 0,
    dead_gpus: Annotated[int, typer.Option(min=0, help="Number of machines that boot without working GPUs.")] = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make the next machines fail to boot, or boot without GPUs."""
    _inject("boots", {"fail": fail, "dead_gpus": dead_gpus}, output)


@fault.command("lose")
def lose(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Region, as provider/region, or zone.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Take down a region (its machines end, its API hangs) or a zone (its machines end, launches fail)."""
    _inject("lose", _place(place), output)


@fault.command("restore")
def restore(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Region, as provider/region, or zone.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Restore a lost region's API or a failed zone's launches; lost machines stay ended."""
    _inject("restore", _place(place), output)


def _place(name: str) -> dict[str, str]:
    return {"region" if "/" in name else "zone": name}


@fault.command("stock")
def stock(
    region: Region,
    zone: Zone,
    instance_type: InstanceType,
    count: Annotated[int, typer.Argument(metavar="COUNT", min=0, help="Machines left in stock.")],
    spot: Annotated[bool, typer.Option("--spot", help="Set the stock of the spot market.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Set a zone's stock of an instance type."""
    _inject("stock", {"region": region, "zone": zone, "type": instance_type, "count": count, "spot": spot}, output)


@fault.command("quota")
def quota(
    region: Region,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Quota name, in the cloud's own spelling.")],
    limit: Annotated[int, typer.Argument(metavar="LIMIT", min=0, help="New limit.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Set a region's quota."""
    _inject("quota", {"region": region, "name": name, "limit": limit}, output)


@fault.command("price")
def price(
    region: Region,
    instance_type: InstanceType,
    factor: Annotated[float, typer.Argument(metavar="FACTOR", min=0.0, help="Factor on the catalogue's spot price.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Set the spot price of an instance type in a region."""
    _inject("price", {"region": region, "type": instance_type, "factor": factor}, output)


@fault.command("reserve")
def reserve(  # noqa: PLR0913, PLR0917  one parameter an option
    region: Region,
    zone: Zone,
    instance_type: InstanceType,
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, help="Number of machines.")],
    name: Annotated[str, typer.Option(help="Reservation id.")] = "cr-0001",
    begins: Annotated[str | None, typer.Option(help="Begin, as ISO 8601 with an offset; default: now.")] = None,
    ends: Annotated[str | None, typer.Option(help="End, as ISO 8601 with an offset; default: never.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Add a capacity reservation to the account."""
    reservation = {"id": name, "region": region, "zone": zone, "type": instance_type, "count": count}
    _inject("reservation", reservation | {"begins": begins, "ends": ends}, output)


@fault.command("reclaim")
def reclaim(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Reclaim a spot machine, with its cloud's usual notice."""
    _inject("reclaim", {"machine": machine}, output)


@fault.command("rebalance")
def rebalance(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Send a rebalance recommendation for a spot machine, as a cloud does at an elevated risk of a reclaim."""
    _inject("rebalance", {"machine": machine}, output)


@fault.command("impair")
def impair(machine: Machine, output: OutputOption = Output.TEXT) -> None:
    """Make a machine fail its cloud's status checks."""
    _inject("impair", {"machine": machine}, output)


@fault.command("maintenance")
def maintenance(
    machine: Machine,
    minutes: Annotated[float, typer.Option(min=0.0, help="Minutes until the maintenance begins.")] = 60.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Announce maintenance of a machine's host."""
    _inject("maintenance", {"machine": machine, "minutes": minutes}, output)
