"""Ticks in this process until the fleet is stable: for commands without a daemon."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from scheduler.tick import decide, tick
from state.model.plan import Blocked, Plan
from state.model.serving import DeployState

PAUSE: Final = timedelta(seconds=2)
LEASE_TTL: Final = timedelta(seconds=60)
FAILED_POLLS_MAX: Final = 5


class TickedElsewhereError(Exception):
    """Another process holds the right to tick."""


class DeployFailedError(Exception):
    """A cell reports that an application cannot run; more time will not change that. What ran before runs on."""

    def __init__(self, blocked: Blocked) -> None:
        """Keep what the cell reports."""
        super().__init__(blocked)
        self.blocked = blocked


class FailureWatch:
    """Finds deployments that stay failed."""

    def __init__(self) -> None:
        """Start without a failure."""
        self._polls = 0

    def poll(self, plan: Plan) -> None:
        """Count another plan.

        Raises:
            DeployFailedError: An application has been failing for several plans.
        """
        failing = [blocked for blocked in plan.blocked if blocked.state is DeployState.DEPLOY_FAILED]
        self._polls = self._polls + 1 if failing else 0
        if self._polls >= FAILED_POLLS_MAX:
            raise DeployFailedError(failing[0])


def tick_until_stable(
    ports: Ports, timeout: timedelta, progress: Callable[[Plan], None] = lambda _: None
) -> Plan | None:
    """Tick until nothing is left to do or to wait for.

    Returns:
        The last plan, whose demand may be unmet; None where it was not stable in time.

    Raises:
        TickedElsewhereError: Another process holds the lease.
        DeployFailedError: An application cannot run.
        UnsafePlanError, StoreError: As a tick does.
    """
    holder = f"command-{os.getpid()}"
    watch = FailureWatch()
    deadline = ports.clock.now() + timeout
    try:
        while ports.clock.now() < deadline:
            fence = ports.store.acquire_lease(holder, LEASE_TTL, ports.clock.now())
            if fence is None:
                raise TickedElsewhereError(ports.store.lease(ports.clock.now()))
            plan = tick(ports, fence)
            progress(plan)
            if plan.is_stable:
                return plan
            watch.poll(plan)
            ports.clock.sleep(PAUSE)
    finally:
        ports.store.release_lease(holder)
    return None


def await_stable(ports: Ports, timeout: timedelta, progress: Callable[[Plan], None] = lambda _: None) -> Plan | None:
    """Wait until an observation of our own finds nothing to do and nothing to learn, while a daemon does the work.

    Returns:
        The plan of that observation, whose demand may be unmet; None where it was not stable in time.

    Raises:
        DeployFailedError: An application cannot run.
    """
    deadline = ports.clock.now() + timeout
    watch = FailureWatch()
    while ports.clock.now() < deadline:
        plan = decide(observe(ports))
        progress(plan)
        # What this observation learned is not recorded before the daemon has observed it too.
        if plan.is_stable and not plan.instances:
            return plan
        watch.poll(plan)
        ports.clock.sleep(PAUSE)
    return None
