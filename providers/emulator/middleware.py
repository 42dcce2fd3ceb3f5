"""One WSGI layer in front of all three clouds: it records calls, injects faults, and lets silent regions hang.

A request to a silent region is never answered: the client's own timeout ends it, as with a real outage.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
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
    """One request that a cloud got, and what it answered."""

    method: str
    path: str
    query: str
    operation: str
    """One of the provider's operations, or empty."""
    request: bytes = b""
    status: int = 0
    response: bytes = b""


class Dialect(Protocol):
    """How one cloud is spoken to."""

    name: str

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the region of a request; None where it concerns no single one."""

    def operation_of(self, environ: Environ) -> str:
        """Return which of the provider's operations a request belongs to; empty for none."""

    def error(self, environ: Environ, code: str, message: str) -> tuple[str, bytes]:
        """Return the content type and body with which the cloud says an error."""


class Stage(Protocol):
    """What stands behind a cloud's API, as far as this layer is concerned."""

    silent: set[RegionId]
    faults: FaultBoard
    clock: Clock
    closed: threading.Event

    def advance(self) -> None:
        """Let happen what is due."""


class Middleware:
    """Wraps one cloud's application."""

    def __init__(self, application: Application, world: Stage, dialect: Dialect) -> None:
        """Prepare; nothing was called yet."""
        self._application = application
        self._world = world
        self._dialect = dialect
        self._lock = threading.Lock()
        self.calls: deque[Call] = deque(maxlen=RECORDED_MAX)
        self.keep_bodies = False
        """Whether requests and answers are kept whole, for referees."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, unless the region is silent or a fault says otherwise."""
        self._world.advance()
        region, operation = self._dialect.region_of(environ), self._dialect.operation_of(environ)
        if region in self._world.silent:
            self._note(environ, operation)
            self._hang(HANG, lambda: region in self._world.silent)
            return _cut(environ, start_response)
        fault = self._world.faults.strike(self._dialect.name, operation, region)
        if fault is not None and fault.kind is FaultKind.DELAY:
            self._hang(timedelta(seconds=fault.seconds))
        elif fault is not None:
            self._note(environ, operation)
            return self._fail(fault, environ, start_response)
        return self._answer(environ, start_response, operation)

    def taken(self) -> list[Call]:
        """Return the calls since this was last asked, and forget them."""
        with self._lock:
            found = list(self.calls)
            self.calls.clear()
            return found

    def _answer(self, environ: Environ, start_response: StartResponse, operation: str) -> Iterable[bytes]:
        if not self.keep_bodies:
            self._note(environ, operation)
            return self._application(environ, start_response)
        sent, told = body_of(environ), list[str]()

        def remember(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            told.append(status)
            return start_response(status, headers, *rest)

        body = b"".join(self._application(environ, remember))
        self._note(environ, operation, sent, int(told[0].split()[0]), body)
        return [body]

    def _note(
        self, environ: Environ, operation: str, request: bytes = b"", status: int = 0, response: bytes = b""
    ) -> None:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        with self._lock:
            self.calls.append(Call(method, path, query, operation, request, status, response))

    def _fail(self, fault: Fault, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let a call go wrong; what is done first is done whole, and its answer is thrown away."""
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
        status, code = fault.answer(CLOUDS[ProviderName(self._dialect.name)].profile.fault_answers)
        kind, body = self._dialect.error(environ, code, f"injected: {fault.kind}")
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        if fault.kind is FaultKind.THROTTLE and fault.seconds:
            headers.append(("Retry-After", f"{fault.seconds:g}"))
        start_response(f"{status} Injected", headers)
        return [body]

    def _hang(self, most: timedelta, goes_on: Callable[[], bool] = lambda: True) -> None:
        clock = self._world.clock
        until = clock.now() + most
        while goes_on() and clock.now() < until and not self._world.closed.is_set():
            clock.sleep(POLL)


def _cut(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """End the connection without an answer."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    start_response("504 Gateway Timeout", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [b""]


def body_of(environ: Environ) -> bytes:
    """Return the body of a request, and leave it to be read again."""
    sent: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(sent)
    return sent


def form_of(environ: Environ) -> dict[str, str]:
    """Return the fields of a form, and leave it to be read again."""
    if "application/x-www-form-urlencoded" not in environ.get("CONTENT_TYPE", ""):
        return {}
    return dict(parse_qsl(body_of(environ).decode()))
