"""A steady load of requests through the gateway, and the answer to each."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx

from state.clock import Clock

TIMEOUT_S: Final = 10.0
WORKERS: Final = 32
OK: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One request."""

    sent_at: datetime
    seconds: float
    status: int
    """HTTP status; 0 without an answer."""
    region: str


class SteadyLoad:
    """Sends requests at a fixed rate until it is stopped, whether or not earlier ones were answered."""

    def __init__(self, url: str, per_second: float, clock: Clock) -> None:
        """Prepare; nothing is sent yet."""
        self._url = url
        self._every = timedelta(seconds=1 / per_second)
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self._pool = ThreadPoolExecutor(WORKERS)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the answers that are pending."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True)
        self._http.close()

    def _run(self) -> None:
        due = self._clock.now()
        while not self._stop.is_set():
            self._pool.submit(self._send)
            due += self._every
            self._clock.sleep(due - self._clock.now())

    def _send(self) -> None:
        sent_at, start = self._clock.now(), self._clock.elapsed()
        try:
            response = self._http.get(self._url)
            status, region = response.status_code, response.headers.get("x-skerry-region", "")
        except httpx.HTTPError:
            status, region = 0, ""
        answer = Answer(sent_at, self._clock.elapsed() - start, status, region)
        with self._lock:
            self._answers.append(answer)

    def answers(self) -> tuple[Answer, ...]:
        """Return the answers so far."""
        with self._lock:
            return tuple(self._answers)

    def failed(self, since: datetime | None = None) -> int:
        """Return how many requests, sent at or after *since*, were not answered with 200."""
        return sum(a.status != OK for a in self.answers() if since is None or a.sent_at >= since)

    def by_region(self, last: int | None = None) -> dict[str, int]:
        """Return how many of the (last) requests each region answered."""
        answers = self.answers()
        counted = Counter(a.region or "none" for a in (answers if last is None else answers[-last:]))
        return dict(sorted(counted.items()))
