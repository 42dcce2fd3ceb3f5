"""A cell over Ray's REST API, in plain HTTP; it never imports Ray.

`PUT` is total and asynchronous: 200 means that the configuration was accepted, not that it runs. While Serve
rebuilds an application, its deployments are not listed; that is not zero replicas.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from inference.base import Placed
from inference.errors import CellRefusedError, CellSilentError
from inference.ray.config import canonical, cell_config
from inference.ray.drain import drain_node, draining
from state.clock import Clock
from state.model.ids import ApplicationName, InstanceId, RegionId
from state.model.plan import Serve
from state.model.serving import ApplicationStatus, CellStatus, DeployState, NodeStatus
from state.model.settings import CellSettings

APPLICATIONS: Final = "/api/serve/applications/"
NODES: Final = "/api/v0/nodes?limit=10000"
HEALTH: Final = "/api/gcs_healthz"
PROBE: Final = "/-/healthz"
"""Serve's proxies answer 200 while they take requests, and 503 while they are drained."""
PARALLEL_PROBES: Final = 16
HEALTH_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 8.0
APPLY_TIMEOUT_S: Final = 30.0
"""The first PUT of a cell starts Serve itself, which takes seconds."""
CLIENT_ERROR: Final = 400
SERVER_ERROR: Final = 500


class RayCell:
    """One region's Ray cluster, through its head's dashboard."""

    def __init__(self, settings: CellSettings, token: Callable[[], str], clock: Clock) -> None:
        """Prepare; nothing is called yet."""
        self.region: RegionId = settings.region
        self._settings = settings
        self._serve_address = settings.serve_address
        self._gcs = f"{settings.head_address}:{settings.gcs_port}"
        self._token = token
        self._clock = clock
        self._http = httpx.Client(base_url=f"http://{settings.head_address}:{settings.dashboard_port}", trust_env=False)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    def _get(self, path: str, timeout: float) -> httpx.Response:
        response = self._http.get(path, timeout=timeout, headers=self._headers())
        response.raise_for_status()
        return response

    def status(self, placed: tuple[Placed, ...]) -> CellStatus:
        """Read the cell: its head, Serve and its nodes."""
        try:
            self._get(HEALTH, HEALTH_TIMEOUT_S)
            serve: dict[str, Any] = self._get(APPLICATIONS, READ_TIMEOUT_S).json()
            nodes: dict[str, Any] = self._get(NODES, READ_TIMEOUT_S).json()
            status = read_status(self.region, serve, nodes, placed)
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            return CellStatus(self.region, answered=False, message=f"{type(error).__name__}: {error}")
        return replace(status, proxies=self._answering(status.proxies), nodes=self._marked(status.nodes))

    def _marked(self, nodes: tuple[NodeStatus, ...]) -> tuple[NodeStatus, ...]:
        """Return nodes marked as leaving; where Ray does not answer, none is."""
        try:
            leaving = set(self.leaving())
        except CellSilentError:
            return nodes
        return tuple(replace(node, is_leaving=node.instance_id in leaving) for node in nodes)

    def leaving(self) -> tuple[InstanceId, ...]:
        """Return the machines whose nodes Ray drains."""
        return draining(self._gcs, self._token())

    def _answering(self, proxies: tuple[str, ...]) -> tuple[str, ...]:
        """Return the proxies that take requests, probed as the gateway probes them."""
        if not proxies:
            return ()
        asked = (self._serve_address,) if self._serve_address else proxies
        with ThreadPoolExecutor(min(len(asked), PARALLEL_PROBES)) as pool:
            answers = list(pool.map(self._probe, asked))
        return tuple(address for address, answer in zip(asked, answers, strict=True) if answer)

    def _probe(self, address: str) -> bool:
        try:
            return self._http.get(f"http://{address}{PROBE}", timeout=HEALTH_TIMEOUT_S).is_success
        except httpx.HTTPError:
            return False

    def apply(self, serve: Serve) -> None:
        """Put the whole configuration."""
        try:
            response = self._http.put(
                APPLICATIONS,
                content=cell_config(self._settings, serve),
                timeout=APPLY_TIMEOUT_S,
                headers={**self._headers(), "Content-Type": "application/json"},
            )
        except (httpx.HTTPError, OSError) as error:
            msg = f"{self.region} did not answer to a new configuration"
            raise CellSilentError(msg) from error
        if response.status_code >= SERVER_ERROR:
            msg = f"{self.region} answered {response.status_code}"
            raise CellSilentError(msg)
        if response.status_code >= CLIENT_ERROR:
            msg = f"{self.region} refused the configuration: {response.status_code} {response.text[:500]}"
            raise CellRefusedError(msg)

    def drain(self, node_id: str, reason: str, within: timedelta) -> None:
        """Ask Ray to move a node's replicas elsewhere."""
        drain_node(self._gcs, self._token(), node_id, reason, self._clock.now() + within)


