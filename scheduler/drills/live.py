"""Failover drills: the loss of a region, computed (simulate) or really done (live), with a scored report.

A live drill runs against the daemon, which knows nothing of it: on the embedded clouds the region's machines
are killed and its API falls silent; on real clouds the scheduler stops listening to the region, which then
is lost as far as every decision goes, while its machines keep running. Either way the drill lets go by a
deadline that stands in the store, whatever becomes of whoever started it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from inference.errors import GatewayError
from inference.gateway.config import region_of_server
from inference.gateway.process import HaproxyGateway
from scheduler.drills.load import SteadyLoad
from scheduler.observe.snapshot import observe, placed_deployments
from scheduler.ports import Ports
from scheduler.solve import solve
from scheduler.tick import decide
from state.model.health import HealthState, RegionHealth
from state.model.history import ACTION_DONE, HEALTH_CHANGED, PLAN_COMMITTED, Drill, DrillState
from state.model.ids import DrillId, RegionId, derive_id
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.snapshot import Snapshot

POLL: Final = timedelta(milliseconds=250)
STEADY_FOR: Final = timedelta(seconds=5)
"""How long the load goes on after recovery: requests of that time must all be answered."""

Progress = Callable[[str], None]


class DrillRefusedError(Exception):
    """The drill would do harm, or prove nothing; nothing was done."""


@dataclass(slots=True)
class DrillReport:
    """What a drill showed. Seconds are counted from the loss; None: it did not happen."""

    region: str
    mode: str
    recovered: bool = False
    seconds: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(("detect", "route_away", "decide", "acquire", "ready"))
    )
    requests: dict[str, int] = field(
        default_factory=lambda: {"sent": 0, "retried": 0, "failed": 0, "failed_after_recovery": 0}
    )
    usd_per_hour: dict[str, float] = field(default_factory=dict)
    regions: dict[str, list[str]] = field(default_factory=dict)
    survivors_carry: dict[str, float] = field(default_factory=dict)
    """Per application: the share of its demand that the other regions carried at the moment of the loss."""
    instances_launched: int = 0
    instances_leaked: int = 0
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def simulate(snapshot: Snapshot, region: RegionId) -> DrillReport:
    """Return what the loss of a region would mean, computed. Pure.

    Raises:
        DrillRefusedError: Nothing stands there.
    """
    before = solve(snapshot)
    if snapshot.wanted is None or region not in _regions(before):
        msg = f"nothing is placed in {region}, so its loss would show nothing"
        raise DrillRefusedError(msg)
    lost = RegionHealth(region, HealthState.DOWN, snapshot.taken_at, "drill")
    health = (*(h for h in snapshot.health if h.region != region), lost)
    after = solve(
        replace(
            snapshot, health=tuple(sorted(health, key=lambda h: h.region)), unreachable=snapshot.unreachable | {region}
        )
    )
    report = DrillReport(region, "simulate")
    report.survivors_carry = _carried(snapshot, before, region)
    report.usd_per_hour = {"before": before.per_hour.dollars, "after": after.per_hour.dollars}
    report.regions = {"before": _regions(before), "after": _regions(after)}
    report.instances_launched = _launched(before, after, region)
    report.notes = list(after.violations) + [
        f"{u.application}: no place for {u.missing_milli / 1000:g}" for u in after.unmet
    ]
    report.recovered = not after.unmet
    return report


def _regions(placement: Placement) -> list[str]:
    return sorted({str(replicas.region) for replicas in placement.replicas})


def _carried(snapshot: Snapshot, placement: Placement, lost: RegionId) -> dict[str, float]:
    if snapshot.wanted is None:
        return {}
    return {
        name: (placement.capacity_milli(name) - placement.capacity_milli(name, lost)) / application.demand.milli
        for name, application in snapshot.wanted.spec.named()
    }


def _launched(before: Placement, after: Placement, lost: RegionId) -> int:
    had = {(m.offer.key, m.role): m.count for m in before.machines if m.offer.key.region != lost}
    return sum(max(0, m.count - had.get((m.offer.key, m.role), 0)) for m in after.machines)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a region is really lost, and given back."""

    lose: Callable[[RegionId], None]
    restore: Callable[[RegionId], None]
    cuts_off: bool
    """Whether the scheduler itself must stop listening to the region."""


