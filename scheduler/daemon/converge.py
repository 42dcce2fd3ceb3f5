"""Ticks in this process until nothing is left to do: for commands without a daemon."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from scheduler.observe.snapshot import observe
from scheduler.ports import Outside
from scheduler.tick import decide, tick
from state.model.plan import Plan

PAUSE: Final = timedelta(seconds=2)
LEASE_TTL: Final = timedelta(seconds=60)
FAILED_LOOKS: Final = 5


class TickedElsewhereError(Exception):
    """Another process holds the right to tick."""


class DeployFailedError(Exception):
    """Ray Serve says that an application cannot run; more time will not change that. What ran before runs on."""


class FailureWatch:
    """Notices when Ray Serve goes on saying that a deployment failed."""

    def __init__(self) -> None:
        """Start without a failure."""
        self._looks = 0

    def look(self, plan: Plan) -> None:
        """Take another look.

        Raises:
            DeployFailedError: Some application has been failing for several looks.
        """
        failing = [text for text in plan.waiting if "DEPLOY_FAILED" in text]
        self._looks = self._looks + 1 if failing else 0
        if self._looks >= FAILED_LOOKS:
            raise DeployFailedError(failing[0])


def converge(outside: Outside, most: timedelta, progress: Callable[[Plan], None] = lambda _: None) -> Plan | None:
    """Tick until the plan is settled, and return the last one; None where it was not in time.

    Raises:
        TickedElsewhereError: Another process holds the lease.
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    holder = f"command-{os.getpid()}"
    watch = FailureWatch()
    deadline = outside.clock.now() + most
    try:
        while outside.clock.now() < deadline:
            fence = outside.store.acquire_lease(holder, LEASE_TTL, outside.clock.now())
            if fence is None:
                raise TickedElsewhereError(outside.store.lease_holder(outside.clock.now()))
            plan = tick(outside, fence)
            progress(plan)
            if plan.is_settled:
                return plan
            watch.look(plan)
            outside.clock.sleep(PAUSE)
    finally:
        outside.store.release_lease(holder)
    return None


def await_settled(outside: Outside, most: timedelta, progress: Callable[[Plan], None] = lambda _: None) -> Plan | None:
    """Wait until a look of our own finds nothing to do and nothing to learn, while a daemon does the work.

    Returns:
        The plan of that look; None where it was not in time.

    Raises:
        DeployFailedError: An application cannot run.
    """
    deadline = outside.clock.now() + most
    watch = FailureWatch()
    while outside.clock.now() < deadline:
        plan = decide(observe(outside), outside)
        progress(plan)
        # What this look learned is not on the books before the daemon has seen it too.
        if plan.is_settled and not plan.instances:
            return plan
        watch.look(plan)
        outside.clock.sleep(PAUSE)
    return None
