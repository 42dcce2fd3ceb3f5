"""The store in memory: for simulation and tests, under the same contract as the one on SQL."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from state.model.catalog import OfferKey, Price, Shortage
from state.model.health import RegionHealth
from state.model.history import Drill, DrillState, Event, EventKind, Outcome
from state.model.ids import PlanId, ProviderName
from state.model.inventory import Instance
from state.model.plan import Finding, PendingMove, Plan
from state.model.snapshot import Snapshot, Wanted
from state.model.weather import FORGOTTEN_AFTER, PoolWeather
from state.store import (
    SNAPSHOTS_KEPT,
    ConflictError,
    KeptSnapshot,
    Known,
    LastTick,
    Lease,
    SnapshotKind,
    StaleLeaseError,
)
from state.store.observed import weather_after
from state.store.rules import (
    after_outcome,
    event_of_drill,
    event_of_outcome,
    event_of_refusal,
    event_of_spec,
    events_of_commit,
    require_in_force,
)


class MemoryStore:
    """Keeps everything in dictionaries behind one lock."""

    def __init__(self, installation: str = "sk-memory") -> None:
        """Start empty."""
        self._lock = threading.RLock()
        self._installation = installation
        self._versions: list[Wanted | None] = []
        self._instances: dict[str, Instance] = {}
        self._shortages: dict[str, Shortage] = {}
        self._health: dict[str, RegionHealth] = {}
        self._weather: dict[OfferKey, PoolWeather] = {}
        self._plans: dict[str, Plan] = {}
        self._outcomes: dict[tuple[str, int], Outcome] = {}
        self._events: list[Event] = []
        self._drills: dict[str, Drill] = {}
        self._lease: tuple[str, int, datetime] | None = None
        self._fence = 0
        self._wakes = 0
        self._pauses: dict[str, datetime] = {}
        self._snapshots: dict[str, tuple[KeptSnapshot, Snapshot]] = {}
        self._last_tick: LastTick | None = None
        self._prices: dict[ProviderName, dict[OfferKey, Price]] = {}

    def installation(self) -> str:
        """Return the id given at the start."""
        return self._installation

    def want(self, wanted: Wanted, actor: str, now: datetime, *, replaces: int | None = None) -> int:
        """Append a version."""
        with self._lock:
            require_in_force(self.wanted(), replaces)
            version = len(self._versions) + 1
            self._versions.append(replace(wanted, version=version))
            self.note(event_of_spec(wanted, version, actor, now))
            self._wakes += 1
            return version

    def withdraw(self, actor: str, now: datetime) -> int:
        """Append a version without a spec."""
        with self._lock:
            self._versions.append(None)
            self.note(event_of_spec(None, len(self._versions), actor, now))
            self._wakes += 1
            return len(self._versions)

    def wanted(self) -> Wanted | None:
        """Return the newest version."""
        with self._lock:
            return self._versions[-1] if self._versions else None

    def load(self) -> Known:
        """Return what a tick starts from."""
        with self._lock:
            return Known(
                wanted=self.wanted(),
                instances=tuple(i for _, i in sorted(self._instances.items()) if i.is_live),
                shortages=tuple(s for _, s in sorted(self._shortages.items())),
                health=tuple(h for _, h in sorted(self._health.items())),
                drills=tuple(d for _, d in sorted(self._drills.items()) if d.state is DrillState.RUNNING),
                weather=tuple(pool for _, pool in sorted(self._weather.items())),
            )

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance, newest first."""
        with self._lock:
            return tuple(sorted(self._instances.values(), key=lambda i: (i.requested_at, i.id), reverse=True)[:10_000])

    def commit(self, plan: Plan, snapshot: Snapshot, fence: int, now: datetime) -> None:
        """Record a plan."""
        with self._lock:
            if self._lease is None or self._lease[1] != fence or self._lease[2] <= now:
                msg = "the lease was lost"
                raise StaleLeaseError(msg)
            for instance in plan.instances:
                known = self._instances.get(instance.id)
                if (known.version if known else -1) >= instance.version:
                    msg = f"{instance.id} was changed by another process"
                    raise ConflictError(msg)
            old = {str(i.id): str(i.status) for i in self._instances.values()}
            old |= {str(region): str(health.state) for region, health in self._health.items()}
            self._events_append(events_of_commit(plan, old, self._lease[0], now))
            for instance in plan.instances:
                self._learn(instance, now, None)
            self._instances |= {i.id: i for i in plan.instances}
            self._health = {h.region: h for h in plan.health}
            self._shortages |= {shortage.scope: shortage for shortage in plan.shortages}
            self._last_tick = LastTick(now, snapshot, plan)
            if plan.actions:
                self._plans[plan.id] = plan
                self._keep(KeptSnapshot(plan.id, SnapshotKind.ACTED, snapshot.taken_at), snapshot)

    def _learn(self, new: Instance, now: datetime, outcome: Outcome | None) -> None:
        """Record what a change of a machine teaches of its pool."""
        learned = weather_after(self._weather.get(new.key), self._instances.get(new.id), new, now, outcome)
        if learned is not None:
            kept = {key: pool for key, pool in self._weather.items() if pool.at >= now - FORGOTTEN_AFTER}
            self._weather = kept | {new.key: learned}

    def _keep(self, kept: KeptSnapshot, snapshot: Snapshot) -> None:
        self._snapshots[kept.id] = (kept, snapshot)
        of_kind = [k for k in self.snapshots() if k.kind is kept.kind]
        for old in of_kind[SNAPSHOTS_KEPT:]:
            del self._snapshots[old.id]

    def keep_refused(self, snapshot: Snapshot, findings: tuple[Finding, ...], plan_id: PlanId, now: datetime) -> None:
        """Keep a refused plan's snapshot."""
        with self._lock:
            self._keep(KeptSnapshot(plan_id, SnapshotKind.REFUSED, snapshot.taken_at), snapshot)
            self._events_append([event_of_refusal(plan_id, findings, self._holder(now), now)])

    def last_refusal(self) -> Event | None:
        """Return the newest refusal."""
        with self._lock:
            return next((e for e in reversed(self._events) if e.kind is EventKind.PLAN_REFUSED), None)

    def last_tick(self) -> LastTick | None:
        """Return the last tick."""
        with self._lock:
            return self._last_tick

    def snapshots(self) -> tuple[KeptSnapshot, ...]:
        """Return what is kept, newest first."""
        with self._lock:
            kept = (k for k, _ in self._snapshots.values())
            return tuple(sorted(kept, key=lambda k: (k.taken_at, k.id), reverse=True))

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a kept snapshot."""
        with self._lock:
            found = self._snapshots.get(snapshot_id)
            return None if found is None else found[1]

    def record(self, outcome: Outcome) -> None:
        """Record the outcome of an action."""
        with self._lock:
            if (outcome.plan_id, outcome.number) in self._outcomes:
                return
            self._outcomes[outcome.plan_id, outcome.number] = outcome
            instance = self._instances.get(outcome.instance_id or "")
            if instance is not None:
                changed = after_outcome(instance, outcome)
                self._learn(changed, outcome.at, outcome)
                self._instances[instance.id] = changed
            if outcome.shortage is not None:
                self._shortages[outcome.shortage.scope] = outcome.shortage
            self._events_append([event_of_outcome(outcome, self._holder(outcome.at))])

    def plan(self, plan_id: str) -> Plan | None:
        """Return a committed plan."""
        with self._lock:
            return self._plans.get(plan_id)

    def last_plan(self) -> Plan | None:
        """Return the newest committed plan."""
        with self._lock:
            return next(reversed(self._plans.values()), None)

    def pending_moves(self) -> tuple[PendingMove, ...]:
        """Return the moves that wait."""
        with self._lock:
            return () if self._last_tick is None else self._last_tick.plan.pending_moves

    def outcomes(self, plan_id: str) -> tuple[Outcome, ...]:
        """Return the outcomes of a plan."""
        with self._lock:
            return tuple(o for key, o in sorted(self._outcomes.items()) if key[0] == plan_id)

    def note(self, event: Event) -> None:
        """Append an event."""
        with self._lock:
            self._events_append([event])

    def _events_append(self, events: list[Event]) -> None:
        for event in events:
            self._events.append(replace(event, number=len(self._events) + 1))

    def events(self, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Return events after a number."""
        with self._lock:
            return tuple(self._events[after : after + limit])

    def last_event_number(self) -> int:
        """Return the number of the newest event."""
        with self._lock:
            return len(self._events)

    def put_drill(self, drill: Drill, actor: str, now: datetime) -> None:
        """Insert or replace a drill."""
        with self._lock:
            self._drills[drill.id] = drill
            self._wakes += 1
            self._events_append([event_of_drill(drill, actor, now)])

    def drills(self, limit: int = 100) -> tuple[Drill, ...]:
        """Return drills, newest first."""
        with self._lock:
            return tuple(sorted(self._drills.values(), key=lambda d: (d.started_at, d.id), reverse=True)[:limit])

    def acquire_lease(self, holder: str, ttl: timedelta, now: datetime) -> int | None:
        """Take or renew the lease."""
        with self._lock:
            if self._lease is not None and self._lease[0] != holder and self._lease[2] > now:
                return None
            if self._lease is None or self._lease[0] != holder:
                self._fence += 1
            self._lease = (holder, self._fence, now + ttl)
            return self._fence

    def release_lease(self, holder: str) -> None:
        """Give the lease back."""
        with self._lock:
            if self._lease is not None and self._lease[0] == holder:
                self._lease = None

    def _holder(self, now: datetime) -> str:
        lease = self.lease(now)
        return "" if lease is None else lease.holder

    def lease(self, now: datetime) -> Lease | None:
        """Return the lease in force."""
        with self._lock:
            if self._lease is None or self._lease[2] <= now:
                return None
            return Lease(self._lease[0], self._lease[2])

    def pauses(self) -> dict[str, datetime]:
        """Return when pauses end."""
        with self._lock:
            return dict(self._pauses)

    def pause(self, bucket: str, until: datetime) -> None:
        """Keep a pause."""
        with self._lock:
            self._pauses[bucket] = max(until, self._pauses.get(bucket, until))

    def wake(self) -> None:
        """Count a wake-up."""
        with self._lock:
            self._wakes += 1

    def wakes(self) -> int:
        """Return the count of wake-ups."""
        with self._lock:
            return self._wakes

    def kept_prices(self, provider: ProviderName) -> dict[OfferKey, Price]:
        """Return kept prices."""
        with self._lock:
            return dict(self._prices.get(provider, {}))

    def keep_prices(self, provider: ProviderName, prices: Mapping[OfferKey, Price]) -> None:
        """Replace kept prices."""
        with self._lock:
            self._prices[provider] = dict(prices)

    def close(self) -> None:
        """Keep everything: there is nothing to let go of."""
