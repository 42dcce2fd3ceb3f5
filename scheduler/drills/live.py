"""Live drills: a region is really cut off, and the daemon deals with it, with a scored report.

The daemon is not informed of the drill. On the embedded clouds the region's machines are killed and its API falls
silent. On real clouds the scheduler treats the region as unreachable and silent, while its machines keep running.
Either way the region is given back by a deadline in the store, whatever becomes of the process that started the drill.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from inference.errors import GatewayError
from inference.gateway.base import GatewayCounters
from scheduler.drills.computed import regions_of, simulate
from scheduler.drills.load import SteadyLoad
from scheduler.drills.report import (
    RECOVERY,
    DrillProgress,
    DrillRefusal,
    DrillRefusedError,
    DrillReport,
    DrillStep,
)
from scheduler.observe.snapshot import observe, placed_deployments
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.health import HealthState
from state.model.history import (
    ActionAttempted,
    Drill,
    DrillMode,
    DrillState,
    EventKind,
    HealthChanged,
    PlanCommitted,
)
from state.model.ids import DrillId, InstanceId, RegionId, derive_id
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind
from state.model.snapshot import ReadFailure, ReadKind

POLL: Final = timedelta(milliseconds=250)
STEADY_FOR: Final = timedelta(seconds=5)
"""How long the load goes on after recovery; every request of that time must be answered."""

Progress = Callable[[DrillProgress], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a region is really cut off, and given back."""

    lose: Callable[[RegionId], None]
    restore: Callable[[RegionId], None]
    cuts_off: bool
    """Whether the scheduler itself must treat the region as unreachable."""


