"""join: this machine's agent."""

import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from providers.gpus import MEMORY_GIB
from providers.static.agent import Agent, AgentSettings, JoinError
from providers.static.hardware import address_towards, facts
from providers.static.wire import Facts
from scheduler.cli.exits import Exit, Output, fail
from scheduler.daemon.logs import configure_logs
from scheduler.documents.settings_file import home_folder
from state.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine belongs."""

    register: str
    name: str | None
    address: str | None
    folder: Path | None
    ca_file: Path | None
    ray_token_file: Path | None


@dataclass(frozen=True, slots=True)
class Stated:
    """What was said of the machine by hand; None: it finds out."""

    gpu: str | None
    gpus: int | None
    gpu_memory_gib: float | None
    vcpus: int | None
    memory_gib: float | None


@dataclass(frozen=True, slots=True)
class Token:
    """The one-time token, or where it is."""

    text: str | None
    file: Path | None


def run(place: Place, stated: Stated, token: Token, output: Output, *, is_head: bool) -> None:
    """Join, if that is still to be done, and run what the register says until told to stop."""
    configure_logs(as_json=output is Output.JSON)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        agent = Agent(_settings(place, stated, is_head=is_head), SystemClock())
        if not agent.has_joined:
            agent.join(_token(token))
        agent.run(ended)
    except JoinError as error:
        raise fail(Exit.FAILED, str(error)) from error


def _token(token: Token) -> str:
    if token.file is not None:
        try:
            return token.file.read_text().strip()
        except OSError as error:
            raise fail(Exit.BAD_INPUT, f"{token.file} cannot be read: {error}") from error
    if token.text is None:
        raise fail(Exit.BAD_INPUT, "this machine has not joined yet: give --token-file, or SKERRY_JOIN_TOKEN")
    return token.text


def _settings(place: Place, stated: Stated, *, is_head: bool) -> AgentSettings:
    parts = urlsplit(place.register)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise fail(Exit.BAD_INPUT, f"{place.register} is not an address such as https://10.0.0.5:8790")
    try:
        address = place.address or address_towards(place.register)
    except OSError as error:
        raise fail(Exit.NOT_NOW, f"{place.register} cannot be reached: {error}") from error
    environment = {} if place.ray_token_file is None else {"RAY_AUTH_TOKEN_PATH": str(place.ray_token_file.absolute())}
    return AgentSettings(
        url=place.register.rstrip("/"),
        folder=(place.folder or home_folder() / "agent").absolute(),
        name=place.name or socket.gethostname().partition(".")[0].lower(),
        address=address,
        facts=_facts(stated),
        is_head=is_head,
        counts_gpus=stated.gpus is None,
        ca_file=None if place.ca_file is None else str(place.ca_file),
        environment=tuple(environment.items()),
    )


def _facts(stated: Stated) -> Facts:
    found = facts()
    gpu = found.gpu if stated.gpu is None else stated.gpu
    gpus = found.gpus if stated.gpus is None else stated.gpus
    if gpus and gpu is None:
        raise fail(Exit.BAD_INPUT, "say which --gpu it has")
    memory = stated.gpu_memory_gib or (MEMORY_GIB.get(gpu or "") if stated.gpu else None) or found.gpu_memory_gib
    try:
        return Facts(
            gpu=gpu if gpus else None,
            gpus=gpus,
            gpu_memory_gib=memory if gpus else 0,
            vcpus=stated.vcpus or found.vcpus,
            memory_gib=stated.memory_gib or found.memory_gib,
        )
    except ValidationError as error:
        raise fail(Exit.BAD_INPUT, str(error)) from error
