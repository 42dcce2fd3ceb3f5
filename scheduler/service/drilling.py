"""Use cases: failover drills, computed or live, and the reports of earlier ones. They return values."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from scheduler.documents.settings_file import Settings
from scheduler.drills.computed import simulate
from scheduler.drills.live import Cut, LiveDrill
from scheduler.drills.load import SteadyLoad
from scheduler.drills.report import DrillProgress, DrillStep, loads
from scheduler.embedded.local import Control
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.service.reports import DrillResult
from state.model.history import Drill, DrillMode, DrillState
from state.model.ids import DrillId, RegionId, derive_id
from state.model.snapshot import Snapshot
from state.store import Store

Progress = Callable[[DrillProgress], None]


def replay_drill(snapshot: Snapshot, region: RegionId) -> DrillResult:
    """Return what the loss of a region would have meant at a snapshot; nothing is read or recorded. Pure.

    Raises:
        DrillRefusedError: No spec is in force, or nothing is placed there.
    """
    return DrillResult(None, simulate(snapshot, region))


def simulate_drill(ports: Ports, region: RegionId) -> DrillResult:
    """Compute what the loss of a region would mean now, and record it.

    Raises:
        DrillRefusedError: No spec is in force, or nothing is placed there.
    """
    report = simulate(observe(ports), region)
    now = ports.clock.now()
    state = DrillState.SUCCEEDED if report.recovered else DrillState.FAILED
    drill = Drill(
        DrillId(derive_id("drill", region, now.isoformat())),
        region,
        DrillMode.SIMULATE,
        state,
        now,
        now,
        cuts_off=False,
        report=report.dumps(),
    )
    ports.store.put_drill(drill, "drill", now)
    return DrillResult(drill, report)


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A live drill to run."""

    region: RegionId
    timeout: timedelta
    requests_per_second: float
    """Load through the gateway while it runs; 0 for none."""


def run_live_drill(ports: Ports, settings: Settings, asked: LiveRequest, progress: Progress) -> DrillResult:
    """Cut a region off, wait until the daemon has recovered, and give the region back.

    On embedded clouds the region's machines are killed; elsewhere the scheduler treats it as unreachable.

    Raises:
        DrillRefusedError: It would do harm, or prove nothing.
    """
    cut = Cut(_do_nothing, _do_nothing, cuts_off=True)
    if settings.embedded is not None:
        control = Control(settings.embedded)
        cut = Cut(lambda region: _kill(control, region, progress), control.restore, cuts_off=False)
    load = None
    if asked.requests_per_second:
        load = SteadyLoad(_url(settings, ports), asked.requests_per_second, ports.clock)
        load.start()
    try:
        drill = LiveDrill(ports, cut, load, progress)
        return DrillResult(*drill.run(asked.region, asked.timeout, restore=True))
    finally:
        if load is not None:
            load.stop()


def _kill(control: Control, region: RegionId, progress: Progress) -> None:
    progress(DrillProgress(DrillStep.MACHINES_KILLED, region, machines=len(control.lose(region))))


def _url(settings: Settings, ports: Ports) -> str:
    table = ports.gateway.table()
    prefix = table.routes[0].prefix if table is not None and table.routes else "/"
    return f"http://{settings.gateway.listen}{prefix}"


def _do_nothing(_region: RegionId) -> None:
    """Leave the region's machines alone: the scheduler itself treats it as unreachable."""


def list_drills(store: Store) -> tuple[DrillResult, ...]:
    """Return the newest drills, newest first."""
    return tuple(DrillResult(drill, loads(drill.report)) for drill in store.drills())


def find_drill(store: Store, drill_id: str) -> DrillResult | None:
    """Return a drill by its id, or None."""
    found = next((drill for drill in store.drills(1000) if drill.id == drill_id), None)
    return None if found is None else DrillResult(found, loads(found.report))
