"""What every cell promises, as one story in steps: the fake first, then real Ray."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from inference.base import Placed, ServingCell
from inference.errors import CellRefusedError, CellSilentError
from inference.ray.config import Difference, difference
from state.model.ids import ApplicationName
from state.model.plan import Serve
from state.model.serving import ApplicationShare, ApplicationStatus, CellStatus, DeployState
from state.model.settings import CellSettings
from tests.builders import a_spec, application

CHAT = ApplicationName("chat")
PLACED = (Placed(CHAT, "Chat"),)
ENTRY = {"name": "chat", "route_prefix": "/chat", "import_path": "chat_app:app", "deployments": [{"name": "Chat"}]}


class ServingContract:
    """Subclass it, and give the fixtures `settings`, `cell` (one head, two workers of one GPU each), `until`, `kill`.

    The steps build on one another, so that a real cluster is started once.
    """

    def serve(self, settings: CellSettings, replicas: int, **entry: str) -> Serve:
        shape = a_spec(chat=application(shapes=[{"gpu": "L4", "cpus": 0.5}])).applications["chat"].shapes[0]
        share = ApplicationShare(CHAT, "Chat", json.dumps(ENTRY | entry), shape, replicas)
        return Serve(settings.region, (share,) if replicas else ())

    def chat(self, cell: ServingCell) -> ApplicationStatus | None:
        return cell.status(PLACED).application(CHAT)

    def ready(self, cell: ServingCell) -> int:
        chat = self.chat(cell)
        return 0 if chat is None else chat.replicas_ready

    def hosts(self, status: CellStatus) -> list[str]:
        return [node.node_id for node in status.nodes if node.replicas]

    def test_1_a_new_cell_answers_knows_its_machines_and_serves_nothing(
        self, cell: ServingCell, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        until(lambda: len(cell.status(PLACED).nodes) == 3)

        status = cell.status(PLACED)
        assert status.answered
        assert status.applications == ()
        assert sorted(node.instance_id for node in status.nodes) == ["sk-head0000", "sk-work0001", "sk-work0002"]
        assert [node.instance_id for node in status.nodes if node.is_head] == ["sk-head0000"]

    def test_2_what_is_applied_comes_to_run(
        self, cell: ServingCell, settings: CellSettings, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        serve = self.serve(settings, 2)

        cell.apply(serve)
        until(lambda: self.ready(cell) == 2)

        status, chat = cell.status(PLACED), self.chat(cell)
        assert chat is not None
        assert (chat.state, chat.replicas_target) == (DeployState.RUNNING, 2)
        assert difference(serve.shares[0], chat.config) is Difference.NONE
        assert difference(self.serve(settings, 3).shares[0], chat.config) is Difference.COUNT
        assert len(self.hosts(status)) == 2
        assert status.proxies

    def test_3_applying_the_same_again_changes_nothing(self, cell: ServingCell, settings: CellSettings) -> None:
        hosts = self.hosts(cell.status(PLACED))

        cell.apply(self.serve(settings, 2))

        assert self.hosts(cell.status(PLACED)) == hosts
        assert self.ready(cell) == 2

    def test_4_a_wrong_configuration_is_refused_and_what_runs_runs_on(
        self, cell: ServingCell, settings: CellSettings
    ) -> None:
        with pytest.raises(CellRefusedError):
            cell.apply(self.serve(settings, 2, import_path="no_attribute"))

        assert self.ready(cell) == 2

    def test_5_fewer_replicas_are_reported_as_fewer(
        self, cell: ServingCell, settings: CellSettings, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        cell.apply(self.serve(settings, 1))

        until(lambda: self.ready(cell) == 1)
        until(lambda: (chat := self.chat(cell)) is not None and chat.replicas_target == 1)

    def test_6_a_drained_machine_loses_its_replicas_to_another(
        self, cell: ServingCell, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        [host] = self.hosts(cell.status(PLACED))

        cell.drain(host, "test", timedelta(minutes=2))

        def has_moved() -> bool:
            hosts = self.hosts(cell.status(PLACED))
            return bool(hosts) and host not in hosts

        until(lambda: has_moved() and self.ready(cell) == 1)
        assert has_moved()

    def test_7_what_is_left_out_goes(
        self, cell: ServingCell, settings: CellSettings, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        cell.apply(self.serve(settings, 0))

        until(lambda: self.chat(cell) is None)

    def test_8_a_cell_that_died_is_silent_not_empty(
        self,
        cell: ServingCell,
        settings: CellSettings,
        kill: Callable[[], None],
        until: Callable[[Callable[[], bool]], None],
    ) -> None:
        kill()

        until(lambda: not cell.status(PLACED).answered)
        with pytest.raises(CellSilentError):
            cell.apply(self.serve(settings, 1))
        with pytest.raises(CellSilentError):
            cell.drain("00" * 28, "test", timedelta(minutes=2))
