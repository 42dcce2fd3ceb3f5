"""Row to value and back."""

import hashlib
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic import TypeAdapter

from state.model.catalog import OfferKey, Price, Shortage
from state.model.health import RegionHealth
from state.model.history import (
    ActionAttempted,
    Drill,
    DrillChanged,
    Event,
    EventKind,
    Happening,
    HealthChanged,
    InstanceChanged,
    NoticeReceived,
    Outcome,
    PlanCommitted,
    PlanRefused,
    SpecApplied,
    SpecWithdrawn,
)
from state.model.ids import PlanId
from state.model.inventory import Instance
from state.model.plan import PendingMove, Plan
from state.model.snapshot import Snapshot, Wanted
from state.model.weather import PoolWeather
from state.store import KeptSnapshot, LastTick
from state.store.tables import (
    DrillRow,
    EventRow,
    HealthRow,
    InstanceRow,
    KeptPricesRow,
    LastTickRow,
    OutcomeRow,
    PlanRow,
    ShortageRow,
    SnapshotRow,
    WeatherRow,
)

_T = TypeVar("_T")

WANTED: Final = TypeAdapter(Wanted)
INSTANCE: Final = TypeAdapter(Instance)
PLAN: Final = TypeAdapter(Plan)
OUTCOME: Final = TypeAdapter(Outcome)
SHORTAGE: Final = TypeAdapter(Shortage)
HEALTH: Final = TypeAdapter(RegionHealth)
WEATHER: Final = TypeAdapter(PoolWeather)
DRILL: Final = TypeAdapter(Drill)
SNAPSHOT: Final = TypeAdapter(Snapshot)
PRICES: Final = TypeAdapter(list[tuple[OfferKey, Price]])

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LAST: Final = "last"
"""The name of the one row of the last tick."""


def text(adapter: TypeAdapter[_T], value: _T) -> str:
    """Return a value as JSON."""
    return adapter.dump_json(value).decode()


def stamp(at: datetime) -> str:
    """Return a time as text that sorts."""
    return at.isoformat(timespec="microseconds")


def instance_row(value: Instance) -> InstanceRow:
    """Return the row of an instance."""
    return InstanceRow(
        id=value.id,
        status=value.status,
        region=value.region,
        requested_at=stamp(value.requested_at),
        version=value.version,
        body=text(INSTANCE, value),
    )


def plan_row(value: Plan) -> PlanRow:
    """Return the row of a plan."""
    return PlanRow(id=value.id, made_at=stamp(value.made_at), body=text(PLAN, value))


def outcome_row(value: Outcome) -> OutcomeRow:
    """Return the row of an outcome."""
    return OutcomeRow(plan_id=value.plan_id, number=value.number, at=stamp(value.at), body=text(OUTCOME, value))


def shortage_row(value: Shortage) -> ShortageRow:
    """Return the row of a shortage."""
    return ShortageRow(scope=value.scope, until=stamp(value.until), body=text(SHORTAGE, value))


def health_row(value: RegionHealth) -> HealthRow:
    """Return the row of a region's health."""
    return HealthRow(region=value.region, state=value.state, body=text(HEALTH, value))


def drill_row(value: Drill) -> DrillRow:
    """Return the row of a drill."""
    return DrillRow(id=value.id, state=value.state, started_at=stamp(value.started_at), body=text(DRILL, value))


def event_row(value: Event) -> EventRow:
    """Return the row of an event; the database gives it its number."""
    body = TypeAdapter(type(value.what)).dump_json(value.what).decode()
    return EventRow(at=stamp(value.at), actor=value.actor, kind=value.kind, subject=value.subject, body=body)


def event_value(row: EventRow) -> Event:
    """Return the event of a row."""
    return Event(
        at=datetime.fromisoformat(row.at),
        actor=row.actor,
        subject=row.subject,
        what=_HAPPENINGS[EventKind(row.kind)].validate_json(row.body),
        number=row.number or 0,
    )


_HAPPENINGS: Final[dict[EventKind, TypeAdapter[Happening]]] = {
    EventKind.SPEC_APPLIED: TypeAdapter(SpecApplied),
    EventKind.SPEC_WITHDRAWN: TypeAdapter(SpecWithdrawn),
    EventKind.PLAN_COMMITTED: TypeAdapter(PlanCommitted),
    EventKind.PLAN_REFUSED: TypeAdapter(PlanRefused),
    EventKind.ACTION_DONE: TypeAdapter(ActionAttempted),
    EventKind.ACTION_FAILED: TypeAdapter(ActionAttempted),
    EventKind.INSTANCE_CHANGED: TypeAdapter(InstanceChanged),
    EventKind.HEALTH_CHANGED: TypeAdapter(HealthChanged),
    EventKind.NOTICE_RECEIVED: TypeAdapter(NoticeReceived),
    EventKind.DRILL_CHANGED: TypeAdapter(DrillChanged),
}


def snapshot_row(kept: KeptSnapshot, value: Snapshot) -> SnapshotRow:
    """Return the row of a snapshot."""
    return SnapshotRow(id=kept.id, kind=kept.kind, taken_at=stamp(kept.taken_at), body=packed(SNAPSHOT, value))


def snapshot_value(row: SnapshotRow) -> Snapshot:
    """Return the snapshot of a row."""
    return unpacked(SNAPSHOT, row.body)


def last_tick_row(value: LastTick) -> LastTickRow:
    """Return the row of the last tick."""
    return LastTickRow(
        name=LAST,
        at=stamp(value.at),
        digest=digest_of(value),
        snapshot=packed(SNAPSHOT, value.snapshot),
        plan=packed(PLAN, value.plan),
    )


def digest_of(value: LastTick) -> str:
    """Return a digest of what a tick observed and decided, its times and ids apart."""
    snapshot = SNAPSHOT.dump_json(replace(value.snapshot, taken_at=EPOCH))
    plan = PLAN.dump_json(replace(value.plan, id=PlanId(""), made_at=EPOCH))
    return hashlib.sha256(snapshot + plan).hexdigest()


def last_tick_value(row: LastTickRow) -> LastTick:
    """Return the last tick of its row."""
    return LastTick(datetime.fromisoformat(row.at), unpacked(SNAPSHOT, row.snapshot), unpacked(PLAN, row.plan))


def prices_value(row: KeptPricesRow | None) -> dict[OfferKey, Price]:
    """Return the kept prices of a row."""
    found = [] if row is None else unpacked(PRICES, row.body)
    return dict(found)


def pending_value(row: LastTickRow | None) -> tuple[PendingMove, ...]:
    """Return the moves that wait by the last tick."""
    return () if row is None else unpacked(PLAN, row.plan).pending_moves


def packed(adapter: TypeAdapter[_T], value: _T) -> bytes:
    """Return a value as compressed JSON."""
    return zlib.compress(adapter.dump_json(value))


def unpacked(adapter: TypeAdapter[_T], body: bytes) -> _T:
    """Return the value of compressed JSON."""
    return adapter.validate_json(zlib.decompress(body))


def weather_row(value: PoolWeather) -> WeatherRow:
    """Return the row of a pool's weather."""
    return WeatherRow(pool=str(value.key), at=stamp(value.at), body=text(WEATHER, value))
