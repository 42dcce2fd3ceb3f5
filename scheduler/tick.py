"""The whole system in ten lines: look once, decide once, act once."""

from scheduler.check import UnsafePlanError, check_plan
from scheduler.execute import execute
from scheduler.observe.snapshot import observe
from scheduler.plan import make_plan
from scheduler.ports import Outside
from scheduler.solve import USUAL, Effort, solve
from state.model.plan import Plan
from state.model.snapshot import Snapshot


def decide(snapshot: Snapshot, outside: Outside, effort: Effort = USUAL) -> Plan:
    """Return the checked plan for *snapshot*; nothing has happened yet.

    Raises:
        UnsafePlanError: A check failed.
    """
    plan = make_plan(solve(snapshot, effort), snapshot, outside.knobs)
    if findings := check_plan(plan, snapshot):
        raise UnsafePlanError(findings)
    return plan


def tick(outside: Outside, fence: int) -> Plan:
    """Look, decide, commit, act.

    It takes no hint of what changed: a wake-up only makes the next one come sooner.

    Raises:
        UnsafePlanError: A check failed, and nothing was committed or executed.
        StoreError: The lease was lost or a row changed meanwhile; nothing was committed or executed.
    """
    plan = decide(observe(outside), outside)
    outside.store.commit(plan, fence, outside.clock.now())
    execute(plan, outside)
    return plan
