"""Faults on demand, by cloud, operation and region.

Codes and statuses are the cloud's own, from its profile. Chances are drawn from a seed, so that equal runs have equal
faults.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from state.model.ids import RegionId, derive_id

OPERATIONS: Final = ("offers", "prices", "quotas", "instances", "launch", "terminate", "notices", "health", "ends")
ANY: Final = "*"


class FaultKind(StrEnum):
    """How a call fails."""

    ERROR = "error"
    """The cloud answers with an internal error; nothing was done."""
    ERROR_AFTER = "error_after"
    """It answers with an internal error; it was done."""
    THROTTLE = "throttle"
    DENIED = "denied"
    SHORTAGE = "shortage"
    QUOTA = "quota"
    INVALID = "invalid"
    """The cloud rejects the request, under a code that is not in the adapter's table."""
    NAME_USED = "name_used"
    """The cloud reports that the launch's token or name was used before."""
    TIMEOUT = "timeout"
    """No answer, and nothing was done."""
    LOST = "lost"
    """It was done, but the answer never comes."""
    DROP = "drop"
    """The connection is cut; nothing was done."""
    DROP_AFTER = "drop_after"
    """It was done, and the connection is cut."""
    DELAY = "delay"
    """The answer comes late."""
    GARBAGE = "garbage"
    """A page of HTML, as from a proxy."""


DONE_FIRST: Final = frozenset({FaultKind.ERROR_AFTER, FaultKind.LOST, FaultKind.DROP_AFTER})

FaultAnswers = Mapping[FaultKind, tuple[int, str]]
"""HTTP status and code that a cloud sends for a fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule: which calls fail, and how."""

    kind: FaultKind
    cloud: str = ANY
    operation: str = ANY
    region: RegionId | None = None
    """None: any."""
    times: int | None = None
    """How many calls fail; None: all until it is cleared."""
    skip: int = 0
    """How many calls succeed first."""
    chance: float = 1.0
    seconds: float = 0.0
    """How late an answer comes, or after how long a connection without one is cut; 0: a minute."""
    code: str = ""
    """Instead of the usual one."""
    status: int = 0
    inner: str = ""
    """Code of a nested detail, where the cloud's errors have them; empty: none."""
    is_dated: bool = False
    """Whether *seconds* of throttling are sent as a date."""

    def concerns(self, cloud: str, operation: str, region: RegionId | None) -> bool:
        """Return whether the rule applies to a call."""
        return self.cloud in {ANY, cloud} and self.operation in {ANY, operation} and self.region in {None, region}

    def answer(self, answers: FaultAnswers) -> tuple[int, str]:
        """Return the HTTP status and code of the answer: the rule's own, or else those of the cloud's *answers*."""
        kind = FaultKind.ERROR if self.kind is FaultKind.ERROR_AFTER else self.kind
        status, code = answers.get(kind, (500, "InternalError"))
        return self.status or status, self.code or code


class FaultBoard:
    """The rules in force."""

    def __init__(self, seed: int = 1) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._seed, self._drawn = seed, 0
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a rule in force, behind the others."""
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> int:
        """End all rules, and return how many there were."""
        with self._lock:
            count = len(self._rules)
            self._rules.clear()
            return count

    def rules(self) -> tuple[Fault, ...]:
        """Return the rules in force, with what is left of their counts."""
        with self._lock:
            return tuple(self._rules)

    def seed(self, seed: int) -> None:
        """Draw chances anew."""
        with self._lock:
            self._seed, self._drawn = seed, 0

    def strike(self, cloud: str, operation: str, region: RegionId | None) -> Fault | None:
        """Return the fault of a call, and count it; None for no fault."""
        with self._lock:
            for number, rule in enumerate(self._rules):
                if not rule.concerns(cloud, operation, region):
                    continue
                if rule.skip > 0:
                    self._rules[number] = replace(rule, skip=rule.skip - 1)
                    continue
                if rule.chance < 1.0 and self._draw() >= rule.chance:
                    continue
                if rule.times is not None:
                    self._rules[number] = replace(rule, times=rule.times - 1)
                    if rule.times <= 1:
                        del self._rules[number]
                return rule
        return None

    def _draw(self) -> float:
        """Return the next number of the sequence, from 0 up to 1."""
        self._drawn += 1
        return int(derive_id("f", f"{self._seed}/{self._drawn}")[2:10], 16) / 2**32
