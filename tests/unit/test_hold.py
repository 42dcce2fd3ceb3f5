"""Moves for price: none at one look, none of a young machine, and a saving that lasts is taken."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from providers.kept_prices import SteadyProvider
from providers.prices import live_spot
from scheduler.observe import observe
from scheduler.simulation.world import World
from scheduler.solve.hold import settle
from state.model.catalog import Market, Offer, PriceBasis
from state.model.inventory import Impairment, Notice, NoticeKind, Role
from state.model.plan import PendingMove
from state.model.settings import CostModel
from state.model.snapshot import Snapshot
from state.model.units import Usd
from tests.builders import NOON, a_head_offer, a_spec, an_offer, application
from tests.plans import EU, US, a_snapshot, replicas, running

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REGIONS = ("aws/us-east-1", "gcp/us-central1", "azure/eastus")
HERE, THERE = an_offer(US, "1"), an_offer(US, "0.5", zone="b")
HEAD = a_head_offer(US)
HALF_HOUR = 30 * MINUTE


def machines(*begun: datetime) -> tuple[object, ...]:
    workers = [replace(running(HERE, f"sk-{n}"), running_at=at, requested_at=at) for n, at in enumerate(begun)]
    return (running(HEAD, "sk-h", Role.HEAD), *workers)


OLD, YOUNG = NOON - 2 * HOUR, NOON - 59 * MINUTE


def looked(since: timedelta | None, *begun: datetime, **facts: object) -> Snapshot:
    """Return a snapshot in which machines run beside others at half their price, found cheaper *since*."""
    known = () if since is None else (PendingMove(HERE.key, 2, NOON - since, NOON, NOON, Usd.of(1)),)
    facts = {"instances": machines(*(begun or (OLD, OLD))), "pending_moves": known} | facts
    return a_snapshot(HEAD, HERE, THERE, chat=facts.pop("chat", application()), **facts)  # type: ignore[arg-type]


def zones(snapshot: Snapshot) -> dict[str, int]:
    placed = settle(snapshot).placement
    return {m.offer.key.zone: m.count for m in placed.machines if m.role is Role.WORKER}


@pytest.mark.parametrize(
    ("since", "expected"), [(None, {"a": 2}), (29 * MINUTE, {"a": 2}), (HALF_HOUR, {"b": 2})], ids=str
)
def test_a_saving_is_taken_once_it_has_lasted(since: timedelta | None, expected: dict[str, int]) -> None:
    assert zones(looked(since)) == expected


def test_what_waits_is_recorded_with_the_time_since_when() -> None:
    [first] = settle(looked(None)).pending
    [later] = settle(looked(10 * MINUTE)).pending

    assert first == PendingMove(HERE.key, 2, NOON, NOON, NOON + HALF_HOUR, Usd.of(1))
    assert (later.since, later.until) == (NOON - 10 * MINUTE, NOON + 20 * MINUTE)


def test_a_saving_that_is_gone_is_forgotten() -> None:
    dearer = a_snapshot(HEAD, HERE, replace(THERE, price=HERE.price), instances=machines(OLD, OLD))

    found = settle(replace(dearer, pending_moves=looked(HALF_HOUR).pending_moves))

    assert found.pending == ()


def test_the_window_grows_with_the_cost_of_the_move_and_what_does_not_pay_is_left() -> None:
    placed = (replicas(HERE, 2, milli_each=1000),)

    def window(gib: float) -> timedelta | None:
        pending = settle(looked(None, chat=application(weights_gib=gib), placed=placed)).pending
        return pending[0].until - NOON if pending else None

    assert window(1) == HALF_HOUR
    # Two machines run double for 15 minutes at $0.50; 2 x 60 GiB are loaded at $0.02; $1 an hour is saved.
    assert window(60) == timedelta(hours=0.25 + 2.4)
    assert window(200) is None


def test_a_young_machine_stays_and_an_old_one_beside_it_goes() -> None:
    assert zones(looked(HOUR, YOUNG, YOUNG)) == {"a": 2}
    assert zones(looked(HOUR, OLD, YOUNG)) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "trouble",
    [
        {"impairments": (Impairment(running(HERE, "sk-0").id, "status check", None),)},
        {"notices": (Notice(running(HERE, "sk-0").id, US, NoticeKind.REBALANCE),)},
    ],
    ids=["impaired", "notice"],
)
def test_a_machine_in_trouble_does_not_wait(trouble: dict[str, object]) -> None:
    assert zones(looked(None, YOUNG, YOUNG, **trouble)) == {"a": 1, "b": 1}


def test_demand_that_grows_does_not_wait_and_moves_nothing() -> None:
    grown = looked(None, YOUNG, YOUNG, chat=application(demand={"replicas": 5}))

    assert zones(grown) == {"a": 2, "b": 3}


def test_demand_that_shrinks_gives_machines_back_though_a_move_waits() -> None:
    assert zones(looked(None, YOUNG, YOUNG, YOUNG, YOUNG)) == {"a": 2}


def test_a_rule_that_is_broken_does_not_wait() -> None:
    spread = application(regions={"min": 2})
    there = [an_offer(EU, "0.9"), a_head_offer(EU)]
    found = settle(a_snapshot(HEAD, HERE, *there, chat=spread, instances=machines(YOUNG, YOUNG)))

    assert found.placement.is_whole


def test_a_budget_that_is_exceeded_does_not_wait() -> None:
    assert zones(looked(None, YOUNG, YOUNG, budget=1.5)) == {"b": 2}


def test_without_a_time_to_wait_every_saving_is_taken_at_once() -> None:
    assert zones(looked(None, YOUNG, YOUNG, cost_model=CostModel(hold_hours=0, machine_hours_min=0))) == {"b": 2}


def spot_world() -> World:
    world = World(*(an_offer(region, "1", market=Market.SPOT) for region in REGIONS))
    world.want(a_spec(chat=application(market={"spot": "allowed"})))
    return world


def priced(world: World, usd: dict[str, float]) -> None:
    """Set the spot price of each region."""
    for cloud in world.clouds.values():
        cloud.catalogue = tuple(
            replace(o, price=replace(o.price, per_hour=Usd.of(round(usd[o.key.region], 6)))) if o.machine.gpus else o
            for o in cloud.catalogue
        )


def test_prices_that_swing_by_a_quarter_every_ten_minutes_move_nothing() -> None:
    world = spot_world()
    world.converge()
    before = world.launches()

    for number in range(12):
        priced(world, {r: 1.25 if (number + k) % 3 else 1.0 for k, r in enumerate(REGIONS)})
        world.run(10 * MINUTE, MINUTE)

    assert world.launches() == before


def test_a_saving_that_lasts_moves_the_fleet_once_and_the_wait_survives_a_restart() -> None:
    world = spot_world()
    world.converge()
    [home] = {key.rsplit("/", 3)[0] for key in world.running()}
    other = next(region for region in REGIONS if region != home)
    world.run(40 * MINUTE, MINUTE)
    before = world.launches()

    priced(world, dict.fromkeys(REGIONS, 1.0) | {other: 0.6})
    world.run(10 * MINUTE, MINUTE)
    assert world.launches() == before
    [pending] = observe(world.ports).pending_moves
    assert pending.since == world.clock.now() - 10 * MINUTE, "it is in the store, and not in a process"

    world.run(50 * MINUTE, MINUTE)
    assert world.running() == {f"{other}/a/l4.1/spot": 2}
    assert world.launches() == before + 3, "two workers and a head"


def test_a_price_service_that_fails_now_and_then_moves_nothing() -> None:
    world = spot_world()
    listed = {name: cloud.catalogue for name, cloud in world.clouds.items()}
    providers = {n: SteadyProvider(cloud, world.store, world.clock) for n, cloud in world.clouds.items()}
    world.ports = replace(world.ports, providers=dict(providers))

    def answers(*names: str) -> None:
        def read(name: str, offer: Offer) -> Offer:
            return live_spot(offer, 0.4 if name in names else None, "live", world.clock.now())

        for name, cloud in world.clouds.items():
            cloud.catalogue = tuple(read(name, offer) for offer in listed[name])

    answers("aws", "gcp", "azure")
    world.converge()
    before = world.launches()
    for number in range(12):
        answers(*("aws", "gcp", "azure")[number % 3 :][:2])
        world.run(10 * MINUTE, MINUTE)
        spot = [o.price for o in observe(world.ports).offers if o.key.market is Market.SPOT]
        assert {price.per_hour for price in spot} == {Usd.of("0.4")}
        assert PriceBasis.LISTED not in {price.basis for price in spot}

    assert world.launches() == before
