"""A user's Ray Serve configuration and a share of the placement become the configuration of one cell. Pure.

Nothing that the solver changes often stands in `ray_actor_options` or labels, since Serve would restart
every replica for it: counts alone change. Zero replicas means that the application is left out.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from state.model.ids import RegionId
from state.model.settings import CellSettings
from state.model.spec import Application, Shape

GIB: Final = 1024**3
GPU_RESOURCE_SHARE: Final = 0.001
"""Each node declares one unit of its GPU model; a replica takes so little that a thousand fit."""


@dataclass(frozen=True, slots=True)
class CellShare:
    """What one cell runs of one application."""

    name: str
    region: RegionId
    application: Application
    serve_application: str
    """The user's Serve entry, as canonical JSON."""
    shape: Shape
    replicas: int


def canonical(value: object) -> str:
    """Return JSON that equal values always give."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def gpu_resource(gpu: str) -> str:
    """Return the name of the Ray resource by which replicas find machines with a GPU model."""
    return f"gpu_{gpu.upper()}"


def application_config(share: CellShare) -> dict[str, Any]:
    """Return a Serve application with the placed deployment's replicas and resources set."""
    config: dict[str, Any] = json.loads(share.serve_application)
    config["name"] = share.name
    reference = share.application.serve
    deployments: list[dict[str, Any]] = config.setdefault("deployments", [])
    placed = next((d for d in deployments if d["name"] == reference.deployment), None)
    if placed is None:
        placed = {"name": reference.deployment}
        deployments.append(placed)
    placed.pop("autoscaling_config", None)
    placed["num_replicas"] = share.replicas
    options: dict[str, Any] = dict(placed.get("ray_actor_options") or {})
    shape = share.shape
    options["num_gpus"] = shape.count if shape.count < 1 else int(shape.count)
    options["num_cpus"] = share.shape.cpus
    if share.shape.memory_gib:
        options["memory"] = int(share.shape.memory_gib * GIB)
    resources: dict[str, float] = options.get("resources") or {}
    options["resources"] = {**resources, gpu_resource(share.shape.gpu): GPU_RESOURCE_SHARE}
    placed["ray_actor_options"] = options
    if shape.machines > 1:
        placed["placement_group_bundles"] = [_bundle(options) for _ in range(shape.machines)]
        placed["placement_group_strategy"] = "STRICT_SPREAD"  # one bundle on each machine, all or none
    return config


def _bundle(options: dict[str, Any]) -> dict[str, float]:
    """Return what a replica takes of each of its machines, in Ray's words."""
    bundle = {"GPU": options["num_gpus"], "CPU": options["num_cpus"], **options["resources"]}
    if "memory" in options:
        bundle["memory"] = options["memory"]
    return bundle


def cell_config(settings: CellSettings, applications: Iterable[dict[str, Any]]) -> str:
    """Return the whole configuration of a cell, canonical JSON."""
    listed: list[dict[str, Any]] = sorted(applications, key=lambda application: str(application["name"]))
    http = {"host": settings.serve_host, "port": settings.serve_port}
    return canonical({"proxy_location": settings.proxy_location, "http_options": http, "applications": listed})


def is_deployed(wanted: dict[str, Any], deployed: dict[str, Any]) -> bool:
    """Return whether a cell runs *wanted*: everything it says stands in *deployed*, which may say more.

    Serve fills in defaults and turns whole numbers into floats.
    """
    return _is_within(wanted, deployed)


def _is_within(wanted: object, deployed: object) -> bool:
    if isinstance(wanted, dict) and isinstance(deployed, dict):
        return all(key in deployed and _is_within(value, deployed[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(deployed, list):
        return len(wanted) == len(deployed) and all(map(_is_within, wanted, deployed))
    return bool(wanted == deployed)
