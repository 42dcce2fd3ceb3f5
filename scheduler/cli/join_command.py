"""The `join` command: this machine's agent."""

import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from providers.gpus import MEMORY_GIB
from providers.static.agent import Agent, AgentSettings, JoinError
from providers.static.hardware import detect_hardware, local_address
from providers.static.wire import SECRET_MAX, SECRET_MIN, Hardware
from scheduler.cli.exits import Exit, Output, fail
from scheduler.cli.render import words
from scheduler.daemon.logs import configure_logs
from scheduler.documents.plain_errors import plain_lines
from scheduler.documents.settings_file import home_folder
from state.clock import SystemClock

OPTIONS: Final = {
    "name": "--name",
    "address": "--address",
    "gpu": "--gpu",
    "gpus": "--gpus",
    "gpu_memory_gib": "--gpu-memory",
    "vcpus": "--vcpus",
    "memory_gib": "--memory",
}
"""Options by the field of a request that they fill."""


@dataclass(frozen=True, slots=True)
class JoiningMachine:
    """The options of `join` that name the register, the machine and its files."""

    register: str
    name: str | None
    address: str | None
    folder: Path | None
    ca_file: Path | None
    ray_token_file: Path | None


@dataclass(frozen=True, slots=True)
class StatedHardware:
    """The options of `join` that state the hardware; None: detected."""

    gpu: str | None
    gpus: int | None
    gpu_memory_gib: float | None
    vcpus: int | None
    memory_gib: float | None


@dataclass(frozen=True, slots=True)
class TokenSource:
    """The join token itself, or the file that holds it."""

    text: str | None
    file: Path | None


def run(machine: JoiningMachine, stated: StatedHardware, token: TokenSource, output: Output, *, is_head: bool) -> None:
    """Join unless already joined, then run the register's assignments until SIGTERM or SIGINT."""
    configure_logs(as_json=output is Output.JSON)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        agent = Agent(_settings(machine, stated, is_head=is_head), SystemClock())
        if not agent.has_joined:
            agent.join(_token(token))
        agent.run(ended)
    except ValidationError as error:
        raise fail(Exit.BAD_INPUT, "; ".join(plain_lines(error, OPTIONS))) from error
    except JoinError as error:
        raise fail(Exit.FAILED, str(error)) from error


def _token(token: TokenSource) -> str:
    if token.file is not None:
        try:
            return _checked(token.file.read_text().strip())
        except OSError as error:
            raise fail(Exit.BAD_INPUT, f"--token-file: cannot read {token.file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise fail(Exit.BAD_INPUT, f"--token-file: {token.file} holds no token: it is not text") from error
    if token.text is None:
        raise fail(Exit.BAD_INPUT, "this machine has not joined: give --token-file or SKERRY_JOIN_TOKEN")
    return _checked(token.text)


def _checked(token: str) -> str:
    if not SECRET_MIN <= len(token) <= SECRET_MAX:
        message = (
            f"the join token has {words.counted(len(token), 'character')}, {SECRET_MIN} to {SECRET_MAX} are needed"
        )
        raise fail(Exit.BAD_INPUT, f"{message}; `skerry machines token` issues one")
    return token


def _settings(machine: JoiningMachine, stated: StatedHardware, *, is_head: bool) -> AgentSettings:
    parts = urlsplit(machine.register)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise fail(Exit.BAD_INPUT, f"{machine.register} is not a URL such as https://10.0.0.5:8790")
    try:
        address = machine.address or local_address(machine.register)
    except OSError as error:
        raise fail(Exit.NOT_NOW, f"no route to {machine.register}: {error}; give --address") from error
    ray_token = machine.ray_token_file
    environment = {} if ray_token is None else {"RAY_AUTH_TOKEN_PATH": str(ray_token.absolute())}
    return AgentSettings(
        url=machine.register.rstrip("/"),
        folder=(machine.folder or home_folder() / "agent").absolute(),
        name=machine.name or socket.gethostname().partition(".")[0].lower(),
        address=address,
        hardware=_hardware(stated),
        is_head=is_head,
        counts_gpus=stated.gpus is None,
        ca_file=None if machine.ca_file is None else str(machine.ca_file),
        environment=tuple(environment.items()),
    )


def _hardware(stated: StatedHardware) -> Hardware:
    found = detect_hardware()
    gpu = found.gpu if stated.gpu is None else stated.gpu
    gpus = found.gpus if stated.gpus is None else stated.gpus
    if gpus and gpu is None:
        raise fail(Exit.BAD_INPUT, "--gpus without a GPU model: give --gpu, such as --gpu H100")
    memory = stated.gpu_memory_gib or (MEMORY_GIB.get(gpu or "") if stated.gpu else None) or found.gpu_memory_gib
    try:
        return Hardware(
            gpu=gpu if gpus else None,
            gpus=gpus,
            gpu_memory_gib=memory if gpus else 0,
            vcpus=stated.vcpus or found.vcpus,
            memory_gib=stated.memory_gib or found.memory_gib,
        )
    except ValidationError as error:
        raise fail(Exit.BAD_INPUT, "; ".join(plain_lines(error, OPTIONS))) from error
