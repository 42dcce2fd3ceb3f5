"""Loopback networks and ports of the embedded clouds: each home has its own, whatever starts beside it."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NETWORK_SLOTS: Final = 24
REGIONS_PER_SLOT: Final = 10
REGIONS: Final = 6
GCS_PORT_BASE: Final = 26_000
DASHBOARD_PORT: Final = 8265
SERVE_PORT: Final = 8000


class NoNetworkError(Exception):
    """Every run of loopback networks is in use."""


@contextmanager
def claimed_network(seed: str) -> Iterator[tuple[int, int]]:
    """Yield (the first of a run of free loopback networks, the file that claims it), starting at a run by *seed*.

    A process that inherits the file keeps the claim until it ends; Ray binds the ports long after they are chosen.

    Raises:
        NoNetworkError: None is free.
    """
    start = int(seed[2:8], 16) % NETWORK_SLOTS
    for slot in [(start + n) % NETWORK_SLOTS for n in range(NETWORK_SLOTS)]:
        network = 10 + slot * REGIONS_PER_SLOT
        claim = os.open(_runtime_folder() / f"network-{network}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _locked(claim) and all(is_free(*address) for address in _addresses(network)):
                yield network, claim
                return
        finally:
            os.close(claim)
    raise NoNetworkError


@contextmanager
def chosen_port(wanted: int) -> Iterator[int]:
    """Yield *wanted* if it is free on loopback, else a port that is; no other home chooses before the block is done."""
    with (_runtime_folder() / "port").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield wanted if is_free("127.0.0.1", wanted) else _any_port()


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens at an address of this computer."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _addresses(network: int) -> Iterator[tuple[str, int]]:
    for n in range(network, network + REGIONS):
        yield f"127.{n}.0.1", DASHBOARD_PORT
        yield f"127.{n}.0.1", SERVE_PORT
        yield "0.0.0.0", GCS_PORT_BASE + n  # noqa: S104  where Ray binds it


def _locked(file: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _runtime_folder() -> Path:
    """Return a folder of this user alone, the same for every home."""
    folder = Path(tempfile.gettempdir()) / f"skerry-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
