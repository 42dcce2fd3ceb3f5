"""The embedded clouds of one SKERRY_HOME: start, stop, clean-up after a crash, and the client of their control API."""

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from inference.gateway.process import HaproxyGateway
from providers.emulator.regions import CATALOG, EmulatedRegion, load_regions, rebalance_queue
from providers.processes import (
    SessionLog,
    end_session,
    kill_session,
    members,
    start_recorded,
    uninterrupted,
)
from scheduler.documents.files import read_text
from scheduler.documents.settings_file import EmbeddedModel, Settings, home_folder, load_settings, settings_file
from scheduler.embedded.networks import (
    DASHBOARD_PORT,
    GCS_PORT_BASE,
    SERVE_PORT,
    NoNetworkError,
    chosen_port,
    claimed_network,
    is_free,
)
from scheduler.embedded.steps import LocalProgress, LocalStep
from state.clock import Clock, SystemClock, draw_secret
from state.model.ids import RegionId, derive_id

START_MAX: Final = timedelta(seconds=60)
POLL: Final = timedelta(milliseconds=100)
GATEWAY_PORT: Final = 8080
GRACE: Final = timedelta(seconds=12)
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "embedded",
    "AWS_SECRET_ACCESS_KEY": "embedded",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000002",
    "AZURE_CLIENT_SECRET": "embedded",
}
"""What the SDKs' own credential chains find on the embedded clouds, which accept any."""

Progress = Callable[[LocalProgress], None]


