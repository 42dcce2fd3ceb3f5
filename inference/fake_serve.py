"""Ray Serve in memory: replicas that load, restart, move off drained nodes and are replaced a few at a time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from inference.ray.config import canonical, gpu_resource
from state.clock import Clock
from state.model.catalog import Machine

ROLLING_PARTS: Final = 5
"""Serve replaces one of so many replicas at a time, one at least."""


@dataclass(slots=True)
class FakeReplica:
    """One replica of an application's placed deployment."""

    application: str
    deployment: dict[str, Any]
    version: str
    node: str
    ready_at: datetime

    @property
    def gpus(self) -> float:
        """Return what it takes of its node."""
        return float(self.deployment["ray_actor_options"]["num_gpus"])


@dataclass(slots=True)
class FakeNode:
    """One node that replicas may run on."""

    id: str
    machine: Machine
    is_draining: bool = False
    resources: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Derive the resources by which replicas find it."""
        gpu = self.machine.gpu or ""
        self.resources = {gpu_resource(gpu), gpu_resource(gpu.partition("-")[0])}


class FakeServe:
    """Brings the replicas of one cell to what its configuration has, as Serve does."""

    def __init__(self, clock: Clock) -> None:
        """Start without replicas."""
        self.load = timedelta()
        """Time from the start of a replica until it is ready."""
        self.replicas: list[FakeReplica] = []
        self._clock = clock
        self._nodes: list[FakeNode] = []

    def reconcile(self, nodes: list[FakeNode], applications: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Do what can be done now on *nodes* for the placed deployment of each of *applications*."""
        self._nodes = nodes
        wanted = dict(applications)
        here = {node.id for node in nodes}
        self.replicas = [r for r in self.replicas if r.node in here and r.application in wanted]
        for node in nodes:
            while (on_it := self._on(node)) and sum(r.gpus for r in on_it) > node.machine.gpus:
                self.replicas.remove(on_it[-1])
        for name, deployment in wanted.items():
            for _ in range(4 * (deployment["num_replicas"] + len(self.replicas)) + 4):
                if not self._step(name, deployment):
                    break

    def ready(self, name: str, version: str | None = None) -> int:
        """Return how many replicas of an application are ready, of one version or of all."""
        return sum(self._is_ready(r) for r in self._of(name) if version in {None, r.version})

    def on(self, node: str) -> int:
        """Return how many ready replicas a node carries."""
        return sum(self._is_ready(r) for r in self.replicas if r.node == node)

    def carried(self, nodes: set[str]) -> dict[str, int]:
        """Return how many ready replicas of each application run on *nodes*."""
        return dict(Counter(r.application for r in self.replicas if self._is_ready(r) and r.node in nodes))

    def crash(self, count: int, down_for: timedelta) -> None:
        """End the first *count* replicas; each is ready again after *down_for*."""
        for replica in self.replicas[:count]:
            replica.ready_at = self._clock.now() + down_for

    def _is_ready(self, replica: FakeReplica) -> bool:
        return replica.ready_at <= self._clock.now()

    def _of(self, name: str) -> list[FakeReplica]:
        return [r for r in self.replicas if r.application == name]

    def _on(self, node: FakeNode) -> list[FakeReplica]:
        return [r for r in self.replicas if r.node == node.id]

    def _step(self, name: str, deployment: dict[str, Any]) -> bool:
        """Take one step of an application towards its deployment; return whether there was one."""
        target, version = deployment["num_replicas"], version_of(deployment)
        draining = {node.id for node in self._nodes if node.is_draining}
        new = [r for r in self._of(name) if r.version == version]
        staying = [r for r in new if r.node not in draining]
        moving = [r for r in new if r.node in draining]
        old = [r for r in self._of(name) if r.version != version]
        if len(staying) > target:
            return self._stop(staying)
        if len(staying) < target and self._start(name, deployment, version):
            return True
        ready = sum(map(self._is_ready, staying))
        if moving and ready + len(moving) > target:
            return self._stop(moving)
        return bool(old and self._may_stop_old(deployment, ready, old) and self._stop(old))

    def _may_stop_old(self, deployment: dict[str, Any], ready_new: int, old: list[FakeReplica]) -> bool:
        target = deployment["num_replicas"]
        ready_old = sum(map(self._is_ready, old))
        if deployment.get("max_surge_percent"):
            return bool(ready_new + len(old) > target)
        return bool(ready_old < len(old) or ready_new + ready_old > target - max(1, target // ROLLING_PARTS))

    def _stop(self, replicas: list[FakeReplica]) -> bool:
        """Stop one of *replicas*: one that is not ready, on the emptiest node."""
        counts = {node.id: len(self._on(node)) for node in self._nodes}
        self.replicas.remove(min(replicas, key=lambda r: (self._is_ready(r), counts[r.node], r.node)))
        return True

    def _start(self, name: str, deployment: dict[str, Any], version: str) -> bool:
        """Start a replica on the first node with room; return whether there is one."""
        options = deployment["ray_actor_options"]
        asked = {resource for resource in options.get("resources", {}) if resource.startswith("gpu_")}
        for node in self._nodes:
            free = node.machine.gpus - sum(r.gpus for r in self._on(node))
            if not node.is_draining and free >= options["num_gpus"] and asked <= node.resources:
                ready_at = self._clock.now() + self.load
                self.replicas.append(FakeReplica(name, deployment, version, node.id, ready_at))
                return True
        return False


def version_of(deployment: dict[str, Any]) -> str:
    """Return a deployment without what changes no replica."""
    return canonical({k: v for k, v in deployment.items() if k not in {"num_replicas", "max_surge_percent"}})
