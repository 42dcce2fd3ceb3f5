"""The register of a site's own machines: who has joined, what each runs, and what operators say of them.

Everything but the time of the last report is on disk before anybody is told of it, so that a register that is killed
and started again knows all that it promised. One process has it at a time.
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

from providers.static.files import write_whole
from providers.static.wire import (
    Assignment,
    AssignmentState,
    Instruction,
    Join,
    Joined,
    JoinToken,
    Machine,
    Marks,
    Message,
    NewJoinToken,
    NewMachine,
    NewOrder,
    Report,
    Task,
)
from state.clock import Clock, draw_secret

SILENT_AFTER: Final = timedelta(seconds=45)
"""A machine that was not heard of for so long gets nothing new to run."""
ENDED_FOR: Final = timedelta(hours=24)
"""How long an order that ended is remembered: so long nobody can start it a second time."""
POLL_SECONDS: Final = 3.0


class Refusal(StrEnum):
    """Why the register will not do something."""

    BAD_REQUEST = "BadRequest"
    BAD_TOKEN = "BadToken"  # noqa: S105  a code
    BUSY = "Busy"
    MACHINE_IN_USE = "MachineInUse"
    NAME_TAKEN = "NameTaken"
    NO_FREE_MACHINE = "NoFreeMachine"
    NO_SUCH_MACHINE = "NoSuchMachine"
    ORDER_OF_ANOTHER = "AssignmentOfAnother"
    UNKNOWN_MACHINE = "UnknownMachine"


class RegisterError(Exception):
    """The register will not do it."""

    def __init__(self, code: Refusal, message: str) -> None:
        """Say why, for programs and for people."""
        self.code = code
        super().__init__(message)


class _Kept(Message):
    """What is on disk."""

    machines: tuple[Machine, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    join_tokens: tuple[JoinToken, ...] = ()


def hashed(secret: str) -> str:
    """Return what is kept of a secret. Secrets are drawn at random, so that a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Register:
    """Machines, orders and tickets."""

    def __init__(self, path: Path, clock: Clock, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Read the register at *path*, or begin one.

        Raises:
            RegisterError: Another process has it.
            OSError, ValueError: It cannot be read.
        """
        self._path, self._clock, self._poll_seconds = path, clock, poll_seconds
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._held.close()
            msg = f"another process has the register {path}"
            raise RegisterError(Refusal.BUSY, msg) from error
        kept = _Kept.model_validate_json(path.read_bytes()) if path.exists() else _Kept()
        self._machines = {machine.name: machine for machine in kept.machines}
        self._orders = {assignment.instance_id: assignment for assignment in kept.assignments}
        self._tickets = {join_token.token_sha256: join_token for join_token in kept.join_tokens}
        # Agents report to a register that has just been started within seconds: till then they are believed.
        self._heard_at = dict.fromkeys(self._machines, clock.now())
        self._gpus_seen: dict[str, int | None] = {}
        self._short_since: dict[str, AwareDatetime] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let another process have it."""
        self._held.close()

    # What operators do.

    def list_machines(self, machines: Iterable[NewMachine]) -> tuple[Machine, ...]:
        """Take machines into the register, all or none; what is known of those that are there already stays.

        Raises:
            RegisterError: One is there with a key or an order, and as something else.
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
                    msg = f"{old.name} runs something; drain it before you describe it anew"
                    raise RegisterError(Refusal.MACHINE_IN_USE, msg)
                new[listed.name] = changed
            self._machines |= new
            for name in new:
                self._heard_at.setdefault(name, self._clock.now())
            self._save()
            return tuple(self._machines[name] for name in new)

    def draw_join_token(self, wish: NewJoinToken) -> str:
        """Return a token to join with, once.

        Raises:
            RegisterError: There is no such machine.
        """
        with self._lock:
            region, zone = wish.region, wish.zone
            if wish.name is not None:
                machine = self._machine(wish.name)
                region, zone = machine.region, machine.zone
            token = draw_secret()
            until = self._clock.now() + timedelta(hours=wish.hours)
            join_token = JoinToken(token_sha256=hashed(token), region=region, zone=zone, name=wish.name, until=until)
            self._tickets[join_token.token_sha256] = join_token
            self._save()
            return token

    def mark(self, name: str, marks: Marks) -> Machine:
        """Cordon, uncordon or drain a machine; uncordoning ends a drain.

        Raises:
            RegisterError: There is no such machine.
        """
        with self._lock:
            machine = self._machine(name)
            changes: dict[str, object] = {}
            if marks.is_cordoned is not None:
                changes = {"is_cordoned": marks.is_cordoned, "drain_at": None}
            if marks.drain_at is not None:
                changes = {"is_cordoned": True, "drain_at": marks.drain_at}
            self._machines[name] = machine.model_copy(update=changes)
            self._save()
            return self._seen(name)

    def remove(self, name: str, *, is_gone: bool = False) -> None:
        """Forget a machine and its key. One that is not there is success.

        Args:
            name: The machine.
            is_gone: Somebody has seen that it runs nothing any more; what it was to run counts as ended.

        Raises:
            RegisterError: It has something to run, and nobody says that it is gone.
        """
        with self._lock:
            machine = self._machines.get(name)
            if machine is None:
                return
            assignment = self._orders.get(machine.assignment_id or "")
            if assignment is not None and not is_gone:
                msg = f"{name} runs {assignment.instance_id}; drain it first, or say --gone if it is"
                raise RegisterError(Refusal.MACHINE_IN_USE, msg)
            if assignment is not None:
                self._end(assignment, "its machine is gone")
            del self._machines[name]
            self._save()

    # What the provider does.

    def machines(self, region: str | None = None) -> tuple[Machine, ...]:
        """Return the machines, by name."""
        with self._lock:
            names = (n for n, m in sorted(self._machines.items()) if region in {None, m.region})
            return tuple(self._seen(name) for name in names)

    def assignments(self, region: str, owner: str) -> tuple[Assignment, ...]:
        """Return an owner's orders, by id; those that ended for a day."""
        with self._lock:
            mine = (o for _, o in sorted(self._orders.items()) if (o.region, o.owner) == (region, owner))
            return tuple(self._with_trouble(assignment) for assignment in mine)

    def assignment(self, asked: NewOrder) -> Assignment:
        """Give something to a machine that is free; once, however often it is asked for under the same id.

        Raises:
            RegisterError: None is free, or the id is somebody else's.
        """
        with self._lock:
            there = self._orders.get(asked.instance_id)
            if there is not None:
                if there.owner != asked.owner:
                    msg = f"{asked.instance_id} belongs to somebody else"
                    raise RegisterError(Refusal.ORDER_OF_ANOTHER, msg)
                return there
            machine = self._free_one(asked)
            assignment = Assignment(
                **asked.model_dump(),
                machine=machine.name,
                machine_address=machine.address,
                ordered_at=self._clock.now(),
            )
            self._orders[assignment.instance_id] = assignment
            self._machines[machine.name] = machine.model_copy(update={"assignment_id": assignment.instance_id})
            self._save()
            return assignment

    def _free_one(self, asked: NewOrder) -> Machine:
        seen = (self._seen(name) for name in sorted(self._machines))
        kind = (asked.region, asked.zone, asked.type)
        fit = [m for m in seen if (m.region, m.zone, m.type) == kind and asked.address in {None, m.address}]
        free = [machine for machine in fit if machine.is_free]
        if not free:
            where = f" at {asked.address}" if asked.address else ""
            msg = f"none of {len(fit)} machines of type {asked.type}{where} in {asked.region}/{asked.zone} is free"
            raise RegisterError(Refusal.NO_FREE_MACHINE, msg)
        return free[0]

    def stop(self, instance_id: str) -> None:
        """Let an order end. One that has ended, or never was, is success."""
        with self._lock:
            assignment = self._orders.get(instance_id)
            if assignment is not None and assignment.state in {AssignmentState.PENDING, AssignmentState.RUNNING}:
                self._orders[instance_id] = assignment.model_copy(update={"state": AssignmentState.STOPPING})
                self._save()

    # What agents do.

    def join(self, asked: Join) -> Joined:
        """Let a machine in.

        Raises:
            RegisterError: The token is unknown, over or used, or the name is select_reservation.
        """
        with self._lock:
            join_token, key = self._tickets.get(hashed(asked.token)), hashed(asked.key)
            if join_token is None or join_token.until < self._clock.now() or join_token.used_by not in {None, key}:
                msg = "the token is unknown, over, or used already"
                raise RegisterError(Refusal.BAD_TOKEN, msg)
            name = join_token.name or asked.name
            old = self._machines.get(name)
            if join_token.name is None and old is not None and old.key_sha256 != key:
                msg = f"there is a machine {name} already; take another name, or draw a token for it"
                raise RegisterError(Refusal.NAME_TAKEN, msg)
            if join_token.name is not None and old is not None:
                # What was listed counts; the agent's own view of its GPUs comes with each report.
                machine = old.model_copy(update={"key_sha256": key})
            else:
                machine = Machine(
                    name=name,
                    region=join_token.region,
                    zone=join_token.zone,
                    address=asked.address,
                    facts=asked.facts,
                    is_head=asked.is_head,
                    key_sha256=key,
                    assignment_id=old.assignment_id if old else None,
                )
            self._machines[name] = machine
            self._heard_at[name] = self._clock.now()
            self._tickets[join_token.token_sha256] = join_token.model_copy(update={"used_by": key})
            self._save()
            return Joined(name=name, region=machine.region, zone=machine.zone)

    def report(self, key: str, report: Report) -> Instruction:
        """Hear what a machine runs, and say what it is to run.

        Raises:
            RegisterError: No machine has this key.
        """
        with self._lock:
            key_sha256 = hashed(key)
            name = next((n for n, m in self._machines.items() if m.key_sha256 == key_sha256), None)
            if name is None:
                msg = "no machine of the register has this key"
                raise RegisterError(Refusal.UNKNOWN_MACHINE, msg)
            self._heard_at[name] = self._clock.now()
            self._gpus_seen[name] = report.gpus_seen
            if report.gpus_seen is None or report.gpus_seen >= self._machines[name].facts.gpus:
                self._short_since.pop(name, None)
            else:
                self._short_since.setdefault(name, self._clock.now())
            assignment = self._orders.get(self._machines[name].assignment_id or "")
            if (
                assignment is not None
                and assignment.state is AssignmentState.STOPPING
                and report.running != assignment.instance_id
            ):
                self._end(assignment, "ended")
                self._save()
            if (
                assignment is not None
                and assignment.state is AssignmentState.PENDING
                and report.running == assignment.instance_id
            ):
                assignment = assignment.model_copy(update={"state": AssignmentState.RUNNING})
                self._orders[assignment.instance_id] = assignment
                self._save()
            return Instruction(task=_task(assignment), poll_seconds=self._poll_seconds)

    # What they share.

    def _machine(self, name: str) -> Machine:
        machine = self._machines.get(name)
        if machine is None:
            msg = f"there is no machine {name}"
            raise RegisterError(Refusal.NO_SUCH_MACHINE, msg)
        return machine

    def _seen(self, name: str) -> Machine:
        heard = self._heard_at[name]
        silent = heard if self._clock.now() - heard > SILENT_AFTER else None
        return self._machines[name].model_copy(
            update={"silent_since": silent, "gpus_seen": self._gpus_seen.get(name)},
        )

    def _with_trouble(self, assignment: Assignment) -> Assignment:
        if assignment.state is AssignmentState.ENDED or assignment.machine not in self._machines:
            return assignment
        machine = self._seen(assignment.machine)
        since = machine.silent_since or self._short_since.get(machine.name) if machine.impairment else None
        return assignment.model_copy(update={"impairment": machine.impairment, "trouble_since": since})

    def _end(self, assignment: Assignment, reason: str) -> None:
        ended = {"state": AssignmentState.ENDED, "ended_at": self._clock.now(), "reason": reason, "script": ""}
        self._orders[assignment.instance_id] = assignment.model_copy(update=ended)
        machine = self._machines.get(assignment.machine)
        if machine is not None and machine.assignment_id == assignment.instance_id:
            self._machines[machine.name] = machine.model_copy(update={"assignment_id": None})

    def _save(self) -> None:
        """Write everything to disk, whole or not at all, and forget what is over."""
        now = self._clock.now()
        self._orders = {i: o for i, o in self._orders.items() if o.ended_at is None or now - o.ended_at < ENDED_FOR}
        self._tickets = {t: k for t, k in self._tickets.items() if k.until > now}
        kept = _Kept(
            machines=tuple(self._machines.values()),
            assignments=tuple(self._orders.values()),
            join_tokens=tuple(self._tickets.values()),
        )
        write_whole(self._path, kept.model_dump_json(indent=1))


def _task(assignment: Assignment | None) -> Task | None:
    if assignment is None or assignment.state not in {AssignmentState.PENDING, AssignmentState.RUNNING}:
        return None
    return Task(
        instance_id=assignment.instance_id, region=assignment.region, role=assignment.role, script=assignment.script
    )
