"""Werkzeug's server for the embedded clouds: on loopback, with keep-alive and without a request log.

Werkzeug closes every connection after one response, since it does not delimit a request's body from the next request.
Real clouds keep connections open, which saves clients a handshake per call.
"""

import contextlib
import io
import socket
import ssl
import threading
from typing import Final

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from providers.emulator.middleware import Application

LOOPBACK: Final = "127.0.0.1"


class _Body(io.RawIOBase):
    """The body of one request: ends after its Content-Length, although the connection continues."""

    def __init__(self, stream: io.BufferedIOBase, length: int) -> None:
        self._stream, self._left = stream, length

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        count = self._stream.readinto(memoryview(into)[: self._left])
        self._left -= count
        return count


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are written apart, and must not wait for each other

    def setup(self) -> None:
        """Register the connection with the listener."""
        super().setup()
        self.server.connections.add(self.connection)  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Remove the connection from the listener."""
        self.server.connections.discard(self.connection)  # type: ignore[attr-defined]
        super().finish()

    def run_wsgi(self) -> None:
        """Respond to one request, and read the rest of its body, so that the next request is parsed correctly."""
        if "Transfer-Encoding" in self.headers:
            super().run_wsgi()
            self.close_connection = True
            return
        connection = self.rfile
        body = _Body(connection, int(self.headers.get("Content-Length") or 0))
        self.rfile = body  # type: ignore[assignment]
        try:
            super().run_wsgi()
            body.readall()
        finally:
            self.rfile = connection

    def send_header(self, keyword: str, value: str) -> None:
        """Send a header, except Werkzeug's `Connection: close`."""
        if (keyword, value) != ("Connection", "close"):
            super().send_header(keyword, value)

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  werkzeug's own name
        """Drop the line: the middleware records calls."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Drop the line."""


class Listener:
    """A running server of a WSGI application on a free port; `url` is its address."""

    def __init__(self, application: Application | Flask, context: ssl.SSLContext | None = None) -> None:
        """Start to listen, with TLS if there is a *context*."""
        options = {"threaded": True, "request_handler": _Handler, "ssl_context": context}
        self._server = make_server(LOOPBACK, 0, application, **options)  # type: ignore[arg-type]
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._connections: set[socket.socket] = set()
        self._server.connections = self._connections  # type: ignore[attr-defined]
        self.url = f"{'https' if context else 'http'}://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and close the open connections."""
        self._server.shutdown()
        self._server.server_close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
