"""Rules on machines: none is started twice, too many or too dear, and only our own are ended. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from scheduler.check.facts import is_sold
from state.model.catalog import Machine, Market, OfferKey, Quota, QuotaScope
from state.model.health import HealthState
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.plan import Drain, Finding, Launch, Plan, PlanRule, Route, Serve, Severity, Terminate
from state.model.snapshot import Snapshot
from state.model.units import total

_S = InstanceStatus


def _error(rule: PlanRule, subject: object = "", actual: int | None = None, allowed: int | None = None) -> Finding:
    return Finding(rule, Severity.ERROR, str(subject), actual=actual, allowed=allowed)


def _launches(plan: Plan) -> list[Launch]:
    return [action for action in plan.actions if isinstance(action, Launch)]


def _new_launches(plan: Plan) -> list[Launch]:
    return [launch for launch in _launches(plan) if not launch.is_repeat]


def limits(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find a plan with more actions or launches than one plan may have."""
    bounds = snapshot.limits
    if len(plan.actions) > bounds.actions_per_plan:
        yield _error(PlanRule.ACTIONS_PER_PLAN, actual=len(plan.actions), allowed=bounds.actions_per_plan)
    count = len(_new_launches(plan))
    if count > bounds.launches_per_plan:
        yield _error(PlanRule.LAUNCHES_PER_PLAN, actual=count, allowed=bounds.launches_per_plan)


