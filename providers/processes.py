"""Process sessions that we started: recorded, ended, and found again after a crash. Linux.

Ray's processes rewrite their names and environments, so they are known by the id of the session that each
instance is started in. A session id is not given to another process while any member lives.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from state.clock import Clock

POLL: Final = timedelta(milliseconds=100)


class SessionLog:
    """A file of sessions started, so that a later run can end what a crash left."""

    def __init__(self, path: Path) -> None:
        """Keep the log at *path*."""
        self._path = path

    def add(self, sid: int) -> None:
        """Record a session whose leader runs now."""
        created = psutil.Process(sid).create_time()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as log:
            log.write(json.dumps({"sid": sid, "created": created, "boot": psutil.boot_time()}) + "\n")
            log.flush()
            os.fsync(log.fileno())

    def sessions(self) -> tuple[int, ...]:
        """Return the recorded sessions that still have members and are still ours."""
        if not self._path.exists():
            return ()
        found = []
        for line in self._path.read_text().splitlines():
            with contextlib.suppress(ValueError, KeyError):
                record = json.loads(line)
                if _is_ours(record["sid"], record["created"]) and members(record["sid"]):
                    found.append(int(record["sid"]))
        return tuple(dict.fromkeys(found))

    def forget(self) -> None:
        """Start over."""
        self._path.unlink(missing_ok=True)


def _is_ours(sid: int, created: float) -> bool:
    """Return whether a session is the recorded one: its leader is gone, or was created then."""
    try:
        return abs(psutil.Process(sid).create_time() - created) < 1.0
    except psutil.NoSuchProcess:
        return created > psutil.boot_time() - 1.0


def members(sid: int) -> tuple[int, ...]:
    """Return the ids of the living processes of a session."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) == sid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return tuple(found)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the block is done, so that what it starts is always on record.

    Only the main thread gets signals; elsewhere there is nothing to put off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    blocked: list[tuple[int, FrameType | None]] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    kept = {number: signal.signal(number, lambda n, frame: blocked.append((n, frame))) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        for got, frame in blocked:
            then = kept[signal.Signals(got)]
            if callable(then):
                then(got, frame)


def start_recorded(
    command: list[str],
    environment: Mapping[str, str],
    log: Path,
    sessions: "SessionLog",
    keep_open: tuple[int, ...] = (),
) -> int:
    """Start *command* in a session of its own, on record, and return its id; it leaves no zombie.

    Args:
        command: What is run.
        environment: What it finds.
        log: Takes its output.
        sessions: The record.
        keep_open: Files that it inherits.
    """
    with uninterrupted():
        process = start_session(command, environment, log, keep_open)
        sessions.add(process.pid)
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def start_session(
    command: list[str], environment: Mapping[str, str], log: Path, keep_open: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start *command* as the leader of a session of its own, its output in *log*, with some files left open."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=keep_open,
        )


def end_session(sid: int, grace: timedelta, clock: Clock) -> bool:
    """End a session: politely first, by force after *grace*. Return whether nothing of it is left."""
    with contextlib.suppress(OSError):
        os.kill(sid, signal.SIGTERM)
    deadline = clock.now() + grace
    while members(sid) and clock.now() < deadline:
        clock.sleep(POLL)
    return kill_session(sid, clock)


def kill_session(sid: int, clock: Clock, patience: timedelta = timedelta(seconds=5)) -> bool:
    """End a session by force, at once. Return whether nothing of it is left."""
    deadline = clock.now() + patience
    while pids := members(sid):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if clock.now() >= deadline:
            return False
        clock.sleep(POLL)
    return True
