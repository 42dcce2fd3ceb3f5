"""GCE's states of an instance, and what its operations report of ends and failed launches. Pure.

Source: Compute Engine v1 discovery document, Instance.status and Operation; Compute Engine documentation, "Instance
life cycle" and "System event audit logs".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from providers.errors import end_of_launch
from providers.gcp.catalog import region_of_zone
from providers.gcp.errors import ALREADY_EXISTS, refusal
from providers.gcp.notices import PREEMPTED
from state.model.catalog import Market, OfferKey
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, EndCause, EndKind

STATES: Final = {
    "PROVISIONING": CloudState.PENDING,
    "STAGING": CloudState.PENDING,
    "PENDING": CloudState.PENDING,
    "RUNNING": CloudState.RUNNING,
    "REPAIRING": CloudState.RUNNING,
    "STOPPING": CloudState.STOPPING,
    "PENDING_STOP": CloudState.STOPPING,
    "SUSPENDING": CloudState.STOPPING,
    "SUSPENDED": CloudState.STOPPING,
    "STOPPED": CloudState.STOPPING,
    "TERMINATED": CloudState.STOPPING,
    "DEPROVISIONING": CloudState.STOPPING,
}
"""GCE's TERMINATED means stopped: the machine exists and its disk costs, so it counts as stopping and is ended."""
INSERT: Final = "insert"
PREEMPTION: Final = "compute.instances.preempted"
EVENTS: Final = {
    PREEMPTION: EndKind.RECLAIMED,
    "compute.instances.guestTerminate": EndKind.BY_USER,
    "compute.instances.hostError": EndKind.INTERNAL,
    "compute.instances.terminateOnHostMaintenance": EndKind.INTERNAL,
    "delete": EndKind.BY_USER,
    "stop": EndKind.BY_USER,
    "suspend": EndKind.BY_USER,
}
"""Operations that end an instance, by type; the dotted ones are the system's own."""
KINDS: Final = (INSERT, *EVENTS)
NOT_REPORTED: Final = ""
"""The instance type of a failed launch: its operation does not name it."""


def state_of(status: str) -> CloudState:
    """Return the state of an instance; one that the discovery document lacks is unknown."""
    return STATES.get(status, CloudState.UNKNOWN)


def impairment_of(status: str) -> str:
    """Return what Compute Engine finds wrong with an instance; empty for nothing."""
    return "Compute Engine is repairing it" if status == "REPAIRING" else ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What an operation reports of an instance."""

    zone: str
    name: str
    cause: EndCause


def ended_of(zone: str, operation: Any) -> Ended | None:  # noqa: ANN401  the SDK's message
    """Return the end or the failed launch that an operation reports; None where it reports neither."""
    name = str(operation.target_link).rpartition("/")[2]
    text = operation.end_time or operation.insert_time
    at = datetime.fromisoformat(text) if text else None
    kind, errors = operation.operation_type, list(operation.error.errors)
    if kind == INSERT:
        if not errors or errors[0].code in ALREADY_EXISTS:
            return None
        status = operation.http_error_status_code or None
        found = end_of_launch(refusal(errors[0].code, errors[0].message, "launch", status))
        return Ended(zone, name, EndCause(found.kind, found.code, found.message, at, is_launch=True, quota=found.quota))
    if kind not in EVENTS or errors:
        return None
    return Ended(zone, name, EndCause(EVENTS[kind], kind, operation.status_message, at))


def latest(ends: list[Ended]) -> dict[tuple[str, str], Ended]:
    """Return what is known of each instance, by (zone, name): its own fault, not the deletion that followed."""
    when = {id(one): one.cause.at.isoformat() if one.cause.at else "" for one in ends}
    ordered = sorted(ends, key=lambda one: (one.cause.kind is not EndKind.BY_USER, when[id(one)]))
    return {(one.zone, one.name): one for one in ordered}


def end_of(described: Any, ended: Ended | None) -> EndCause | None:  # noqa: ANN401  the SDK's message
    """Return why a listed instance stops or stopped; None where it does neither."""
    if state_of(described.status) is not CloudState.STOPPING:
        return None
    if ended is not None:
        return ended.cause
    kind = EndKind.RECLAIMED if PREEMPTED in described.status_message else EndKind.UNKNOWN
    text = described.last_stop_timestamp
    at = datetime.fromisoformat(text) if text else None
    return EndCause(kind, PREEMPTION if kind is EndKind.RECLAIMED else "", described.status_message, at)


def gone(ended: Mapping[tuple[str, str], Ended], listed: set[tuple[str, str]]) -> list[CloudInstance]:
    """Return the instances that left nothing behind, and why: failed launches, and those that ended with their disk."""
    return [
        CloudInstance(
            cloud_id=one.name,
            instance_id=InstanceId(one.name),
            key=OfferKey(region_of_zone(one.zone), one.zone, NOT_REPORTED, Market.ON_DEMAND),
            state=CloudState.TERMINATED,
            address=None,
            launched_at=None,
            reason=one.cause.message,
            end=one.cause,
        )
        for place, one in sorted(ended.items())
        if place not in listed
    ]
