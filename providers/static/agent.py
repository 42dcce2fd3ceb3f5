"""The agent on an own machine: it joins a register and runs the one task that the register assigns.

The agent polls; the machine needs no open port. A task keeps running while the register is unreachable, and after the
agent is killed; the next agent of the same folder takes it over. SIGTERM to the agent ends the task.
"""

import os
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict

from providers.processes import SessionLog, end_session, members, start_recorded
from providers.static.api import http_client
from providers.static.errors import RegisterResponseError
from providers.static.files import write_atomic
from providers.static.hardware import detect_gpus
from providers.static.wire import Hardware, JoinRequest, JoinResponse, Report, ReportResponse, Task
from state.clock import Clock, draw_secret

GRACE: Final = timedelta(seconds=30)
GPU_CHECK_INTERVAL: Final = timedelta(seconds=30)
FIRST_POLL_SECONDS: Final = 3.0
PAUSE_SECONDS_MAX: Final = 30.0
TIMEOUT_SECONDS: Final = 10.0

AGENT_JOINED: Final = "agent_joined"
AGENT_STARTED_TASK: Final = "agent_started_task"
AGENT_ENDED_TASK: Final = "agent_ended_task"
AGENT_REPORT_FAILED: Final = "agent_report_failed"


class JoinError(Exception):
    """The machine cannot join; the message has the remedy."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """An agent's register, folder, and description of its machine."""

    url: str
    """The register's URL."""
    folder: Path
    """Holds the key, the task and its log. Ray creates sockets below it, so the path must be short."""
    name: str
    address: str
    hardware: Hardware
    is_head: bool = False
    counts_gpus: bool = True
    """Whether reports carry the driver's number of GPUs; false where `--gpus` states it."""
    ca_file: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    """Variables for start-up scripts, beside the agent's own environment."""


class _Identity(BaseModel):
    """The content of `agent.json`."""

    model_config = ConfigDict(frozen=True)
    url: str
    key: str
    joined: JoinResponse | None = None


class _RunningTask(BaseModel):
    """The content of `task.json`."""

    model_config = ConfigDict(frozen=True)
    instance_id: str
    sid: int


