"""The agent on a machine of one's own: it joins a register, and runs what it is told, and nothing else.

It asks; nobody needs a way in. While the register is silent, what runs runs on. Should the agent be killed, what it
started runs on as well, and the next agent of the folder takes it over; told to stop, it ends what it started.
"""

import os
import ssl
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict

from providers.processes import SessionLog, end_session, members, start_recorded
from providers.static import hardware as own
from providers.static.errors import Answered
from providers.static.files import write_whole
from providers.static.wire import Facts, Instruction, Join, Joined, Report, Task
from state.clock import Clock, draw_secret

GRACE: Final = timedelta(seconds=30)
GPUS_EVERY: Final = timedelta(seconds=30)
FIRST_POLL: Final = 3.0
LONGEST_PAUSE: Final = 30.0
TIMEOUT_S: Final = 10.0

AGENT_JOINED: Final = "agent_joined"
AGENT_STARTED_WORK: Final = "agent_started_work"
AGENT_ENDED_WORK: Final = "agent_ended_work"
AGENT_UNHEARD: Final = "agent_unheard"


class JoinError(Exception):
    """The machine cannot join; the message says what to do."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where a machine belongs, and what it is."""

    url: str
    """The register's."""
    folder: Path
    """Keeps the key, what runs, and its log; its path should be short, since Ray puts sockets there."""
    name: str
    address: str
    facts: Facts
    is_head: bool = False
    counts_gpus: bool = True
    """Whether the driver is asked how many GPUs answer; not where they were stated by hand."""
    ca_file: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    """For start-up scripts, on top of our own environment."""


class _Kept(BaseModel):
    """What an agent keeps on disk."""

    model_config = ConfigDict(frozen=True)
    url: str
    key: str
    joined: Joined | None = None


class _Work(BaseModel):
    """What runs."""

    model_config = ConfigDict(frozen=True)
    instance_id: str
    sid: int


