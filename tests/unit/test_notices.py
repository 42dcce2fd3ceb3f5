"""What is announced for a machine, from the cloud to the plan: another takes its place before it ends."""

from datetime import timedelta

from providers.faults import Fault, FaultKind
from scheduler.daemon.loop import Daemon
from scheduler.observe.inventory import is_terminal
from scheduler.simulation.world import World
from state.model.history import Event, NoticeReceived
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind, Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, BlockedReason, Drain, Launch, Plan, Terminate
from state.model.settings import Thresholds
from tests.builders import NOON, a_spec, an_offer, application

MINUTES = timedelta(minutes=1)
LIMITS = Thresholds()


def received(world: World) -> list[Event]:
    return [event for event in world.store.events() if isinstance(event.what, NoticeReceived)]


def blocked(plan: Plan, worker: InstanceId) -> list[tuple[BlockedReason, ActionKind | None]]:
    """Return what keeps the end of a machine, beside that it is on its way."""
    return [
        (b.reason, b.action) for b in plan.blocked if b.instance_id == worker and b.reason is not BlockedReason.ENDING
    ]


def a_serving_world() -> tuple[World, InstanceId]:
    """Return a settled world, and a worker of it."""
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    world.converge()
    worker = next(i for i in world.store.load().instances if i.role is Role.WORKER)
    return world, worker.id


def test_a_machine_that_is_taken_back_is_replaced_and_drained_while_its_notice_runs() -> None:
    world, worker = a_serving_world()
    cloud = next(iter(world.clouds.values()))
    before = len(world.store.load().instances)

    announced_at = world.clock.now()
    cloud.reclaim(worker, 2 * MINUTES)
    plan = world.tick()

    assert [type(action) for action in plan.actions if isinstance(action, Launch | Terminate)] == [Launch]
    assert [a.instance_id for a in plan.actions if isinstance(a, Drain)] == [worker]
    [ending] = [i for i in world.store.load().instances if i.id == worker]
    assert ending.status is InstanceStatus.TERMINATING
    assert ending.reason is TerminationReason.NOTICE
    assert ending.notice is not None
    assert (ending.notice.kind, ending.notice.at) == (NoticeKind.INTERRUPTION, announced_at + 2 * MINUTES)
    world.run(4 * MINUTES)
    world.converge()
    assert worker not in {i.id for i in world.store.load().instances}
    assert len(world.store.load().instances) == before


def announced(world: World, name: InstanceId, after: timedelta) -> None:
    cloud = next(iter(world.clouds.values()))
    [seen] = [seen for seen, _ in cloud.alive() if seen.instance_id == name]
    at = world.clock.now() + after
    cloud.announced.append(Notice(name, seen.key.region, NoticeKind.MAINTENANCE, at))


def test_with_time_to_spare_a_machine_serves_on_while_another_starts() -> None:
    world, worker = a_serving_world()
    announced(world, worker, 20 * MINUTES)

    plan = world.tick()
    assert any(isinstance(action, Launch) for action in plan.actions)
    assert not any(isinstance(action, Drain | Terminate) for action in plan.actions)
    assert blocked(plan, worker) == [(BlockedReason.SERVES_UNTIL_REPLACED, ActionKind.TERMINATE)]

    world.run(16 * MINUTES)
    world.run(2 * MINUTES)
    assert worker not in {i.id for i in world.store.load().instances}, "it is drained and ended before its time"


def test_a_head_is_not_replaced_for_maintenance() -> None:
    world, _ = a_serving_world()
    head = next(i for i in world.store.load().instances if i.role is Role.HEAD)
    announced(world, head.id, 2 * MINUTES)

    plan = world.tick()

    assert not any(isinstance(action, Launch | Terminate) for action in plan.actions)


def test_maintenance_is_acted_on_when_it_is_near_and_a_recommendation_is_not() -> None:
    def notice(kind: NoticeKind, after: timedelta | None) -> Notice:
        return Notice(InstanceId("sk-1"), RegionId("fake/one"), kind, None if after is None else NOON + after)

    far, near = LIMITS.maintenance_ahead + MINUTES, LIMITS.maintenance_ahead - MINUTES
    assert is_terminal(notice(NoticeKind.INTERRUPTION, None), NOON, LIMITS)
    assert is_terminal(notice(NoticeKind.INTERRUPTION, 2 * MINUTES), NOON, LIMITS)
    assert is_terminal(notice(NoticeKind.MAINTENANCE, near), NOON, LIMITS)
    assert not is_terminal(notice(NoticeKind.MAINTENANCE, far), NOON, LIMITS)
    assert not is_terminal(notice(NoticeKind.REBALANCE, None), NOON, LIMITS)


def test_a_new_notice_wakes_the_daemon_once_and_is_on_record() -> None:
    world, worker = a_serving_world()
    daemon = Daemon(world.ports, MINUTES, "d")
    daemon.watch_notices()
    wakes = world.store.wakes()

    next(iter(world.clouds.values())).reclaim(worker, 2 * MINUTES)
    daemon.watch_notices()
    daemon.watch_notices()

    assert world.store.wakes() == wakes + 1
    assert [event.subject for event in received(world)] == [worker]