class RayCells:
    """Makes cells, one object per region, so that connections are kept."""

    def __init__(self, token_file: Path, clock: Clock) -> None:
        """Read the token from *token_file* at each call, so that it may be renewed."""
        self._token_file = token_file
        self._clock = clock
        self._cells: dict[CellSettings, RayCell] = {}

    def __call__(self, settings: CellSettings) -> RayCell:
        """Return the cell of *settings*."""
        if settings not in self._cells:
            self._cells[settings] = RayCell(settings, lambda: self._token_file.read_text().strip(), self._clock)
        return self._cells[settings]


def read_status(
    region: RegionId, serve: dict[str, Any], nodes: dict[str, Any], placed: tuple[Placed, ...]
) -> CellStatus:
    """Return the status of a cell from Ray's two answers. Pure."""
    deployments = {p.application: p.deployment for p in placed}
    on_node: Counter[str] = Counter()
    applications = []
    for name, facts in sorted(serve.get("applications", {}).items()):
        applications.append(_application(name, facts, deployments.get(name), on_node))
    return CellStatus(
        region=region,
        answered=True,
        applications=tuple(applications),
        nodes=tuple(_node(node, on_node) for node in _alive(nodes)),
        proxies=_proxies(serve),
    )


def _application(name: str, facts: dict[str, Any], deployment: str | None, on_node: Counter[str]) -> ApplicationStatus:
    listed: dict[str, Any] = facts.get("deployments", {})
    if deployment is None:
        # An application that is not wanted any more: the deployment with GPUs is the one that was placed.
        deployment = next((d for d, f in sorted(listed.items()) if _gpus(f)), next(iter(sorted(listed)), None))
    found = listed.get(deployment or "")
    replicas = [] if found is None else [r for r in found["replicas"] if r["state"] in _SERVING]
    on_node.update(replica["node_id"] for replica in replicas)
    # Beside its replacement, a replica that is about to move is one too many.
    running = sum(replica["state"] == "RUNNING" for replica in replicas)
    target = running if found is None else found["target_num_replicas"]
    return ApplicationStatus(
        name=ApplicationName(name),
        state=_STATES.get(facts["status"], DeployState.UNKNOWN),
        replicas_target=None if found is None else found["target_num_replicas"],
        replicas_ready=max(running, min(len(replicas), target)),
        config=canonical(facts.get("deployed_app_config") or {}),
        message=facts.get("message", "")[:500],
    )


_SERVING: Final = frozenset({"RUNNING", "PENDING_MIGRATION"})
"""States in which a replica takes requests. Source: `ReplicaState` of Ray Serve 2.60: one on a node that is drained is
pending, and serves until its replacement runs or the deadline is near."""

_STATES: Final = {
    "NOT_STARTED": DeployState.NOT_STARTED,
    "DEPLOYING": DeployState.DEPLOYING,
    "RUNNING": DeployState.RUNNING,
    "UNHEALTHY": DeployState.UNHEALTHY,
    "DEPLOY_FAILED": DeployState.DEPLOY_FAILED,
    "DELETING": DeployState.DELETING,
}
"""Source: `ApplicationStatus` of Ray Serve 2.60."""


def _gpus(deployment: dict[str, Any]) -> float:
    options = deployment.get("deployment_config", {}).get("ray_actor_options") or {}
    return float(options.get("num_gpus", 0) or 0)


def _alive(nodes: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = nodes.get("data", {}).get("result", {}).get("result", [])
    return sorted((node for node in listed if node["state"] == "ALIVE"), key=lambda node: str(node["node_id"]))


def _node(node: dict[str, Any], on_node: Counter[str]) -> NodeStatus:
    instance = InstanceId((node.get("labels") or {}).get("instance", ""))
    gpus = float((node.get("resources_total") or {}).get("GPU", 0))
    name = node["node_id"]
    return NodeStatus(instance, node["node_ip"], name, bool(node["is_head_node"]), on_node[name], gpus)


def _proxies(serve: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"{target['ip']}:{target['port']}"
            for group in serve.get("target_groups", [])
            if group.get("protocol") == "HTTP"
            for target in group["targets"]
        )
    )