class Agent:
    """The agent of one machine."""

    def __init__(self, settings: AgentSettings, clock: Clock) -> None:
        """Name the agent's files; nothing is called or started yet."""
        self._settings, self._clock = settings, clock
        self._identity_file = settings.folder / "agent.json"
        self._task_file = settings.folder / "task.json"
        self._sessions = SessionLog(settings.folder / "sessions.jsonl")
        self._log = structlog.get_logger().bind(machine=settings.name)
        self._http = http_client(settings.url, settings.ca_file, TIMEOUT_SECONDS)
        self._gpu_check: tuple[float, int | None] | None = None
        """(elapsed seconds, GPUs) of the last check."""

    @property
    def has_joined(self) -> bool:
        """Whether this folder has joined the register of the settings."""
        identity = self._identity()
        return identity is not None and identity.url == self._settings.url and identity.joined is not None

    def join(self, token: str) -> JoinResponse:
        """Join the register; a repeated call with the same token succeeds, in case the response was lost.

        Raises:
            ValidationError: The token, or a setting of the machine, cannot be sent.
            JoinError: The register refused, or did not respond.
        """
        settings, identity = self._settings, self._identity()
        if identity is None or identity.url != settings.url:
            identity = _Identity(url=settings.url, key=draw_secret())
            write_atomic(self._identity_file, identity.model_dump_json())
        request = JoinRequest(
            token=token,
            key=identity.key,
            name=settings.name,
            address=settings.address,
            hardware=settings.hardware,
            is_head=settings.is_head,
        )
        try:
            joined = JoinResponse.model_validate_json(self._post("/v1/join", request).content)
        except httpx.HTTPError as error:
            msg = f"cannot join the register {settings.url}: {error}"
            raise JoinError(msg) from error
        except ValueError as error:
            msg = f"cannot join: {settings.url} does not answer as a register does; check the URL"
            raise JoinError(msg) from error
        write_atomic(self._identity_file, identity.model_copy(update={"joined": joined}).model_dump_json())
        self._log.info(AGENT_JOINED, name=joined.name, region=joined.region, zone=joined.zone)
        return joined

    def run(self, ended: threading.Event) -> None:
        """Poll the register and run its task until *ended* is set, then end the task.

        Raises:
            JoinError: This folder has not joined a register.
        """
        identity = self._identity()
        if identity is None or identity.joined is None:
            msg = "this machine has not joined a register; run `skerry join` with a token once"
            raise JoinError(msg)
        self._end_unrecorded()
        pause, failures = FIRST_POLL_SECONDS, 0
        while not ended.is_set():
            try:
                headers = {"Authorization": f"Bearer {identity.key}"}
                response = self._post("/v1/report", self._report(), headers)
                wanted = ReportResponse.model_validate_json(response.content)
            except (httpx.HTTPError, ValueError) as error:
                failures += 1
                self._log.warning(AGENT_REPORT_FAILED, reason=f"{type(error).__name__}: {error}", times=failures)
                ended.wait(min(pause * failures, PAUSE_SECONDS_MAX))
                continue
            failures, pause = 0, wanted.poll_seconds
            if not self._reconcile(wanted.task):
                ended.wait(pause)
        self._end_task("the agent stops")

    def _post(self, path: str, body: BaseModel, headers: dict[str, str] | None = None) -> httpx.Response:
        response = self._http.post(path, content=body.model_dump_json(), headers=headers)
        if not response.is_success:
            raise RegisterResponseError(response)
        return response

    def _report(self) -> Report:
        running = self._running()
        return Report(running=None if running is None else running.instance_id, gpus_detected=self._count_gpus())

    def _count_gpus(self) -> int | None:
        if not self._settings.counts_gpus or self._settings.hardware.gpus == 0:
            return None
        now = self._clock.elapsed()
        if self._gpu_check is None or now - self._gpu_check[0] > GPU_CHECK_INTERVAL.total_seconds():
            found = detect_gpus()
            self._gpu_check = (now, None if found is None else found.count)
        return self._gpu_check[1]

    def _reconcile(self, task: Task | None) -> bool:
        """Start *task* or end what it replaces, one step a call; return whether anything changed."""
        running = self._running()
        if running is not None and (task is None or task.instance_id != running.instance_id):
            self._end_task("no longer assigned")
            return True
        if task is not None and running is None:
            self._start(task)
            return True
        return False

    def _running(self) -> _RunningTask | None:
        """Return the recorded task while any of its processes lives."""
        if not self._task_file.exists():
            return None
        task = _RunningTask.model_validate_json(self._task_file.read_bytes())
        return task if task.sid in self._sessions.sessions() and members(task.sid) else None

    def _start(self, task: Task) -> None:
        settings = self._settings
        folder = settings.folder / task.instance_id[-8:]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        script = folder / "start.sh"
        script.write_text(task.script)
        environment = os.environ | {"SKERRY_NODE_ADDRESS": settings.address} | dict(settings.environment)
        sid = start_recorded(["/bin/bash", str(script)], environment, folder / "log", self._sessions)
        write_atomic(self._task_file, _RunningTask(instance_id=task.instance_id, sid=sid).model_dump_json())
        self._log.info(AGENT_STARTED_TASK, instance=task.instance_id, role=task.role, log=str(folder / "log"))

    def _end_task(self, reason: str) -> None:
        running = self._running()
        if running is None:
            return
        while not end_session(running.sid, GRACE, self._clock):
            """Repeat until every process has ended."""
        self._task_file.unlink(missing_ok=True)
        self._log.info(AGENT_ENDED_TASK, instance=running.instance_id, reason=reason)

    def _end_unrecorded(self) -> None:
        """End sessions that an earlier agent started, but was killed before it wrote `task.json`."""
        running = self._running()
        for sid in self._sessions.sessions():
            if running is None or sid != running.sid:
                end_session(sid, GRACE, self._clock)
        if running is None:
            self._sessions.clear()

    def _identity(self) -> _Identity | None:
        if not self._identity_file.exists():
            return None
        try:
            return _Identity.model_validate_json(self._identity_file.read_bytes())
        except ValueError as error:
            msg = f"{self._identity_file} is damaged; delete it and join again with a new token"
            raise JoinError(msg) from error
