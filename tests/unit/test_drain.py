"""What Ray is asked when a node is drained, by a server of its autoscaler service on the loopback."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from inference.errors import CellRefusedError
from inference.ray.cell import RayCells
from inference.ray.drain import _CLASS, SERVICE
from state.clock import ManualClock
from state.model.settings import CellSettings
from tests.builders import NOON, a_region

NODE = "ab" * 28


class Autoscaler(grpc.GenericRpcHandler):  # type: ignore[misc]  # it comes without types
    """Remembers what it is asked to drain."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.accepts = True

    def service(self, details: Any) -> Any:
        assert details.method == f"{SERVICE}/DrainNode"
        return grpc.unary_unary_rpc_method_handler(
            self._drain,
            request_deserializer=_CLASS["DrainNodeRequest"].FromString,
            response_serializer=_CLASS["DrainNodeReply"].SerializeToString,
        )

    def _drain(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return _CLASS["DrainNodeReply"](is_accepted=self.accepts, rejection_reason_message="busy")


@pytest.fixture
def served() -> Iterator[tuple[Autoscaler, int]]:
    handler = Autoscaler()
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, port
    server.stop(None)


def test_a_node_has_until_the_time_is_over_that_the_plan_gives_it(
    served: tuple[Autoscaler, int], tmp_path: Path
) -> None:
    handler, port = served
    (tmp_path / "token").write_text("t")
    cell = RayCells(tmp_path / "token", ManualClock(NOON))(CellSettings(a_region(), "127.0.0.1", gcs_port=port))

    cell.drain(NODE, "it moves", timedelta(minutes=6))

    [asked] = handler.asked
    assert asked.node_id == bytes.fromhex(NODE)
    assert asked.deadline_timestamp_ms == (NOON + timedelta(minutes=6)).timestamp() * 1000
    assert asked.reason_message == "it moves"
    handler.accepts = False
    with pytest.raises(CellRefusedError, match="busy"):
        cell.drain(NODE, "it moves", timedelta(minutes=6))
