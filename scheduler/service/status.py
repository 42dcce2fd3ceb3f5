"""Use cases: the fleet's status, its events, and what clouds offer. They return values."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.documents.spec_warnings import SpecWarning, autoscaling_ignored
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.catalog import Offer
from state.model.history import Event
from state.model.plan import Plan
from state.model.snapshot import ReadFailure, ReadKind, Snapshot
from state.store import Store


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What was observed and decided, and how long ago."""

    snapshot: Snapshot
    plan: Plan
    age: timedelta
    daemon: str | None
    """The process that ticks; None where none does."""
    refused: Event | None = None
    """The refusal of a later tick's plan, with what it breaks; None where the last tick's plan was committed."""

    @property
    def is_converged(self) -> bool:
        """Whether the last tick found nothing to do, nothing unmet and no rule violated."""
        return self.plan.is_converged and self.refused is None

    @property
    def warnings(self) -> tuple[SpecWarning, ...]:
        """What the spec in force asks for and does not get."""
        return () if self.snapshot.wanted is None else autoscaling_ignored(self.snapshot.wanted)


def read_status(store: Store, now: datetime) -> StatusReport | None:
    """Return what the last tick observed and decided; None where no plan was committed yet. No cloud is called."""
    last, refusal = store.last_tick(), store.last_refusal()
    if last is None:
        return None
    refused = refusal if refusal is not None and refusal.at > last.at else None
    return StatusReport(last.snapshot, last.plan, now - last.at, store.lease_holder(now), refused)


def refresh_status(ports: Ports) -> StatusReport:
    """Return what an observation of this moment finds and would decide. Nothing is changed.

    Raises:
        UnsafePlanError: The plan would break a rule.
    """
    snapshot = observe(ports)
    holder = ports.store.lease_holder(ports.clock.now())
    return StatusReport(snapshot, decide(snapshot), timedelta(), holder)


def list_events(store: Store, after: int, limit: int) -> tuple[Event, ...]:
    """Return the newest *limit* events numbered above *after*, oldest first."""
    return store.events(max(after, store.last_event_number() - limit), limit)


@dataclass(frozen=True, slots=True)
class OfferList:
    """Offers, and what could not be read of them."""

    offers: tuple[Offer, ...]
    failures: tuple[ReadFailure, ...]
    is_any_read: bool
    """Whether some region answered."""


def list_offers(ports: Ports, admits: Callable[[Offer], bool]) -> OfferList:
    """Return the offers that *admits* lets through, in no particular order."""
    providers = [ports.providers[name] for name in sorted(ports.providers)]
    observations = [provider.offers() for provider in providers]
    return OfferList(
        tuple(offer for found in observations for offer in found.items if admits(offer)),
        tuple(
            ReadFailure(region, ReadKind.OFFERS, message)
            for found in observations
            for region, message in sorted(found.unreachable.items())
        ),
        any(
            set(provider.regions) - set(found.unreachable)
            for provider, found in zip(providers, observations, strict=True)
        ),
    )
