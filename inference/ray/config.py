"""Shares of the placement and users' Ray Serve configurations to the configuration of one cell. Pure.

Nothing that the solver changes often is in `ray_actor_options` or labels, since Serve would restart every replica for
it: counts alone change. Zero replicas means that the application is left out.
"""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from state.model.plan import Serve
from state.model.serving import ApplicationShare
from state.model.settings import CellSettings

GIB: Final = 1024**3
GPU_RESOURCE_SHARE: Final = 0.001
"""Each node declares one unit of its GPU model; a replica takes so little that a thousand fit."""


class Difference(StrEnum):
    """How an application's share differs from what its cell deployed."""

    NONE = "none"
    COUNT = "count"
    """In counts alone: no replica restarts."""
    RESTART = "restart"
    """Every replica is replaced on the machines that it runs on."""
    MOVE = "move"
    """Every replica is replaced on machines with another GPU model, so that old and new ones fit at once."""


def canonical(value: object) -> str:
    """Return JSON that equal values always give."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def gpu_resource(gpu: str) -> str:
    """Return the name of the Ray resource by which replicas find machines with a GPU model."""
    return f"gpu_{gpu.upper()}"


def cell_config(settings: CellSettings, serve: Serve) -> str:
    """Return the whole configuration of a cell, canonical JSON."""
    applications = [application_config(share) for share in serve.shares]
    applications += [json.loads(kept.config) for kept in serve.kept]
    applications.sort(key=lambda application: str(application["name"]))
    http = {"host": settings.serve_host, "port": settings.serve_port}
    return canonical({"proxy_location": settings.proxy_location, "http_options": http, "applications": applications})


def application_config(share: ApplicationShare) -> dict[str, Any]:
    """Return a Serve application with the placed deployment's replicas and resources set.

    Counts come from the placement, so autoscaling is switched off explicitly: what the code sets counts otherwise.
    """
    config: dict[str, Any] = json.loads(share.serve_application)
    config["name"] = share.application
    deployments: list[dict[str, Any]] = config.setdefault("deployments", [])
    placed = next((d for d in deployments if d["name"] == share.deployment), None)
    if placed is None:
        placed = {"name": share.deployment}
        deployments.append(placed)
    placed["autoscaling_config"] = None
    placed["num_replicas"] = share.replicas
    options: dict[str, Any] = dict(placed.get("ray_actor_options") or {})
    shape = share.shape
    options["num_gpus"] = shape.count if shape.count < 1 else int(shape.count)
    options["num_cpus"] = shape.cpus
    if shape.memory_gib:
        options["memory"] = int(shape.memory_gib * GIB)
    resources: dict[str, float] = options.get("resources") or {}
    options["resources"] = {**resources, gpu_resource(shape.gpu): GPU_RESOURCE_SHARE}
    placed["ray_actor_options"] = options
    if shape.machines > 1:
        placed["placement_group_bundles"] = [_bundle(options) for _ in range(shape.machines)]
        placed["placement_group_strategy"] = "STRICT_SPREAD"  # one bundle on each machine, all or none
    if share.may_surge:
        placed.setdefault("max_surge_percent", 100)
    return config


def _bundle(options: dict[str, Any]) -> dict[str, float]:
    """Return what a replica takes of each of its machines, in Ray's terms."""
    bundle = {"GPU": options["num_gpus"], "CPU": options["num_cpus"], **options["resources"]}
    if "memory" in options:
        bundle["memory"] = options["memory"]
    return bundle


def difference(share: ApplicationShare, deployed: str) -> Difference:
    """Return how a share differs from what its cell deployed.

    Args:
        share: What the cell is to run.
        deployed: What it runs, as `ApplicationStatus.config` has it.
    """
    wanted, running = application_config(share), json.loads(deployed)
    if is_within(wanted, running):
        return Difference.NONE
    if is_within(_without_counts(wanted), _without_counts(running)):
        return Difference.COUNT
    return Difference.MOVE if _gpu_models(wanted) != _gpu_models(running) else Difference.RESTART


def _without_counts(config: dict[str, Any]) -> dict[str, Any]:
    deployments: Iterable[dict[str, Any]] = config.get("deployments", [])
    fewer = [{k: v for k, v in deployment.items() if k != "num_replicas"} for deployment in deployments]
    return {**config, "deployments": fewer}


def _gpu_models(config: dict[str, Any]) -> list[object]:
    return [(d.get("ray_actor_options") or {}).get("resources") for d in config.get("deployments", [])]


def is_within(wanted: object, deployed: object) -> bool:
    """Return whether everything of *wanted* is in *deployed*, which may have more.

    Serve fills in defaults and turns whole numbers into floats.
    """
    if isinstance(wanted, dict) and isinstance(deployed, dict):
        return all(
            (key in deployed and is_within(value, deployed[key])) or (value is None and deployed.get(key) is None)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(deployed, list):
        return len(wanted) == len(deployed) and all(map(is_within, wanted, deployed))
    return bool(wanted == deployed)