def single_launches(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find machines that would be started twice, or that are not recorded before they are requested."""
    held = {instance.id: instance for instance in snapshot.instances}
    new = {instance.id: instance for instance in plan.instances}
    times = Counter(launch.instance_id for launch in _launches(plan))
    for launch in _launches(plan):
        before, after = held.get(launch.instance_id), new.get(launch.instance_id)
        if times[launch.instance_id] > 1 or (before is not None and not _may_repeat(launch, before)):
            yield _error(PlanRule.DOUBLE_LAUNCH, launch.instance_id)
        if not _is_same(launch, before if launch.is_repeat else after):
            yield _error(PlanRule.UNRECORDED_LAUNCH, launch.instance_id)


def _may_repeat(launch: Launch, before: Instance) -> bool:
    """Return whether a machine may be requested again: only one that was requested and never listed."""
    return launch.is_repeat and before.status is _S.REQUESTED and before.cloud_id is None


def _is_same(launch: Launch, recorded: Instance | None) -> bool:
    if recorded is None:
        return False
    is_requested = recorded.status is _S.REQUESTED or launch.is_repeat
    return is_requested and (recorded.key, recorded.role) == (launch.key, launch.role)


def excess_launches(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find launches beyond what the placement has and what exists already."""
    placed: Counter[tuple[OfferKey, Role]] = Counter()
    for machine in plan.placement.machines:
        placed[machine.offer.key, machine.role] += machine.count
    existing = Counter((i.key, i.role) for i in snapshot.instances if i.exists)
    for offer, count in sorted(Counter((launch.key, launch.role) for launch in _new_launches(plan)).items()):
        allowed = max(0, placed[offer] - existing[offer])
        if count > allowed:
            yield _error(PlanRule.EXCESS_LAUNCH, offer[0], count, allowed)


def surge(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find more workers starting at once than the applications' max_surge allows."""
    if snapshot.wanted is None:
        return
    allowed = sum(application.disruption.max_surge for _, application in snapshot.wanted.spec.named())
    starting = sum(i.status is _S.REQUESTED and i.role is Role.WORKER for i in snapshot.instances)
    new = sum(launch.role is Role.WORKER for launch in _new_launches(plan))
    if new and starting + new > allowed:
        yield _error(PlanRule.MAX_SURGE, actual=starting + new, allowed=allowed)


def prices(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find launches without a price, or at less than is listed; reserved machines are paid for already."""
    listed = {offer.key: offer.price.per_hour.micros for offer in snapshot.offers}
    for launch in _launches(plan):
        price = launch.price_per_hour.micros
        lowest = 0 if launch.is_repeat else listed.get(launch.key, 0)
        if price < lowest or (price <= 0 and launch.key.market is not Market.RESERVED):
            yield _error(PlanRule.PRICE, launch.key, price, lowest)


def budget(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find launches that would exceed the budget together with everything that may cost money now."""
    new = [launch.price_per_hour for launch in _new_launches(plan)]
    if not new or snapshot.wanted is None:
        return
    spent = total([i.price_per_hour for i in snapshot.instances]) + total(new)
    allowed = snapshot.wanted.spec.max_per_hour
    if spent > allowed:
        yield _error(PlanRule.BUDGET, actual=spent.micros, allowed=allowed.micros)


def quotas(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find placements that need more of a quota than it has; one that only keeps what exists is a warning.

    Heads are left to the cloud's answer: their families' quotas are shared with much else.
    """
    workers = [i for i in snapshot.instances if i.role is Role.WORKER]
    for quota in snapshot.quotas:
        placed = sum(
            machine.count * _size(quota, machine.offer.machine)
            for machine in plan.placement.machines
            if machine.role is Role.WORKER and _is_under(quota, machine.offer.key, machine.offer.machine)
        )
        ours = [i for i in workers if _is_under(quota, i.key, i.machine)]
        listed = sum(_size(quota, i.machine) for i in ours if i.cloud_id is not None)
        existing = sum(_size(quota, i.machine) for i in ours if i.exists)
        allowed = quota.limit - max(0, quota.used - listed)
        if placed > allowed:
            severity = Severity.WARNING if placed <= existing else Severity.ERROR
            named = (quota.region, quota.zone, quota.family, quota.market)
            subject = "/".join(name for name in named if name is not None)
            yield Finding(PlanRule.QUOTA, severity, subject, actual=placed, allowed=allowed)


def _is_under(quota: Quota, key: OfferKey, machine: Machine) -> bool:
    """Return whether a machine falls under a limit: what a limit names must be the same, and its account's is wide."""
    account = f"{key.provider}/*"
    here = account if quota.scope is QuotaScope.ACCOUNT else key.region
    named = ((quota.zone, key.zone), (quota.family, machine.family), (quota.market, key.market))
    return here == quota.region and all(name in (None, its) for name, its in named)


def _size(quota: Quota, machine: Machine) -> int:
    return max(1, machine.gpus if quota.unit == "gpus" else machine.vcpus)


def reservations(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find more machines on a reservation than it has, those that exist on it included."""
    existing = Counter(i.key for i in snapshot.instances if i.exists)
    free = {offer.key: offer.stock for offer in snapshot.offers if is_sold(offer, snapshot.taken_at)}
    placed: Counter[OfferKey] = Counter()
    for machine in plan.placement.machines:
        placed[machine.offer.key] += machine.count
    for key, count in sorted(placed.items()):
        stock = free.get(key, 0)
        if key.market is Market.RESERVED and stock is not None and count > existing[key] + stock:
            yield _error(PlanRule.RESERVATION, key, count, existing[key] + stock)


def unreachable_regions(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find actions in a region that did not answer."""
    for action in plan.actions:
        if isinstance(action, Route):
            continue
        region = action.region if isinstance(action, Serve | Drain) else action.key.region
        if region in snapshot.unreachable:
            yield _error(PlanRule.UNREACHABLE_REGION, region)


def ends(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find ends of machines that are not ours or not recorded as ending, or in a region that may come back.

    A machine whose end was decided earlier, or comes from its cloud, may be ended anywhere.
    """
    held = {i.id: i for i in snapshot.instances}
    ours = {(m.id, m.key, m.cloud_id) for m in snapshot.instances}
    ours |= {(orphan.instance_id, orphan.key, orphan.cloud_id) for orphan in snapshot.orphans}
    ending = {i.id for i in (*plan.instances, *snapshot.instances) if i.status is _S.TERMINATING}
    ending |= {orphan.instance_id for orphan in snapshot.orphans}
    unsure = {h.region for h in snapshot.health if h.state in {HealthState.SUSPECT, HealthState.RECOVERING}}
    for action in plan.actions:
        if not isinstance(action, Terminate):
            continue
        if action.instance_id not in ending or (action.instance_id, action.key, action.cloud_id) not in ours:
            yield _error(PlanRule.FOREIGN_MACHINE, action.instance_id)
        instance = held.get(action.instance_id)
        if instance is not None and instance.exists and instance.region in unsure:
            yield _error(PlanRule.RECOVERING_REGION, action.instance_id)


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (
    limits,
    single_launches,
    excess_launches,
    surge,
    prices,
    budget,
    quotas,
    reservations,
    unreachable_regions,
    ends,
)
