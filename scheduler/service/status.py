"""Use cases: the fleet's status and its events. They return values."""

from datetime import datetime, timedelta

from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.service.reports import StatusReport
from scheduler.tick import decide
from state.model.history import Event
from state.store import Store


def read_status(store: Store, now: datetime) -> StatusReport | None:
    """Return what the last tick observed and decided; None where no plan was committed yet. No cloud is called."""
    last, refusal = store.last_tick(), store.last_refusal()
    if last is None:
        return None
    refused = refusal if refusal is not None and refusal.at > last.at else None
    return StatusReport(last.snapshot, last.plan, now - last.at, _ticking(store, now), refused)


def refresh_status(ports: Ports) -> StatusReport:
    """Return what an observation of this moment finds and would decide. Nothing is changed.

    Raises:
        UnsafePlanError: The plan would break a rule.
    """
    snapshot = observe(ports)
    return StatusReport(snapshot, decide(snapshot), timedelta(), _ticking(ports.store, ports.clock.now()))


def _ticking(store: Store, now: datetime) -> str | None:
    """Return the process that ticks, or None where none does."""
    lease = store.lease(now)
    return None if lease is None else lease.holder


def list_events(store: Store, after: int, limit: int) -> tuple[Event, ...]:
    """Return the newest *limit* events numbered above *after*, oldest first."""
    return store.events(max(after, store.last_event_number() - limit), limit)
