"""Where state is kept: the protocol. Every method is one transaction, and none calls a cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from state.model.catalog import OfferKey, Price, Shortage
from state.model.health import RegionHealth
from state.model.history import Drill, Event, Outcome
from state.model.ids import PlanId, ProviderName
from state.model.inventory import Instance
from state.model.plan import Finding, PendingMove, Plan
from state.model.snapshot import Snapshot, Wanted
from state.model.weather import PoolWeather


class StoreError(Exception):
    """The store refused, and nothing was written."""


class StoreUrlError(StoreError):
    """The URL names no database that state can be kept in."""


class StoreUnreachableError(StoreError):
    """The database does not answer, cannot be opened, or is locked by another process."""


class StoreUnreadableError(StoreError):
    """The database is damaged, is none of ours, or is of a newer version."""


class StaleLeaseError(StoreError):
    """Another process may tick by now; drop what was decided and observe again."""


class ConflictError(StoreError):
    """A row changed since it was read; drop what was decided and observe again."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a tick starts from, read in one transaction."""

    wanted: Wanted | None
    instances: tuple[Instance, ...]
    """Live ones only."""
    shortages: tuple[Shortage, ...]
    """All remembered ones, ended ones too: a repeat makes the next one longer."""
    health: tuple[RegionHealth, ...]
    drills: tuple[Drill, ...]
    """Running ones."""
    weather: tuple[PoolWeather, ...] = ()
    """What launches and machines taught of each pool."""


class SnapshotKind(StrEnum):
    """Why a snapshot is kept."""

    ACTED = "acted"
    """Its plan acted."""
    REFUSED = "refused"
    """Its plan broke a rule and was not executed."""


SNAPSHOTS_KEPT: Final = 200
"""Newest snapshots that are kept, of each kind."""


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot in the store, without its content."""

    id: str
    """The id of the plan that was made from it, or would have been."""
    kind: SnapshotKind
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class LastTick:
    """What the last tick observed and decided; times and ids are of the first tick that found the same."""

    at: datetime
    """When the last tick was committed."""
    snapshot: Snapshot
    plan: Plan


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to tick."""

    holder: str
    until: datetime


class Store(Protocol):
    """What is wanted, seen and decided."""

    def installation(self) -> str:
        """Return the id of this installation, the same for as long as the store lives."""

    def want(self, wanted: Wanted, actor: str, now: datetime, *, replaces: int | None = None) -> int:
        """Make *wanted* the newest version, whatever version it names, and return its number.

        Args:
            wanted: The spec to put in force.
            actor: What puts it in force.
            now: The time of the event.
            replaces: The version that is in force until then, 0 where none is; None for any.

        Raises:
            ConflictError: Another version than *replaces* is in force.
        """

    def withdraw(self, actor: str, now: datetime) -> int:
        """Withdraw the spec, and return the version that does."""

    def wanted(self) -> Wanted | None:
        """Return the newest version, or None where nothing is wanted."""

    def load(self) -> Known:
        """Return what a tick starts from."""

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance ever held, newest first, 10,000 at most."""

    def commit(self, plan: Plan, snapshot: Snapshot, fence: int, now: datetime) -> None:
        """Record a plan before anything of it is executed: instances, health, shortages and events.

        It becomes the last tick. The snapshot is kept where the plan acts; the oldest beyond `SNAPSHOTS_KEPT` go.

        Raises:
            StaleLeaseError: *fence* no longer holds the lease at *now*.
            ConflictError: An instance was changed by another process.
        """

    def keep_refused(self, snapshot: Snapshot, findings: tuple[Finding, ...], plan_id: PlanId, now: datetime) -> None:
        """Keep the snapshot of a plan that broke rules, and record that it was refused."""

    def last_refusal(self) -> Event | None:
        """Return the event of the newest plan that was refused, or None."""

    def last_tick(self) -> LastTick | None:
        """Return what the last tick observed and decided, or None where there was none."""

    def snapshots(self) -> tuple[KeptSnapshot, ...]:
        """Return the snapshots that are kept, newest first."""

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a kept snapshot, or None."""

    def record(self, outcome: Outcome) -> None:
        """Record the outcome of an action, on the instance too, and its shortage over one of the same scope.

        Recording the same outcome twice is the same as recording it once.
        """

    def plan(self, plan_id: str) -> Plan | None:
        """Return a committed plan, or None."""

    def last_plan(self) -> Plan | None:
        """Return the newest committed plan that acted, or None."""

    def pending_moves(self) -> tuple[PendingMove, ...]:
        """Return the moves that wait by the newest committed plan, whether it acted or not."""

    def outcomes(self, plan_id: str) -> tuple[Outcome, ...]:
        """Return the outcomes of a plan, in the order of its actions."""

    def note(self, event: Event) -> None:
        """Append to the event log."""

    def events(self, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Return events numbered above *after*, oldest first."""

    def last_event_number(self) -> int:
        """Return the number of the newest event, 0 where there is none."""

    def put_drill(self, drill: Drill, actor: str, now: datetime) -> None:
        """Insert a drill or replace it by its id."""

    def drills(self, limit: int = 100) -> tuple[Drill, ...]:
        """Return drills, newest first."""

    def acquire_lease(self, holder: str, ttl: timedelta, now: datetime) -> int | None:
        """Take or renew the right to tick, and return its fencing number; None while another holds it.

        The number grows whenever the holder changes.
        """

    def release_lease(self, holder: str) -> None:
        """Give the right to tick back, where *holder* has it."""

    def lease(self, now: datetime) -> Lease | None:
        """Return the lease that is in force at *now*, or None."""

    def pauses(self) -> dict[str, datetime]:
        """Return until when clouds asked for a pause, by the name of the kind of call; ended ones are among them."""

    def pause(self, bucket: str, until: datetime) -> None:
        """Keep a pause that a cloud asked for, over an earlier one of the same kind of call that ends sooner."""

    def wake(self) -> None:
        """Ask for a tick soon. It carries no data."""

    def wakes(self) -> int:
        """Return how often a tick was asked for; a change means that it was again."""

    def kept_prices(self, provider: ProviderName) -> dict[OfferKey, Price]:
        """Return the last live prices of a provider, of any age."""

    def keep_prices(self, provider: ProviderName, prices: Mapping[OfferKey, Price]) -> None:
        """Replace the kept prices of a provider."""

    def close(self) -> None:
        """Let go of connections."""
