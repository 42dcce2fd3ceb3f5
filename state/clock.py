"""The only module that reads the time or draws a random number."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the shell gets the time; pure code is handed a `datetime`."""

    def now(self) -> datetime:
        """Return the current time in UTC."""

    def elapsed(self) -> float:
        """Return seconds on a clock that never jumps, from an arbitrary start."""

    def sleep(self, duration: timedelta) -> None:
        """Let *duration* pass."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(tz=UTC)

    def elapsed(self) -> float:
        """Return seconds on the monotonic clock."""
        return time.monotonic()

    def sleep(self, duration: timedelta) -> None:
        """Block the calling thread for *duration*."""
        time.sleep(max(0.0, duration.total_seconds()))


class ManualClock:
    """A clock that moves only when it is moved: for simulation and tests."""

    def __init__(self, start: datetime) -> None:
        """Start at *start*."""
        self._now = start
        self._start = start

    def now(self) -> datetime:
        """Return the time it was last moved to."""
        return self._now

    def elapsed(self) -> float:
        """Return seconds since the start."""
        return (self._now - self._start).total_seconds()

    def sleep(self, duration: timedelta) -> None:
        """Move forward by *duration*, at once."""
        self._now += duration


def draw_secret() -> str:
    """Return 64 hexadecimal digits that cannot be guessed."""
    return secrets.token_hex(32)


def draw_installation_id() -> str:
    """Return an id that no other installation has, short enough for a label."""
    return f"sk-{secrets.token_hex(6)}"
