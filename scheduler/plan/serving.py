"""The placement's replicas against what each cell serves: which configurations to send. Pure.

A cell's count goes down only while the others carry the demand, and an application leaves a cell only
when the gateway sends it nothing there any more.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from inference.ray.config import CellShare, application_config, cell_config, is_deployed
from scheduler.plan.ready import Readiness
from scheduler.solve.supply import is_excluded, untouchable
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement
from state.model.plan import Serve
from state.model.serving import ApplicationStatus, CellStatus
from state.model.settings import CellSettings
from state.model.snapshot import Snapshot, Wanted

ROLLING_PARTS: Final = 5
"""Serve replaces this part of a deployment's replicas at a time, and one at least. Source: Ray Serve's default."""


@dataclass(slots=True)
class ServingChanges:
    """What cells are to be told."""

    serves: list[Serve] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    restarting: set[ApplicationName] = field(default_factory=set)
    """Applications of which one cell's replicas are replaced by this plan."""
    unsettled: set[RegionId] = field(default_factory=set)
    """Cells whose configuration changes now, or waits to."""


def serving_changes(placement: Placement, snapshot: Snapshot, ready: Readiness) -> ServingChanges:
    """Return the configurations to send now, and what is not ready yet."""
    changes = ServingChanges()
    if snapshot.wanted is None:
        return changes
    shares = cell_shares(placement, snapshot.wanted)
    heads = {m.offer.key.region for m in placement.machines if m.role is Role.HEAD}
    regions = heads | {cell.region for cell in snapshot.cells if cell.answered and cell.applications}
    for region in sorted(regions):
        if is_excluded(snapshot, region) or untouchable(snapshot, region):
            if region in heads:
                changes.blocked.append(f"{region}: left alone until it answers")
            continue
        cell, settings = snapshot.cell(region), snapshot.settings_of(region)
        if cell is None or not cell.answered or settings is None:
            changes.blocked.append(f"{region}: its cell does not answer yet")
            continue
        _serve_cell(settings, cell, shares.get(region, []), snapshot, ready, changes)
    return changes


def cell_shares(placement: Placement, wanted: Wanted) -> dict[RegionId, list[CellShare]]:
    """Return what each cell is to run."""
    counts: Counter[tuple[RegionId, ApplicationName, int]] = Counter()
    for replicas in placement.replicas:
        counts[replicas.region, replicas.application, replicas.shape] += replicas.count
    shares: dict[RegionId, list[CellShare]] = {}
    for (region, name, shape), count in sorted(counts.items()):
        application = wanted.spec.applications[name]
        share = CellShare(name, region, application, wanted.serve_application(name), application.shapes[shape], count)
        shares.setdefault(region, []).append(share)
    return shares


def _serve_cell(
    settings: CellSettings,
    cell: CellStatus,
    shares: list[CellShare],
    snapshot: Snapshot,
    ready: Readiness,
    changes: ServingChanges,
) -> None:
    configs: list[dict[str, Any]] = []
    reasons: list[str] = []
    restarts = False
    for share in shares:
        name = ApplicationName(share.name)
        config = application_config(share)
        deployed = cell.application(name)
        if deployed is not None and not _may_change(config, share, deployed, ready, _busy(snapshot, changes, name)):
            changes.blocked.append(f"{cell.region}: {name} keeps its replicas until the new ones can be ready")
            changes.unsettled.add(cell.region)
            config = json.loads(deployed.config)
        elif deployed is not None and not _same_shape(config, deployed):
            restarts = True
            changes.restarting.add(name)
            _let_surge(config, share, deployed)
        if deployed is None or not is_deployed(config, json.loads(deployed.config)):
            reasons.append(f"{name} x {share.replicas}")
        elif deployed.replicas_ready < share.replicas or deployed.status != "RUNNING":
            detail = f": {deployed.message}" if deployed.message else ""
            changes.blocked.append(
                f"{cell.region}: {name} {deployed.status}, {deployed.replicas_ready} of {share.replicas} ready{detail}"
            )
        configs.append(config)
    for deployed in cell.applications:
        if deployed.name in {share.name for share in shares}:
            continue
        if _is_routed(snapshot, deployed.name, cell.region) or not ready.may_lower(deployed.name, cell.region, 0):
            changes.blocked.append(f"{cell.region}: {deployed.name} leaves once its requests go elsewhere")
            configs.append(json.loads(deployed.config))
        else:
            reasons.append(f"{deployed.name} leaves")
    if reasons:
        changes.unsettled.add(cell.region)
        changes.serves.append(Serve(cell.region, cell_config(settings, configs), ", ".join(reasons), restarts))


def _busy(snapshot: Snapshot, changes: ServingChanges, name: ApplicationName) -> bool:
    """Return whether replicas of an application are being replaced somewhere, or are about to be."""
    statuses = (cell.application(name) for cell in snapshot.cells if cell.answered)
    return name in changes.restarting or any(status is not None and status.status != "RUNNING" for status in statuses)


def _let_surge(config: dict[str, Any], share: CellShare, deployed: ApplicationStatus) -> None:
    """Let Serve start the new replicas before it stops the old, where they run on other machines."""
    if not _moves(config, deployed):
        return
    for deployment in config["deployments"]:
        if deployment["name"] == share.application.serve.deployment:
            deployment.setdefault("max_surge_percent", 100)


def _may_change(
    config: dict[str, Any],
    share: CellShare,
    deployed: ApplicationStatus,
    ready: Readiness,
    is_busy: bool,  # noqa: FBT001
) -> bool:
    """Return whether going to *config* leaves enough ready.

    What replaces every replica of a cell is done in one cell at a time, while no other cell is at it.
    Serve does it a fifth at a time; where one cell alone serves an application there is no other way.
    """
    target = deployed.replicas_target if deployed.replicas_target is not None else deployed.replicas_ready
    if _same_shape(config, deployed):
        return share.replicas >= target or ready.may_lower(deployed.name, share.region, share.replicas)
    if is_busy and deployed.status == "RUNNING":
        return False
    if _moves(config, deployed):
        return share.region in ready.joined
    rolling = max(1, -(-target // ROLLING_PARTS))
    is_alone = ready.capacity_without(deployed.name, share.region, lasting=False) == 0
    return is_alone or ready.may_lower(deployed.name, share.region, target - rolling)


def _same_shape(config: dict[str, Any], deployed: ApplicationStatus) -> bool:
    """Return whether going to *config* restarts no replica: all but counts is the same."""
    wanted, running = json.loads(json.dumps(config)), json.loads(deployed.config)
    for document in (wanted, running):
        for deployment in document.get("deployments", []):
            deployment.pop("num_replicas", None)
    return is_deployed(wanted, running)


def _moves(config: dict[str, Any], deployed: ApplicationStatus) -> bool:
    """Return whether the new replicas run on other machines than the old, so that both fit at once."""

    def gpus(document: dict[str, Any]) -> list[object]:
        return [(d.get("ray_actor_options") or {}).get("resources") for d in document.get("deployments", [])]

    return gpus(config) != gpus(json.loads(deployed.config))


def _is_routed(snapshot: Snapshot, application: ApplicationName, region: RegionId) -> bool:
    table = snapshot.routing
    return table is not None and any(
        backend.region == region
        for route in table.routes
        if route.application == application
        for backend in route.backends
    )
