"""Use cases: plan a spec, apply it, destroy the fleet. They return values; a command line or an API shows them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from scheduler.daemon.converge import TickedElsewhereError, await_stable, tick_until_stable
from scheduler.documents.spec_warnings import autoscaling_ignored
from scheduler.drills.live import count_leaked
from scheduler.explain.conflict import conflict
from scheduler.explain.obstacles import obstacles
from scheduler.explain.resilience import price_of_resilience
from scheduler.observe import observe
from scheduler.ports import Ports
from scheduler.service.reports import DestroyReport, PlanReport, Removal, Reviewed
from scheduler.tick import decide
from state.model.ids import ApplicationName
from state.model.plan import Plan
from state.model.settings import TICK, SolveBudget
from state.model.snapshot import Snapshot, Wanted
from state.store import ConflictError

Progress = Callable[[Plan], None]


class NotReviewedError(ConflictError):
    """Applying a spec would change what was not reviewed, or remove what was not agreed to; nothing was changed."""


def plan_spec(ports: Ports, wanted: Wanted, budget: SolveBudget = TICK) -> PlanReport:
    """Return the plan for a spec, decided on what is observed now. Nothing is changed.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    snapshot = observe(ports)
    return plan_snapshot(replace(snapshot, solve_budget=budget), wanted)


def plan_snapshot(snapshot: Snapshot, wanted: Wanted | None = None) -> PlanReport:
    """Return the plan for a snapshot, or for another spec in it. Pure.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    current = snapshot.wanted
    if wanted is not None:
        snapshot = replace(snapshot, wanted=replace(wanted, version=current.version if current else 0))
    plan = decide(snapshot)
    found = obstacles(snapshot, plan.placement)
    return PlanReport(
        plan=plan,
        snapshot=snapshot,
        resilience=() if found else price_of_resilience(snapshot),
        conflict=None if plan.placement.is_whole or found else conflict(snapshot),
        obstacles=found,
        removals=() if wanted is None else removals(snapshot, current, wanted),
        replaces_fleet=None if wanted is None else _replaced_fleet(current, wanted),
        is_same_spec=current is not None and wanted is not None and _is_same(current, wanted),
        warnings=() if snapshot.wanted is None else autoscaling_ignored(snapshot.wanted),
    )


def removals(snapshot: Snapshot, current: Wanted | None, wanted: Wanted) -> tuple[Removal, ...]:
    """Return the applications in force that *wanted* lacks."""
    if current is None:
        return ()
    ready: Counter[ApplicationName] = Counter()
    for cell in snapshot.cells:
        for status in cell.applications:
            ready[status.name] += status.replicas_ready
    routed = {route.application for route in snapshot.routing.routes} if snapshot.routing else set()
    return tuple(Removal(name, ready[name], name in routed) for name in _gone(current, wanted))


def _is_same(current: Wanted, wanted: Wanted) -> bool:
    """Return whether two specs differ in nothing but their version."""
    return replace(current, version=0) == wanted


def _gone(current: Wanted, wanted: Wanted) -> list[ApplicationName]:
    return [name for name, _ in current.spec.named() if name not in wanted.spec.applications]


def _replaced_fleet(current: Wanted | None, wanted: Wanted) -> str | None:
    if current is None or current.spec.fleet == wanted.spec.fleet:
        return None
    return current.spec.fleet


def apply_spec(
    ports: Ports, wanted: Wanted, reviewed: Reviewed, timeout: timedelta, progress: Progress = lambda _: None
) -> tuple[int, Plan | None]:
    """Put a spec in force as it was reviewed, and wait until the fleet is stable.

    Returns:
        The version, and the plan that found nothing left to do, whose demand may be unmet; None where the fleet was
        not stable in time.

    Raises:
        NotReviewedError: Another version is in force than the one reviewed, or a removal was not agreed to.
        ConflictError: Another version came into force while this one was applied, or while the fleet changed.
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    current = ports.store.wanted()
    _refuse_unreviewed(current, wanted, reviewed)
    if current is not None and _is_same(current, wanted):
        version = current.version
    else:
        version = ports.store.want(wanted, "apply", ports.clock.now(), replaces=reviewed.version)
    plan = run_until_stable(ports, timeout, progress)
    if plan is not None and plan.spec_version != version:
        msg = f"version {version} is no longer in force: {_in_force(plan.spec_version)}"
        raise ConflictError(msg)
    return version, plan


def _refuse_unreviewed(current: Wanted | None, wanted: Wanted, reviewed: Reviewed) -> None:
    version = 0 if current is None else current.version
    if version != reviewed.version:
        reviewed_on = f"version {reviewed.version}" if reviewed.version else "no spec"
        msg = f"nothing was changed: {_in_force(version)}, and the plan was made on {reviewed_on}"
        raise NotReviewedError(msg)
    if current is None:
        return
    names = [name for name in _gone(current, wanted) if name not in reviewed.removals]
    if names:
        msg = f"nothing was changed: the removal of {', '.join(names)} was not agreed to"
        raise NotReviewedError(msg)
    if _replaced_fleet(current, wanted) not in {None, reviewed.replaces_fleet}:
        msg = f"nothing was changed: another name for fleet {current.spec.fleet} was not agreed to"
        raise NotReviewedError(msg)


def _in_force(version: int | None) -> str:
    return f"version {version} is in force" if version else "no spec is in force"


def run_until_stable(ports: Ports, timeout: timedelta, progress: Progress = lambda _: None) -> Plan | None:
    """Wait for the daemon to make the fleet stable, or tick here where none runs; None where it was not in time."""
    if ports.store.lease(ports.clock.now()) is not None:
        return await_stable(ports, timeout, progress)
    try:
        return tick_until_stable(ports, timeout, progress)
    except TickedElsewhereError:
        return await_stable(ports, timeout, progress)


def destroy_fleet(ports: Ports, timeout: timedelta, progress: Progress = lambda _: None) -> DestroyReport:
    """End every machine of the fleet, and count what is left in the store and in the clouds that can be read."""
    live = len(ports.store.load().instances)
    ports.store.withdraw("destroy", ports.clock.now())
    plan = run_until_stable(ports, timeout, progress)
    left = len(ports.store.load().instances)
    leaked = count_leaked(ports)
    return DestroyReport(live, left, leaked.count, plan is not None, leaked.unreachable)