class LocalError(Exception):
    """The embedded clouds cannot do what was requested; the message has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class ReactionTimes:
    """Intervals and timeouts of the embedded installation, in seconds; shorter than the defaults."""

    tick_seconds: float = 2.0
    suspect_after: float = 4.0
    down_after: float = 10.0
    recover_after: float = 60.0
    cloud_timeout: float = 3.0


class Local:
    """The processes of the embedded clouds of one home."""

    def __init__(self, home: Path | None = None, clock: Clock | None = None) -> None:
        """Name the folders; nothing starts yet.

        Args:
            home: The home; None: SKERRY_HOME.
            clock: The clock; None: the system's.
        """
        self.home = home or home_folder()
        self.clock = clock or SystemClock()
        short = derive_id("sk", str(self.home))[:9]
        self.host_folder = Path(tempfile.gettempdir()) / short
        """Folder of the machines' files. Ray creates sockets below it, so the path must be short."""
        self.log = SessionLog(self.home / "sessions.jsonl")
        self._machines = SessionLog(self.host_folder / "sessions.jsonl")

    def sessions(self) -> tuple[int, ...]:
        """Return the ids of this home's process sessions that still run."""
        return self.log.sessions() + self._machines.sessions()

    def up(
        self, apps: tuple[Path, ...], times: ReactionTimes | None = None, progress: Progress = lambda _: None
    ) -> Settings:
        """Start the clouds and the gateway, and return the settings, which are written to the settings file.

        Args:
            apps: Folders of Serve applications, on the machines' PYTHONPATH.
            times: Intervals and timeouts; None: the defaults.
            progress: Receives each step.

        Raises:
            LocalError: They already run, the settings file is for real clouds, or they fail to start.
            DocumentError: The settings file cannot be read.
            OSError: The home cannot be made or written.
        """
        path = settings_file()
        if path.exists() and "embedded:" not in read_text(path):
            msg = f"{path} is for real clouds: set SKERRY_HOME to another folder"
            raise LocalError(msg)
        if self.sessions():
            msg = f"the embedded clouds of {self.home} already run; stop them with `skerry local down`"
            raise LocalError(msg)
        self.home.mkdir(parents=True, exist_ok=True)
        for stale in ("skerry.db", "skerry.db-wal", "skerry.db-shm", "clouds/clouds.json"):
            (self.home / stale).unlink(missing_ok=True)
        self.host_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = self.home / "ray-token"
        token.touch(mode=0o600)
        token.write_text(draw_secret())
        progress(LocalProgress(LocalStep.CLOUDS_START))
        try:
            with claimed_network(derive_id("n", str(self.home))) as (network, claim):
                addresses = self._start_clouds(apps, token, network, claim)
        except NoNetworkError as error:
            msg = (
                "no loopback network is free: stop other embedded clouds with `skerry local down` in their SKERRY_HOME"
            )
            raise LocalError(msg) from error
        with chosen_port(GATEWAY_PORT) as port:
            settings = self._write_settings(addresses, token, load_regions(network), times or ReactionTimes(), port)
            progress(LocalProgress(LocalStep.GATEWAY_STARTS))
            self._start_gateway(settings)
        return settings

    def _start_gateway(self, settings: Settings) -> None:
        gateway = HaproxyGateway(settings.gateway_folder, settings.gateway.listen, self.clock)
        with uninterrupted():
            gateway.ensure_running()
            pid = gateway.master_pid()
            if pid is not None:
                self.log.add(pid)

    def _start_clouds(self, apps: tuple[Path, ...], token: Path, network: int, claim: int) -> dict[str, str]:
        folder = self.home / "clouds"
        command = [sys.executable, "-m", "providers.emulator.clouds", "--folder", str(folder)]
        command += ["--host-folder", str(self.host_folder), "--ray-token-file", str(token)]
        command += ["--first-network", str(network)]
        for app in apps:
            command += ["--apps", str(app.absolute())]
        sid = start_recorded(command, os.environ, self.home / "clouds.log", self.log, keep_open=(claim,))
        ready, deadline = folder / "clouds.json", self.clock.now() + START_MAX
        while not ready.exists():
            if not members(sid) or self.clock.now() > deadline:
                msg = f"the embedded clouds did not start; see {self.home / 'clouds.log'}"
                raise LocalError(msg)
            self.clock.sleep(POLL)
        addresses: dict[str, str] = json.loads(ready.read_text())
        return addresses

    def _write_settings(
        self,
        addresses: dict[str, str],
        token: Path,
        regions: tuple[EmulatedRegion, ...],
        times: ReactionTimes,
        port: int,
    ) -> Settings:
        document = {
            "tick_seconds": times.tick_seconds,
            "health": {
                "suspect_after": times.suspect_after,
                "down_after": times.down_after,
                "recover_after": times.recover_after,
            },
            "gateway": {"listen": f"127.0.0.1:{port}"},
            "ray_token_file": str(token),
            "price_catalog": str(CATALOG),
            "providers": provider_settings(addresses, regions, times.cloud_timeout),
            "cells": {region.id: _cell(region) for region in regions},
            "embedded": {
                "control": addresses["control"],
                "control_token_file": addresses["control_token_file"],
                "host_folder": str(self.host_folder),
                "environment": CREDENTIALS,
            },
        }
        path = settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# Written by `skerry local up`.\n" + yaml.safe_dump(document, sort_keys=False))
        return load_settings()

    def down(self, progress: Progress = lambda _: None) -> tuple[int, ...]:
        """End every process of this home, and return the ids of sessions that did not end."""
        left: list[int] = []
        for sid in reversed(self.log.sessions()):
            progress(LocalProgress(LocalStep.PROCESSES_END, sid))
            if not end_session(sid, GRACE, self.clock):
                left.append(sid)
        for sid in self._machines.sessions():
            progress(LocalProgress(LocalStep.MACHINE_ENDS, sid))
            if not kill_session(sid, self.clock):
                left.append(sid)
        if not left:
            self.log.clear()
            self._machines.clear()
            shutil.rmtree(self.host_folder, ignore_errors=True)
        return tuple(left)

    def ports_in_use(self, settings: Settings) -> tuple[str, ...]:
        """Return this home's HOST:PORT addresses that are in use; none after a complete `down`."""
        used = [("127.0.0.1", int(settings.gateway.listen.rpartition(":")[2]))]
        for cell in settings.cells.values():
            used += [(cell.head_address, cell.dashboard_port), (cell.head_address, cell.serve_port)]
            used.append(("0.0.0.0", cell.gcs_port))  # noqa: S104  where Ray binds it
        return tuple(f"{host}:{port}" for host, port in used if not is_free(host, port))

    def processes(self) -> int:
        """Return the number of this home's processes that run."""
        return sum(len(members(sid)) for sid in self.sessions())


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Lock a home while the block runs: a second demo would end the first one's processes as stale.

    Raises:
        LocalError: Another process has locked it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f"another demo runs in {home}: wait until it ends, or set SKERRY_HOME to another folder"
            raise LocalError(msg) from error
        yield


