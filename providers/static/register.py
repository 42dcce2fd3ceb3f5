"""The register of a site's own machines: which have joined, what each runs, and which are cordoned or draining.

Every change is on disk before the response is sent, except the times of reports, so that a register restarted after a
crash keeps what it answered. One process opens it at a time.
"""

import fcntl
import hashlib
import threading
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime

from providers.static.files import write_atomic
from providers.static.wire import (
    MACHINE_GONE,
    Assignment,
    AssignmentState,
    JoinRequest,
    JoinResponse,
    JoinToken,
    Machine,
    MachineUpdate,
    Message,
    NewAssignment,
    NewJoinToken,
    NewMachine,
    Report,
    ReportResponse,
    Task,
)
from state.clock import Clock, draw_secret

UNREACHABLE_AFTER: Final = timedelta(seconds=45)
"""A machine without a report for this long gets no assignment."""
ENDED_KEPT_FOR: Final = timedelta(hours=24)
"""How long an ended assignment is kept; a repeated request with its id starts nothing until then."""
POLL_SECONDS: Final = 3.0


class ErrorCode(StrEnum):
    """Why the register refuses a request."""

    BAD_REQUEST = "BadRequest"
    INVALID_JOIN_TOKEN = "InvalidJoinToken"  # noqa: S105  a code
    MACHINE_IN_USE = "MachineInUse"
    MACHINE_NOT_FOUND = "MachineNotFound"
    NAME_TAKEN = "NameTaken"
    NO_FREE_MACHINE = "NoFreeMachine"
    OWNER_MISMATCH = "OwnerMismatch"
    REGISTER_LOCKED = "RegisterLocked"
    UNKNOWN_KEY = "UnknownKey"


