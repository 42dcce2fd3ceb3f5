"""EC2's states of an instance, and its reasons for an end. Pure.

Source: botocore, EC2's shapes InstanceStateName and StateReason; EC2 User Guide, "Troubleshoot Amazon EC2 instance
termination issues" and "Instance terminates immediately".
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from providers.aws.errors import TABLE, plain
from providers.errors import Failure, classified, end_of_launch
from state.model.inventory import CloudState, EndCause, EndKind

STATES: Final = {
    "pending": CloudState.PENDING,
    "running": CloudState.RUNNING,
    "shutting-down": CloudState.STOPPING,
    "stopping": CloudState.STOPPING,
    "stopped": CloudState.STOPPING,
    "terminated": CloudState.TERMINATED,
}
"""A stopped machine still costs its disk, so it counts as stopping and is ended."""
ENDS: Final[dict[str, tuple[EndKind, bool]]] = {
    "Client.InstanceInitiatedShutdown": (EndKind.BY_USER, False),
    "Client.InstanceTerminated": (EndKind.BY_USER, False),
    "Client.InternalError": (EndKind.DENIED, True),
    "Client.InvalidSnapshot.NotFound": (EndKind.INVALID_REQUEST, True),
    "Client.UserInitiatedHibernate": (EndKind.BY_USER, False),
    "Client.UserInitiatedShutdown": (EndKind.BY_USER, False),
    "Client.VolumeLimitExceeded": (EndKind.QUOTA, True),
    "Server.InsufficientInstanceCapacity": (EndKind.STOCK_OUT, True),
    "Server.InternalError": (EndKind.INTERNAL, True),
    "Server.ScheduledStop": (EndKind.INTERNAL, False),
    "Server.SpotInstanceShutdown": (EndKind.RECLAIMED, False),
    "Server.SpotInstanceTermination": (EndKind.RECLAIMED, False),
}
"""Code to (kind, whether the launch failed). `Client.InternalError` is what a key of the disk that the account may not
use leads to."""
ENDING: Final = frozenset({CloudState.STOPPING, CloudState.TERMINATED})
CODE: Final = re.compile(r"^(?:Client|Server)\.[\w.]+")
WHEN: Final = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


def state_of(described: dict[str, Any]) -> CloudState:
    """Return the state of an instance; one that EC2's documentation lacks is unknown."""
    return STATES.get(described["State"]["Name"], CloudState.UNKNOWN)


def end_of(described: dict[str, Any]) -> EndCause | None:
    """Return why an instance stops or ended; None where it does neither."""
    if state_of(described) not in ENDING:
        return None
    reason, transition = described.get("StateReason", {}), str(described.get("StateTransitionReason", ""))
    code, text = str(reason.get("Code", "")), str(reason.get("Message", "")) or transition
    # Some answers have the code in the text alone.
    code = code if code in ENDS else _first(CODE.search(text), CODE.search(transition)) or code
    when = WHEN.search(transition)
    at = None if when is None else datetime.fromisoformat(when.group(1)).replace(tzinfo=UTC)
    if code in ENDS:
        kind, is_launch = ENDS[code]
        return EndCause(kind, code, text, at, is_launch=is_launch)
    if transition.startswith("User initiated"):
        return EndCause(EndKind.BY_USER, code, text, at)
    if code.startswith("Server."):
        return EndCause(EndKind.INTERNAL, code, text, at)
    if code.startswith("Client."):
        # The table of calls has the rest of the code; EC2 answers such codes with status 400.
        found = end_of_launch(classified(Failure("aws", "launch", plain(code), text, status=400), TABLE))
        return EndCause(found.kind, code, text, at, is_launch=True, quota=found.quota)
    return EndCause(EndKind.UNKNOWN, code, text, at)


def _first(*found: re.Match[str] | None) -> str:
    return next((one.group(0) for one in found if one is not None), "")
