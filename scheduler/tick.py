"""The whole system in ten lines: look once, decide once, act once."""

from scheduler.check import UnsafePlanError, check_plan
from scheduler.execute import execute
from scheduler.observe.snapshot import observe
from scheduler.plan import make_plan
from scheduler.ports import Ports
from scheduler.solve import USUAL, SolveBudget, solve
from state.model.plan import Plan
from state.model.snapshot import Snapshot


def decide(snapshot: Snapshot, ports: Ports, budget: SolveBudget = USUAL) -> Plan:
    """Return the checked plan for *snapshot*; nothing has happened yet.

    Raises:
        UnsafePlanError: A check failed.
    """
    plan = make_plan(solve(snapshot, budget), snapshot, ports.thresholds)
    if findings := check_plan(plan, snapshot):
        raise UnsafePlanError(findings)
    return plan


def tick(ports: Ports, fence: int) -> Plan:
    """Look, decide, commit, act.

    It takes no hint of what changed: a wake-up only makes the next one come sooner.

    Raises:
        UnsafePlanError: A check failed, and nothing was committed or executed.
        StoreError: The lease was lost or a row changed meanwhile; nothing was committed or executed.
    """
    plan = decide(observe(ports), ports)
    ports.store.commit(plan, fence, ports.clock.now())
    execute(plan, ports)
    return plan