class RegisterError(Exception):
    """The register refuses a request; `code` and the message give the reason."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        """Hold the reason as a code and as a sentence."""
        self.code = code
        super().__init__(message)


class _Stored(Message):
    """The content of the register's file."""

    machines: tuple[Machine, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    join_tokens: tuple[JoinToken, ...] = ()


def sha256(secret: str) -> str:
    """Return the hash under which a secret is stored. Secrets are random, so a plain hash cannot be reversed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Register:
    """The machines, assignments and join tokens of one site or several."""

    def __init__(self, path: Path, clock: Clock, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Read the register at *path*, or create it.

        Raises:
            RegisterError: Another process has it open.
            OSError, ValueError: It cannot be read.
        """
        self._path, self._clock, self._poll_seconds = path, clock, poll_seconds
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            msg = f"another process has the register {path} open; stop it first, or pass another --folder"
            raise RegisterError(ErrorCode.REGISTER_LOCKED, msg) from error
        stored = _Stored.model_validate_json(path.read_bytes()) if path.exists() else _Stored()
        self._machines = {machine.name: machine for machine in stored.machines}
        self._assignments = {assignment.instance_id: assignment for assignment in stored.assignments}
        self._join_tokens = {join_token.token_sha256: join_token for join_token in stored.join_tokens}
        # Agents report within seconds of a start; until then every machine counts as reachable.
        self._last_report_at = dict.fromkeys(self._machines, clock.now())
        self._gpus_detected: dict[str, int | None] = {}
        self._gpus_missing_since: dict[str, AwareDatetime] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release the register for another process."""
        self._lock_file.close()

    # Requests of operators.

    def add_machines(self, machines: Iterable[NewMachine]) -> tuple[Machine, ...]:
        """Add or update machines, all or none; state that is not part of the description stays.

        Raises:
            RegisterError: One runs something, and its type or zone would change.
        """
        with self._lock:
            new: dict[str, Machine] = {}
            for listed in machines:
                old = self._machines.get(listed.name)
                changed = Machine(**(old.model_dump() if old else {}) | listed.model_dump(exclude={"key_sha256"}))
                if (
                    old is not None
                    and old.assignment_id is not None
                    and (old.type, old.zone) != (changed.type, changed.zone)
                ):
                    msg = f"{old.name} runs {old.assignment_id}; drain it before you change its hardware or zone"
                    raise RegisterError(ErrorCode.MACHINE_IN_USE, msg)
                new[listed.name] = changed
            self._machines |= new
            for name in new:
                self._last_report_at.setdefault(name, self._clock.now())
            self._save()
            return tuple(self._machines[name] for name in new)

    def issue_join_token(self, request: NewJoinToken) -> str:
        """Return a token with which one machine can join once.

        Raises:
            RegisterError: The named machine does not exist.
        """
        with self._lock:
            region, zone = request.region, request.zone
            if request.name is not None:
                machine = self._machine(request.name)
                region, zone = machine.region, machine.zone
            token = draw_secret()
            expires_at = self._clock.now() + timedelta(hours=request.hours)
            join_token = JoinToken(
                token_sha256=sha256(token), region=region, zone=zone, name=request.name, expires_at=expires_at
            )
            self._join_tokens[join_token.token_sha256] = join_token
            self._save()
            return token

    def update_machine(self, name: str, update: MachineUpdate) -> Machine:
        """Cordon, uncordon or drain a machine; uncordoning cancels a drain.

        Raises:
            RegisterError: The machine does not exist.
        """
        with self._lock:
            machine = self._machine(name)
            changes: dict[str, object] = {}
            if update.is_cordoned is not None:
                changes = {"is_cordoned": update.is_cordoned, "drain_at": None}
            if update.drain_at is not None:
                changes = {"is_cordoned": True, "drain_at": update.drain_at}
            self._machines[name] = machine.model_copy(update=changes)
            self._save()
            return self._with_reported(name)

    def remove_machine(self, name: str, *, is_gone: bool = False) -> None:
        """Remove a machine and its key. One that does not exist is success.

        Args:
            name: The machine.
            is_gone: An operator has verified that it runs nothing; its assignment then counts as ended.

        Raises:
            RegisterError: It has an assignment, and *is_gone* is false.
        """
        with self._lock:
            machine = self._machines.get(name)
            if machine is None:
                return
            assignment = self._assignments.get(machine.assignment_id or "")
            if assignment is not None and not is_gone:
                msg = (
                    f"{name} runs {assignment.instance_id}; drain it first, or pass --gone if it runs nothing any more"
                )
                raise RegisterError(ErrorCode.MACHINE_IN_USE, msg)
            if assignment is not None:
                self._end(assignment, MACHINE_GONE)
            del self._machines[name]
            self._save()

    # Requests of the provider.

    def machines(self, region: str | None = None) -> tuple[Machine, ...]:
        """Return the machines of a region, or all, by name."""
        with self._lock:
            names = (n for n, m in sorted(self._machines.items()) if region in {None, m.region})
            return tuple(self._with_reported(name) for name in names)

    def assignments(self, region: str, owner: str) -> tuple[Assignment, ...]:
        """Return an owner's assignments by id, those that ended less than a day ago included."""
        with self._lock:
            owned = (a for _, a in sorted(self._assignments.items()) if (a.region, a.owner) == (region, owner))
            return tuple(self._with_impairment(assignment) for assignment in owned)

    def assign(self, request: NewAssignment) -> Assignment:
        """Assign a script to a free machine; a repeated instance id returns the first assignment.

        Raises:
            RegisterError: No machine is free, or the instance id belongs to another owner.
        """
        with self._lock:
            existing = self._assignments.get(request.instance_id)
            if existing is not None:
                if existing.owner != request.owner:
                    msg = f"instance {request.instance_id} belongs to another owner"
                    raise RegisterError(ErrorCode.OWNER_MISMATCH, msg)
                return existing
            machine = self._free_machine(request)
            assignment = Assignment(
                **request.model_dump(),
                machine=machine.name,
                machine_address=machine.address,
                assigned_at=self._clock.now(),
            )
            self._assignments[assignment.instance_id] = assignment
            self._machines[machine.name] = machine.model_copy(update={"assignment_id": assignment.instance_id})
            self._save()
            return assignment

    def _free_machine(self, request: NewAssignment) -> Machine:
        machines = (self._with_reported(name) for name in sorted(self._machines))
        kind = (request.region, request.zone, request.type)
        fit = [m for m in machines if (m.region, m.zone, m.type) == kind and request.address in {None, m.address}]
        free = [machine for machine in fit if machine.is_free]
        if not free:
            at = f" at {request.address}" if request.address else ""
            place = f"{request.region}/{request.zone}"
            msg = f"none of {len(fit)} machines of type {request.type}{at} in {place} is free"
            raise RegisterError(ErrorCode.NO_FREE_MACHINE, msg)
        return free[0]

    def stop(self, instance_id: str) -> None:
        """Stop an assignment. One that has ended or does not exist is success."""
        with self._lock:
            assignment = self._assignments.get(instance_id)
            if assignment is not None and assignment.state in {AssignmentState.PENDING, AssignmentState.RUNNING}:
                self._assignments[instance_id] = assignment.model_copy(update={"state": AssignmentState.STOPPING})
                self._save()

    # Requests of agents.

    def join(self, request: JoinRequest) -> JoinResponse:
        """Admit a machine.

        Raises:
            RegisterError: The token is unknown, expired or used, or the name is taken.
        """
        with self._lock:
            join_token, key = self._join_tokens.get(sha256(request.token)), sha256(request.key)
            is_expired = join_token is not None and join_token.expires_at < self._clock.now()
            if join_token is None or is_expired or join_token.used_by not in {None, key}:
                msg = "the join token is unknown, expired or already used; issue one with `skerry machines token`"
                raise RegisterError(ErrorCode.INVALID_JOIN_TOKEN, msg)
            name = join_token.name or request.name
            old = self._machines.get(name)
            if join_token.name is None and old is not None and old.key_sha256 != key:
                how = f"pass another --name, or issue a token with `skerry machines token --machine {name}`"
                msg = f"the name {name} is taken; {how}"
                raise RegisterError(ErrorCode.NAME_TAKEN, msg)
            if join_token.name is not None and old is not None:
                # The operator's description takes precedence; each report carries the GPUs that the agent detects.
                machine = old.model_copy(update={"key_sha256": key})
            else:
                machine = Machine(
                    name=name,
                    region=join_token.region,
                    zone=join_token.zone,
                    address=request.address,
                    hardware=request.hardware,
                    is_head=request.is_head,
                    key_sha256=key,
                    assignment_id=old.assignment_id if old else None,
                )
            self._machines[name] = machine
            self._last_report_at[name] = self._clock.now()
            self._join_tokens[join_token.token_sha256] = join_token.model_copy(update={"used_by": key})
            self._save()
            return JoinResponse(name=name, region=machine.region, zone=machine.zone)

    def handle_report(self, key: str, report: Report) -> ReportResponse:
        """Record what a machine runs, and return what it is to run.

        Raises:
            RegisterError: No machine has this key.
        """
        with self._lock:
            key_sha256 = sha256(key)
            name = next((n for n, m in self._machines.items() if m.key_sha256 == key_sha256), None)
            if name is None:
                msg = "no machine in the register has this key; delete agent.json in the agent's folder and join again"
                raise RegisterError(ErrorCode.UNKNOWN_KEY, msg)
            self._last_report_at[name] = self._clock.now()
            self._gpus_detected[name] = report.gpus_detected
            if report.gpus_detected is None or report.gpus_detected >= self._machines[name].hardware.gpus:
                self._gpus_missing_since.pop(name, None)
            else:
                self._gpus_missing_since.setdefault(name, self._clock.now())
            assignment = self._assignments.get(self._machines[name].assignment_id or "")
            if assignment is not None:
                self._apply(assignment, is_running=report.running == assignment.instance_id)
            return ReportResponse(task=_task(assignment), poll_seconds=self._poll_seconds)

    def _apply(self, assignment: Assignment, *, is_running: bool) -> None:
        """Update an assignment's state from its machine's report."""
        if assignment.state is AssignmentState.STOPPING and not is_running:
            self._end(assignment, "ended")
            self._save()
        elif assignment.state is AssignmentState.PENDING and is_running:
            running = assignment.model_copy(update={"state": AssignmentState.RUNNING})
            self._assignments[assignment.instance_id] = running
            self._save()

    # Shared.

    def _machine(self, name: str) -> Machine:
        machine = self._machines.get(name)
        if machine is None:
            msg = f"there is no machine {name}; `skerry machines list` shows all"
            raise RegisterError(ErrorCode.MACHINE_NOT_FOUND, msg)
        return machine

    def _with_reported(self, name: str) -> Machine:
        last = self._last_report_at[name]
        since = last if self._clock.now() - last > UNREACHABLE_AFTER else None
        return self._machines[name].model_copy(
            update={"unreachable_since": since, "gpus_detected": self._gpus_detected.get(name)},
        )

    def _with_impairment(self, assignment: Assignment) -> Assignment:
        if assignment.state is AssignmentState.ENDED or assignment.machine not in self._machines:
            return assignment
        machine = self._with_reported(assignment.machine)
        since = machine.unreachable_since or self._gpus_missing_since.get(machine.name) if machine.impairment else None
        return assignment.model_copy(update={"impairment": machine.impairment, "impairment_since": since})

    def _end(self, assignment: Assignment, reason: str) -> None:
        ended = {"state": AssignmentState.ENDED, "ended_at": self._clock.now(), "reason": reason, "script": ""}
        self._assignments[assignment.instance_id] = assignment.model_copy(update=ended)
        machine = self._machines.get(assignment.machine)
        if machine is not None and machine.assignment_id == assignment.instance_id:
            self._machines[machine.name] = machine.model_copy(update={"assignment_id": None})

    def _save(self) -> None:
        """Write everything to disk in one step, without expired tokens and assignments that ended long ago."""
        now = self._clock.now()
        kept = (a for a in self._assignments.values() if a.ended_at is None or now - a.ended_at < ENDED_KEPT_FOR)
        self._assignments = {assignment.instance_id: assignment for assignment in kept}
        self._join_tokens = {t: k for t, k in self._join_tokens.items() if k.expires_at > now}
        stored = _Stored(
            machines=tuple(self._machines.values()),
            assignments=tuple(self._assignments.values()),
            join_tokens=tuple(self._join_tokens.values()),
        )
        write_atomic(self._path, stored.model_dump_json(indent=1))


def _task(assignment: Assignment | None) -> Task | None:
    if assignment is None or assignment.state not in {AssignmentState.PENDING, AssignmentState.RUNNING}:
        return None
    return Task(
        instance_id=assignment.instance_id, region=assignment.region, role=assignment.role, script=assignment.script
    )
