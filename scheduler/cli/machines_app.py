"""`skerry machines` and `skerry join`: the commands' arguments."""

from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.exits import Output, errors_as_exits

machines = typer.Typer(
    no_args_is_help=True,
    help="Manage your own machines: serve a site's register, and list, add, cordon, drain or remove machines.",
)

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print text or one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="MACHINE", help="Machine name, as `skerry machines list` shows it.")]


@machines.command("serve")
def serve(
    listen: Annotated[
        str, typer.Option(help="ADDRESS:PORT; an address other than loopback needs --certificate and --key.")
    ] = ("127.0.0.1:8790"),
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="TLS certificate file, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="TLS private key file, PEM.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the register; default SKERRY_HOME/machines."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a site's register to agents and the daemon until SIGTERM or SIGINT."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.serve(machines_commands.Listen(listen, certificate, key, folder), output)


@machines.command("list")
def list_machines(output: OutputOption = Output.TEXT) -> None:
    """List the machines of every site with their type, state, instance and impairment."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.list_machines(output)


@machines.command("add")
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML file of machines; docs/how-to/own-machines.md has an example.")
    ],
    output: OutputOption = Output.TEXT,
) -> None:
    """Add machines to the register or update them; print a join token for each that has not joined."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.add(file, output)


@machines.command("token")
def token(
    region: Annotated[str | None, typer.Option(help="Site of a machine that is not in the register.")] = None,
    zone: Annotated[str, typer.Option(help="Zone of that machine: its rack or room.")] = "a",
    machine: Annotated[str | None, typer.Option(help="Name of a machine in the register.")] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=720, help="Hours until the token expires.")] = 24.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Issue a token with which one machine can join once."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.token(machines_commands.TokenRequest(region, zone, machine, hours), output)


@machines.command("cordon")
def cordon(name: Name, output: OutputOption = Output.TEXT) -> None:
    """Give a machine no new work; what it runs continues."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.cordon(name, output, is_cordoned=True)


@machines.command("uncordon")
def uncordon(name: Name, output: OutputOption = Output.TEXT) -> None:
    """Give a machine new work again; cancels a drain."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.cordon(name, output, is_cordoned=False)


@machines.command("drain")
def drain(
    name: Name,
    minutes: Annotated[float, typer.Option("--in", min=0, help="Minutes until the drain begins.")] = 0.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Drain a machine: replacements start, its replicas move to them, and it gets no new work."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.drain(name, minutes, output)


@machines.command("remove")
def remove(
    name: Name,
    gone: Annotated[
        bool, typer.Option("--gone", help="You verified that it runs nothing; its instance counts as ended.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove a machine from the register; to return, it must join again."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.remove(name, output, is_gone=gone)


def join(  # noqa: PLR0913, PLR0917  one parameter an option
    register: Annotated[str, typer.Argument(metavar="URL", help="URL of the register.")],
    token: Annotated[
        str | None,
        typer.Option(envvar="SKERRY_JOIN_TOKEN", help="One-time join token; needed only until the machine has joined."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File that holds the join token.")] = None,
    name: Annotated[str | None, typer.Option(help="Machine name; default: host name.")] = None,
    address: Annotated[str | None, typer.Option(help="Address in the site's network; default: detected.")] = None,
    head: Annotated[bool, typer.Option("--head", help="Reserve it for the cell's head.")] = False,
    gpu: Annotated[str | None, typer.Option(help="GPU model; default: detected.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, max=64, help="Number of GPUs; default: detected.")] = None,
    gpu_memory: Annotated[float | None, typer.Option(min=0, help="GiB per GPU; default: detected.")] = None,
    vcpus: Annotated[int | None, typer.Option(min=1, help="Number of vCPUs; default: detected.")] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="Memory in GiB; default: detected.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the agent; default SKERRY_HOME/agent."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate authority of the register's certificate, PEM.")
    ] = None,
    ray_token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File of the cell's Ray token.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run this machine's agent: join a register, and run what it assigns until SIGTERM or SIGINT."""
    from scheduler.cli import join_command

    with errors_as_exits():
        stated = join_command.StatedHardware(gpu, gpus, gpu_memory, vcpus, memory)
        machine = join_command.JoiningMachine(register, name, address, folder, ca_file, ray_token_file)
        join_command.run(machine, stated, join_command.TokenSource(token, token_file), output, is_head=head)
