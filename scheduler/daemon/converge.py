"""Ticks in this process until nothing is left to do: for commands without a daemon."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from scheduler.tick import decide, tick
from state.model.plan import Plan

PAUSE: Final = timedelta(seconds=2)
LEASE_TTL: Final = timedelta(seconds=60)
FAILED_POLLS_MAX: Final = 5


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
        failing = [text for text in plan.blocked if "DEPLOY_FAILED" in text]
        self._looks = self._looks + 1 if failing else 0
        if self._looks >= FAILED_POLLS_MAX:
            raise DeployFailedError(failing[0])


def converge(ports: Ports, most: timedelta, progress: Callable[[Plan], None] = lambda _: None) -> Plan | None:
    """Tick until the plan is settled, and return the last one; None where it was not in time.

    Raises:
        TickedElsewhereError: Another process holds the lease.
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    holder = f"command-{os.getpid()}"
    watch = FailureWatch()
    deadline = ports.clock.now() + most
    try:
        while ports.clock.now() < deadline:
            fence = ports.store.acquire_lease(holder, LEASE_TTL, ports.clock.now())
            if fence is None:
                raise TickedElsewhereError(ports.store.lease_holder(ports.clock.now()))
            plan = tick(ports, fence)
            progress(plan)
            if plan.is_converged:
                return plan
            watch.look(plan)
            ports.clock.sleep(PAUSE)
    finally:
        ports.store.release_lease(holder)
    return None


def await_converged(ports: Ports, most: timedelta, progress: Callable[[Plan], None] = lambda _: None) -> Plan | None:
    """Wait until a look of our own finds nothing to do and nothing to learn, while a daemon does the work.

    Returns:
        The plan of that look; None where it was not in time.

    Raises:
        DeployFailedError: An application cannot run.
    """
    deadline = ports.clock.now() + most
    watch = FailureWatch()
    while ports.clock.now() < deadline:
        plan = decide(observe(ports), ports)
        progress(plan)
        # What this look learned is not on the books before the daemon has seen it too.
        if plan.is_converged and not plan.instances:
            return plan
        watch.look(plan)
        ports.clock.sleep(PAUSE)
    return None
