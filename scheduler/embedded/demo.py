"""The demo: the whole product on one computer, with figures.

Embedded clouds, a priced plan, real machines' scripts as local processes, real Ray Serve behind a real
HAProxy, a region lost under load, and everything ended and counted at the end.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from providers.processes import end_session, members, start_recorded, uninterrupted
from scheduler.daemon.converge import tick_until_stable
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import Settings
from scheduler.documents.spec_file import load_wanted
from scheduler.drills.live import Cut, LiveDrill, count_leaked
from scheduler.drills.load import SteadyLoad
from scheduler.drills.report import DrillProgress, DrillReport
from scheduler.embedded.local import Control, Local
from scheduler.embedded.steps import DemoProgress, DemoStep, LocalProgress
from scheduler.explain.resilience import ResiliencePrice, price_of_resilience
from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.history import ActionAttempted, EventKind
from state.model.ids import RegionId
from state.model.plan import ActionKind, Plan
from state.model.snapshot import Snapshot, Wanted

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "chat" / "capacity.yaml"
POLL: Final = timedelta(milliseconds=500)
SETTLE_MAX: Final = timedelta(minutes=4)
RECOVER_MAX: Final = timedelta(minutes=4)
END_MAX: Final = timedelta(minutes=2)
REQUESTS_PER_SECOND: Final = 12
WARM_FOR: Final = timedelta(seconds=3)
SAMPLE_EVERY_S: Final = 3.0
SHOWN: Final = frozenset({ActionKind.LAUNCH, ActionKind.SERVE, ActionKind.ROUTE})
DAEMON_GRACE: Final = timedelta(seconds=30)

Progress = Callable[[timedelta, DemoProgress | LocalProgress | DrillProgress], None]
"""Receives each step, and when it was: since the demo began."""


class DemoFailedError(Exception):
    """The demo did not reach its end; everything was ended all the same."""


@dataclass(slots=True)
class DemoReport:
    """What the demo showed; its JSON is `skerry demo --output json`."""

    recovered: bool = False
    seconds: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(
            ("total", "until_first_answer", "detect", "route_away", "decide", "acquire", "ready")
        )
    )
    requests: dict[str, int] = field(
        default_factory=lambda: {"sent": 0, "retried": 0, "failed": 0, "failed_after_recovery": 0}
    )
    usd_per_hour: dict[str, float] = field(default_factory=dict)
    regions: dict[str, list[str]] = field(default_factory=dict)
    instances_leaked: int = 0
    unreachable: list[str] = field(default_factory=list)
    """Regions whose machines could not be listed at the end."""
    processes_leaked: int = 0
    peak_memory_mib: int = 0

    @property
    def is_success(self) -> bool:
        """Whether it recovered, and certainly leaked nothing."""
        return self.recovered and not (self.instances_leaked or self.unreachable or self.processes_leaked)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


class MemoryPeak:
    """Samples the memory of every process of the demo: proportional set size, so that shared pages count once."""

    def __init__(self, local: Local) -> None:
        """Prepare; nothing is sampled yet."""
        self._local = local
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_mib = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            pids = {pid for sid in self._local.sessions() for pid in members(sid)} | {os.getpid()}
            self.peak_mib = max(self.peak_mib, sum(map(_pss_kib, pids)) // 1024)


def _pss_kib(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


class Demo:
    """One run of the demo."""

    def __init__(self, spec: Path, local: Local, progress: Progress) -> None:
        """Prepare; nothing is started yet."""
        self._spec = spec
        self._local = local
        self._clock = local.clock
        self._progress = progress
        self.report = DemoReport()
        self._start = self._clock.elapsed()
        self._daemon: int | None = None

    def run(
        self, show_plan: Callable[[Plan, tuple[ResiliencePrice, ...], Snapshot], None], *, keep: bool
    ) -> DemoReport:
        """Run the demo, and return its figures; everything is ended whatever happens, unless it is kept.

        Raises:
            DemoFailedError: A step did not end in time.
            LocalError, DocumentError: It could not begin.
        """
        memory = MemoryPeak(self._local)
        settings: Settings | None = None
        ports: Ports | None = None
        is_kept = False
        try:
            wanted = load_wanted(self._spec)
            settings = self._begin()
            memory.start()
            ports = open_ports(settings)
            self._apply(ports, wanted, show_plan)
            self._serve(ports, settings)
            self._lose(ports, settings, restore=keep)
            is_kept = keep
        finally:
            memory.stop()
            self.report.peak_memory_mib = memory.peak_mib
            if not is_kept:
                with uninterrupted():
                    self._end(ports, settings)
            self.report.seconds["total"] = round(self._clock.elapsed() - self._start, 1)
        return self.report

    def _report(self, progress: DemoProgress | LocalProgress | DrillProgress) -> None:
        self._progress(timedelta(seconds=self._clock.elapsed() - self._start), progress)

    def _step(self, step: DemoStep, subject: str = "", count: int = 0) -> None:
        self._report(DemoProgress(step, subject, count=count))

    def _begin(self) -> Settings:
        stale = self._local.sessions()
        if stale:
            self._step(DemoStep.STALE_SESSIONS_END, count=len(stale))
        self._local.down()
        settings = self._local.up((self._spec if self._spec.is_dir() else self._spec.parent,), progress=self._report)
        self._step(DemoStep.CLOUDS_UP)
        return settings

    def _apply(
        self,
        ports: Ports,
        wanted: Wanted,
        show_plan: Callable[[Plan, tuple[ResiliencePrice, ...], Snapshot], None],
    ) -> None:
        ports.store.want(wanted, "demo", self._clock.now())
        snapshot = observe(ports)
        plan = decide(snapshot)
        show_plan(plan, price_of_resilience(snapshot), snapshot)
        if plan.placement.unmet:
            msg = "the embedded clouds cannot carry the demand of the spec"
            raise DemoFailedError(msg)
        self._daemon = start_daemon(self._local)
        self._step(DemoStep.DAEMON_RUNS)

    def _serve(self, ports: Ports, settings: Settings) -> None:
        url = self._url(ports, settings)
        deadline = self._clock.now() + SETTLE_MAX
        seen: set[str] = set()
        event = 0
        while self._clock.now() < deadline:
            for line in ports.store.events(event):
                event = line.number
                what = line.what
                if isinstance(what, ActionAttempted) and what.action in SHOWN and line.kind is EventKind.ACTION_DONE:
                    self._report(DemoProgress(DemoStep.ACTION_DONE, line.subject, what.action))
            if self.report.seconds["until_first_answer"] is None and _answers(url):
                self.report.seconds["until_first_answer"] = round(self._clock.elapsed() - self._start, 1)
                self._step(DemoStep.FIRST_ANSWER, url)
            if self._is_converged(ports, seen):
                self._step(DemoStep.ALL_READY)
                return
            self._clock.sleep(POLL)
        msg = f"not ready after {SETTLE_MAX}; see {settings.home / 'daemon.log'}"
        raise DemoFailedError(msg)

    def _is_converged(self, ports: Ports, seen: set[str]) -> bool:
        """Return whether an observation finds nothing to do; made only once every region gets requests."""
        plan, table = ports.store.last_plan(), ports.gateway.table()
        if plan is None or table is None:
            return False
        wanted = {r.region for r in plan.placement.replicas}
        for region in sorted(table.regions() - seen):
            seen.add(region)
            self._step(DemoStep.REGION_SERVES, region)
        return wanted <= table.regions() and decide(observe(ports)).is_converged

    def _url(self, ports: Ports, settings: Settings) -> str:
        wanted = ports.store.wanted()
        entry = json.loads(wanted.serve_applications[0][1]) if wanted else {}
        return f"http://{settings.gateway.listen}{entry.get('route_prefix') or '/'}"

    def _lose(self, ports: Ports, settings: Settings, *, restore: bool) -> None:
        if settings.embedded is None:
            msg = "the demo runs on the embedded clouds alone"
            raise DemoFailedError(msg)
        control = Control(settings.embedded)
        load = SteadyLoad(self._url(ports, settings), REQUESTS_PER_SECOND, self._clock)
        load.start()
        try:
            self._step(DemoStep.LOAD_STARTS, settings.gateway.listen, REQUESTS_PER_SECOND)
            self._clock.sleep(WARM_FOR)
            self._report(DemoProgress(DemoStep.LOAD_ANSWERED, answered=load.by_region()))
            region = self._busiest_region(ports)
            cut = Cut(lambda r: _discard(control.lose(r)), control.restore, cuts_off=False)
            drill = LiveDrill(ports, cut, load, self._report)
            _, report = drill.run(region, RECOVER_MAX, restore=restore)
            self._report(DemoProgress(DemoStep.LOAD_ANSWERED_SINCE, answered=load.by_region(last=50)))
        finally:
            load.stop()
        self._record(report)
        if restore:
            self._step(DemoStep.REGION_RESTORED, region)

    def _busiest_region(self, ports: Ports) -> RegionId:
        """Return the region that carries most, the first of equals by name."""
        plan = decide(observe(ports))
        carried: dict[RegionId, int] = {}
        for replicas in plan.placement.replicas:
            carried[replicas.region] = carried.get(replicas.region, 0) + replicas.count * replicas.milli_each
        return min(carried, key=lambda region: (-carried[region], region))

    def _record(self, report: DrillReport) -> None:
        self.report.recovered = report.recovered
        self.report.seconds |= report.seconds
        self.report.requests = report.requests
        self.report.usd_per_hour = report.usd_per_hour
        self.report.regions = report.regions
        self.report.instances_leaked = report.instances_leaked

    def _end(self, ports: Ports | None, settings: Settings | None) -> None:
        """End everything, and count what is left."""
        self._step(DemoStep.ENDING)
        if self._daemon is not None:
            end_session(self._daemon, DAEMON_GRACE, self._clock)
        if ports is not None and settings is not None and settings.embedded is not None:
            control = Control(settings.embedded)
            for region in control.status()["unreachable"]:
                control.restore(RegionId(region))
            left = end_fleet(ports, END_MAX)
            found = count_leaked(ports)
            leaked = found.count + len(control.status()["machines"])
            self.report.instances_leaked += leaked
            self.report.unreachable = [str(failure.region) for failure in found.unreachable]
            self._step(DemoStep.MACHINES_LEFT, count=left + leaked)
        failed = self._local.down()
        self.report.processes_leaked = len(failed) + self._local.processes()
        self._step(DemoStep.PROCESSES_LEFT, count=self.report.processes_leaked)
        if settings is not None:
            taken = self._local.ports_in_use(settings)
            self._report(DemoProgress(DemoStep.PORTS_LEFT, names=taken))
            self.report.processes_leaked += len(taken)


def start_daemon(local: Local) -> int:
    """Start `skerry daemon` in the background, on record, and return its session."""
    environment = {**os.environ, "SKERRY_HOME": str(local.home)}
    command = [sys.executable, "-m", "scheduler.cli.main", "daemon"]
    return start_recorded(command, environment, local.home / "daemon.log", local.log)


def end_fleet(ports: Ports, timeout: timedelta) -> int:
    """Withdraw what is wanted and tick until nothing of ours is live; return how many machines still are."""
    ports.store.withdraw("destroy", ports.clock.now())
    tick_until_stable(ports, timeout)
    return len(ports.store.load().instances)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200  # noqa: PLR2004  HTTP's OK
    except httpx.HTTPError:
        return False


def _discard(_lost: list[str]) -> None:
    """Drop the machines lost: the drill counts by itself."""
