"""The `machines` commands: serve, list, add, token, cordon, uncordon, drain, remove."""

import ipaddress
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError
from rich.table import Table

from providers.static.api import RegisterApi
from providers.static.errors import FAMILIES, RegisterResponseError
from providers.static.register import ErrorCode, Register, RegisterError
from providers.static.server import RegisterServer, create_app, load_or_create_token
from providers.static.wire import Machine, MachineUpdate, NewJoinToken
from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.session import console
from scheduler.daemon.logs import configure_logs
from scheduler.documents.machines_file import read_machines
from scheduler.documents.plain_errors import plain_lines
from scheduler.documents.settings_file import Settings, home_folder, load_settings, settings_file
from state.clock import SystemClock

REGISTER_STARTED: Final = "register_started"
REGISTER_STOPPED: Final = "register_stopped"


@dataclass(frozen=True, slots=True)
class Listen:
    """The options of `machines serve`."""

    address: str
    certificate: Path | None
    key: Path | None
    folder: Path | None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The options of `machines token`."""

    region: str | None
    zone: str
    machine: str | None
    hours: float


def serve(listen: Listen, output: Output) -> None:
    """Serve a register until SIGTERM or SIGINT."""
    configure_logs(as_json=output is Output.JSON)
    host, port, tls = _listen_options(listen)
    folder = listen.folder or home_folder() / "machines"
    try:
        register = Register(folder / "register.json", SystemClock())
    except RegisterError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    except ValueError as error:
        message = f"cannot read {folder / 'register.json'}: {'; '.join(plain_lines(error))}"
        raise fail(Exit.FAILED, f"{message}; restore it from a backup") from error
    try:
        token = load_or_create_token(folder / "token")
    except OSError:
        register.close()
        raise
    try:
        server = RegisterServer(create_app(register, token), host, port, tls)
        url = server.start()
    except OSError as error:
        register.close()
        raise fail(Exit.NOT_NOW, f"cannot listen on {listen.address}: {error}") from error
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    log = structlog.get_logger()
    log.info(REGISTER_STARTED, url=url, folder=str(folder), machines=len(register.machines()))
    ended.wait()
    server.stop()
    register.close()
    log.info(REGISTER_STOPPED, url=url)


def _listen_options(listen: Listen) -> tuple[str, int, tuple[Path, Path] | None]:
    host, _, port = listen.address.rpartition(":")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError as error:
        raise fail(Exit.BAD_INPUT, f"--listen {listen.address} is not ADDRESS:PORT, such as 10.0.0.5:8790") from error
    if (listen.certificate is None) != (listen.key is None):
        raise fail(Exit.BAD_INPUT, "give both --certificate and --key, or neither")
    if listen.certificate is None or listen.key is None:
        if not is_loopback:
            raise fail(Exit.BAD_INPUT, f"--listen {host} is not loopback: give --certificate and --key")
        return host, number, None
    for file in (listen.certificate, listen.key):
        if not file.is_file():
            raise fail(Exit.BAD_INPUT, f"{file} is not a file")
    return host, number, (listen.certificate, listen.key)


class Sites:
    """The registers of the sites in the settings; several sites may share one."""

    def __init__(self, settings: Settings) -> None:
        """Create a client per register; nothing is called yet."""
        own = settings.providers.static
        if own is None:
            raise fail(
                Exit.BAD_INPUT,
                f"{settings_file()}: providers.static: no site; add one as in docs/how-to/own-machines.md",
            )
        self.urls = {name: place.register_url for name, place in sorted(own.regions.items())}
        self._apis = {
            url: RegisterApi(url, Path(own.token_file), own.ca_file, own.timeout_seconds)
            for url in dict.fromkeys(self.urls.values())
        }

    def of_region(self, region: str) -> RegisterApi:
        """Return the client of a site's register."""
        name = region.removeprefix("static/")
        if name not in self.urls:
            raise fail(Exit.BAD_INPUT, f"unknown site {name!r}; the settings have {', '.join(self.urls)}")
        return self._apis[self.urls[name]]

    def machines(self) -> list[tuple[RegisterApi, Machine]]:
        """Return the machines of every site by site and name, each with its register's client."""
        listed = ((api, machine) for api in self._apis.values() for machine in api.machines())
        return sorted(listed, key=lambda found: (found[1].region, found[1].name))

    def find(self, name: str) -> tuple[RegisterApi, Machine]:
        """Return the named machine and its register's client."""
        for api, machine in self.machines():
            if machine.name == name:
                return api, machine
        raise fail(Exit.BAD_INPUT, f"there is no machine {name}; `skerry machines list` shows all")


