"""Whatever comes first, a quiet world settles on exactly what is wanted, and every plan passes its checks."""

import os
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.errors import QuotaError, ShortageError, ThrottledError, UnreachableError
from scheduler.check import check_plan
from scheduler.observe.snapshot import observe
from scheduler.plan import make_plan
from scheduler.simulation.world import World
from scheduler.solve import solve
from state.model.ids import RegionId
from state.model.units import total
from tests.builders import a_spec, an_offer, application

REGIONS = ("aws/eu-central-1", "aws/us-east-1", "azure/eastus", "gcp/us-central1")
PRICES = ("1.2", "1", "1.5", "0.9")
BUDGET = 40.0

QUIET = settings(
    max_examples=int(os.environ.get("SKERRY_EXAMPLES", "30")), deadline=None, suppress_health_check=list(HealthCheck)
)

ERRORS = st.sampled_from(
    (
        UnreachableError("x", "launch"),
        ShortageError("x", "launch", "OutOfStock"),
        QuotaError("x", "launch", "Quota"),
        ThrottledError("x", "launch", "Slow"),
    )
)
EVENTS = st.one_of(
    st.tuples(st.just("rescale"), st.integers(1, 8)),
    st.tuples(st.just("survive"), st.sampled_from(("none", "region", "provider"))),
    st.tuples(st.just("silence"), st.sampled_from(REGIONS)),
    st.tuples(st.just("answer"), st.sampled_from(REGIONS)),
    st.tuples(st.just("reclaim"), st.integers(0, 20)),
    st.tuples(st.just("fail"), st.tuples(st.sampled_from(("aws", "azure", "gcp")), ERRORS)),
    st.tuples(st.just("lose answers"), st.sampled_from(("aws", "azure", "gcp"))),
    st.tuples(st.just("mute cell"), st.sampled_from(REGIONS)),
    st.tuples(st.just("unmute cell"), st.sampled_from(REGIONS)),
    st.tuples(st.just("wait"), st.integers(1, 30)),
)


def a_world() -> World:
    return World(*(an_offer(region, price) for region, price in zip(REGIONS, PRICES, strict=True)))


def reclaim(world: World, number: int) -> None:
    alive = [(c, seen) for c in world.clouds.values() for seen, _ in c.alive()]
    for cloud, seen in alive[number % len(alive) :][:1] if alive else ():
        cloud.end(seen.instance_id, "reclaimed")


def happen(world: World, kind: str, what: object, solo_choice: dict[str, object]) -> None:
    if kind in {"rescale", "survive"}:
        solo_choice |= {"demand": {"replicas": what}} if kind == "rescale" else {"survive": {"any": what}}
        world.want(a_spec(BUDGET, chat=application(**solo_choice)))
        return
    match kind:
        case "silence" | "answer":
            region = RegionId(str(what))
            cloud = world.cloud(region.partition("/")[0])
            (cloud.silent.add if kind == "silence" else cloud.silent.discard)(region)
        case "reclaim":
            reclaim(world, int(str(what)))
        case "fail":
            assert isinstance(what, tuple)
            world.fail_next(what[0], what[1])
        case "lose answers":
            world.cloud(str(what)).lose_answers += 1
        case "mute cell" | "unmute cell":
            world.cells[RegionId(str(what))].is_silent = kind == "mute cell"
        case _:
            world.clock.sleep(timedelta(seconds=int(str(what))))


@given(st.lists(EVENTS, max_size=12))
@QUIET
def test_a_quiet_world_settles_on_what_is_wanted_whatever_came_first(events: list[tuple[str, object]]) -> None:
    world = a_world()
    solo_choice: dict[str, object] = {"demand": {"replicas": 3}, "survive": {"any": "region"}}
    world.want(a_spec(BUDGET, chat=application(**solo_choice)))
    for kind, what in events:
        happen(world, kind, what, solo_choice)
        world.tick()
        spent = total([s.price for s in spending(world)])
        assert spent.dollars <= BUDGET, "never more than the budget, at any moment"

    for cloud in world.clouds.values():
        cloud.silent.clear()
        cloud.fail_next.clear()
        cloud.lose_answers = 0
    for cell in world.cells.values():
        cell.is_silent = False
    # Past every shortage, and every step of recovery.
    world.run(timedelta(minutes=90), every=timedelta(seconds=90))
    plan = world.converge()

    held = {i.id for i in world.store.load().instances}
    there = {seen.instance_id for cloud in world.clouds.values() for seen, _ in cloud.alive()}
    assert held == there, "the books are the world: nothing leaked, nothing lost"
    assert not plan.placement.unmet
    assert not plan.placement.violations
    launched = [i for cloud in world.clouds.values() for i in cloud.launched]
    assert len(launched) == len(set(launched)), "no id was started twice"
    world.tick()
    assert world.launches() == len(launched), "having settled, it rests"


class Spending:
    def __init__(self, world: World, key: object) -> None:
        every = {o.key: o.price.per_hour for c in world.clouds.values() for o in c.catalogue}
        self.price = every[key]  # type: ignore[index]


def spending(world: World) -> list[Spending]:
    return [Spending(world, seen.key) for cloud in world.clouds.values() for seen, _ in cloud.alive()]


@given(st.lists(st.sampled_from(REGIONS), max_size=4, unique=True), st.integers(1, 6))
@QUIET
def test_silence_of_clouds_alone_changes_nothing(silent: list[str], replicas: int) -> None:
    world = a_world()
    world.want(a_spec(BUDGET, chat=application(demand={"replicas": replicas}, survive={"any": "region"})))
    world.converge()
    before, routed, launches = world.running(), world.routed(), world.launches()

    for region in silent:
        world.cloud(region.partition("/")[0]).silent.add(RegionId(region))
    world.run(timedelta(minutes=20), every=timedelta(minutes=1))

    assert world.running() == before
    assert world.routed() == routed
    assert world.launches() == launches


@given(st.integers(1, 8), st.sampled_from(("none", "region", "provider")), st.integers(0, 5))
@QUIET
def test_equal_snapshots_give_equal_plans_and_every_plan_passes_its_checks(
    replicas: int, survive: str, ticks: int
) -> None:
    world = a_world()
    world.want(a_spec(BUDGET, chat=application(demand={"replicas": replicas}, survive={"any": survive})))
    for _ in range(ticks):
        world.tick()

    snapshot = observe(world.ports)
    one = make_plan(solve(snapshot), snapshot)
    other = make_plan(solve(replace(snapshot)), replace(snapshot))

    assert one == other
    assert check_plan(one, snapshot) == ()
