"""The store on SQL: SQLite in WAL mode by default, PostgreSQL by changing one URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, cast

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from state.clock import draw_installation_id
from state.model.catalog import OfferKey, Price
from state.model.history import Drill, DrillState, Event, EventKind, Outcome
from state.model.ids import PlanId, ProviderName
from state.model.inventory import Instance
from state.model.lifecycle import LIVE
from state.model.plan import Finding, PendingMove, Plan
from state.model.snapshot import Snapshot, Wanted
from state.store import (
    ConflictError,
    KeptSnapshot,
    Known,
    LastTick,
    Lease,
    SnapshotKind,
    StaleLeaseError,
)
from state.store import rows as r
from state.store.connection import DAMAGE, connect, database_errors, database_url, shown
from state.store.kept import keep, put_last_tick
from state.store.learned import known_weather, learn
from state.store.migrations import migrate
from state.store.rules import (
    after_outcome,
    event_of_drill,
    event_of_outcome,
    event_of_refusal,
    event_of_spec,
    events_of_commit,
    require_in_force,
)
from state.store.tables import (
    DrillRow,
    EventRow,
    HealthRow,
    InstanceRow,
    KeptPricesRow,
    LastTickRow,
    LeaseRow,
    OutcomeRow,
    PlanRow,
    SettingRow,
    ShortageRow,
    SnapshotRow,
    SpecRow,
)

LEASE: Final = "tick"
PAUSE: Final = "pause/"
"""What the names of settings with pauses begin with."""


class SqlStore:
    """Keeps everything in one database; migrations run when it is opened."""

    def __init__(self, url: str) -> None:
        """Open, and bring the schema up to date.

        Raises:
            StoreError: The URL names no database, or the database cannot be used.
            OSError: The folder of the database cannot be made.
        """
        self._url = database_url(url)
        self._engine = connect(self._url)
        with database_errors(self._url):
            migrate(self._engine, shown(self._url))
        with self._writing() as session:
            if session.get(SettingRow, "installation") is None:
                session.add(SettingRow(name="installation", value=draw_installation_id()))
                session.add(SettingRow(name="wakes", value="0"))
        if self._url.get_backend_name() == "sqlite":
            Path(str(self._url.database)).chmod(0o600)

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with (
            database_errors(self._url),
            self._engine.connect().execution_options(writes=True) as connection,
            Session(connection) as session,
        ):
            yield session
            session.commit()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with database_errors(self._url, (*DAMAGE, ValueError)), Session(self._engine) as session:
            yield session

    def installation(self) -> str:
        """Return the id drawn when the store was made."""
        with self._reading() as session:
            return session.get_one(SettingRow, "installation").value

    def want(self, wanted: Wanted, actor: str, now: datetime, *, replaces: int | None = None) -> int:
        """Append a version."""
        return self._append_version(wanted, actor, now, replaces)

    def withdraw(self, actor: str, now: datetime) -> int:
        """Append a version without a spec."""
        return self._append_version(None, actor, now)

    def _append_version(self, wanted: Wanted | None, actor: str, now: datetime, replaces: int | None = None) -> int:
        with self._writing() as session:
            require_in_force(_wanted(session), replaces)
            version = (session.exec(select(func.max(SpecRow.version))).one() or 0) + 1
            body = None if wanted is None else r.text(r.WANTED, replace(wanted, version=version))
            session.add(SpecRow(version=version, applied_at=r.stamp(now), actor=actor, body=body))
            try:
                session.flush()
            except IntegrityError as error:  # PostgreSQL lets two transactions read the same newest version
                msg = f"nothing was changed: another process put version {version} in force"
                raise ConflictError(msg) from error
            session.add(r.event_row(event_of_spec(wanted, version, actor, now)))
            self._count_wake(session)
            return version

    def wanted(self) -> Wanted | None:
        """Return the newest version."""
        with self._reading() as session:
            return _wanted(session)

    def load(self) -> Known:
        """Return what a tick starts from."""
        with self._reading() as session:
            live = select(InstanceRow).where(col(InstanceRow.status).in_(LIVE)).order_by(InstanceRow.id)
            running = select(DrillRow).where(DrillRow.state == DrillState.RUNNING).order_by(DrillRow.id)
            return Known(
                wanted=_wanted(session),
                instances=tuple(r.INSTANCE.validate_json(row.body) for row in session.exec(live)),
                shortages=tuple(
                    r.SHORTAGE.validate_json(row.body)
                    for row in session.exec(select(ShortageRow).order_by(ShortageRow.scope))
                ),
                health=tuple(
                    r.HEALTH.validate_json(row.body)
                    for row in session.exec(select(HealthRow).order_by(HealthRow.region))
                ),
                drills=tuple(r.DRILL.validate_json(row.body) for row in session.exec(running)),
                weather=known_weather(session),
            )

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance, newest first."""
        newest = select(InstanceRow).order_by(col(InstanceRow.requested_at).desc(), col(InstanceRow.id).desc())
        with self._reading() as session:
            return tuple(r.INSTANCE.validate_json(row.body) for row in session.exec(newest.limit(10_000)))

    def commit(self, plan: Plan, snapshot: Snapshot, fence: int, now: datetime) -> None:
        """Record a plan, under the lease."""
        with self._writing() as session:
            lease = session.get(LeaseRow, LEASE)
            if lease is None or lease.fence != fence or lease.expires_at <= r.stamp(now):
                msg = "the lease was lost"
                raise StaleLeaseError(msg)
            old: dict[str, str] = {row.region: row.state for row in session.exec(select(HealthRow))}
            for instance in plan.instances:
                old |= _put_instance(session, instance, now)
            for health in plan.health:
                session.merge(r.health_row(health))
            for region in set(old) & {row.region for row in session.exec(select(HealthRow))}:
                if region not in {health.region for health in plan.health}:
                    session.delete(session.get_one(HealthRow, region))
            session.add_all(r.event_row(e) for e in events_of_commit(plan, old, lease.holder, now))
            for shortage in plan.shortages:
                session.merge(r.shortage_row(shortage))
            put_last_tick(session, LastTick(now, snapshot, plan))
            if plan.actions and session.exec(select(PlanRow).where(PlanRow.id == plan.id)).first() is None:
                session.add(r.plan_row(plan))
                keep(session, KeptSnapshot(plan.id, SnapshotKind.ACTED, snapshot.taken_at), snapshot)

    def keep_refused(self, snapshot: Snapshot, findings: tuple[Finding, ...], plan_id: PlanId, now: datetime) -> None:
        """Keep a refused plan's snapshot."""
        with self._writing() as session:
            lease = session.get(LeaseRow, LEASE)
            keep(session, KeptSnapshot(plan_id, SnapshotKind.REFUSED, snapshot.taken_at), snapshot)
            session.add(r.event_row(event_of_refusal(plan_id, findings, lease.holder if lease else "", now)))

    def last_refusal(self) -> Event | None:
        """Return the newest refusal."""
        refused = select(EventRow).where(EventRow.kind == EventKind.PLAN_REFUSED)
        with self._reading() as session:
            row = session.exec(refused.order_by(col(EventRow.number).desc()).limit(1)).first()
            return None if row is None else r.event_value(row)

    def last_tick(self) -> LastTick | None:
        """Return the last tick."""
        with self._reading() as session:
            row = session.get(LastTickRow, r.LAST)
            return None if row is None else r.last_tick_value(row)

    def snapshots(self) -> tuple[KeptSnapshot, ...]:
        """Return what is kept, newest first."""
        columns = (col(SnapshotRow.id), col(SnapshotRow.kind), col(SnapshotRow.taken_at))
        newest = select(*columns).order_by(col(SnapshotRow.taken_at).desc(), col(SnapshotRow.id).desc())
        with self._reading() as session:
            return tuple(
                KeptSnapshot(found, SnapshotKind(kind), datetime.fromisoformat(taken_at))
                for found, kind, taken_at in session.exec(newest)
            )

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a kept snapshot."""
        with self._reading() as session:
            row = session.get(SnapshotRow, snapshot_id)
            return None if row is None else r.snapshot_value(row)

    def record(self, outcome: Outcome) -> None:
        """Record the outcome of an action."""
        with self._writing() as session:
            if session.get(OutcomeRow, (outcome.plan_id, outcome.number)) is not None:
                return
            session.add(r.outcome_row(outcome))
            row = session.get(InstanceRow, outcome.instance_id or "")
            if row is not None:
                instance = r.INSTANCE.validate_json(row.body)
                changed = after_outcome(instance, outcome)
                if changed is not instance:
                    _put_instance(session, changed, outcome.at, outcome)
            if outcome.shortage is not None:
                session.merge(r.shortage_row(outcome.shortage))
            lease = session.get(LeaseRow, LEASE)
            session.add(r.event_row(event_of_outcome(outcome, lease.holder if lease else "")))

    def plan(self, plan_id: str) -> Plan | None:
        """Return a committed plan."""
        with self._reading() as session:
            row = session.exec(select(PlanRow).where(PlanRow.id == plan_id)).first()
            return None if row is None else r.PLAN.validate_json(row.body)

    def last_plan(self) -> Plan | None:
        """Return the newest committed plan."""
        with self._reading() as session:
            row = session.exec(select(PlanRow).order_by(col(PlanRow.number).desc())).first()
            return None if row is None else r.PLAN.validate_json(row.body)

    def pending_moves(self) -> tuple[PendingMove, ...]:
        """Return the moves that wait."""
        with self._reading() as session:
            return r.pending_value(session.get(LastTickRow, r.LAST))

    def outcomes(self, plan_id: str) -> tuple[Outcome, ...]:
        """Return the outcomes of a plan."""
        with self._reading() as session:
            found = session.exec(
                select(OutcomeRow).where(OutcomeRow.plan_id == plan_id).order_by(col(OutcomeRow.number))
            )
            return tuple(r.OUTCOME.validate_json(row.body) for row in found)

    def note(self, event: Event) -> None:
        """Append an event."""
        with self._writing() as session:
            session.add(r.event_row(event))

    def events(self, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Return events after a number."""
        with self._reading() as session:
            number = col(EventRow.number)
            found = session.exec(select(EventRow).where(number > after).order_by(number).limit(limit))
            return tuple(r.event_value(row) for row in found)

    def last_event_number(self) -> int:
        """Return the number of the newest event."""
        with self._reading() as session:
            return session.exec(select(func.max(EventRow.number))).one() or 0

    def put_drill(self, drill: Drill, actor: str, now: datetime) -> None:
        """Insert or replace a drill."""
        with self._writing() as session:
            session.merge(r.drill_row(drill))
            session.add(r.event_row(event_of_drill(drill, actor, now)))
            self._count_wake(session)

    def drills(self, limit: int = 100) -> tuple[Drill, ...]:
        """Return drills, newest first."""
        newest = select(DrillRow).order_by(col(DrillRow.started_at).desc(), col(DrillRow.id).desc()).limit(limit)
        with self._reading() as session:
            return tuple(r.DRILL.validate_json(row.body) for row in session.exec(newest))

    def acquire_lease(self, holder: str, ttl: timedelta, now: datetime) -> int | None:
        """Take or renew the lease."""
        with self._writing() as session:
            lease = session.get(LeaseRow, LEASE)
            if lease is None:
                lease = LeaseRow(name=LEASE, holder=holder, fence=1, expires_at=r.stamp(now + ttl))
            elif lease.holder != holder:
                if lease.holder and lease.expires_at > r.stamp(now):
                    return None
                lease.holder, lease.fence = holder, lease.fence + 1
            lease.expires_at = r.stamp(now + ttl)
            session.add(lease)
            return lease.fence

    def release_lease(self, holder: str) -> None:
        """Give the lease back; the fence stays, so that it never repeats."""
        with self._writing() as session:
            lease = session.get(LeaseRow, LEASE)
            if lease is not None and lease.holder == holder:
                lease.holder = ""
                session.add(lease)

    def lease(self, now: datetime) -> Lease | None:
        """Return the lease in force."""
        with self._reading() as session:
            row = session.get(LeaseRow, LEASE)
            if row is None or not row.holder or row.expires_at <= r.stamp(now):
                return None
            return Lease(row.holder, datetime.fromisoformat(row.expires_at))

    def pauses(self) -> dict[str, datetime]:
        """Return when pauses end."""
        with self._reading() as session:
            found = session.exec(select(SettingRow).where(col(SettingRow.name).startswith(PAUSE)))
            return {row.name.removeprefix(PAUSE): datetime.fromisoformat(row.value) for row in found}

    def pause(self, bucket: str, until: datetime) -> None:
        """Keep a pause."""
        with self._writing() as session:
            row = session.get(SettingRow, PAUSE + bucket) or SettingRow(name=PAUSE + bucket, value="")
            row.value = max(row.value, r.stamp(until))
            session.add(row)

    def wake(self) -> None:
        """Count a wake-up."""
        with self._writing() as session:
            self._count_wake(session)

    def _count_wake(self, session: Session) -> None:
        row = session.get_one(SettingRow, "wakes")
        row.value = str(int(row.value) + 1)
        session.add(row)

    def wakes(self) -> int:
        """Return the count of wake-ups."""
        with self._reading() as session:
            return int(session.get_one(SettingRow, "wakes").value)

    def kept_prices(self, provider: ProviderName) -> dict[OfferKey, Price]:
        """Return kept prices."""
        with self._reading() as session:
            return r.prices_value(session.get(KeptPricesRow, provider))

    def keep_prices(self, provider: ProviderName, prices: Mapping[OfferKey, Price]) -> None:
        """Replace kept prices."""
        with self._writing() as session:
            session.merge(KeptPricesRow(provider=provider, body=r.packed(r.PRICES, list(prices.items()))))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _wanted(session: Session) -> Wanted | None:
    row = session.exec(select(SpecRow).order_by(col(SpecRow.version).desc())).first()
    return None if row is None or row.body is None else r.WANTED.validate_json(row.body)


def _put_instance(
    session: Session, instance: Instance, now: datetime, outcome: Outcome | None = None
) -> dict[str, str]:
    """Write *instance* over an older version of it, and return the status it had."""
    known = session.get(InstanceRow, instance.id)
    if known is None:
        session.add(r.instance_row(instance))
        return {}
    if known.version >= instance.version:
        msg = f"{instance.id} was changed by another process"
        raise ConflictError(msg)
    status = known.status
    learn(session, r.INSTANCE.validate_json(known.body), instance, now, outcome)
    session.merge(r.instance_row(instance))
    return {cast("str", instance.id): status}
