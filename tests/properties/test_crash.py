"""Die at every call of a tick, come back, settle: nothing is lost, nothing bought twice or in vain."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from providers.errors import UnreachableError
from scheduler.simulation.world import World
from state.model.inventory import Role
from tests.builders import a_spec, an_offer, application
from tests.crashes import DiedError, Mortal, arm

WANTED = {
    "aws/us-east-1/a/l4.1/on_demand": 2,
    "azure/eastus/a/l4.1/on_demand": 2,
    "gcp/us-central1/a/l4.1/on_demand": 2,
}


def a_world() -> World:
    world = World(an_offer("aws/us-east-1"), an_offer("gcp/us-central1", "0.9"), an_offer("azure/eastus", "1.5"))
    world.want(a_spec(chat=application(demand={"replicas": 4}, survive={"any": "region"})))
    return world


def effects_of(story: Callable[[World], None]) -> int:
    world = a_world()
    mortal = Mortal(10**9, after=False)
    heal = arm(world, mortal)
    story(world)
    heal()
    return mortal.calls


def rise(world: World) -> None:
    world.converge()


def shrink(world: World) -> None:
    world.converge()
    world.want(a_spec(chat=application(demand={"replicas": 2}, survive={"any": "none"})))
    world.converge()


def survive(world: World) -> None:
    world.converge()
    world.lose("gcp/us-central1")
    for _ in range(15):
        world.tick()


def withdraw(world: World) -> None:
    world.converge()
    world.store.withdraw("test", world.clock.now())
    world.converge()


RISE, SHRINK, SURVIVE, WITHDRAW = map(effects_of, (rise, shrink, survive, withdraw))


def die_in(story: Callable[[World], None], at: int, *, after: bool) -> World:
    world = a_world()
    heal = arm(world, Mortal(at, after=after))
    with pytest.raises(DiedError):
        story(world)
    heal()
    # A restart takes time, so whatever is decided anew gets other ids.
    world.clock.sleep(timedelta(seconds=7))
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, RISE + 1))
def test_a_crash_while_a_fleet_rises_buys_nothing_twice(at: int, after: bool) -> None:  # noqa: FBT001
    world = die_in(rise, at, after=after)

    world.converge()

    assert world.running() == WANTED
    assert world.launches() == 9, "six workers and three heads were started, each once"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(RISE + 1, SHRINK + 1))
def test_a_crash_while_a_fleet_shrinks_leaves_what_is_wanted(at: int, after: bool) -> None:  # noqa: FBT001
    world = die_in(shrink, at, after=after)
    world.want(a_spec(chat=application(demand={"replicas": 2}, survive={"any": "none"})))

    world.converge()

    assert world.running() == {"gcp/us-central1/a/l4.1/on_demand": 2}
    assert world.running(Role.HEAD) == {"gcp/us-central1/a/cpu.4/on_demand": 1}
    assert world.launches() == 9, "shrinking starts nothing"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(RISE + 1, SURVIVE + 1))
def test_a_crash_while_a_lost_region_is_replaced_buys_nothing_twice(at: int, after: bool) -> None:  # noqa: FBT001
    world = die_in(survive, at, after=after)
    world.clouds[next(n for n in world.clouds if n == "gcp")].silent.add(next(iter(world.cloud("gcp").regions)))
    for seen, _ in world.cloud("gcp").alive():
        world.cloud("gcp").end(seen.instance_id, "region lost")

    for _ in range(20):
        world.tick()

    assert world.running() == {"aws/us-east-1/a/l4.1/on_demand": 4, "azure/eastus/a/l4.1/on_demand": 4}
    assert world.launches() == 13, "four machines replace what was lost, each started once"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(RISE + 1, WITHDRAW + 1))
def test_a_crash_while_a_fleet_is_ended_leaves_nothing(at: int, after: bool) -> None:  # noqa: FBT001
    world = die_in(withdraw, at, after=after)

    world.converge()

    assert world.running() == world.running(Role.HEAD) == {}
    assert world.store.load().instances == ()


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_launch_whose_answer_is_lost_is_not_made_twice(lost: int) -> None:
    world = a_world()
    for cloud in world.clouds.values():
        cloud.lose_answers = lost

    world.converge()

    assert world.running() == WANTED
    assert world.launches() == 9


def test_a_launch_that_never_reached_the_cloud_is_made_once_it_answers() -> None:
    world = a_world()
    world.fail_next("aws", *(UnreachableError("aws", "launch") for _ in range(4)))

    world.converge()

    assert world.running() == WANTED
    assert world.launches() == 9
