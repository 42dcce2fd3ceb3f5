"""machines: serve, list, add, token, cordon, uncordon, drain, remove."""

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
from rich.table import Table

from providers.static.api import RegisterApi
from providers.static.errors import FAMILIES, Answered
from providers.static.register import Refusal, Register, RegisterError
from providers.static.server import RegisterServer, create_app, read_or_draw_token
from providers.static.wire import Machine, Marks, NewJoinToken
from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.session import console
from scheduler.daemon.logs import configure_logs
from scheduler.documents.machines_file import read_machines
from scheduler.documents.settings_file import Settings, home_folder, load_settings, settings_file
from state.clock import SystemClock

REGISTER_STARTED: Final = "register_started"
REGISTER_STOPPED: Final = "register_stopped"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a register listens, and what it keeps."""

    address: str
    certificate: Path | None
    key: Path | None
    folder: Path | None


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What a token is for."""

    region: str | None
    zone: str
    machine: str | None
    hours: float


def serve(listen: Listen, output: Output) -> None:
    """Keep a register until told to stop."""
    configure_logs(as_json=output is Output.JSON)
    host, port, tls = _checked(listen)
    folder = listen.folder or home_folder() / "machines"
    try:
        register = Register(folder / "register.json", SystemClock())
    except RegisterError as error:
        raise fail(Exit.NOT_NOW, str(error)) from error
    except (OSError, ValueError) as error:
        raise fail(Exit.FAILED, f"{folder / 'register.json'} cannot be read: {error}") from error
    try:
        token = read_or_draw_token(folder / "token")
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


def _checked(listen: Listen) -> tuple[str, int, tuple[Path, Path] | None]:
    host, _, port = listen.address.rpartition(":")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError as error:
        raise fail(Exit.BAD_INPUT, f"{listen.address} is not ADDRESS:PORT, such as 10.0.0.5:8790") from error
    if (listen.certificate is None) != (listen.key is None):
        raise fail(Exit.BAD_INPUT, "give both --certificate and --key, or neither")
    if listen.certificate is None or listen.key is None:
        if not is_loopback:
            raise fail(Exit.BAD_INPUT, f"{host} is not loopback: give --certificate and --key")
        return host, number, None
    for file in (listen.certificate, listen.key):
        if not file.is_file():
            raise fail(Exit.BAD_INPUT, f"{file} is not a file")
    return host, number, (listen.certificate, listen.key)


class Sites:
    """The registers of the settings: several sites may share one."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is called yet."""
        own = settings.providers.static
        if own is None:
            raise fail(Exit.BAD_INPUT, f"no site is set up under providers.static in {settings_file()}")
        self.urls = {name: place.register_url for name, place in sorted(own.regions.items())}
        self._apis = {
            url: RegisterApi(url, Path(own.token_file), own.ca_file, own.timeout_seconds)
            for url in dict.fromkeys(self.urls.values())
        }

    def of_region(self, region: str) -> RegisterApi:
        """Return a site's register."""
        name = region.removeprefix("static/")
        if name not in self.urls:
            raise fail(Exit.BAD_INPUT, f"there is no site {name!r}; there are {', '.join(self.urls)}")
        return self._apis[self.urls[name]]

    def machines(self) -> list[tuple[RegisterApi, Machine]]:
        """Return the machines of every site, each with its register."""
        listed = ((api, machine) for api in self._apis.values() for machine in api.machines())
        return sorted(listed, key=lambda found: (found[1].region, found[1].name))

    def find(self, name: str) -> tuple[RegisterApi, Machine]:
        """Return a machine."""
        for api, machine in self.machines():
            if machine.name == name:
                return api, machine
        raise fail(Exit.BAD_INPUT, f"there is no machine {name}; `skerry machines list` has them")


@contextmanager
def _sites() -> Iterator[Sites]:
    """Give the registers, and turn what they say into messages and exit codes."""
    try:
        yield Sites(load_settings())
    except Answered as error:
        is_ours = error.code in {Refusal.BAD_REQUEST, Refusal.NO_SUCH_MACHINE}
        raise fail(Exit.BAD_INPUT if is_ours else Exit.FAILED, f"the register refuses: {error}") from error
    except FAMILIES as error:
        why = f"{error}; does `skerry machines serve` run there, and is its token in token_file?"
        raise fail(Exit.NOT_NOW, f"a register does not answer: {why}") from error


