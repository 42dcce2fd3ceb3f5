"""The WSGI layer in front of each cloud: it records calls, injects faults, and hangs for unreachable regions.

A request to an unreachable region gets no response: the client's own timeout ends it, as in a real outage.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from providers.faults import DONE_FIRST, Fault, FaultBoard, FaultKind
from providers.registry import CLOUDS
from state.clock import Clock
from state.model.ids import ProviderName, RegionId

HANG: Final = timedelta(seconds=60)
POLL: Final = timedelta(milliseconds=50)
RECORDED_MAX: Final = 10_000

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded request and its response."""

    method: str
    path: str
    query: str
    operation: str
    """The operation of the `Provider` protocol that the request is part of; empty for none."""
    request: bytes = b""
    status: int = 0
    response: bytes = b""


class WireFormat(Protocol):
    """The parts of a cloud's wire format that the middleware needs."""

    name: str

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the region of a request; None if it has none, or several."""

    def operation_of(self, environ: Environ) -> str:
        """Return the operation of the `Provider` protocol that a request is part of; empty for none."""

    def error(self, environ: Environ, code: str, message: str, inner: str = "") -> tuple[str, bytes]:
        """Return the content type and body of the cloud's error response; *inner* is the code of a nested detail."""


class MiddlewareBackend(Protocol):
    """The parts of a backend that the middleware needs."""

    unreachable: set[RegionId]
    faults: FaultBoard
    clock: Clock
    closed: threading.Event

    def advance(self) -> None:
        """Apply the events whose time has passed."""


class Middleware:
    """A WSGI application that wraps one cloud's."""

    def __init__(self, application: Application, backend: MiddlewareBackend, wire_format: WireFormat) -> None:
        """Wrap *application*, with no calls recorded yet."""
        self._application = application
        self._backend = backend
        self._wire_format = wire_format
        self._lock = threading.Lock()
        self.calls: deque[Call] = deque(maxlen=RECORDED_MAX)
        self.record_bodies = False
        """Whether calls are recorded with their bodies and status."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Respond as the application does, unless the region is unreachable or a fault applies."""
        self._backend.advance()
        region, operation = self._wire_format.region_of(environ), self._wire_format.operation_of(environ)
        if region in self._backend.unreachable:
            self._record(environ, operation)
            self._hang(HANG, lambda: region in self._backend.unreachable)
            return _cut(environ, start_response)
        fault = self._backend.faults.strike(self._wire_format.name, operation, region)
        if fault is not None and fault.kind is FaultKind.DELAY:
            self._hang(timedelta(seconds=fault.seconds))
        elif fault is not None:
            self._record(environ, operation)
            return self._fail(fault, environ, start_response)
        return self._respond(environ, start_response, operation)

    def pop_calls(self) -> list[Call]:
        """Return the calls since the last time."""
        with self._lock:
            found = list(self.calls)
            self.calls.clear()
            return found

    def _respond(self, environ: Environ, start_response: StartResponse, operation: str) -> Iterable[bytes]:
        if not self.record_bodies:
            self._record(environ, operation)
            return self._application(environ, start_response)
        sent, statuses = body_of(environ), list[str]()

        def capture(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(status)
            return start_response(status, headers, *rest)

        body = b"".join(self._application(environ, capture))
        self._record(environ, operation, sent, int(statuses[0].split()[0]), body)
        return [body]

    def _record(
        self, environ: Environ, operation: str, request: bytes = b"", status: int = 0, response: bytes = b""
    ) -> None:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        with self._lock:
            self.calls.append(Call(method, path, query, operation, request, status, response))

    def _fail(self, fault: Fault, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Respond as a fault demands; a fault after execution runs the request and discards its response."""
        if fault.kind in DONE_FIRST:
            for _ in self._application(environ, lambda *_: None):
                pass
        if fault.kind in {FaultKind.TIMEOUT, FaultKind.LOST}:
            self._hang(timedelta(seconds=fault.seconds) or HANG)
        if fault.kind in {FaultKind.TIMEOUT, FaultKind.LOST, FaultKind.DROP, FaultKind.DROP_AFTER}:
            return _cut(environ, start_response)
        if fault.kind is FaultKind.GARBAGE:
            start_response("502 Bad Gateway", [("Content-Type", "text/html")])
            return [b"<html><body><h1>502 Bad Gateway</h1></body></html>"]
        status, code = fault.answer(CLOUDS[ProviderName(self._wire_format.name)].profile.fault_answers)
        kind, body = self._wire_format.error(environ, code, f"injected: {fault.kind}", fault.inner)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        if fault.kind is FaultKind.THROTTLE and fault.seconds:
            until = self._backend.clock.now() + timedelta(seconds=fault.seconds)
            dated = format_datetime(until, usegmt=True)  # the server sends a date of its own
            headers.append(("Retry-After", dated if fault.is_dated else f"{fault.seconds:g}"))
        start_response(f"{status} Injected", headers)
        return [body]

    def _hang(self, timeout: timedelta, condition: Callable[[], bool] = lambda: True) -> None:
        clock = self._backend.clock
        deadline = clock.now() + timeout
        while condition() and clock.now() < deadline and not self._backend.closed.is_set():
            clock.sleep(POLL)


def _cut(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Close the connection without a response."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    start_response("504 Gateway Timeout", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [b""]


def body_of(environ: Environ) -> bytes:
    """Return a request's body, which stays readable."""
    sent: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(sent)
    return sent


def form_of(environ: Environ) -> dict[str, str]:
    """Return a form's fields, empty for another content type; the body stays readable."""
    if "application/x-www-form-urlencoded" not in environ.get("CONTENT_TYPE", ""):
        return {}
    return dict(parse_qsl(body_of(environ).decode()))
