"""The fake cell does with replicas what Ray Serve was measured to do: they load, move first, roll and come back."""

import json
from datetime import timedelta
from typing import Any

from inference.base import Placed
from inference.fake import FakeCell
from state.clock import ManualClock
from state.model.ids import ApplicationName, InstanceId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import Serve
from state.model.serving import ApplicationShare, ApplicationStatus, CellStatus, DeployState
from state.model.settings import CellSettings
from tests.builders import NOON, a_key, a_machine, a_region, a_spec, application

CHAT = ApplicationName("chat")
ENTRY = {"name": "chat", "import_path": "chat:app", "deployments": [{"name": "Chat"}]}
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Cell:
    """A cell of one head and some workers of one GPU each."""

    def __init__(self, workers: int, load: timedelta = timedelta()) -> None:
        self.clock = ManualClock(NOON)
        names = ["sk-head", *(f"sk-{n}" for n in range(1, workers + 1))]
        self.alive = [
            (
                CloudInstance("c", InstanceId(name), a_key(), CloudState.RUNNING, f"10.0.0.{n}", NOON),
                Role.WORKER if n else Role.HEAD,
            )
            for n, name in enumerate(names)
        ]
        self.fake = FakeCell(
            CellSettings(a_region(), "10.0.0.0"), lambda: self.alive, lambda _: a_machine(), self.clock
        )
        self.fake.serve.load = load

    def apply(self, replicas: int, *, may_surge: bool = False, **shape: Any) -> None:
        facts = {"gpu": "L4", "cpus": 0.5} | shape
        found = a_spec(chat=application(shapes=[facts])).applications["chat"].shapes[0]
        share = ApplicationShare(CHAT, "Chat", json.dumps(ENTRY), found, replicas, may_surge)
        self.fake.apply(Serve(a_region(), (share,)))

    def settle(self, replicas: int) -> None:
        self.apply(replicas)
        self.after()
        assert self.after(self.fake.serve.load).replicas_ready == replicas

    def after(self, duration: timedelta = timedelta()) -> ApplicationStatus:
        self.clock.sleep(duration)
        found = self.status().application(CHAT)
        assert found is not None
        return found

    def status(self) -> CellStatus:
        return self.fake.status((Placed(CHAT, "Chat"),))

    def carried(self) -> dict[str, int]:
        return {node.instance_id: node.replicas for node in self.status().nodes if not node.is_head}


def test_a_replica_is_ready_once_it_has_loaded() -> None:
    cell = Cell(2, MINUTE)
    cell.apply(2)

    assert (cell.after().replicas_ready, cell.after().state) == (0, DeployState.DEPLOYING)
    assert cell.after(59 * SECOND).replicas_ready == 0
    assert (cell.after(SECOND).replicas_ready, cell.after().state) == (2, DeployState.RUNNING)


def test_replicas_of_a_drained_node_move_before_they_end_while_there_is_room_and_time() -> None:
    cell = Cell(3, MINUTE)
    cell.settle(2)

    cell.fake.drain("node-10.0.0.1", "test", 2 * MINUTE)
    cell.after()
    assert cell.fake.leaving() == ("sk-1",)
    assert cell.after(59 * SECOND).replicas_ready == 2
    assert cell.carried() == {"sk-1": 1, "sk-2": 1, "sk-3": 0}
    assert cell.after(SECOND).replicas_ready == 2
    assert cell.carried() == {"sk-2": 1, "sk-3": 1}, "the drained node has left"


def test_replicas_of_a_drained_node_end_with_it_when_time_is_over() -> None:
    cell = Cell(2, MINUTE)
    cell.settle(2)

    cell.fake.drain("node-10.0.0.1", "test", 30 * SECOND)
    assert cell.after(29 * SECOND).replicas_ready == 2
    assert cell.after(SECOND).replicas_ready == 1


def test_crashed_replicas_are_ready_again_after_a_while() -> None:
    cell = Cell(4)
    cell.settle(4)

    cell.fake.serve.crash(2, 63 * SECOND)

    assert (cell.after().replicas_ready, cell.fake.carried()) == (2, {CHAT: 2})
    assert cell.after(63 * SECOND).replicas_ready == 4


def test_a_changed_deployment_is_rolled_out_a_part_at_a_time() -> None:
    cell = Cell(5, MINUTE)
    cell.settle(5)

    cell.apply(5, cpus=1)

    lowest = min(cell.after(timedelta() if n == 0 else 10 * SECOND).replicas_ready for n in range(40))
    assert lowest == 4
    assert cell.after().state is DeployState.RUNNING


def test_where_new_replicas_may_surge_old_ones_stay_until_they_are_ready() -> None:
    cell = Cell(4, MINUTE)
    cell.settle(2)

    cell.apply(2, may_surge=True, cpus=1)

    assert {cell.after(10 * SECOND).replicas_ready for _ in range(20)} == {2}
    assert cell.after().state is DeployState.RUNNING


def test_a_head_that_restarts_is_silent_and_then_knows_nothing_while_its_workers_serve_until_it_answers() -> None:
    cell = Cell(2)
    cell.settle(2)

    cell.fake.restart_head(25 * SECOND, 10 * SECOND)

    assert not cell.status().answered
    assert cell.fake.carried() == {CHAT: 2}
    cell.clock.sleep(25 * SECOND)
    assert (cell.status().answered, cell.status().applications, cell.carried()) == (True, (), {})
    cell.clock.sleep(10 * SECOND)
    assert cell.carried() == {"sk-1": 0, "sk-2": 0}
    assert {node.node_id for node in cell.status().nodes} == {f"node-10.0.0.{n}-1" for n in range(3)}


def test_a_node_that_was_missing_comes_back_without_its_replicas() -> None:
    cell = Cell(3)
    cell.settle(2)

    cell.fake.leave_for("10.0.0.1", 5 * SECOND)

    assert cell.carried() == {"sk-2": 1, "sk-3": 1}
    cell.clock.sleep(5 * SECOND)
    assert cell.carried() == {"sk-1": 0, "sk-2": 1, "sk-3": 1}