class Agent:
    """One machine's agent."""

    def __init__(self, settings: AgentSettings, clock: Clock) -> None:
        """Prepare; nothing is called or started yet."""
        self._settings, self._clock = settings, clock
        self._identity_file = settings.folder / "agent.json"
        self._work_file = settings.folder / "work.json"
        self._sessions = SessionLog(settings.folder / "sessions.jsonl")
        self._log = structlog.get_logger().bind(machine=settings.name)
        verify = ssl.create_default_context(cafile=settings.ca_file) if settings.url.startswith("https:") else True
        self._http = httpx.Client(base_url=settings.url, timeout=TIMEOUT_S, verify=verify, trust_env=False)
        self._gpus: tuple[float, int | None] | None = None

    @property
    def has_joined(self) -> bool:
        """Whether the folder has a place in this register already."""
        kept = self._identity()
        return kept is not None and kept.url == self._settings.url and kept.joined is not None

    def join(self, token: str) -> Joined:
        """Take a place in the register; again with the same token, should the answer have been lost.

        Raises:
            JoinError: The register refused, or did not answer.
        """
        settings, kept = self._settings, self._identity()
        if kept is None or kept.url != settings.url:
            kept = _Kept(url=settings.url, key=draw_secret())
            write_whole(self._identity_file, kept.model_dump_json())
        try:
            asked = Join(
                token=token,
                key=kept.key,
                name=settings.name,
                address=settings.address,
                facts=settings.facts,
                is_head=settings.is_head,
            )
            joined = Joined.model_validate_json(self._post("/v1/join", asked).content)
        except (httpx.HTTPError, ValueError) as error:
            msg = f"{settings.url} did not let this machine in: {error}"
            raise JoinError(msg) from error
        write_whole(self._identity_file, kept.model_copy(update={"joined": joined}).model_dump_json())
        self._log.info(AGENT_JOINED, name=joined.name, region=joined.region, zone=joined.zone)
        return joined

    def run(self, ended: threading.Event) -> None:
        """Do as the register says until *ended*, then end what runs.

        Raises:
            JoinError: This folder has no place in the register.
        """
        kept = self._identity()
        if kept is None or kept.joined is None:
            msg = "this machine has not joined; show a token once"
            raise JoinError(msg)
        self._forget_strangers()
        pause, fails = FIRST_POLL, 0
        while not ended.is_set():
            try:
                headers = {"Authorization": f"Bearer {kept.key}"}
                answer = self._post("/v1/report", self._report(), headers)
                told = Instruction.model_validate_json(answer.content)
            except (httpx.HTTPError, ValueError) as error:
                fails += 1
                self._log.warning(AGENT_UNHEARD, reason=f"{type(error).__name__}: {error}", times=fails)
                ended.wait(min(pause * fails, LONGEST_PAUSE))
                continue
            fails, pause = 0, told.poll_seconds
            if not self._follow(told.task):
                ended.wait(pause)
        self._end_work("the agent was told to stop")

    def _post(self, path: str, said: BaseModel, headers: dict[str, str] | None = None) -> httpx.Response:
        response = self._http.post(path, content=said.model_dump_json(), headers=headers)
        if not response.is_success:
            raise Answered(response)
        return response

    def _report(self) -> Report:
        work = self._running()
        return Report(running=None if work is None else work.instance_id, gpus_seen=self._count_gpus())

    def _count_gpus(self) -> int | None:
        if not self._settings.counts_gpus or self._settings.facts.gpus == 0:
            return None
        now = self._clock.elapsed()
        if self._gpus is None or now - self._gpus[0] > GPUS_EVERY.total_seconds():
            found = own.gpus()
            self._gpus = (now, None if found is None else found.count)
        return self._gpus[1]

    def _follow(self, task: Task | None) -> bool:
        """Run *task* and nothing else; return whether anything changed, which is then to be reported at once."""
        work = self._running()
        if work is not None and (task is None or task.instance_id != work.instance_id):
            self._end_work("the register said so")
            return True
        if task is not None and work is None:
            self._start(task)
            return True
        return False

    def _running(self) -> _Work | None:
        """Return what runs, as far as anything of it is alive."""
        if not self._work_file.exists():
            return None
        work = _Work.model_validate_json(self._work_file.read_bytes())
        return work if work.sid in self._sessions.sessions() and members(work.sid) else None

    def _start(self, task: Task) -> None:
        settings = self._settings
        folder = settings.folder / task.instance_id[-8:]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        script = folder / "start.sh"
        script.write_text(task.script)
        environment = os.environ | {"SKERRY_NODE_ADDRESS": settings.address} | dict(settings.environment)
        sid = start_recorded(["/bin/bash", str(script)], environment, folder / "log", self._sessions)
        write_whole(self._work_file, _Work(instance_id=task.instance_id, sid=sid).model_dump_json())
        self._log.info(AGENT_STARTED_WORK, instance=task.instance_id, role=task.role, log=str(folder / "log"))

    def _end_work(self, reason: str) -> None:
        work = self._running()
        if work is None:
            return
        while not end_session(work.sid, GRACE, self._clock):
            """Ask again: what is to end ends."""
        self._work_file.unlink(missing_ok=True)
        self._log.info(AGENT_ENDED_WORK, instance=work.instance_id, reason=reason)

    def _forget_strangers(self) -> None:
        """End what an agent that was killed had started, and had no time to note."""
        work = self._running()
        for sid in self._sessions.sessions():
            if work is None or sid != work.sid:
                end_session(sid, GRACE, self._clock)
        if work is None:
            self._sessions.forget()

    def _identity(self) -> _Kept | None:
        if not self._identity_file.exists():
            return None
        try:
            return _Kept.model_validate_json(self._identity_file.read_bytes())
        except ValueError as error:
            msg = f"{self._identity_file} cannot be read ({error}); remove it and join anew"
            raise JoinError(msg) from error
