"""The gateway with a real HAProxy, in front of small real servers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from inference.errors import GatewayError
from inference.gateway.process import HaproxyGateway
from state.clock import SystemClock
from state.model.ids import ApplicationName, RegionId
from state.model.serving import ApplicationRoute, Backend, RoutingTable

CLOCK = SystemClock()


class Server:
    """A cell's proxy, as the gateway sees one."""

    def __init__(self, name: str) -> None:
        outer = self
        self.name = name
        self.served = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path != "/-/healthz":
                    outer.served += 1
                body = outer.name.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class QuietServer(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A health check that hangs up is no error."""

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server("aws/us-east-1"), Server("gcp/us-central1")]
    yield made
    for server in made:
        server.stop()


@pytest.fixture
def gateway() -> Iterator[HaproxyGateway]:
    with TemporaryDirectory(prefix="gw") as folder:
        gateway = HaproxyGateway(Path(folder), f"127.0.0.1:{free_port()}")
        yield gateway
        gateway.stop()


def table(*servers: Server, weights: tuple[int, ...] = (256, 256)) -> RoutingTable:
    pairs = zip(servers, weights, strict=False)
    backends = tuple(Backend(RegionId(s.name), s.address, weight) for s, weight in pairs)
    return RoutingTable((ApplicationRoute(ApplicationName("chat"), "/chat", backends),))


def get(gateway: HaproxyGateway, path: str = "/chat") -> httpx.Response:
    return httpx.get(f"http://{gateway.listen}{path}", timeout=5, trust_env=False)


def test_names_the_region_that_answered(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))

    answers = {(r.text, r.headers["x-skerry-region"]) for r in (get(gateway) for _ in range(40))}

    assert answers == {("aws/us-east-1",) * 2, ("gcp/us-central1",) * 2}


def test_what_no_application_serves_is_not_found(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))

    assert get(gateway, "/other").status_code == 404
    assert get(gateway, "/chatter").status_code == 404
    assert get(gateway, "/-/healthz").status_code == 200


def test_a_dead_server_fails_no_request(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))
    assert get(gateway).status_code == 200

    servers[0].stop()
    statuses = [get(gateway).status_code for _ in range(60)]

    assert set(statuses) == {200}


def test_no_request_is_dropped_while_tables_are_replaced(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))
    stop = threading.Event()

    def load() -> list[int]:
        statuses = []
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not stop.is_set():
                statuses.append(client.get(f"http://{gateway.listen}/chat").status_code)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load) for _ in range(4)]
        for _ in range(15):
            gateway.apply(table(servers[0]))
            gateway.apply(table(*servers))
        stop.set()
        statuses = [status for future in running for status in future.result()]

    assert len(statuses) > 30
    assert set(statuses) == {200}


def test_weights_are_set_in_the_running_process(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))
    for _ in range(5):
        get(gateway)

    gateway.apply(table(*servers, weights=(256, 1)))

    assert sum(backend.requests for backend in gateway.observe().backends) == 5, "a reload would begin anew"
    for _ in range(60):
        get(gateway)
    counted = gateway.observe()
    assert sum(backend.requests for backend in counted.backends) == 65
    assert {backend.application for backend in counted.backends} == {"chat"}
    assert servers[0].served > servers[1].served


def test_a_table_that_haproxy_refuses_leaves_the_last_good_one(gateway: HaproxyGateway, servers: list[Server]) -> None:
    good = table(*servers)
    gateway.apply(good)
    backends = (Backend(RegionId("aws/x"), "not an address", 1),)
    bad = RoutingTable((ApplicationRoute(ApplicationName("chat"), "/chat", backends),))

    with pytest.raises(GatewayError, match="refuses the new table"):
        gateway.apply(bad)

    assert gateway.table() == good
    assert get(gateway).status_code == 200


def test_a_long_path_is_no_obstacle(servers: list[Server]) -> None:
    with TemporaryDirectory(prefix="gw") as folder:
        gateway = HaproxyGateway(Path(folder) / ("deep" * 30) / "gateway", f"127.0.0.1:{free_port()}")

        gateway.apply(table(*servers))

        assert get(gateway).status_code == 200
        gateway.stop()


def test_starts_again_on_the_last_good_table(gateway: HaproxyGateway, servers: list[Server]) -> None:
    gateway.apply(table(*servers))
    gateway.stop()
    assert not gateway.is_running()

    gateway.ensure_running()

    assert get(gateway).status_code == 200


def test_an_address_that_is_taken_is_reported(servers: list[Server]) -> None:
    with TemporaryDirectory(prefix="gw") as folder:
        gateway = HaproxyGateway(Path(folder), servers[0].address)

        with pytest.raises(GatewayError, match="did not start on"):
            gateway.ensure_running()