@contextmanager
def _sites() -> Iterator[Sites]:
    """Yield the registers, and turn their errors into messages and exit codes."""
    try:
        yield Sites(load_settings())
    except RegisterResponseError as error:
        is_bad_input = error.code in {ErrorCode.BAD_REQUEST, ErrorCode.MACHINE_NOT_FOUND}
        raise fail(Exit.BAD_INPUT if is_bad_input else Exit.FAILED, f"the register refuses: {error}") from error
    except ValidationError as error:
        message = "a register does not answer as a register does; check register_url in the settings"
        raise fail(Exit.NOT_NOW, message) from error
    except FAMILIES as error:
        hint = "check that `skerry machines serve` runs there, and that token_file holds its token"
        raise fail(Exit.NOT_NOW, f"a register does not respond: {error}; {hint}") from error


def list_machines(output: Output) -> None:
    """Print the machines of every site."""
    with _sites() as sites:
        rows = [_row(machine) for _, machine in sites.machines()]
    if output is Output.JSON:
        answer_json(rows)
        return
    table = Table("machine", "site", "zone", "type", "address", "state", "runs", box=None, pad_edge=False)
    for row in rows:
        state = row["impairment"] or row["state"]
        table.add_row(*(str(row[k] or "") for k in ("machine", "site", "zone", "type", "address")), state, row["runs"])
    console().print(table)


def _row(machine: Machine) -> dict[str, Any]:
    draining = f"draining from {machine.drain_at:%Y-%m-%d %H:%M} UTC" if machine.drain_at else ""
    return {
        "machine": machine.name,
        "site": machine.region,
        "zone": machine.zone,
        "type": machine.type,
        "address": machine.address,
        "gpu": machine.hardware.gpu,
        "gpus": machine.hardware.gpus,
        "gpus_detected": machine.gpus_detected,
        "head": machine.is_head,
        "state": draining or ("cordoned" if machine.is_cordoned else "in use" if machine.assignment_id else "free"),
        "impairment": machine.impairment,
        "runs": machine.assignment_id,
    }


def add(file: Path, output: Output) -> None:
    """Add the machines of a file, and print a join token for each that has not joined."""
    listed = read_machines(file)
    tokens: dict[str, str] = {}
    with _sites() as sites:
        by_register: dict[str, list[int]] = {}
        for n, machine in enumerate(listed):
            sites.of_region(machine.region)
            by_register.setdefault(sites.urls[machine.region], []).append(n)
        for numbers in by_register.values():
            api = sites.of_region(listed[numbers[0]].region)
            for machine in api.add_machines([listed[n] for n in numbers]):
                if machine.key_sha256 is None:
                    request = NewJoinToken(region=machine.region, name=machine.name)
                    tokens[machine.name] = api.issue_join_token(request)
    if output is Output.JSON:
        answer_json([{"machine": machine.name, "token": tokens.get(machine.name)} for machine in listed])
        return
    for machine in listed:
        sys.stdout.write(f"{machine.name}  {tokens.get(machine.name, 'has joined')}\n")


def token(options: TokenRequest, output: Output) -> None:
    """Issue and print a join token."""
    if (options.region is None) == (options.machine is None):
        raise fail(Exit.BAD_INPUT, "give exactly one of --region and --machine")
    with _sites() as sites:
        if options.machine is not None:
            api, machine = sites.find(options.machine)
            request = NewJoinToken(region=machine.region, name=machine.name, hours=options.hours)
        else:
            region = (options.region or "").removeprefix("static/")
            api = sites.of_region(region)
            request = NewJoinToken(region=region, zone=options.zone, hours=options.hours)
        issued = api.issue_join_token(request)
    if output is Output.JSON:
        answer_json({"token": issued, "hours": options.hours})
    else:
        sys.stdout.write(f"{issued}\n")


def cordon(name: str, output: Output, *, is_cordoned: bool) -> None:
    """Cordon or uncordon a machine."""
    _update(name, MachineUpdate(is_cordoned=is_cordoned), output)


def drain(name: str, minutes: float, output: Output) -> None:
    """Drain a machine, beginning in *minutes*."""
    _update(name, MachineUpdate(drain_at=SystemClock().now() + timedelta(minutes=minutes)), output)


def _update(name: str, update: MachineUpdate, output: Output) -> None:
    with _sites() as sites:
        api, _ = sites.find(name)
        row = _row(api.update_machine(name, update))
    if output is Output.JSON:
        answer_json(row)
    else:
        runs = f", still runs {row['runs']}" if row["runs"] else ""
        sys.stdout.write(f"{name}: {row['state']}{runs}\n")


def remove(name: str, output: Output, *, is_gone: bool) -> None:
    """Remove a machine from its register."""
    with _sites() as sites:
        api, machine = sites.find(name)
        api.remove_machine(name, is_gone=is_gone)
    if output is Output.JSON:
        answer_json({"removed": machine.name})
    else:
        sys.stdout.write(f"{name}: removed\n")
