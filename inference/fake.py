"""Cells and a gateway in memory, over the machines of fake clouds."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from inference.base import Placed
from inference.errors import CellRefusedError, CellSilentError
from inference.fake_serve import FakeNode, FakeServe, version_of
from inference.gateway.base import BackendCounters, GatewayCounters
from inference.ray.config import canonical, cell_config
from state.clock import Clock
from state.model.catalog import Machine
from state.model.ids import ApplicationName, InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import Serve
from state.model.serving import ApplicationStatus, CellStatus, DeployState, NodeStatus, RoutingTable
from state.model.settings import CellSettings

Alive = Callable[[], Iterable[tuple[CloudInstance, Role]]]


class FakeCell:
    """Serves on the running machines of a region, as many replicas as their GPUs hold."""

    def __init__(
        self, settings: CellSettings, alive: Alive, machine_of: Callable[[str], Machine], clock: Clock
    ) -> None:
        """Read the region's machines from *alive*, and each instance type from *machine_of*."""
        self.region: RegionId = settings.region
        self._settings = settings
        self.config: str | None = None
        self.drained: set[str] = set()
        """Addresses of machines whose nodes have left for good."""
        self.draining_themselves: set[InstanceId] = set()
        """Machines that drain their nodes themselves."""
        self.short_of_gpus: set[InstanceId] = set()
        """Machines whose GPUs do not answer."""
        self.is_silent = False
        self.applied = 0
        """How often a configuration was accepted."""
        self.drains = 0
        """How often a drain was accepted."""
        self.serve = FakeServe(clock)
        self._clock = clock
        self._alive = alive
        self._machine_of = machine_of
        self._draining: dict[str, datetime] = {}
        """Until when the replicas of each address that is drained may stay there."""
        self._away: dict[str, datetime] = {}
        """Until when each address is not in the cell, though its machine runs."""
        self._silent_until = clock.now()
        self._starts = 0
        """How often the head has started again: nodes that join it anew have new ids."""

    def _running(self, role: Role) -> list[CloudInstance]:
        return [
            seen
            for seen, has_role in self._alive()
            if seen.key.region == self.region and has_role is role and seen.state is CloudState.RUNNING
        ]

    def _is_up(self) -> bool:
        return self._clock.now() >= self._silent_until and bool(self._running(Role.HEAD))

    def _answers(self) -> bool:
        return self._is_up() and not self.is_silent

    def _require_answer(self) -> None:
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)

    def restart_head(self, silent_for: timedelta, rejoin_after: timedelta) -> None:
        """Let the head start anew, without what it knew; its workers join again *rejoin_after* it answers.

        Until it answers they serve on, as Ray's workers do.
        """
        self._silent_until = self._clock.now() + silent_for
        self._starts += 1
        self.config = None
        self._draining.clear()
        for worker in self._running(Role.WORKER):
            self.leave_for(worker.address or "", silent_for + rejoin_after)

    def leave_for(self, address: str, duration: timedelta) -> None:
        """Let a machine's node be missing for a while; it comes back without replicas."""
        self._away[address] = self._clock.now() + duration

    def _present(self) -> list[CloudInstance]:
        """Return the workers whose nodes are in the cell."""
        now = self._clock.now()
        workers = sorted(self._running(Role.WORKER), key=lambda seen: seen.instance_id)
        return [w for w in workers if w.address not in self.drained and self._away.get(w.address or "", now) <= now]

    def carried(self) -> dict[str, int]:
        """Return how many replicas of each application really serve now, whether the head answers or not."""
        away = {} if self._clock.now() < self._silent_until else self._away
        ended = {address for address, until in self._draining.items() if until <= self._clock.now()}
        there = {
            w.address or ""
            for w in self._running(Role.WORKER)
            if w.address not in self.drained | ended
            and away.get(w.address or "", self._clock.now()) <= self._clock.now()
        }
        return self.serve.carried(there)

    def _advance(self, placed: tuple[Placed, ...]) -> dict[str, dict[str, Any]]:
        """Let Serve do what it can by now; return the placed deployment of each application."""
        now = self._clock.now()
        self.drained |= {address for address, until in self._draining.items() if until <= now}
        names = {p.application: p.deployment for p in placed}
        listed = json.loads(self.config or '{"applications":[]}')["applications"]
        wanted = {entry["name"]: _placed(entry, names.get(entry["name"])) for entry in listed}
        nodes = [
            FakeNode(w.address or "", self._machine(w), is_draining=w.address in self._draining)
            for w in self._present()
        ]
        self.serve.reconcile(nodes, wanted.items())
        carried = {replica.node for replica in self.serve.replicas}
        self.drained |= set(self._draining) - carried
        return wanted

    def _machine(self, worker: CloudInstance) -> Machine:
        machine = self._machine_of(worker.key.instance_type)
        return replace(machine, gpus=0) if worker.instance_id in self.short_of_gpus else machine

    def status(self, placed: tuple[Placed, ...]) -> CellStatus:
        """Return what runs where."""
        wanted = self._advance(placed) if self._is_up() else {}
        if not self._answers():
            return CellStatus(self.region, answered=False, message="no answer")
        listed = json.loads(self.config or '{"applications":[]}')["applications"]
        applications = tuple(self._application(entry, wanted[entry["name"]]) for entry in listed)
        nodes = [self._node(worker) for worker in self._present()]
        heads = [
            NodeStatus(h.instance_id, h.address or "", self._node_id(h), is_head=True, replicas=0)
            for h in self._running(Role.HEAD)
        ]
        proxies = tuple(f"{node.address}:8000" for node in (*heads, *nodes))
        return CellStatus(self.region, True, applications, (*heads, *nodes), proxies)

    def _node_id(self, seen: CloudInstance) -> str:
        return f"node-{seen.address}" + (f"-{self._starts}" if self._starts else "")

    def _node(self, worker: CloudInstance) -> NodeStatus:
        address = worker.address or ""
        is_leaving = worker.instance_id in self.draining_themselves or address in self._draining
        gpus = self._machine(worker).gpus
        carried = self.serve.on(address)
        return NodeStatus(worker.instance_id, address, self._node_id(worker), False, carried, gpus, is_leaving)

    def _application(self, entry: dict[str, Any], deployment: dict[str, Any]) -> ApplicationStatus:
        name, target = entry["name"], deployment["num_replicas"]
        ready = min(target, self.serve.ready(name))
        is_whole = self.serve.ready(name, version_of(deployment)) >= target
        state = DeployState.RUNNING if is_whole else DeployState.DEPLOYING
        return ApplicationStatus(ApplicationName(name), state, target, ready, canonical(entry))

    def apply(self, serve: Serve) -> None:
        """Accept what the cell is to run."""
        self._require_answer()
        config = cell_config(self._settings, serve)
        for application in json.loads(config)["applications"]:
            if not {":", "."} & set(application["import_path"]):
                msg = f"{self.region} refused the configuration: import_path names no attribute of a module"
                raise CellRefusedError(msg)
        self.config = config
        self.applied += 1

    def drain(self, node_id: str, reason: str, within: timedelta) -> None:
        """Let a node's replicas move until *within* is over; those that are left then end."""
        del reason
        self._require_answer()
        address = node_id.removeprefix("node-").partition("-")[0]
        self._draining[address] = self._clock.now() + within
        self.drains += 1

    def leaving(self) -> tuple[InstanceId, ...]:
        """Return the machines whose nodes are being drained."""
        self._require_answer()
        ours = {w.instance_id for w in self._present() if w.address in self._draining}
        return tuple(sorted(self.draining_themselves | ours))


def _placed(application: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the placed deployment of an application: the one of that name, or else the one with GPUs."""
    deployments: list[dict[str, Any]] = application["deployments"]
    return next(d for d in deployments if d["name"] == name or (name is None and "ray_actor_options" in d))


class FakeGateway:
    """Remembers its tables."""

    def __init__(self) -> None:
        """Start without a table."""
        self.history: list[RoutingTable] = []

    def ensure_running(self) -> None:
        """Do nothing: it runs."""

    def observe(self) -> GatewayCounters:
        """Return a backend that is up for each in the newest table; nothing is counted."""
        routes = (self.table() or RoutingTable()).routes
        return GatewayCounters(
            tuple(
                BackendCounters(route.application, backend.region, is_up=True, requests=0)
                for route in routes
                for backend in route.backends
            )
        )

    def table(self) -> RoutingTable | None:
        """Return the newest table."""
        return self.history[-1] if self.history else None

    def apply(self, table: RoutingTable) -> None:
        """Take a table."""
        self.history.append(table)