def list_machines(output: Output) -> None:
    """Show the machines."""
    with _sites() as sites:
        facts = [_facts(machine) for _, machine in sites.machines()]
    if output is Output.JSON:
        answer_json(facts)
        return
    table = Table("machine", "site", "zone", "type", "address", "state", "runs", box=None, pad_edge=False)
    for fact in facts:
        state = fact["impairment"] or fact["state"]
        table.add_row(
            *(str(fact[k] or "") for k in ("machine", "site", "zone", "type", "address")), state, fact["runs"]
        )
    console().print(table)


def _facts(machine: Machine) -> dict[str, Any]:
    draining = f"draining from {machine.drain_at:%Y-%m-%d %H:%M} UTC" if machine.drain_at else ""
    return {
        "machine": machine.name,
        "site": machine.region,
        "zone": machine.zone,
        "type": machine.type,
        "address": machine.address,
        "gpu": machine.facts.gpu,
        "gpus": machine.facts.gpus,
        "gpus_seen": machine.gpus_seen,
        "head": machine.is_head,
        "state": draining or ("cordoned" if machine.is_cordoned else "in use" if machine.assignment_id else "free"),
        "impairment": machine.impairment,
        "runs": machine.assignment_id,
    }


def add(file: Path, output: Output) -> None:
    """List the machines of a file."""
    listed = read_machines(file)
    tokens: dict[str, str] = {}
    with _sites() as sites:
        by_register: dict[str, list[int]] = {}
        for n, machine in enumerate(listed):
            sites.of_region(machine.region)
            by_register.setdefault(sites.urls[machine.region], []).append(n)
        for numbers in by_register.values():
            api = sites.of_region(listed[numbers[0]].region)
            for machine in api.list_machines([listed[n] for n in numbers]):
                if machine.key_sha256 is None:
                    tokens[machine.name] = api.draw_join_token(NewJoinToken(region=machine.region, name=machine.name))
    if output is Output.JSON:
        answer_json([{"machine": machine.name, "token": tokens.get(machine.name)} for machine in listed])
        return
    for machine in listed:
        sys.stdout.write(f"{machine.name}  {tokens.get(machine.name, 'has joined')}\n")


def token(wish: TokenWish, output: Output) -> None:
    """Draw a token."""
    if (wish.region is None) == (wish.machine is None):
        raise fail(Exit.BAD_INPUT, "give exactly one of --region and --machine")
    with _sites() as sites:
        if wish.machine is not None:
            api, machine = sites.find(wish.machine)
            asked = NewJoinToken(region=machine.region, name=machine.name, hours=wish.hours)
        else:
            region = (wish.region or "").removeprefix("static/")
            api = sites.of_region(region)
            asked = NewJoinToken(region=region, zone=wish.zone, hours=wish.hours)
        drawn = api.draw_join_token(asked)
    if output is Output.JSON:
        answer_json({"token": drawn, "hours": wish.hours})
    else:
        sys.stdout.write(f"{drawn}\n")


def cordon(name: str, output: Output, *, is_cordoned: bool) -> None:
    """Cordon or uncordon a machine."""
    _mark(name, Marks(is_cordoned=is_cordoned), output)


def drain(name: str, minutes: float, output: Output) -> None:
    """Let a machine be emptied."""
    _mark(name, Marks(drain_at=SystemClock().now() + timedelta(minutes=minutes)), output)


def _mark(name: str, marks: Marks, output: Output) -> None:
    with _sites() as sites:
        api, _ = sites.find(name)
        facts = _facts(api.mark(name, marks))
    if output is Output.JSON:
        answer_json(facts)
    else:
        runs = f", still runs {facts['runs']}" if facts["runs"] else ""
        sys.stdout.write(f"{name}: {facts['state']}{runs}\n")


def remove(name: str, output: Output, *, is_gone: bool) -> None:
    """Forget a machine."""
    with _sites() as sites:
        api, machine = sites.find(name)
        api.remove(name, is_gone=is_gone)
    if output is Output.JSON:
        answer_json({"removed": machine.name})
    else:
        sys.stdout.write(f"{name}: forgotten\n")