def test_a_cloud_that_breaks_the_watcher_does_not_silence_it_for_good() -> None:
    world, worker = a_serving_world()
    daemon = Daemon(world.ports, MINUTES, "d")

    class BrokenError(Exception):
        pass

    def broken(owner: str) -> None:
        raise BrokenError(owner)

    cloud = next(iter(world.clouds.values()))
    cloud.reclaim(worker, 2 * MINUTES)
    kept, cloud.notices = cloud.notices, broken  # type: ignore[method-assign, assignment]
    daemon.watch_notices()
    cloud.notices = kept  # type: ignore[method-assign]
    wakes = world.store.wakes()
    daemon.watch_notices()

    assert world.store.wakes() == wakes + 1


def test_a_machine_that_drains_itself_wakes_the_daemon_and_is_replaced_and_ended_once_empty() -> None:
    world, worker = a_serving_world()
    daemon = Daemon(world.ports, MINUTES, "d")
    wakes = world.store.wakes()
    [held] = [i for i in world.store.load().instances if i.id == worker]
    cell = world.cells[held.region]

    cell.draining_themselves.add(worker)
    daemon.watch_cells()
    daemon.watch_cells()
    plan = world.tick()

    assert world.store.wakes() == wakes + 1
    assert any(isinstance(action, Launch) for action in plan.actions)
    assert not any(isinstance(action, Terminate) for action in plan.actions)
    assert blocked(plan, worker) == [(BlockedReason.REPLICAS_MOVING, ActionKind.TERMINATE)]

    cell.drained.add(held.address or "")
    ended = [a.instance_id for _ in range(4) for a in world.tick().actions if isinstance(a, Terminate)]
    assert worker in ended


def test_a_head_that_is_drained_is_left_alone() -> None:
    world, _ = a_serving_world()
    head = next(i for i in world.store.load().instances if i.role is Role.HEAD)
    world.cells[head.region].draining_themselves.add(head.id)

    plan = world.tick()

    assert plan.is_converged


def recommended(world: World, worker: InstanceId) -> Notice:
    """Recommend to leave a machine, and return the notice."""
    cloud = next(iter(world.clouds.values()))
    [seen] = [seen for seen, _ in cloud.alive() if seen.instance_id == worker]
    notice = Notice(worker, seen.key.region, NoticeKind.REBALANCE, None, "by EC2, since 12:00:00 UTC")
    cloud.announced.append(notice)
    return notice


def test_a_recommendation_is_on_record_wakes_the_daemon_and_moves_nothing() -> None:
    world, worker = a_serving_world()
    daemon = Daemon(world.ports, MINUTES, "d")
    wakes = world.store.wakes()
    notice = recommended(world, worker)

    daemon.watch_notices()
    plan = world.tick()

    assert world.store.wakes() == wakes + 1
    [event] = received(world)
    assert (event.subject, event.what) == (worker, NoticeReceived(notice))
    assert not any(isinstance(action, Launch | Terminate | Drain) for action in plan.actions)


def test_no_more_of_an_offer_are_bought_while_a_machine_of_it_is_recommended_to_be_left() -> None:
    cheap, dear = an_offer(price="1"), an_offer(price="3", zone="b")
    world = World(cheap, dear)
    world.want(a_spec(chat=application(demand={"replicas": 1})))
    world.converge()
    [worker] = [i for i in world.store.load().instances if i.role is Role.WORKER]
    notice = recommended(world, worker.id)

    world.want(a_spec(chat=application(demand={"replicas": 2})))
    world.converge()
    warned = world.running()
    next(iter(world.clouds.values())).announced.remove(notice)
    world.want(a_spec(chat=application(demand={"replicas": 3})))
    world.converge()

    assert warned == {str(cheap.key): 1, str(dear.key): 1}, "the one that stands serves on"
    assert world.running()[str(cheap.key)] > 1


def test_a_recommendation_beside_an_interruption_does_not_end_a_machine_before_its_time() -> None:
    world, worker = a_serving_world()
    recommended(world, worker)
    next(iter(world.clouds.values())).reclaim(worker, 2 * MINUTES)

    plan = world.tick()

    assert [a.instance_id for a in plan.actions if isinstance(a, Drain)] == [worker]
    assert not any(isinstance(action, Terminate) for action in plan.actions)


def test_an_end_that_failed_is_asked_for_again_whatever_maintenance_is_far_ahead() -> None:
    world, worker = a_serving_world()
    announced(world, worker, LIMITS.maintenance_ahead + 600 * MINUTES)
    next(iter(world.clouds.values())).faults.add(Fault(FaultKind.ERROR, operation="terminate", times=2))

    world.store.withdraw("test", world.clock.now())
    world.converge()

    assert world.running() == {}
