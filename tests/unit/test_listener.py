"""The embedded clouds' server keeps connections open, as the real clouds do, and closes them when it stops."""

from collections.abc import Iterable, Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from providers.emulator.listener import Listener
from providers.emulator.middleware import Environ, StartResponse

PEERS: list[str] = []


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Respond with the path, and with the request's body for /read alone."""
    PEERS.append(environ["REMOTE_PORT"])
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), body]


@pytest.fixture
def listener() -> Iterator[Listener]:
    PEERS.clear()
    listener = Listener(application)
    yield listener
    listener.stop()


def connected(listener: Listener) -> HTTPConnection:
    url = urlsplit(listener.url)
    return HTTPConnection(str(url.hostname), url.port, timeout=5)


def response(connection: HTTPConnection, path: str, body: bytes | None = None) -> bytes:
    connection.request("POST" if body else "GET", path, body)
    return connection.getresponse().read()


def test_requests_share_one_connection_even_if_a_body_is_left_unread(listener: Listener) -> None:
    connection = connected(listener)

    bodies = [
        response(connection, path, body) for path, body in (("/a", b"x" * 100_000), ("/read", b"yz"), ("/c", None))
    ]

    assert bodies == [b"/a", b"/readyz", b"/c"]
    assert len(set(PEERS)) == 1


def test_a_body_ends_at_its_content_length(listener: Listener) -> None:
    connection = connected(listener)
    connection.putrequest("POST", "/read")
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"yzGET /next HTTP/1.1\r\nHost: x\r\n\r\n")

    assert connection.getresponse().read() == b"/readyz"


def test_open_connections_close_with_the_server(listener: Listener) -> None:
    connection = connected(listener)
    assert response(connection, "/a") == b"/a"

    listener.stop()

    with pytest.raises(ConnectionError):
        response(connection, "/b")