class LiveDrill:
    """Cuts off a region, and measures how the daemon deals with it."""

    def __init__(self, ports: Ports, cut: Cut, load: SteadyLoad | None, progress: Progress) -> None:
        """Prepare; nothing is done yet."""
        self._ports = ports
        self._cut = cut
        self._load = load
        self._progress = progress
        self._region = RegionId("")
        self._marks: dict[DrillStep, datetime] = {}
        self._down_at: datetime | None = None
        self._retried = 0
        self._retries_seen = 0
        self._event = 0

    def run(self, region: RegionId, timeout: timedelta, *, restore: bool) -> tuple[Drill, DrillReport]:
        """Run the drill, and return it with its report.

        Args:
            region: The region to lose.
            timeout: How long to wait for recovery.
            restore: Give the region back at the end; else it stays lost.

        Raises:
            DrillRefusedError: It would do harm, or prove nothing.
        """
        ports = self._ports
        self._region = region
        report, before = self._prepared(region)
        now = ports.clock.now()
        drill_id = DrillId(derive_id("drill", region, now.isoformat()))
        drill = Drill(drill_id, region, DrillMode.LIVE, DrillState.RUNNING, now, now + timeout, self._cut.cuts_off)
        self._retries_seen, self._event = self._counters().retries, ports.store.last_event_number()
        ports.store.put_drill(drill, "drill", now)
        state = DrillState.INTERRUPTED
        try:
            self._mark(DrillStep.LOST)
            self._cut.lose(region)
            self._progress(DrillProgress(DrillStep.LOST, region))
            self._watch(region, ports.clock.now() + timeout)
            self._finish(report, region, before)
            state = DrillState.SUCCEEDED if report.recovered else DrillState.FAILED
        finally:
            if restore:
                self._cut.restore(region)
            drill = replace(drill, state=state, report=report.dumps())
            ports.store.put_drill(drill, "drill", ports.clock.now())
        return drill, report

    def _prepared(self, region: RegionId) -> tuple[DrillReport, set[str]]:
        ports = self._ports
        if ports.store.lease(ports.clock.now()) is None:
            raise DrillRefusedError(DrillRefusal.NO_DAEMON, region)
        if any(drill.until > ports.clock.now() for drill in ports.store.load().drills):
            raise DrillRefusedError(DrillRefusal.DRILL_RUNNING, region)
        snapshot = observe(ports)
        plan = decide(snapshot)
        if not plan.is_stable:
            raise DrillRefusedError(DrillRefusal.NOT_STABLE, region, plan)
        report = simulate(snapshot, region)
        report.mode = DrillMode.LIVE
        report.violations, report.unmet = (), ()
        report.regions = {"before": regions_of(plan.placement)}
        report.usd_per_hour = {"before": plan.placement.per_hour.dollars}
        return report, {instance.id for instance in snapshot.instances}

    def _mark(self, step: DrillStep, at: datetime | None = None) -> None:
        if step not in self._marks:
            self._marks[step] = at or self._ports.clock.now()
            if step is not DrillStep.LOST:
                self._progress(DrillProgress(step, self._region, self._since(step)))

    def _since(self, step: DrillStep) -> timedelta | None:
        if step not in self._marks:
            return None
        return max(timedelta(), self._marks[step] - self._marks[DrillStep.LOST])

    def _watch(self, region: RegionId, until: datetime) -> None:
        ports = self._ports
        while ports.clock.now() < until:
            self._read_events(region)
            if self._is_routed_away(region):
                self._mark(DrillStep.ROUTE_AWAY)
            if DrillStep.DECIDE in self._marks and not self._starting(region):
                self._mark(DrillStep.ACQUIRE)
                if self._is_ready():
                    self._mark(DrillStep.READY)
                    return
            ports.clock.sleep(POLL)

    def _read_events(self, region: RegionId) -> None:
        for event in self._ports.store.events(self._event):
            self._event = event.number
            what = event.what
            if isinstance(what, HealthChanged) and event.subject == region:
                if what.state in {HealthState.SUSPECT, HealthState.DOWN}:
                    self._mark(DrillStep.DETECT, event.at)
                if what.state is HealthState.DOWN:
                    self._down_at = event.at
            if isinstance(what, PlanCommitted) and self._down_at is not None and event.at >= self._down_at:
                self._mark(DrillStep.DECIDE, event.at)
            is_launched = isinstance(what, ActionAttempted) and what.action is ActionKind.LAUNCH
            if is_launched and event.kind is EventKind.ACTION_DONE:
                self._progress(DrillProgress(DrillStep.LAUNCHED, region, instance=InstanceId(event.subject)))

    def _is_routed_away(self, region: RegionId) -> bool:
        """Return whether the gateway sends the region nothing: by its table, or by its own health checks."""
        counters = self._counters()
        if not counters.backends:
            return False
        # A reload begins with new counters.
        is_new = counters.retries < self._retries_seen
        self._retried += counters.retries if is_new else counters.retries - self._retries_seen
        self._retries_seen = counters.retries
        return not counters.is_up(region)

    def _starting(self, region: RegionId) -> list[str]:
        live = self._ports.store.load().instances
        return [i.id for i in live if i.region != region and i.status is InstanceStatus.REQUESTED]

    def _is_ready(self) -> bool:
        """Return whether everything that the newest plan placed is ready and gets requests."""
        ports = self._ports
        plan = ports.store.last_plan()
        table = self._ports.gateway.table()
        if plan is None or table is None:
            return False
        placed = placed_deployments(ports.store.wanted())
        wanted: dict[RegionId, int] = {}
        for replicas in plan.placement.replicas:
            wanted[replicas.region] = wanted.get(replicas.region, 0) + replicas.count
        if not set(wanted) <= table.regions():
            return False
        for settings in ports.cell_settings:
            if settings.region in wanted:
                status = ports.cell(settings).status(placed)
                if sum(a.replicas_ready for a in status.applications) < wanted[settings.region]:
                    return False
        return True

    def _finish(self, report: DrillReport, region: RegionId, before: set[str]) -> None:
        ports = self._ports
        if DrillStep.READY in self._marks and self._load is not None:
            ports.clock.sleep(STEADY_FOR)
        report.seconds = {str(step): _seconds(self._since(step)) for step in RECOVERY}
        plan = ports.store.last_plan()
        if plan is not None:
            report.usd_per_hour["after"] = plan.placement.per_hour.dollars
            report.regions["after"] = regions_of(plan.placement)
        known = {instance.id for instance in ports.store.load().instances}
        report.instances_launched = len(known - before)
        leaked = count_leaked(ports, region)
        report.instances_leaked = leaked.count
        report.unreachable = [str(failure.region) for failure in leaked.unreachable]
        if self._load is not None:
            since, ready_at = self._marks[DrillStep.LOST], self._marks.get(DrillStep.READY)
            report.requests = {
                "sent": sum(a.sent_at >= since for a in self._load.answers()),
                "retried": self._retried,
                "failed": self._load.failed(since),
                "failed_after_recovery": 0 if ready_at is None else self._load.failed(ready_at),
            }
        report.recovered = DrillStep.READY in self._marks

    def _counters(self) -> GatewayCounters:
        try:
            return self._ports.gateway.observe()
        except GatewayError:
            return GatewayCounters()


def _seconds(since: timedelta | None) -> float | None:
    return None if since is None else round(since.total_seconds(), 2)


@dataclass(frozen=True, slots=True)
class Leaked:
    """Machines with our tag and no live record, as far as the clouds could be read."""

    count: int
    unreachable: tuple[ReadFailure, ...]
    """Regions whose machines could not be listed: what is left there is unknown."""


def count_leaked(ports: Ports, lost: RegionId | None = None) -> Leaked:
    """Return how many machines carry our tag without a live record, outside the region that is lost."""
    live = {instance.id for instance in ports.store.load().instances}
    owner = ports.store.installation()
    leaked, unread = 0, []
    for provider in ports.providers.values():
        found = provider.instances(owner)
        unread += [ReadFailure(r, ReadKind.INSTANCES, text) for r, text in found.unreachable.items() if r != lost]
        for seen in found.items:
            is_running = seen.state in {"pending", "running"}
            leaked += is_running and seen.key.region != lost and seen.instance_id not in live
    return Leaked(leaked, tuple(sorted(unread, key=lambda failure: failure.region)))
