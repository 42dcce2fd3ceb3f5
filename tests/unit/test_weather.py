"""What launches and machines teach of a pool, and what the solver makes of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.errors import ShortageError
from scheduler.observe import observe
from scheduler.service.weather import read_weather
from scheduler.simulation.world import World
from scheduler.weather import ELSEWHERE_SHARE, PRIOR_HOURS, PRIOR_LAUNCHES, Weather
from state.model.catalog import Market, OfferKey, Shortage, ShortageKind
from state.model.history import Outcome, OutcomeKind
from state.model.ids import InstanceId, PlanId, ProviderName
from state.model.inventory import Instance, Notice, NoticeKind, Role, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind
from state.model.settings import CostModel
from state.model.snapshot import Snapshot
from state.model.weather import FORGOTTEN_AFTER, HALF_LIFE, Loss, PoolWeather
from state.store import Store
from state.store.memory import MemoryStore
from state.store.observed import weather_after
from state.store.sql import SqlStore
from tests.builders import NOON, a_key, a_region, a_spec, an_instance, an_offer, application
from tests.cli_in_process import skerry
from tests.plans import a_plan

S, T = InstanceStatus, TerminationReason
ASSUMED = 0.05
SPOT: OfferKey = an_offer(market=Market.SPOT).key
HOUR = timedelta(hours=1)


def machine(status: InstanceStatus, key: OfferKey = SPOT, **changes: Any) -> Instance:
    return replace(an_instance("sk-1", key=key, status=status), requested_at=NOON, **changes)


def refused(kind: ShortageKind | None) -> Outcome:
    shortage = None if kind is None else Shortage(SPOT.region, None, None, None, kind, NOON, NOON, "")
    return Outcome(
        PlanId("p"), 0, ActionKind.LAUNCH, "", OutcomeKind.REFUSED, "", NOON, InstanceId("sk-1"), None, shortage
    )


def test_a_machine_that_comes_to_run_is_a_launch_and_a_time_to_start() -> None:
    running = machine(S.RUNNING, running_at=NOON + timedelta(seconds=90))

    learned = weather_after(None, machine(S.REQUESTED), running, NOON + timedelta(minutes=2))

    assert learned == PoolWeather(SPOT, NOON + timedelta(minutes=2), launches=1, starts=1, start_seconds=90)


@pytest.mark.parametrize(
    ("kind", "counts"),
    [(ShortageKind.STOCK_OUT, True), (ShortageKind.DENIED, False), (ShortageKind.QUOTA, False), (None, False)],
)
def test_a_refusal_for_want_of_stock_is_a_failure_and_no_other(kind: ShortageKind | None, *, counts: bool) -> None:
    learned = weather_after(None, machine(S.REQUESTED), machine(S.REFUSED), NOON, refused(kind))

    assert learned == (PoolWeather(SPOT, NOON, launches=1, failures=1) if counts else None)


@pytest.mark.parametrize(
    ("reason", "counts"), [(T.ENDED_BY_PROVIDER, 1), (T.NEVER_SEEN, 1), (T.NOT_PLACED, None), (T.FLEET_DESTROYED, None)]
)
def test_a_machine_that_never_ran_failed_unless_we_ended_it(reason: TerminationReason, counts: int | None) -> None:
    learned = weather_after(None, machine(S.REQUESTED), machine(S.GONE, reason=reason), NOON)

    assert (learned and learned.failures) == counts


RECLAIMED = Notice(InstanceId("sk-1"), SPOT.region, NoticeKind.INTERRUPTION)
DRAINED = replace(RECLAIMED, kind=NoticeKind.DRAIN)


@pytest.mark.parametrize(
    ("status", "changes", "interruptions"),
    [
        (S.GONE, {"reason": T.ENDED_BY_PROVIDER}, 1),
        (S.GONE, {"reason": T.NOT_LISTED}, 1),
        (S.TERMINATING, {"reason": T.NOTICE, "notice": RECLAIMED}, 1),
        (S.TERMINATING, {"reason": T.NOTICE, "notice": DRAINED}, 0),
        (S.TERMINATING, {"reason": T.NOT_PLACED}, 0),
    ],
)
def test_the_hours_of_a_spot_machine_count_and_so_does_its_interruption(
    status: InstanceStatus, changes: dict[str, Any], interruptions: int
) -> None:
    before, after = machine(S.RUNNING, running_at=NOON), machine(status, running_at=NOON, **changes)

    learned = weather_after(None, before, after, NOON + 3 * HOUR)

    losses = (Loss(NOON + 3 * HOUR, 3 * HOUR, useless=True),) * interruptions
    assert learned == PoolWeather(SPOT, NOON + 3 * HOUR, spot_hours=3, interruptions=interruptions, losses=losses)


@pytest.mark.parametrize(
    ("reason", "counts"),
    [
        (T.ENDED_BY_PROVIDER, True), (T.NEVER_SEEN, True), (T.NEVER_JOINED, True), (T.GPUS_MISSING, True),
        (T.NEVER_STARTED, True), (T.IMPAIRED, True), (T.NOTICE, True), (T.NOT_PLACED, False),
        (T.FLEET_DESTROYED, False),
    ],
)  # fmt: skip
def test_a_machine_that_is_lost_or_of_no_use_is_a_loss_and_one_that_we_ended_is_none(
    reason: TerminationReason, *, counts: bool
) -> None:
    on_demand = a_key()
    ended = machine(S.TERMINATING, on_demand, reason=reason)

    learned = weather_after(None, machine(S.RUNNING, on_demand, running_at=NOON), ended, NOON + HOUR)

    assert (learned is not None and learned.losses == (Loss(NOON + HOUR, HOUR, useless=True),)) is counts


@pytest.mark.parametrize(
    ("changes", "losses", "interruptions"),
    [
        ({"notice": NoticeKind.INTERRUPTION}, 1, 1),
        ({"notice": NoticeKind.LEAVING}, 1, 1),
        ({"notice": NoticeKind.MAINTENANCE}, 1, 0),
        ({"notice": NoticeKind.EXPIRY}, 1, 0),
        ({"notice": NoticeKind.DRAIN}, 0, 0),
        ({"notice": NoticeKind.LEAVING, "drain_until": NOON}, 0, 0),
        ({"notice": None}, 1, 0),
    ],
    ids=["reclaimed", "leaving by itself", "maintenance", "expiry", "by its operator", "drained by us", "untold"],
)
def test_an_announced_end_is_a_loss_unless_we_or_its_operator_decided_on_it(
    changes: dict[str, Any], losses: int, interruptions: int
) -> None:
    kind = changes["notice"]
    before = {name: value for name, value in changes.items() if name != "notice"}
    notice = None if kind is None else Notice(InstanceId("sk-1"), SPOT.region, kind)
    ended = machine(S.TERMINATING, reason=T.NOTICE, notice=notice, running_at=NOON, drain_until=NOON)

    learned = weather_after(None, machine(S.RUNNING, running_at=NOON, **before), ended, NOON + HOUR)

    assert learned is not None
    assert (len(learned.losses), learned.interruptions) == (losses, interruptions)


@pytest.mark.parametrize("role", list(Role))
def test_a_loss_keeps_whether_the_machine_was_of_use(role: Role) -> None:
    use: dict[str, Any] = {"joined_at": NOON} if role is Role.HEAD else {"joined_at": NOON, "carried_at": NOON}

    def lost(reason: TerminationReason = T.ENDED_BY_PROVIDER, **facts: Any) -> tuple[Loss, ...]:
        ended = machine(S.GONE, reason=reason, role=role, ended_at=NOON + HOUR, **facts)
        learned = weather_after(None, machine(S.RUNNING, role=role), ended, NOON + HOUR)
        return () if learned is None else learned.losses

    assert lost(**use) == (Loss(NOON + HOUR, HOUR),)
    assert lost() == (Loss(NOON + HOUR, HOUR, useless=True),)
    assert lost(T.IMPAIRED, **use) == (), "what happened to it later is not its offer's fault"
    assert lost(T.IMPAIRED) == (Loss(NOON + HOUR, HOUR, useless=True),)


def test_what_changes_no_status_or_lies_behind_teaches_nothing() -> None:
    running, ending = machine(S.RUNNING, running_at=NOON), machine(S.TERMINATING, running_at=NOON)
    on_demand = replace(SPOT, market=Market.ON_DEMAND)

    assert weather_after(None, None, running, NOON) is None
    assert weather_after(None, running, replace(running, address="10.0.0.2"), NOON) is None
    assert weather_after(None, ending, machine(S.GONE), NOON) is None
    assert weather_after(None, replace(running, key=on_demand), replace(ending, key=on_demand), NOON) is None


def test_old_weather_counts_half_after_its_half_life() -> None:
    known = PoolWeather(SPOT, NOON, 8, 4, 2, 100, 6, 3)

    faded = known.faded(NOON + HALF_LIFE)

    assert faded == PoolWeather(SPOT, NOON + HALF_LIFE, 4, 2, 1, 50, 3, 1.5)
    assert known.faded(NOON - HOUR) == known, "a clock that went back fades nothing"


def test_nothing_known_is_nothing_doubted() -> None:
    offer = an_offer(market=Market.SPOT)

    assert Weather((), (), NOON).priced(offer, ASSUMED) == offer
    assert Weather((), (), NOON).forecasts(ASSUMED) == ()


def test_failures_of_a_pool_raise_the_doubt_about_its_neighbours_too() -> None:
    here = a_key("aws/us-east-1", zone="a", instance_type="l4.1", market=Market.SPOT)
    other_zone, other_type = replace(here, zone="b"), replace(here, instance_type="l4.8")
    elsewhere, on_demand = replace(here, region=a_region("aws/eu-west-1")), replace(here, market=Market.ON_DEMAND)
    weather = Weather([PoolWeather(here, NOON, launches=3, failures=3)], (), NOON)

    doubts = [weather.launch_failure(key) for key in (here, other_zone, other_type, elsewhere, on_demand)]

    assert doubts[0] > doubts[1] > doubts[2] > doubts[3] > 0.2
    assert doubts[4] == 0
    everywhere = ELSEWHERE_SHARE * 3 / (3 + PRIOR_LAUNCHES)
    in_market = (3 + everywhere * PRIOR_LAUNCHES) / (3 + PRIOR_LAUNCHES)
    of_type = (3 + in_market * PRIOR_LAUNCHES) / (3 + PRIOR_LAUNCHES)
    assert doubts[1] == pytest.approx(of_type)


def test_interruptions_are_drawn_from_what_is_assumed_to_what_is_found() -> None:
    pool = PoolWeather(SPOT, NOON, spot_hours=PRIOR_HOURS, interruptions=9)
    weather = Weather([pool], (), NOON)

    assert weather.interruptions_per_hour(SPOT, ASSUMED) == pytest.approx((9 + 1) / (2 * PRIOR_HOURS))
    assert weather.interruptions_per_hour(replace(SPOT, market=Market.ON_DEMAND), ASSUMED) is None
    reported = replace(an_offer(market=Market.SPOT), interruptions_per_hour=0.25)
    assert weather.priced(reported, ASSUMED).interruptions_per_hour == pytest.approx((9 + 5) / (2 * PRIOR_HOURS))


def test_a_machine_that_runs_without_interruption_calms_its_pool() -> None:
    running = machine(S.RUNNING, running_at=NOON - 60 * HOUR)

    [forecast] = Weather((), [running], NOON).forecasts(ASSUMED)

    assert forecast.spot_hours == 60
    assert forecast.interruptions_per_hour == pytest.approx(ASSUMED * PRIOR_HOURS / (60 + PRIOR_HOURS))


def test_a_pool_that_reclaims_after_minutes_is_left_for_one_that_does_not() -> None:
    cheap, calm = an_offer("aws/us-east-1", "0.30", market=Market.SPOT), an_offer("gcp/us-central1", "0.36")
    world = World(cheap, calm)
    world.want(a_spec(chat=application(market={"spot": "allowed"})))
    world.converge()
    assert set(world.running()) == {str(cheap.key)}

    for _ in range(12):
        world.run(timedelta(minutes=15), every=timedelta(minutes=1))
        for seen, role in list(world.cloud("aws").alive()):
            if role.value == "worker":
                world.cloud("aws").end(seen.instance_id, "reclaimed")
    world.converge()

    assert set(world.running()) == {str(calm.key)}
    [offer] = [o for o in observe(world.ports).offers if o.key == cheap.key]
    assert (offer.interruptions_per_hour or 0) > 0.15


def test_what_stock_refuses_is_in_the_weather_once_for_each_refusal() -> None:
    world = World(an_offer(), an_offer("gcp/us-central1", "2"))
    world.want(a_spec(chat=application()))
    world.fail_next("aws", ShortageError(ProviderName("aws"), "launch", "none left"))
    world.converge()

    assert sum(pool.failures for pool in world.store.load().weather) == pytest.approx(1, rel=0.01)
    worst = read_weather(world.store, CostModel(), world.clock.now())[0]
    assert worst.key.provider == "aws" and worst.launch_failure > 0
    assert max(offer.stockout_probability for offer in observe(world.ports).offers) == worst.launch_failure


@pytest.mark.parametrize("is_sql", [False, True])
def test_a_store_counts_what_a_machine_teaches_once(tmp_path: Path, *, is_sql: bool) -> None:
    store: Store = SqlStore(f"sqlite:///{tmp_path / 'skerry.db'}") if is_sql else MemoryStore()
    fence = store.acquire_lease("me", HOUR, NOON) or 0
    requested, second = machine(S.REQUESTED), replace(machine(S.REQUESTED), id=InstanceId("sk-2"))
    running = advanced(second, S.RUNNING, running_at=NOON + timedelta(seconds=30))
    snapshot = Snapshot(NOON, None)
    store.commit(replace(a_plan(), instances=(requested, second)), snapshot, fence, NOON)
    for _ in range(2):
        store.record(refused(ShortageKind.STOCK_OUT))
    store.commit(replace(a_plan(), id=PlanId("p-2"), instances=(running,)), snapshot, fence, NOON)

    assert store.load().weather == (PoolWeather(SPOT, NOON, 2, 1, 1, 30),)

    third = replace(machine(S.REQUESTED, a_key()), id=InstanceId("sk-3"))
    late = NOON + FORGOTTEN_AFTER + HOUR
    fence = store.acquire_lease("me", HOUR, late) or 0
    store.commit(replace(a_plan(), id=PlanId("p-3"), instances=(third,)), snapshot, fence, late)
    store.commit(
        replace(a_plan(), id=PlanId("p-4"), instances=(advanced(third, S.RUNNING, running_at=late),)),
        snapshot,
        fence,
        late,
    )
    assert [pool.key for pool in store.load().weather] == [a_key()], "what is long past is forgotten"
    store.close()


def test_the_command_shows_the_worst_pools_first_and_nothing_where_nothing_is_known(tmp_path: Path) -> None:
    assert "Nothing is known yet" in skerry(tmp_path, "weather").out
    assert skerry(tmp_path, "weather", "--output", "json").json() == []
