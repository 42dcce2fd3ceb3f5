"""One WSGI layer in front of all three clouds: it records calls, and lets silent regions hang.

A request to a silent region is never answered: the client's own timeout ends it, as with a real outage.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from providers.emulator.world import CloudWorld
from state.model.ids import RegionId

HANG: Final = timedelta(seconds=60)
POLL: Final = timedelta(milliseconds=200)
RECORDED_MAX: Final = 10_000

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that a cloud got."""

    method: str
    path: str
    query: str


class Middleware:
    """Wraps one cloud's application."""

    def __init__(
        self, application: Application, world: CloudWorld, region_of: Callable[[Environ], RegionId | None]
    ) -> None:
        """Find each request's region with *region_of*; None: the request concerns no single region."""
        self._application = application
        self._world = world
        self._region_of = region_of
        self._lock = threading.Lock()
        self.calls: deque[Call] = deque(maxlen=RECORDED_MAX)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, unless the region is silent."""
        with self._lock:
            self.calls.append(Call(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")))
        region = self._region_of(environ)
        if region in self._world.silent:
            self._hang(region)
            start_response("504 Gateway Timeout", [("Content-Type", "text/plain"), ("Connection", "close")])
            return [b""]
        return self._application(environ, start_response)

    def _hang(self, region: RegionId | None) -> None:
        clock = self._world.clock
        until = clock.now() + HANG
        while region in self._world.silent and clock.now() < until:
            clock.sleep(POLL)
