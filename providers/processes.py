"""Process sessions of this program: started, recorded on disk, and ended, even after a crash. Linux.

Ray's processes rewrite their names and environments, so they are identified by the id of the session that each
instance is started in. The kernel does not reuse a session id while any member lives.
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
    """A file of started sessions, so that a later run can end those that a crash left."""

    def __init__(self, path: Path) -> None:
        """Use the file at *path*; it is created with the first session."""
        self._path = path

    def add(self, sid: int) -> None:
        """Record a session whose leader is running."""
        created = psutil.Process(sid).create_time()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as log:
            log.write(json.dumps({"sid": sid, "created": created, "boot": psutil.boot_time()}) + "\n")
            log.flush()
            os.fsync(log.fileno())

    def sessions(self) -> tuple[int, ...]:
        """Return the ids of recorded sessions that have living members."""
        if not self._path.exists():
            return ()
        found = []
        for line in self._path.read_text().splitlines():
            with contextlib.suppress(ValueError, KeyError):
                record = json.loads(line)
                if _is_recorded_session(record["sid"], record["created"]) and members(record["sid"]):
                    found.append(int(record["sid"]))
        return tuple(dict.fromkeys(found))

    def clear(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)


def _is_recorded_session(sid: int, created: float) -> bool:
    """Return whether *sid* is still the recorded session: its leader is gone, or has that creation time."""
    try:
        return abs(psutil.Process(sid).create_time() - created) < 1.0
    except psutil.NoSuchProcess:
        return created > psutil.boot_time() - 1.0


def members(sid: int) -> tuple[int, ...]:
    """Return the ids of a session's living processes, zombies excluded."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) == sid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return tuple(found)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer SIGINT and SIGTERM until the block ends, so that every process it starts is recorded.

    Only the main thread receives signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deferred: list[tuple[int, FrameType | None]] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda n, frame: deferred.append((n, frame))) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for received, frame in deferred:
            handler = previous[signal.Signals(received)]
            if callable(handler):
                handler(received, frame)


def start_recorded(
    command: list[str],
    environment: Mapping[str, str],
    log: Path,
    sessions: "SessionLog",
    keep_open: tuple[int, ...] = (),
) -> int:
    """Start *command* in a new session, record it, and return its id; a thread reaps the leader when it exits.

    Args:
        command: The command line.
        environment: Its environment.
        log: The file that its output is appended to.
        sessions: The record.
        keep_open: File descriptors that it inherits.
    """
    with uninterrupted():
        process = start_session(command, environment, log, keep_open)
        sessions.add(process.pid)
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def start_session(
    command: list[str], environment: Mapping[str, str], log: Path, keep_open: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start *command* as the leader of a new session, with its output appended to *log*, inheriting *keep_open*."""
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
    """Send SIGTERM to a session's leader, and SIGKILL to all members after *grace*.

    Returns:
        Whether no member is left.
    """
    with contextlib.suppress(OSError):
        os.kill(sid, signal.SIGTERM)
    deadline = clock.now() + grace
    while members(sid) and clock.now() < deadline:
        clock.sleep(POLL)
    return kill_session(sid, clock)


def kill_session(sid: int, clock: Clock, timeout: timedelta = timedelta(seconds=5)) -> bool:
    """Send SIGKILL to a session's members until none is left or *timeout* has passed.

    Returns:
        Whether no member is left.
    """
    deadline = clock.now() + timeout
    while pids := members(sid):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if clock.now() >= deadline:
            return False
        clock.sleep(POLL)
    return True
