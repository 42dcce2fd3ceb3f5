"""The whole system in ten lines: read once, decide once, act once."""

from scheduler.check import UnsafePlanError, check_plan
from scheduler.execute import execute
from scheduler.observe import observe
from scheduler.plan import make_plan, plan_id
from scheduler.ports import Ports
from scheduler.solve.hold import settle
from state.model.plan import Plan, Severity
from state.model.snapshot import Snapshot


def decide(snapshot: Snapshot) -> Plan:
    """Return the checked plan for *snapshot*; nothing has happened yet. Pure.

    A process that decides calls `scheduler.daemon.solver.prepare_solver` once before, or HiGHS prints its banner.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    settled = settle(snapshot)
    plan = make_plan(settled.placement, snapshot, settled.pending)
    findings = check_plan(plan, snapshot)
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise UnsafePlanError(findings)
    return plan


def tick(ports: Ports, fence: int) -> Plan:
    """Read, decide, commit, execute.

    It takes no hint of what changed: a wake-up only makes the next one come sooner.

    Raises:
        UnsafePlanError: A check failed; the snapshot is kept, and nothing was committed or executed.
        StoreError: The lease was lost or a row changed meanwhile; nothing was committed or executed.
    """
    snapshot = observe(ports)
    try:
        plan = decide(snapshot)
    except UnsafePlanError as error:
        ports.store.keep_refused(snapshot, error.findings, plan_id(snapshot), ports.clock.now())
        raise
    ports.store.commit(plan, snapshot, fence, ports.clock.now())
    execute(plan, ports, snapshot.shortages)
    return plan
