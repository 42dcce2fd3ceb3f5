"""Rules that every plan must keep, looked at by code that is not the planner's. Pure."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from providers.regions import known_regions
from state.model.catalog import Market
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import Survival
from state.model.plan import Drain, Launch, Plan, Route, Serve, Terminate
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain
from state.model.units import MILLI, total


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a plan breaks."""

    rule: str
    detail: str

    def __str__(self) -> str:
        """Return both, for people."""
        return f"{self.rule}: {self.detail}"


class UnsafePlanError(Exception):
    """A plan breaks a rule; nothing of it was committed or executed."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        """Keep the findings."""
        self.findings = findings
        super().__init__("; ".join(map(str, findings)))


def check_plan(plan: Plan, snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return every rule that the plan breaks; none means that it may be committed."""
    return tuple(
        finding
        for rule in (_limits, _launches, _budget, _unreachable, _ends, _certificate, _fits, _laws, _min_ready, _routes)
        for finding in rule(plan, snapshot)
    )


def _launched(plan: Plan) -> list[Launch]:
    return [action for action in plan.actions if isinstance(action, Launch)]


def _limits(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    if len(plan.actions) > snapshot.limits.actions_per_plan:
        yield Finding("plan size", f"{len(plan.actions)} actions")
    fresh = [launch for launch in _launched(plan) if not launch.is_repeat]
    if len(fresh) > snapshot.limits.launches_per_plan:
        yield Finding("launch limit", f"{len(fresh)} launches, {snapshot.limits.launches_per_plan} allowed")


def _launches(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """No machine is started twice, and each is on record before it is asked for."""
    held = {instance.id: instance for instance in snapshot.instances}
    recorded = {i.id for i in plan.instances if i.status is InstanceStatus.REQUESTED}
    times = Counter(launch.instance_id for launch in _launched(plan))
    for launch in _launched(plan):
        if times[launch.instance_id] > 1:
            yield Finding("double launch", f"{launch.instance_id} stands in the plan twice")
        before = held.get(launch.instance_id)
        if launch.is_repeat and (before is None or before.key != launch.key):
            yield Finding("double launch", f"{launch.instance_id} repeats nothing, or another offer")
        if not launch.is_repeat and (before is not None or launch.instance_id not in recorded):
            yield Finding("double launch", f"{launch.instance_id} is held already, or is not recorded")
        if launch.price_per_hour.micros <= 0 and launch.key.market is not Market.RESERVED:
            yield Finding("price", f"{launch.key} has no price")
    yield from _too_many(plan, snapshot)


def _too_many(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    wanted: Counter[object] = Counter()
    for machine in plan.placement.machines:
        wanted[machine.offer.key, machine.role] += machine.count
    fresh = Counter((launch.key, launch.role) for launch in _launched(plan) if not launch.is_repeat)
    standing = Counter((i.key, i.role) for i in snapshot.instances if i.is_standing)
    for offer, count in fresh.items():
        if count + standing[offer] > wanted[offer] and standing[offer] <= wanted[offer]:
            yield Finding("double launch", f"{offer[0]}: {count} more than the placement has")


def _budget(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    fresh = [launch.price_per_hour for launch in _launched(plan) if not launch.is_repeat]
    if not fresh or snapshot.wanted is None:
        return
    spent = total([i.price_per_hour for i in snapshot.instances]) + total(fresh)
    if spent > snapshot.wanted.spec.max_per_hour:
        yield Finding("budget", f"{spent}/h, {snapshot.wanted.spec.max_per_hour}/h allowed")


def _unreachable(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Nothing is done in a region that did not answer."""
    for action in plan.actions:
        if isinstance(action, Route):
            continue
        region = action.region if isinstance(action, Serve | Drain) else action.key.region
        if region in snapshot.unreachable:
            yield Finding("blind region", f"{type(action).__name__} in {region}")


def _ends(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Only our own machines are ended, and each is on record as ending first."""
    ours = {i.id for i in snapshot.instances} | {s.instance_id for s in snapshot.orphans}
    ending = {i.id for i in (*plan.instances, *snapshot.instances) if i.status is InstanceStatus.TERMINATING}
    ending |= {s.instance_id for s in snapshot.orphans}
    for action in plan.actions:
        if isinstance(action, Terminate) and action.instance_id not in ours & ending:
            yield Finding("foreign machine", f"{action.instance_id} is not ours to end, or is not on record")


def _certificate(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Every line of the certificate is recomputed from the replicas alone, and none is missing."""
    if snapshot.wanted is None:
        return
    lines = {(line.application, line.domain): line for line in plan.placement.certificate}
    for name, application in snapshot.wanted.spec.named():
        kind = application.survive.any
        if kind is FailureDomain.NONE:
            continue
        carried: Counter[str] = Counter()
        for replicas in plan.placement.replicas:
            if replicas.application == name:
                carried[_domain(kind, replicas.region, replicas.zone)] += replicas.count * replicas.milli_each
        for domain, lost in carried.items():
            line = lines.get((name, domain))
            if line is None or line.remaining_milli != carried.total() - lost:
                yield Finding("certificate", f"{name}: wrong or missing line for {domain}")
            else:
                yield from _line(line, application, plan, snapshot)


def _domain(kind: FailureDomain, region: RegionId, zone: str | None) -> str:
    if kind is FailureDomain.ZONE:
        return f"{region}/{zone}"
    return region if kind is FailureDomain.REGION else region.partition("/")[0]


def _line(line: Survival, application: Application, plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """A line asks for what the spec asks for, credits no more than it may, and says so where it does not hold."""
    demand, survive = application.demand.milli, application.survive
    if line.required_milli < demand * survive.share:
        yield Finding("certificate", f"{line.application}: asks for less than the spec does, for {line.domain}")
    if line.credited_milli > demand * survive.replacement_credit + 1:
        yield Finding("certificate", f"{line.application}: credits more than the spec allows, for {line.domain}")
    if line.credited_milli > _spare(line, application, plan, snapshot):
        yield Finding("certificate", f"{line.application}: credits stock that nobody knows of, for {line.domain}")
    if not line.holds and not any(line.domain in text for text in plan.placement.violations):
        yield Finding("certificate", f"{line.application}: does not survive {line.domain}, and nobody says so")


def _spare(line: Survival, application: Application, plan: Plan, snapshot: Snapshot) -> int:
    """Return what an application could carry on known on-demand stock outside a domain that the plan leaves alone."""
    if line.credited_milli == 0:
        return 0
    taken = Counter({m.offer.key: m.count for m in plan.placement.machines if m.role is Role.WORKER})
    taken.subtract(Counter(i.key for i in snapshot.instances if i.is_standing))
    spare = 0
    for offer in snapshot.offers:
        key = offer.key
        if offer.stock is None or key.market is not Market.ON_DEMAND:
            continue
        if _domain(line.kind, key.region, key.zone) != line.domain:
            per_gpu = max(application.replica_milli(s) / s.count for s in application.shapes)
            spare += max(0, offer.stock - max(0, taken[key])) * math.ceil(offer.machine.gpus * per_gpu)
    return spare


def _fits(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """The replicas of each region, and of each zone where zones matter, need no more GPUs than the machines have."""
    if snapshot.wanted is None:
        return
    gpus: Counter[tuple[str, str, bool]] = Counter()
    by_zone = any(replicas.zone is not None for replicas in plan.placement.replicas)
    for machine in plan.placement.machines:
        if machine.role is Role.WORKER:
            key = machine.offer.key
            place = f"{key.region}/{key.zone}" if by_zone else key.region
            is_spot = key.market is Market.SPOT
            gpus[place, key.instance_type, is_spot] += machine.count * machine.offer.machine.gpus * MILLI
    for replicas in plan.placement.replicas:
        shape = snapshot.wanted.spec.applications[replicas.application].shapes[replicas.shape]
        place = f"{replicas.region}/{replicas.zone}" if by_zone else replicas.region
        gpus[place, replicas.instance_type, replicas.is_spot] -= replicas.count * shape.gpu_milli * shape.machines
    for (place, instance_type, _), left in sorted(gpus.items()):
        if left < 0:
            yield Finding("packing", f"{place}: {instance_type} lacks {-left / MILLI:g} GPUs")


def _laws(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.wanted is None:
        return
    known = known_regions(snapshot.own_regions)
    for replicas in plan.placement.replicas:
        laws = snapshot.wanted.spec.applications[replicas.application].regions.jurisdictions
        region = known.get(replicas.region)
        if laws and (region is None or region.jurisdiction not in laws):
            yield Finding("jurisdiction", f"{replicas.application} in {replicas.region}")


def _min_ready(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """No change of ours leaves less ready than the disruption policy asks for, or than is ready now."""
    if snapshot.wanted is None:
        return
    told = {action.region: json.loads(action.config) for action in plan.actions if isinstance(action, Serve)}
    each = {(r.application, r.region): r.milli_each for r in plan.placement.replicas}
    for name, application in snapshot.wanted.spec.named():
        now = after = 0
        for cell in snapshot.cells:
            status = cell.application(name)
            if not cell.answered or status is None:
                continue
            count = status.replicas_ready
            left = count if cell.region not in told else min(count, _count_in(told[cell.region], name))
            now += count * each.get((name, cell.region), 1000)
            after += left * each.get((name, cell.region), 1000)
        floor = round(application.demand.milli * (1 - application.disruption.max_unavailable))
        if after < min(now, floor):
            yield Finding("min available", f"{name}: {after / 1000:g} left of {now / 1000:g}, {floor / 1000:g} needed")


def _count_in(config: dict[str, list[dict[str, object]]], name: ApplicationName) -> int:
    for application in config["applications"]:
        if application["name"] == name:
            deployments = application["deployments"]
            counts = [d.get("num_replicas", 1) for d in deployments if "num_gpus" in (d.get("ray_actor_options") or {})]  # type: ignore[attr-defined]
            return max(counts, default=1)
    return 0


def _routes(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Routes that serve are never replaced by none while the application is wanted."""
    if snapshot.wanted is None or snapshot.routing is None:
        return
    wanted = {name for name, _ in snapshot.wanted.spec.named()}
    had = {route.application for route in snapshot.routing.routes if route.backends} & wanted
    for action in plan.actions:
        if isinstance(action, Route):
            for name in sorted(had - {route.application for route in action.table.routes}):
                yield Finding("routes", f"{name} would have none")