class LiveDrill:
    """Loses a region, and watches the daemon deal with it."""

    def __init__(
        self, ports: Ports, gateway: HaproxyGateway, cut: Cut, load: SteadyLoad | None, progress: Progress
    ) -> None:
        """Prepare; nothing is done yet."""
        self._ports = ports
        self._gateway = gateway
        self._cut = cut
        self._load = load
        self._progress = progress
        self._marks: dict[str, datetime] = {}
        self._retried = 0
        self._retries_seen = 0
        self._event = 0

    def run(self, region: RegionId, most: timedelta, *, restore: bool) -> tuple[Drill, DrillReport]:
        """Run the drill, and return it with its report.

        Args:
            region: The region to lose.
            most: How long to wait for recovery.
            restore: Give the region back at the end; else it is lost for good.

        Raises:
            DrillRefusedError: It would do harm, or prove nothing.
        """
        ports = self._ports
        report, before = self._prepared(region)
        now = ports.clock.now()
        drill_id = DrillId(derive_id("drill", region, now.isoformat()))
        drill = Drill(drill_id, region, "live", DrillState.RUNNING, now, now + most, self._cut.cuts_off)
        self._retries_seen, self._event = _retries(self._statistics()), ports.store.last_event_number()
        ports.store.put_drill(drill, "drill", now)
        state = DrillState.INTERRUPTED
        try:
            self._mark("lost")
            self._cut.lose(region)
            self._progress(f"{region} is lost")
            self._watch(region, ports.clock.now() + most)
            self._finish(report, region, before)
            state = DrillState.SUCCEEDED if report.recovered else DrillState.FAILED
        finally:
            if restore:
                self._cut.restore(region)
            drill = replace(drill, state=state, report=json.dumps(report.as_json()))
            ports.store.put_drill(drill, "drill", ports.clock.now())
        return drill, report

    def _prepared(self, region: RegionId) -> tuple[DrillReport, set[str]]:
        ports = self._ports
        if ports.store.lease_holder(ports.clock.now()) is None:
            msg = "no daemon runs, so nobody would deal with the loss; start `skerry daemon`"
            raise DrillRefusedError(msg)
        if any(drill.until > ports.clock.now() for drill in ports.store.load().drills):
            msg = "another drill runs"
            raise DrillRefusedError(msg)
        snapshot = observe(ports)
        plan = decide(snapshot, ports)
        if not plan.is_converged:
            reason = "; ".join((*plan.blocked, *(type(action).__name__ for action in plan.actions)))
            msg = f"the fleet is not at rest: {reason}"
            raise DrillRefusedError(msg)
        report = simulate(snapshot, region)
        weak = [f"{name} ({share:.0%})" for name, share in report.survivors_carry.items() if share < 1]
        if weak:
            report.notes.append(f"the other regions do not carry the whole demand of {', '.join(weak)}")
        report.mode = "live"
        report.regions = {"before": _regions(plan.placement)}
        report.usd_per_hour = {"before": plan.placement.per_hour.dollars}
        return report, {instance.id for instance in snapshot.instances}

    def _mark(self, name: str, at: datetime | None = None) -> None:
        if name not in self._marks:
            self._marks[name] = at or self._ports.clock.now()
            if name != "lost":
                self._progress(f"{name.replace('_', ' ')} after {self._since(name):.1f} s")

    def _since(self, name: str) -> float | None:
        if name not in self._marks:
            return None
        return round(max(0.0, (self._marks[name] - self._marks["lost"]).total_seconds()), 2)

    def _watch(self, region: RegionId, until: datetime) -> None:
        ports = self._ports
        while ports.clock.now() < until:
            self._read_events(region)
            if self._is_routed_away(region):
                self._mark("route_away")
            if "decide" in self._marks and not self._starting(region):
                self._mark("acquire")
                if self._is_ready():
                    self._mark("ready")
                    return
            ports.clock.sleep(POLL)

    def _read_events(self, region: RegionId) -> None:
        for event in self._ports.store.events(self._event):
            self._event = event.number
            if event.kind == HEALTH_CHANGED and event.subject == region:
                if event.detail.startswith((HealthState.SUSPECT, HealthState.DOWN)):
                    self._mark("detect", event.at)
                if event.detail.startswith(HealthState.DOWN):
                    self._marks["down"] = event.at
            if event.kind == PLAN_COMMITTED and "down" in self._marks and event.at >= self._marks["down"]:
                self._mark("decide", event.at)
            if event.kind == ACTION_DONE and event.detail.startswith("Launch"):
                self._progress(f"launched {event.subject}")

    def _is_routed_away(self, region: RegionId) -> bool:
        """Return whether the gateway sends the region nothing: by its table, or by its own health checks."""
        rows = self._statistics()
        if not rows:
            return False
        seen = _retries(rows)
        # A reload begins with new counters.
        self._retried += seen - self._retries_seen if seen >= self._retries_seen else seen
        self._retries_seen = seen
        ours = [row for row in rows if region_of_server(row["svname"]) == region]
        return all(not row["status"].startswith("UP") for row in ours)

    def _starting(self, region: RegionId) -> list[str]:
        live = self._ports.store.load().instances
        return [i.id for i in live if i.region != region and i.status is InstanceStatus.REQUESTED]

    def _is_ready(self) -> bool:
        """Return whether everything that the newest plan placed is ready and gets its requests."""
        ports = self._ports
        plan = ports.store.last_plan()
        table = self._gateway.table()
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
        if "ready" in self._marks and self._load is not None:
            ports.clock.sleep(STEADY_FOR)
        report.seconds = {name: self._since(name) for name in report.seconds}
        plan = ports.store.last_plan()
        if plan is not None:
            report.usd_per_hour["after"] = plan.placement.per_hour.dollars
            report.regions["after"] = _regions(plan.placement)
        known = {instance.id for instance in ports.store.load().instances}
        report.instances_launched = len(known - before)
        report.instances_leaked = count_leaked(ports, region)
        if self._load is not None:
            since = self._marks["lost"]
            report.requests = {
                "sent": sum(a.sent_at >= since for a in self._load.answers()),
                "retried": self._retried,
                "failed": self._load.failed(since),
                "failed_after_recovery": self._load.failed(self._marks["ready"]) if "ready" in self._marks else 0,
            }
        report.recovered = "ready" in self._marks

    def _statistics(self) -> list[dict[str, str]]:
        try:
            return self._gateway.statistics()
        except GatewayError:
            return []


def _retries(rows: list[dict[str, str]]) -> int:
    return sum(int(row["wretr"] or 0) + int(row["wredis"] or 0) for row in rows if row["svname"] == "BACKEND")


def count_leaked(ports: Ports, lost: RegionId | None = None) -> int:
    """Return how many machines carry our tag without a live record, outside the region that is lost."""
    live = {instance.id for instance in ports.store.load().instances}
    owner = ports.store.installation()
    leaked = 0
    for provider in ports.providers.values():
        for seen in provider.instances(owner).items:
            is_running = seen.state in {"pending", "running"}
            leaked += is_running and seen.key.region != lost and seen.instance_id not in live
    return leaked
