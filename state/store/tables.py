"""The tables. Their rows never leave this folder.

Each row keeps the whole value as JSON beside the columns that are searched, guarded or unique.
Times are ISO 8601 in UTC, so that they sort as text in every database.
"""

from sqlmodel import Field, SQLModel


class SettingRow(SQLModel, table=True):
    """A fact about the installation: its id, the count of wake-ups."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str


class SpecRow(SQLModel, table=True):
    """A version of what is wanted; no body means that nothing is."""

    __tablename__ = "spec"
    version: int = Field(primary_key=True)
    applied_at: str
    actor: str
    body: str | None = None


class InstanceRow(SQLModel, table=True):
    """An instance."""

    __tablename__ = "instance"
    id: str = Field(primary_key=True)
    status: str = Field(index=True)
    region: str
    requested_at: str = Field(index=True)
    version: int
    body: str


class PlanRow(SQLModel, table=True):
    """A plan that acted."""

    __tablename__ = "plan"
    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    made_at: str
    body: str


class OutcomeRow(SQLModel, table=True):
    """The outcome of an action."""

    __tablename__ = "outcome"
    plan_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    at: str
    body: str


class ShortageRow(SQLModel, table=True):
    """A shortage."""

    __tablename__ = "shortage"
    scope: str = Field(primary_key=True)
    until: str
    body: str


class WeatherRow(SQLModel, table=True):
    """What launches and machines taught of one pool."""

    __tablename__ = "weather"
    pool: str = Field(primary_key=True)
    at: str = Field(index=True)
    body: str


class HealthRow(SQLModel, table=True):
    """A region's health."""

    __tablename__ = "region_health"
    region: str = Field(primary_key=True)
    state: str
    body: str


class DrillRow(SQLModel, table=True):
    """A drill and its report."""

    __tablename__ = "drill"
    id: str = Field(primary_key=True)
    state: str = Field(index=True)
    started_at: str
    body: str


class EventRow(SQLModel, table=True):
    """A line of the event log."""

    __tablename__ = "event"
    number: int | None = Field(default=None, primary_key=True)
    at: str
    actor: str
    kind: str
    subject: str
    body: str


class SnapshotRow(SQLModel, table=True):
    """A snapshot that a decision was made from, compressed."""

    __tablename__ = "snapshot"
    id: str = Field(primary_key=True)
    kind: str = Field(index=True)
    taken_at: str
    body: bytes


class LastTickRow(SQLModel, table=True):
    """What the last tick observed and decided, compressed: one row."""

    __tablename__ = "last_tick"
    name: str = Field(primary_key=True)
    at: str
    digest: str
    """Of all but times and ids: a tick that found nothing new changes `at` alone."""
    snapshot: bytes
    plan: bytes


class KeptPricesRow(SQLModel, table=True):
    """The last live prices of a provider, compressed."""

    __tablename__ = "kept_prices"
    provider: str = Field(primary_key=True)
    body: bytes


class LeaseRow(SQLModel, table=True):
    """The process that may tick, until when; the fence grows with each new holder."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True)
    holder: str
    fence: int
    expires_at: str
