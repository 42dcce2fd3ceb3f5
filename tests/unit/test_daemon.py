from dataclasses import replace
from datetime import timedelta

import structlog
from structlog.testing import capture_logs

from scheduler.daemon.converge import (
    DeployFailedError,
    FailureWatch,
    TickedElsewhereError,
    await_stable,
    tick_until_stable,
)
from scheduler.daemon.logs import DAEMON_STARTED, LEASE_HELD
from scheduler.daemon.loop import LEASE_TTL, Daemon
from scheduler.simulation.world import World
from state.model.history import PlanRefused
from state.model.ids import ApplicationName, PlanId, RegionId
from state.model.placement import Placement
from state.model.plan import Blocked, BlockedReason, Plan, PlanRule
from state.model.serving import DeployState
from state.store import SnapshotKind
from tests.builders import NOON, a_spec, an_offer, application

MINUTE = timedelta(minutes=1)


def a_world() -> World:
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    return world


def holder(world: World) -> str | None:
    lease = world.store.lease(world.clock.now())
    return None if lease is None else lease.holder


def test_a_tick_of_the_daemon_is_a_tick() -> None:
    world = a_world()

    plan = Daemon(world.ports, MINUTE, "d").tick_once()

    assert plan is not None
    assert plan.changes_anything
    assert holder(world) == "d"


def test_two_daemons_never_tick_at_once() -> None:
    world = a_world()
    one, other = Daemon(world.ports, MINUTE, "one"), Daemon(world.ports, MINUTE, "other")

    assert one.tick_once() is not None
    assert other.tick_once() is None
    world.clock.sleep(2 * MINUTE)
    assert other.tick_once() is not None, "once the lease has run out, the other takes over"
    assert world.launches() == 3


def test_a_daemon_reports_at_its_start_who_ticks_and_until_when() -> None:
    world = a_world()
    one, other = Daemon(world.ports, MINUTE, "one"), Daemon(world.ports, MINUTE, "other")
    one.tick_once()
    until = (world.clock.now() + LEASE_TTL).isoformat(timespec="seconds")
    structlog.reset_defaults()  # a command that ran in this process may have silenced the log

    with capture_logs() as logs:
        other.announce()
    with capture_logs() as own:
        one.announce()

    held = {"event": LEASE_HELD, "log_level": "warning", "holder": "one", "until": until}
    assert [line["event"] for line in logs] == [DAEMON_STARTED, LEASE_HELD]
    assert held.items() <= logs[1].items()
    assert [line["event"] for line in own] == [DAEMON_STARTED]


def test_an_error_of_one_tick_ends_nothing() -> None:
    world = a_world()
    daemon = Daemon(world.ports, MINUTE, "d")

    class BrokenError(Exception):
        pass

    def broken() -> None:
        raise BrokenError

    kept, world.store.load = world.store.load, broken  # type: ignore[method-assign, assignment]
    assert daemon.tick_once() is None
    world.store.load = kept  # type: ignore[method-assign]
    assert daemon.tick_once() is not None


def test_an_unsafe_plan_is_logged_and_not_executed() -> None:
    world = a_world()
    tight = replace(world.ports, limits=replace(world.ports.limits, actions_per_plan=0))

    assert Daemon(tight, MINUTE, "d").tick_once() is None
    assert world.launches() == 0
    refused = world.store.events()[-1].what
    assert isinstance(refused, PlanRefused)
    assert [finding.rule for finding in refused.findings] == [PlanRule.ACTIONS_PER_PLAN]
    assert [kept.kind for kept in world.store.snapshots()] == [SnapshotKind.REFUSED]


def test_a_command_ticks_until_everything_serves_and_gives_the_lease_back() -> None:
    world = a_world()
    seen: list[Plan] = []

    plan = tick_until_stable(world.ports, timedelta(minutes=10), seen.append)

    assert plan is not None
    assert plan.is_converged
    assert len(seen) > 2
    assert holder(world) is None
    assert await_stable(world.ports, MINUTE) is not None


def test_a_command_gives_up_in_time() -> None:
    world = World(an_offer(), boot=timedelta(hours=1))
    world.want(a_spec(chat=application()))

    assert tick_until_stable(world.ports, MINUTE) is None
    assert await_stable(world.ports, MINUTE) is None


def test_a_deployment_that_goes_on_failing_is_reported_before_the_time_is_up() -> None:
    import pytest

    failing = Blocked(
        BlockedReason.DEPLOYING,
        region=RegionId("aws/us-east-1"),
        application=ApplicationName("chat"),
        state=DeployState.DEPLOY_FAILED,
        message="no module x",
    )
    plan = Plan(PlanId("p"), NOON, 1, Placement(), (), (), (), blocked=(failing,))
    watch = FailureWatch()

    for _ in range(4):
        watch.poll(plan)
    watch.poll(replace(plan, blocked=()))
    for _ in range(4):
        watch.poll(plan)
    with pytest.raises(DeployFailedError, match="no module x") as failed:
        watch.poll(plan)
    assert failed.value.blocked is failing


def test_a_command_does_not_tick_beside_a_daemon() -> None:
    import pytest

    world = a_world()
    Daemon(world.ports, MINUTE, "d").tick_once()

    with pytest.raises(TickedElsewhereError):
        tick_until_stable(world.ports, MINUTE)
