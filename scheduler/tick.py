"""The whole system in one page: read once, decide once, act once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from scheduler.check import UnsafePlanError, check_plan
from scheduler.execute import execute
from scheduler.observe import observe
from scheduler.plan import make_plan, plan_id
from scheduler.ports import Ports
from scheduler.solve.hold import Settled, settle
from scheduler.solve.isolate import settle_apart
from state.model.ids import PlanId, derive_id
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot


def decide(snapshot: Snapshot, solver: Callable[[Snapshot], Settled] = settle) -> Plan:
    """Return the checked plan for *snapshot*; nothing has happened yet. Pure.

    Where a plan breaks rules for some applications only, nothing is decided for these, and the others go on: the
    plan's `refused` has what it would have broken.

    A process that decides calls `scheduler.daemon.solver.prepare_solver` once before, or HiGHS prints its banner.

    Args:
        snapshot: What is known.
        solver: What decides on a placement; the check trusts none.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    settled = solver(snapshot)
    plan = make_plan(settled.placement, snapshot, settled.pending)
    errors = _errors(plan, snapshot)
    if not errors:
        return plan
    faulty = frozenset(finding.application for finding in errors if finding.application is not None)
    if not _concerns_some(errors, snapshot):
        raise UnsafePlanError(errors)
    settled = settle_apart(snapshot, faulty)
    plan = replace(make_plan(settled.placement, snapshot, settled.pending), refused=errors)
    if any(not (f.application in faulty and f.rule in OF_PLACEMENT) for f in _errors(plan, snapshot)):
        raise UnsafePlanError(errors)
    return plan


OF_PLACEMENT: Final = frozenset(
    {
        PlanRule.JURISDICTION,
        PlanRule.LATENCY,
        PlanRule.SPOT,
        PlanRule.REPORTED_VIOLATION,
        PlanRule.CERTIFICATE,
        PlanRule.CREDIT,
    }
)
"""Rules about where replicas are and what is said of it: a plan that leaves them where they are may break these."""


def _errors(plan: Plan, snapshot: Snapshot) -> tuple[Finding, ...]:
    return tuple(finding for finding in check_plan(plan, snapshot) if finding.severity is Severity.ERROR)


def _concerns_some(errors: tuple[Finding, ...], snapshot: Snapshot) -> bool:
    """Return whether every error is about an application, and there are others."""
    named = {finding.application for finding in errors}
    known = set() if snapshot.wanted is None else {name for name, _ in snapshot.wanted.spec.named()}
    return None not in named and bool(known - named)


def tick(ports: Ports, fence: int, solver: Callable[[Snapshot], Settled] = settle) -> Plan:
    """Read, decide, commit, execute.

    It takes no hint of what changed: a wake-up only makes the next one come sooner.

    Args:
        ports: What it reads and acts through.
        fence: The lease under which it may commit.
        solver: What decides on a placement; the check trusts none.

    Raises:
        UnsafePlanError: A check failed; the snapshot is kept, and nothing was committed or executed.
        StoreError: The lease was lost or a row changed meanwhile; nothing was committed or executed.
    """
    snapshot = observe(ports)
    try:
        plan = decide(snapshot, solver)
    except UnsafePlanError as error:
        ports.store.keep_refused(snapshot, error.findings, plan_id(snapshot), ports.clock.now())
        raise
    if plan.refused:
        # The plan itself is kept under its own id where it acts.
        refused_id = PlanId(derive_id("plan", plan.id, "refused"))
        ports.store.keep_refused(snapshot, plan.refused, refused_id, ports.clock.now())
    ports.store.commit(plan, snapshot, fence, ports.clock.now())
    execute(plan, ports, snapshot.shortages)
    return plan
