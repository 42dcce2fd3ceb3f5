"""Row to value and back."""

from datetime import datetime
from typing import Final, TypeVar

from pydantic import TypeAdapter

from state.model.catalog import Shortage
from state.model.health import RegionHealth
from state.model.history import Drill, Event, Outcome
from state.model.inventory import Instance
from state.model.plan import Plan
from state.model.snapshot import Wanted
from state.store.tables import DrillRow, EventRow, HealthRow, InstanceRow, OutcomeRow, PlanRow, ShortageRow

_T = TypeVar("_T")

WANTED: Final = TypeAdapter(Wanted)
INSTANCE: Final = TypeAdapter(Instance)
PLAN: Final = TypeAdapter(Plan)
OUTCOME: Final = TypeAdapter(Outcome)
SHORTAGE: Final = TypeAdapter(Shortage)
HEALTH: Final = TypeAdapter(RegionHealth)
DRILL: Final = TypeAdapter(Drill)


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
    return EventRow(
        at=stamp(value.at), actor=value.actor, kind=value.kind, subject=value.subject, detail=value.detail[:2000]
    )


def event_value(row: EventRow) -> Event:
    """Return the event of a row."""
    return Event(
        at=datetime.fromisoformat(row.at),
        actor=row.actor,
        kind=row.kind,
        subject=row.subject,
        detail=row.detail,
        number=row.number or 0,
    )
