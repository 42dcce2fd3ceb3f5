"""The host of the embedded clouds: boots a machine by running its start-up script as local processes.

Environment variables stand in for a real machine's image, metadata service and secret store: the `ray` command, the
address, the GPUs, the token's file. The script is the same.
"""

import os
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from providers.processes import SessionLog, end_session, kill_session, start_recorded
from state.clock import Clock
from state.model.ids import RegionId

GRACE: Final = timedelta(seconds=6)
"""Time between SIGTERM and SIGKILL of an ended machine; real clouds give more."""
RAY_ENVIRONMENT: Final = {
    "RAY_enable_worker_prestart": "0",
    "RAY_event_stats": "0",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "3",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_metrics_report_interval_ms": "10000",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_raylet_report_resources_period_milliseconds": "500",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    "RAY_START_HOOK": "providers.emulator.ray_start_hook.without_client_server",
    "RAY_task_events_report_interval_ms": "0",
}
"""Settings that reduce Ray's load, since many nodes share one computer; real clouds use the defaults."""
OBJECT_STORE_BYTES: Final = 80_000_000


@dataclass(frozen=True, slots=True)
class Boot:
    """The parameters of a machine's boot."""

    name: str
    region: RegionId
    script: str
    address: str
    vcpus: int
    gpus: int
    memory_gib: float


@dataclass(slots=True)
class _Running:
    boot: Boot
    sid: int | None
    """Its process session; None on a dry host."""
    is_ending: bool = False
    has_ended: bool = False


class Host:
    """Runs machines as process sessions; a dry host records boots and starts nothing, for tests without Ray."""

    def __init__(
        self, folder: Path, apps: tuple[Path, ...], token_file: Path, clock: Clock, *, dry: bool = False
    ) -> None:
        """Use *folder* for logs and Ray's files; its path must be short, since Ray creates sockets below it.

        Args:
            folder: The folder of all machines.
            apps: Folders on the machines' PYTHONPATH.
            token_file: The file of the Ray token.
            clock: The clock for grace periods.
            dry: Whether machines start no processes.
        """
        self._folder = folder
        self._apps = apps
        self._token_file = token_file
        self._clock = clock
        self._dry = dry
        self._log = SessionLog(folder / "sessions.jsonl")
        self.metadata_url: str | None = None
        """URL of the metadata services; None: machines have none."""
        self._machines: dict[str, _Running] = {}
        self._lock = threading.RLock()

    def booted(self) -> tuple[Boot, ...]:
        """Return the boots so far, in order."""
        with self._lock:
            return tuple(running.boot for running in self._machines.values())

    def boot(self, boot: Boot) -> None:
        """Run a machine's start-up script; a repeated name does nothing."""
        with self._lock:
            if boot.name in self._machines:
                return
            self._machines[boot.name] = _Running(boot, None if self._dry else self._start(boot))

    def _start(self, boot: Boot) -> int:
        folder = self._folder / boot.name[-8:]
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "start.sh"
        script.write_text(boot.script)
        environment = machine_environment(boot, folder, self._apps, self._token_file)
        if self.metadata_url is not None:
            environment["SKERRY_METADATA"] = f"{self.metadata_url}/machine/{boot.name}"
        return start_recorded(["/bin/bash", str(script)], environment, folder / "log", self._log)

    def end(self, name: str) -> None:
        """Begin to end a machine as a cloud does: SIGTERM, then SIGKILL after a grace period. Returns at once."""
        with self._lock:
            machine = self._machines.get(name)
            if machine is None or machine.is_ending:
                return
            machine.is_ending = True
            if machine.sid is None:
                machine.has_ended = True
                return
        threading.Thread(target=self._end, args=(machine, machine.sid), daemon=True).start()

    def _end(self, machine: _Running, sid: int) -> None:
        while not end_session(sid, GRACE, self._clock):
            """Repeat until every process has ended."""
        machine.has_ended = True

    def has_ended(self, name: str) -> bool:
        """Return whether no process of a machine runs; one that never booted counts as ended."""
        with self._lock:
            machine = self._machines.get(name)
            return machine is None or machine.has_ended

    def kill_region(self, region: RegionId) -> tuple[str, ...]:
        """Kill every machine of a region in parallel, and return their names."""
        with self._lock:
            lost = [m for m in self._machines.values() if m.boot.region == region and not m.has_ended]
            for machine in lost:
                machine.is_ending = True
        threads = [threading.Thread(target=self._kill, args=(machine,)) for machine in lost]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return tuple(machine.boot.name for machine in lost)

    def _kill(self, machine: _Running) -> None:
        if machine.sid is not None:
            kill_session(machine.sid, self._clock)
        machine.has_ended = True

    def close(self) -> None:
        """Kill every machine that still runs."""
        with self._lock:
            machines = [m for m in self._machines.values() if not m.has_ended]
        for machine in machines:
            self._kill(machine)


def machine_environment(boot: Boot, folder: Path, apps: tuple[Path, ...], token_file: Path) -> dict[str, str]:
    """Return the environment of a machine's start-up script, which gives it a share of this computer.

    Args:
        boot: The machine.
        folder: Its HOME, TMPDIR and Ray folder.
        apps: Folders on PYTHONPATH.
        token_file: The file of the Ray token.
    """
    ray = Path(sys.executable).parent / "ray"
    arguments = [
        f"--temp-dir={folder}/r",
        f"--num-cpus={boot.vcpus}",
        f"--memory={int(boot.memory_gib * 1024**3)}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--dashboard-agent-listen-port=0",
        "--metrics-export-port=0",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--include-log-monitor=false",
    ]
    arguments += [f"--num-gpus={boot.gpus}"] if boot.gpus else ["--no-monitor"]
    project = Path(__file__).resolve().parents[2]
    network = int(boot.address.split(".")[1])
    return {
        # Each Ray head serves metrics on every address, so each needs ports of its own.
        "AUTOSCALER_METRIC_PORT": str(28_000 + network),
        "DASHBOARD_METRIC_PORT": str(27_000 + network),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": f"{ray.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": ":".join(map(str, (*apps, project))),
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "SKERRY_NODE_ADDRESS": boot.address,
        "SKERRY_RAY": str(ray),
        "SKERRY_RAY_ARGS": " ".join(arguments),
        "TMPDIR": str(folder),
        **RAY_ENVIRONMENT,
    }
