"""The embedded clouds' server keeps connections, as the real clouds' do, and none after it has stopped."""

from collections.abc import Iterable, Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from providers.emulator.listener import Listener
from providers.emulator.middleware import Environ, StartResponse

PEERS: list[str] = []


def careless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the path, and leave the request's body unread unless it is asked to be read."""
    PEERS.append(environ["REMOTE_PORT"])
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), body]


@pytest.fixture
def listener() -> Iterator[Listener]:
    PEERS.clear()
    listener = Listener(careless)
    yield listener
    listener.stop()


def connected(listener: Listener) -> HTTPConnection:
    where = urlsplit(listener.url)
    return HTTPConnection(str(where.hostname), where.port, timeout=5)


def asked(connection: HTTPConnection, path: str, body: bytes | None = None) -> bytes:
    connection.request("POST" if body else "GET", path, body)
    return connection.getresponse().read()


def test_many_requests_go_over_one_connection_whatever_is_left_unread(listener: Listener) -> None:
    connection = connected(listener)

    answers = [asked(connection, path, body) for path, body in (("/a", b"x" * 100_000), ("/read", b"yz"), ("/c", None))]

    assert answers == [b"/a", b"/readyz", b"/c"]
    assert len(set(PEERS)) == 1


def test_a_body_that_is_longer_than_it_says_is_not_read_as_its_own(listener: Listener) -> None:
    connection = connected(listener)
    connection.putrequest("POST", "/read")
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"yzGET /next HTTP/1.1\r\nHost: x\r\n\r\n")

    assert connection.getresponse().read() == b"/readyz"


def test_open_connections_end_with_the_server(listener: Listener) -> None:
    connection = connected(listener)
    assert asked(connection, "/a") == b"/a"

    listener.stop()

    with pytest.raises(ConnectionError):
        asked(connection, "/b")
