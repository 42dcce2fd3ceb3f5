"""Cells and a gateway in memory, over the machines of fake clouds."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from inference.base import Placed
from inference.errors import CellRefusedError, CellSilentError
from inference.gateway.base import BackendCounters, GatewayCounters
from inference.ray.config import canonical, cell_config, gpu_resource
from state.model.catalog import Machine
from state.model.ids import ApplicationName, InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import Serve
from state.model.serving import ApplicationStatus, CellStatus, DeployState, NodeStatus, RoutingTable
from state.model.settings import CellSettings

Alive = Callable[[], Iterable[tuple[CloudInstance, Role]]]


class FakeCell:
    """Serves on the running machines of a region, as many replicas as their GPUs hold."""

    def __init__(self, settings: CellSettings, alive: Alive, machine_of: Callable[[str], Machine]) -> None:
        """Read the region's machines from *alive*, and each instance type from *machine_of*."""
        self.region: RegionId = settings.region
        self._settings = settings
        self.config: str | None = None
        self.drained: set[str] = set()
        self.draining_themselves: set[InstanceId] = set()
        """Machines that drain their nodes themselves."""
        self.short_of_gpus: set[InstanceId] = set()
        """Machines whose GPUs do not answer."""
        self.is_silent = False
        self.applied = 0
        """How often a configuration was accepted."""
        self._alive = alive
        self._machine_of = machine_of
        self._serving: dict[str, tuple[dict[str, Any], int]] = {}
        """What each application last ran completely: its placed deployment and how many replicas of it."""

    def _running(self, role: Role) -> list[CloudInstance]:
        return [
            seen
            for seen, has_role in self._alive()
            if seen.key.region == self.region and has_role is role and seen.state is CloudState.RUNNING
        ]

    def _answers(self) -> bool:
        return not self.is_silent and bool(self._running(Role.HEAD))

    def status(self, placed: tuple[Placed, ...]) -> CellStatus:
        """Return what runs where, filled machine by machine."""
        if not self._answers():
            return CellStatus(self.region, answered=False, message="no answer")
        workers = sorted(self._running(Role.WORKER), key=lambda seen: seen.instance_id)
        headrooms = [self._headroom(w) for w in workers if w.address not in self.drained]
        names = {p.application: p.deployment for p in placed}
        listed = json.loads(self.config or '{"applications":[]}')["applications"]
        applications = tuple(
            self._fill(application, names.get(application["name"]), headrooms) for application in listed
        )
        nodes = [
            NodeStatus(
                r.id, r.address, f"node-{r.address}", False, r.replicas, r.gpus, r.id in self.draining_themselves
            )
            for r in headrooms
        ]
        heads = [
            NodeStatus(h.instance_id, h.address or "", f"node-{h.address}", is_head=True, replicas=0)
            for h in self._running(Role.HEAD)
        ]
        proxies = tuple(f"{node.address}:8000" for node in (*heads, *nodes))
        return CellStatus(self.region, True, applications, (*heads, *nodes), proxies)

    def _headroom(self, worker: CloudInstance) -> "_Headroom":
        machine = self._machine_of(worker.key.instance_type)
        return _Headroom(worker, replace(machine, gpus=0) if worker.instance_id in self.short_of_gpus else machine)

    def _fill(self, application: dict[str, Any], placed: str | None, headrooms: list["_Headroom"]) -> ApplicationStatus:
        """Place an application's replicas where they fit; old ones stay beside them while new ones may surge."""
        name, deployment = ApplicationName(application["name"]), _placed(application, placed)
        target: int = deployment["num_replicas"]
        ready = sum(headroom.take(deployment) for headroom in _until(headrooms, deployment, target))
        if ready == target:
            self._serving[name] = (deployment, target)
        elif deployment.get("max_surge_percent") and name in self._serving:
            old, count = self._serving[name]
            ready = min(target, ready + sum(headroom.take(old) for headroom in _until(headrooms, old, count)))
        is_whole = name in self._serving and self._serving[name][0] == deployment
        state = DeployState.RUNNING if is_whole and ready == target else DeployState.DEPLOYING
        return ApplicationStatus(name, state, target, ready, canonical(application))

    def apply(self, serve: Serve) -> None:
        """Accept what the cell is to run."""
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)
        config = cell_config(self._settings, serve)
        for application in json.loads(config)["applications"]:
            if not {":", "."} & set(application["import_path"]):
                msg = f"{self.region} refused the configuration: import_path names no attribute of a module"
                raise CellRefusedError(msg)
        self.config = config
        self.applied += 1

    def drain(self, node_id: str, reason: str) -> None:
        """Place no replica on a node any more."""
        del reason
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)
        self.drained.add(node_id.removeprefix("node-"))

    def leaving(self) -> tuple[InstanceId, ...]:
        """Return the machines that drain their nodes themselves."""
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)
        return tuple(sorted(self.draining_themselves))


class _Headroom:
    """One machine, while replicas are placed on it."""

    def __init__(self, seen: CloudInstance, machine: Machine) -> None:
        self.id, self.address = seen.instance_id, seen.address or ""
        self.replicas = 0
        self.gpus = self._free = machine.gpus
        gpu = machine.gpu or ""
        self._resources = {gpu_resource(gpu), gpu_resource(gpu.partition("-")[0])}

    def fits(self, deployment: dict[str, Any]) -> bool:
        """Return whether one more replica finds GPUs of its model here."""
        options = deployment["ray_actor_options"]
        asked = {resource for resource in options.get("resources", {}) if resource.startswith("gpu_")}
        return self._free >= options["num_gpus"] and asked <= self._resources

    def take(self, deployment: dict[str, Any]) -> int:
        """Place one replica here, and return 1."""
        self._free -= deployment["ray_actor_options"]["num_gpus"]
        self.replicas += 1
        return 1


def _until(headrooms: list[_Headroom], deployment: dict[str, Any], target: int) -> Iterator[_Headroom]:
    """Yield a machine for each of *target* replicas, while one has headroom."""
    for _ in range(target):
        headroom = next((headroom for headroom in headrooms if headroom.fits(deployment)), None)
        if headroom is None:
            return
        yield headroom


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
