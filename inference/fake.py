"""Cells and a gateway in memory, over the machines of fake clouds."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from inference.base import Placed
from inference.errors import CellRefusedError, CellSilentError
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import CellSettings
from state.model.serving import ApplicationStatus, CellStatus, NodeStatus, RoutingTable

Alive = Callable[[], Iterable[tuple[CloudInstance, Role]]]


class FakeCell:
    """Serves on the running machines of a region: as many replicas as their GPUs hold."""

    def __init__(self, settings: CellSettings, alive: Alive, gpus_of: Callable[[str], int]) -> None:
        """Take the region's machines from *alive*, and GPUs per instance type from *gpus_of*."""
        self.region: RegionId = settings.region
        self.config: str | None = None
        self.drained: set[str] = set()
        self.is_silent = False
        self.applied = 0
        """How often a configuration was taken."""
        self._alive = alive
        self._gpus_of = gpus_of

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
            return CellStatus(self.region, answered=False, reason="no answer")
        workers = sorted(self._running(Role.WORKER), key=lambda seen: seen.instance_id)
        free = {w.address or "": self._gpus_of(w.key.instance_type) for w in workers if w.address not in self.drained}
        used = dict.fromkeys(free, 0)
        names = {p.application: p.deployment for p in placed}
        applications = []
        for application in json.loads(self.config or '{"applications":[]}')["applications"]:
            deployment = _placed(application, names.get(application["name"]))
            need = deployment["ray_actor_options"]["num_gpus"]
            ready = 0
            for address in tuple(free):
                while ready < deployment["num_replicas"] and free[address] >= need:
                    free[address] -= need
                    used[address] += 1
                    ready += 1
            name = ApplicationName(application["name"])
            status = "RUNNING" if ready == deployment["num_replicas"] else "DEPLOYING"
            config = json.dumps(application, sort_keys=True)
            applications.append(ApplicationStatus(name, status, deployment["num_replicas"], ready, config))
        ids = {w.address or "": w.instance_id for w in workers}
        nodes = [NodeStatus(ids[a], a, f"node-{a}", is_head=False, replicas=n) for a, n in used.items()]
        heads = [
            NodeStatus(h.instance_id, h.address or "", f"node-{h.address}", is_head=True, replicas=0)
            for h in self._running(Role.HEAD)
        ]
        proxies = tuple(f"{node.address}:8000" for node in (*heads, *nodes))
        return CellStatus(self.region, True, tuple(applications), (*heads, *nodes), proxies)

    def apply(self, config: str) -> None:
        """Take the configuration."""
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)
        if not isinstance(json.loads(config).get("applications"), list):
            msg = f"{self.region} refused the configuration: no list of applications"
            raise CellRefusedError(msg)
        self.config = config
        self.applied += 1

    def drain(self, node_id: str, reason: str) -> None:
        """Put no replica on a node any more."""
        del reason
        if not self._answers():
            msg = f"{self.region} does not answer"
            raise CellSilentError(msg)
        self.drained.add(node_id.removeprefix("node-"))


def _placed(application: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the placed deployment of an application: the one of that name, or else the one with GPUs."""
    deployments: list[dict[str, Any]] = application["deployments"]
    return next(d for d in deployments if d["name"] == name or (name is None and "ray_actor_options" in d))


class FakeGateway:
    """Remembers its tables."""

    def __init__(self) -> None:
        """Start without a table."""
        self.history: list[RoutingTable] = []

    def table(self) -> RoutingTable | None:
        """Return the newest table."""
        return self.history[-1] if self.history else None

    def apply(self, table: RoutingTable) -> None:
        """Take a table."""
        self.history.append(table)
