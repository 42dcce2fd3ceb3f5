"""What the embedded clouds and the demo report while they run: typed steps, which commands put into words. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum

from state.model.plan import ActionKind


class LocalStep(StrEnum):
    """What happens while the embedded clouds start or end."""

    CLOUDS_START = "clouds_start"
    GATEWAY_STARTS = "gateway_starts"
    PROCESSES_END = "processes_end"
    """A session of processes is ended."""
    MACHINE_ENDS = "machine_ends"
    """The session of a machine is ended."""


@dataclass(frozen=True, slots=True)
class LocalProgress:
    """One step of starting or ending the embedded clouds."""

    step: LocalStep
    session: int | None = None
    """The session that is ended."""


class DemoStep(StrEnum):
    """What happens during the demo."""

    STALE_SESSIONS_END = "stale_sessions_end"
    """An earlier run left process sessions."""
    CLOUDS_UP = "clouds_up"
    DAEMON_RUNS = "daemon_runs"
    ACTION_DONE = "action_done"
    FIRST_ANSWER = "first_answer"
    REGION_SERVES = "region_serves"
    ALL_READY = "all_ready"
    LOAD_STARTS = "load_starts"
    LOAD_ANSWERED = "load_answered"
    LOAD_ANSWERED_SINCE = "load_answered_since"
    """Since the loss."""
    REGION_RESTORED = "region_restored"
    ENDING = "ending"
    MACHINES_LEFT = "machines_left"
    PROCESSES_LEFT = "processes_left"
    PORTS_LEFT = "ports_left"


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """One step of the demo. Fields that do not apply are empty."""

    step: DemoStep
    subject: str = ""
    """An address, a region, or what an action is on."""
    action: ActionKind | None = None
    count: int = 0
    """Sessions, machines, processes, or requests per second."""
    names: tuple[str, ...] = ()
    """Addresses."""
    answered: dict[str, int] = field(default_factory=dict)
    """Requests by the region that answered them."""