class Control:
    """A client of the embedded clouds' control API.

    Every method raises `LocalError` with the reason if the clouds refuse, and `httpx.HTTPError` if they do not respond.
    """

    def __init__(self, embedded: EmbeddedModel) -> None:
        """Read the token; nothing is called yet."""
        token = Path(embedded.control_token_file).read_text()
        self._http = httpx.Client(
            base_url=embedded.control, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def inject(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to an action of the control API, such as `faults` or `reclaim`."""
        return self._call("POST", action, body)

    def faults(self) -> dict[str, Any]:
        """Return the faults in force."""
        return self._call("GET", "faults")

    def clear_faults(self) -> dict[str, Any]:
        """Remove all faults, and return their number as `cleared`."""
        return self._call("DELETE", "faults")

    def status(self) -> dict[str, Any]:
        """Return the active machines, the unreachable regions and the failed zones."""
        return self._call("GET", "status")

    def lose(self, region: RegionId) -> list[str]:
        """Take a region down, and return the names of the machines lost."""
        lost: list[str] = self.inject("lose", {"region": region})["lost"]
        return lost

    def restore(self, region: RegionId) -> None:
        """Make a region's API respond again."""
        self.inject("restore", {"region": region})

    def _call(self, method: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._http.request(method, f"/_skerry/{action}", json=body)
        content: dict[str, Any] = response.json()
        if response.is_error:
            raise LocalError(content.get("error", f"the embedded clouds respond with status {response.status_code}"))
        return content


def provider_settings(addresses: dict[str, str], regions: tuple[EmulatedRegion, ...], timeout: float) -> dict[str, Any]:
    """Return the `providers` section of the settings for embedded clouds that listen at *addresses*."""
    names = {p: [r.name for r in regions if r.provider == p] for p in ("aws", "gcp", "azure")}
    return {
        "aws": {
            "regions": names["aws"],
            "images": dict.fromkeys(names["aws"], "ami-12c6146b"),
            "rebalance_queues": dict.fromkeys(names["aws"], rebalance_queue(addresses["aws"])),
            "endpoint_url": addresses["aws"],
            "timeout_seconds": timeout,
        },
        "gcp": {
            "project": "embedded",
            "regions": names["gcp"],
            "image": "projects/embedded/global/images/skerry",
            "endpoint": addresses["gcp"],
            "timeout_seconds": timeout,
        },
        "azure": {
            "subscription_id": "00000000-0000-0000-0000-000000000000",
            "resource_group": "skerry",
            "regions": names["azure"],
            "image": "/images/skerry",
            "subnets": {name: f"/subnets/{name}" for name in names["azure"]},
            "head_interfaces": {name: f"/networkInterfaces/skerry-head-{name}" for name in names["azure"]},
            "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEembedded",
            "endpoint": addresses["azure"],
            "ca_file": addresses["ca_file"],
            "prices_url": f"{addresses['azure']}/api/retail/prices",
            "timeout_seconds": timeout,
        },
    }


def _cell(region: EmulatedRegion) -> dict[str, Any]:
    return {
        "head_address": region.head_address,
        "gcs_port": GCS_PORT_BASE + region.network,
        "dashboard_port": DASHBOARD_PORT,
        "serve_port": SERVE_PORT,
        "serve_host": region.head_address,
        # All Serve proxies bind the same host setting, so on one computer only the head's has its own address.
        "proxy_location": "HeadOnly",
    }
