"""`skerry machines` and `skerry join`: the commands' arguments."""

from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.exits import Output, errors_as_exits

machines = typer.Typer(no_args_is_help=True, help="Machines of your own: the register of a site, and what is in it.")

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Answer as text or as one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="MACHINE", help="Its name; `skerry machines list` has them.")]


@machines.command("serve")
def serve(
    listen: Annotated[str, typer.Option(help="ADDRESS:PORT; beyond loopback with a certificate only.")] = (
        "127.0.0.1:8790"
    ),
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the register and its token are kept; SKERRY_HOME/machines.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Keep a site's register, until told to stop. Agents and the daemon speak to it."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.serve(machines_commands.Listen(listen, certificate, key, folder), output)


@machines.command("list")
def list_machines(output: OutputOption = Output.TEXT) -> None:
    """Show every site's machines: what each is, what it runs, and what is wrong with it."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.list_machines(output)


@machines.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A YAML file of machines; docs/how-to/own-machines.md shows one.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """List machines, and get a token for each that has not joined yet. Again, to describe them anew."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.add(file, output)


@machines.command("token")
def token(
    region: Annotated[str | None, typer.Option(help="For a machine of this site that nobody has listed.")] = None,
    zone: Annotated[str, typer.Option(help="Its rack or room.")] = "a",
    machine: Annotated[str | None, typer.Option(help="For this machine, which is listed.")] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=720, help="How long it may be used.")] = 24.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw a token with which one machine may join, once."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.token(machines_commands.TokenWish(region, zone, machine, hours), output)


@machines.command("cordon")
def cordon(name: Name, output: OutputOption = Output.TEXT) -> None:
    """Give a machine nothing new to run; what runs on it runs on."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.cordon(name, output, is_cordoned=True)


@machines.command("uncordon")
def uncordon(name: Name, output: OutputOption = Output.TEXT) -> None:
    """Let a machine be used again; ends a drain too."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.cordon(name, output, is_cordoned=False)


@machines.command("drain")
def drain(
    name: Name,
    minutes: Annotated[float, typer.Option("--in", min=0, help="So many minutes from now.")] = 0.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a machine be emptied: its replicas move when others carry them, and it gets nothing new."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.drain(name, minutes, output)


@machines.command("remove")
def remove(
    name: Name,
    gone: Annotated[bool, typer.Option("--gone", help="It runs nothing any more, though nobody heard it say so.")] = (
        False
    ),
    output: OutputOption = Output.TEXT,
) -> None:
    """Forget a machine; it has to join anew."""
    from scheduler.cli import machines_commands

    with errors_as_exits():
        machines_commands.remove(name, output, is_gone=gone)


def join(  # noqa: PLR0913, PLR0917  one parameter an option
    register: Annotated[str, typer.Argument(metavar="URL", help="The register's address.")],
    token: Annotated[
        str | None,
        typer.Option(envvar="SKERRY_JOIN_TOKEN", help="The one-time token; not needed again once joined."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with it.")] = None,
    name: Annotated[str | None, typer.Option(help="This machine's name; its host name.")] = None,
    address: Annotated[str | None, typer.Option(help="Its address in the site's network; found out.")] = None,
    head: Annotated[bool, typer.Option("--head", help="Keep it for the cell's head.")] = False,
    gpu: Annotated[str | None, typer.Option(help="GPU model; the driver is asked.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, max=64, help="How many; the driver is asked.")] = None,
    gpu_memory: Annotated[float | None, typer.Option(min=0, help="GiB per GPU; the driver is asked.")] = None,
    vcpus: Annotated[int | None, typer.Option(min=1, help="Found out.")] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GiB; found out.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where its key is kept; SKERRY_HOME/agent.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate authority of the register.")] = None,
    ray_token_file: Annotated[Path | None, typer.Option(help="The cell's Ray token.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let this machine join a register, and run what it is told to, until told to stop."""
    from scheduler.cli import join_command

    with errors_as_exits():
        stated = join_command.Stated(gpu, gpus, gpu_memory, vcpus, memory)
        place = join_command.Place(register, name, address, folder, ca_file, ray_token_file)
        join_command.run(place, stated, join_command.Token(token, token_file), output, is_head=head)
