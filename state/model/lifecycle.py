"""The life of an instance: a table of legal steps with a reason on each."""

from enum import StrEnum
from typing import Final


class InstanceStatus(StrEnum):
    """Where an instance is in its life."""

    REQUESTED = "requested"
    RUNNING = "running"
    TERMINATING = "terminating"
    REFUSED = "refused"
    GONE = "gone"


_S = InstanceStatus

STEPS: Final[dict[InstanceStatus, frozenset[InstanceStatus]]] = {
    _S.REQUESTED: frozenset(
        {
            _S.RUNNING,  # seen in the provider's list
            _S.REFUSED,  # the provider refused, so nothing happened
            _S.TERMINATING,  # no longer wanted, though not seen yet
            _S.GONE,  # asked for, never seen, and too long ago to wait
        }
    ),
    _S.RUNNING: frozenset(
        {
            _S.TERMINATING,  # we ask for its end
            _S.GONE,  # the provider lists it as ended, or its region without it
        }
    ),
    _S.TERMINATING: frozenset(
        {
            _S.GONE,  # the provider lists it as ended; that is never assumed
        }
    ),
    _S.REFUSED: frozenset(),
    _S.GONE: frozenset(),
}

LIVE: Final = frozenset({_S.REQUESTED, _S.RUNNING, _S.TERMINATING})
"""Statuses that may cost money."""


def may_step(old: InstanceStatus, new: InstanceStatus) -> bool:
    """Return whether an instance may go from *old* to *new*."""
    return new in STEPS[old]
