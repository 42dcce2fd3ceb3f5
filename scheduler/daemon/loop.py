"""The daemon: a tick every few seconds, sooner when one is asked for, until it is stopped.

APScheduler is only the timer. One tick runs at a time, and one that was missed is made up for once. After
kill -9 the next start takes up from the store, where every machine was recorded before it was requested.
"""

import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from structlog.contextvars import bound_contextvars

from inference.errors import InferenceError
from scheduler.check import UnsafePlanError
from scheduler.daemon.logs import (
    DAEMON_STARTED,
    DAEMON_STOPPED,
    LEASE_HELD,
    NOTICES_FAILED,
    OBSERVER_ISOLATED,
    PLAN_REFUSED,
    TICK,
    TICK_FAILED,
)
from scheduler.observe.snapshot import leaving_notice
from scheduler.ports import Ports
from scheduler.tick import tick
from state.model.health import HealthReason
from state.model.history import Event, NoticeReceived
from state.model.inventory import Notice, Role
from state.model.plan import Plan, kind_of
from state.model.settings import CellSettings
from state.store import StoreError

LEASE_TTL: Final = timedelta(seconds=60)
"""Longer than any tick: cloud calls time out well before. Another daemon waits so long after a crash."""
NOTICES_EVERY_S: Final = 5.0
"""The shortest notice of a cloud is half a minute."""
PARALLEL_CELLS: Final = 16
WATCH_EVERY_S: Final = 1.0
"""Wake-ups are polled, and so batched, this often."""


class Daemon:
    """Ticks in the background; `run` blocks until it is stopped."""

    def __init__(self, ports: Ports, every: timedelta, holder: str | None = None) -> None:
        """Prepare; nothing runs yet."""
        self._ports = ports
        self._every = every
        self.holder = holder or f"daemon-{os.getpid()}"
        self._stop = threading.Event()
        self._log = structlog.get_logger()
        self._handled: set[Notice] = set()

    def tick_once(self) -> Plan | None:
        """Tick, unless another holds the lease; no error of one tick ends the daemon."""
        ports = self._ports
        start = ports.clock.elapsed()
        try:
            fence = ports.store.acquire_lease(self.holder, LEASE_TTL, ports.clock.now())
            if fence is None:
                self._report_lease()
                return None
            plan = tick(ports, fence)
        except UnsafePlanError as error:
            self._log.error(PLAN_REFUSED, findings=[asdict(finding) for finding in error.findings])
            return None
        except StoreError as error:
            self._log.warning(TICK_FAILED, reason=str(error))
            return None
        except Exception:  # noqa: BLE001  the one place: no error of a tick ends the daemon, and the log has it whole
            self._log.exception(TICK_FAILED)
            return None
        if plan.refused:
            self._log.error(PLAN_REFUSED, findings=[asdict(finding) for finding in plan.refused])
        if any(health.reason is HealthReason.OBSERVER_ISOLATED for health in plan.health):
            self._log.error(OBSERVER_ISOLATED)
        with bound_contextvars(plan=plan.id):
            self._log.info(
                TICK,
                seconds=round(ports.clock.elapsed() - start, 3),
                actions=[kind_of(action) for action in plan.actions],
                blocked=len(plan.blocked),
                usd_per_hour=plan.placement.per_hour.dollars,
                converged=plan.is_converged,
            )
        return plan

    def announce(self) -> None:
        """Log that the daemon starts, and which other process ticks meanwhile."""
        self._log.info(DAEMON_STARTED, holder=self.holder, every_seconds=self._every.total_seconds())
        self._report_lease()

    def _report_lease(self) -> None:
        lease = self._ports.store.lease(self._ports.clock.now())
        if lease is not None and lease.holder != self.holder:
            self._log.warning(LEASE_HELD, holder=lease.holder, until=lease.until.isoformat(timespec="seconds"))

    def watch_notices(self) -> None:
        """Read what is announced; anything new is recorded, and wakes the next tick up."""
        owner = self._ports.store.installation()
        for name, provider in sorted(self._ports.providers.items()):
            try:
                self._handle(provider.notices(owner).items)
            except StoreError as error:
                self._log.warning(NOTICES_FAILED, provider=name, reason=str(error))
            except Exception:  # noqa: BLE001  a watcher that dies would read nothing more; the log has it whole
                self._log.exception(NOTICES_FAILED, provider=name)

    def _handle(self, notices: Iterable[Notice]) -> None:
        new = {notice for notice in notices if notice not in self._handled}
        for notice in sorted(new, key=lambda n: n.sort_key):
            now = self._ports.clock.now()
            self._ports.store.note(Event(now, self.holder, str(notice.instance_id), NoticeReceived(notice)))
        if new:
            self._handled |= new
            self._ports.store.wake()

    def watch_cells(self) -> None:
        """Read which machines are leaving their cells: their own metadata services announce that first."""
        try:
            held = self._ports.store.load().instances
            cells = {i.region for i in held if i.role is Role.HEAD and i.exists}
            workers = {i.id for i in held if i.role is Role.WORKER and i.exists}
            asked = [cell for cell in self._ports.cell_settings if cell.region in cells]
            with ThreadPoolExecutor(PARALLEL_CELLS) as pool:
                read = [notice for found in pool.map(self._leaving, asked) for notice in found]
            self._handle(notice for notice in read if notice.instance_id in workers)
        except StoreError as error:
            self._log.warning(NOTICES_FAILED, reason=str(error))
        except Exception:  # noqa: BLE001  as above
            self._log.exception(NOTICES_FAILED)

    def _leaving(self, settings: CellSettings) -> list[Notice]:
        try:
            return [leaving_notice(name, settings.region) for name in self._ports.cell(settings).leaving()]
        except InferenceError:
            return []  # a cell that does not exist yet, or that the next tick finds silent

    def _wakes(self, seen: int) -> int:
        """Return how often a tick was asked for; *seen* where the store does not answer, which the ticks report."""
        try:
            return self._ports.store.wakes()
        except StoreError:
            return seen

    def run(self) -> None:
        """Tick until SIGTERM or SIGINT; the tick in progress is finished first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        scheduler = BackgroundScheduler(timezone="UTC")
        job = scheduler.add_job(
            self.tick_once,
            "interval",
            seconds=self._every.total_seconds(),
            next_run_time=self._ports.clock.now(),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        for watch in (self.watch_notices, self.watch_cells):
            scheduler.add_job(
                watch,
                "interval",
                seconds=NOTICES_EVERY_S,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        self.announce()
        seen = self._ports.store.wakes()
        scheduler.start()
        while not self._stop.wait(WATCH_EVERY_S):
            asked = self._wakes(seen)
            if asked != seen:
                seen = asked
                job.modify(next_run_time=self._ports.clock.now())
        scheduler.shutdown(wait=True)
        with suppress(StoreError):  # where the store does not answer, the lease ends by itself
            self._ports.store.release_lease(self.holder)
        self._log.info(DAEMON_STOPPED, holder=self.holder)
