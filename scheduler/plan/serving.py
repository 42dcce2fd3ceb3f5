"""The placement's replicas against what each cell serves: which shares to send. Pure.

A cell's count goes down only while the others carry the demand, and an application leaves a cell only when the
gateway sends it nothing there any more.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from inference.ray.config import Difference, difference
from scheduler.plan.ready import Readiness
from scheduler.region_policy import is_excluded, must_be_left_alone
from state.model.ids import ApplicationName, RegionId
from state.model.inventory import Role
from state.model.placement import Placement
from state.model.plan import ActionKind, Blocked, BlockedReason, Serve, ServeChange
from state.model.serving import ApplicationShare, ApplicationStatus, CellStatus, DeployState, KeptApplication
from state.model.snapshot import Snapshot, Wanted


@dataclass(slots=True)
class ServingChanges:
    """What cells are to be sent."""

    serves: list[Serve] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    restarting: set[ApplicationName] = field(default_factory=set)
    """Applications of which one cell's replicas are replaced by this plan."""
    changing: set[RegionId] = field(default_factory=set)
    """Cells whose configuration changes now, or waits to."""

    def block(self, reason: BlockedReason, region: RegionId, deployed: ApplicationStatus | None = None) -> None:
        """Record that a cell's configuration waits."""
        name = None if deployed is None else deployed.name
        self.blocked.append(Blocked(reason, ActionKind.SERVE, region, application=name))


def serving_changes(placement: Placement, snapshot: Snapshot, ready: Readiness) -> ServingChanges:
    """Return what to send to cells now, and what is not ready yet."""
    changes = ServingChanges()
    if snapshot.wanted is None:
        return changes
    shares = cell_shares(placement, snapshot.wanted)
    heads = {m.offer.key.region for m in placement.machines if m.role is Role.HEAD}
    regions = heads | {cell.region for cell in snapshot.cells if cell.answered and cell.applications}
    for region in sorted(regions):
        if is_excluded(snapshot, region) or must_be_left_alone(snapshot, region):
            if region in heads:
                changes.block(BlockedReason.REGION_LEFT_ALONE, region)
            continue
        cell = snapshot.cell(region)
        if cell is None or not cell.answered or snapshot.settings_of(region) is None:
            changes.block(BlockedReason.CELL_SILENT, region)
            continue
        _serve_cell(cell, shares.get(region, []), snapshot, ready, changes)
    return changes


def cell_shares(placement: Placement, wanted: Wanted) -> dict[RegionId, list[ApplicationShare]]:
    """Return what each cell is to run."""
    counts: Counter[tuple[RegionId, ApplicationName, int]] = Counter()
    for replicas in placement.replicas:
        counts[replicas.region, replicas.application, replicas.shape] += replicas.count
    shares: dict[RegionId, list[ApplicationShare]] = {}
    for (region, name, shape), count in sorted(counts.items()):
        application = wanted.spec.applications[name]
        share = ApplicationShare(
            name, application.serve.deployment, wanted.serve_application(name), application.shapes[shape], count
        )
        shares.setdefault(region, []).append(share)
    return shares


@dataclass(slots=True)
class _Cell:
    """One cell's next configuration, as it is put together."""

    shares: list[ApplicationShare] = field(default_factory=list)
    kept: list[KeptApplication] = field(default_factory=list)
    changes: list[ServeChange] = field(default_factory=list)
    restarts: bool = False


def _serve_cell(
    cell: CellStatus, shares: list[ApplicationShare], snapshot: Snapshot, ready: Readiness, changes: ServingChanges
) -> None:
    following = _Cell()
    for share in shares:
        _serve_application(cell, share, following, snapshot, ready, changes)
    for deployed in cell.applications:
        if deployed.name not in {share.application for share in shares}:
            _remove_application(cell, deployed, following, snapshot, ready, changes)
    if following.changes:
        changes.changing.add(cell.region)
        changes.serves.append(
            Serve(
                cell.region,
                tuple(following.shares),
                tuple(following.kept),
                tuple(following.changes),
                restarts=following.restarts,
            )
        )


def _serve_application(
    cell: CellStatus,
    share: ApplicationShare,
    following: _Cell,
    snapshot: Snapshot,
    ready: Readiness,
    changes: ServingChanges,
) -> None:
    """Add one application to a cell's next configuration: as placed, or as it is until that may change."""
    deployed = cell.application(share.application)
    if deployed is None:
        following.shares.append(share)
        following.changes.append(ServeChange(share.application, share.replicas))
        return
    differs = difference(share, deployed.config)
    if differs is Difference.NONE:
        following.shares.append(share)
        if deployed.replicas_ready < share.replicas or deployed.state is not DeployState.RUNNING:
            changes.blocked.append(_deploying(cell.region, share, deployed))
        return
    is_busy = _is_busy(snapshot, changes, share.application)
    parts = snapshot.limits.rolling_update_parts
    if not _may_change(cell.region, share, deployed, ready, is_busy=is_busy, rolling_parts=parts):
        changes.block(BlockedReason.REPLACEMENT_NOT_READY, cell.region, deployed)
        changes.changing.add(cell.region)
        following.kept.append(KeptApplication(share.application, deployed.config))
        return
    if differs is not Difference.COUNT:
        following.restarts = True
        changes.restarting.add(share.application)
    following.shares.append(replace(share, may_surge=differs is Difference.MOVE))
    following.changes.append(ServeChange(share.application, share.replicas))


def _deploying(region: RegionId, share: ApplicationShare, deployed: ApplicationStatus) -> Blocked:
    return Blocked(
        BlockedReason.DEPLOYING,
        region=region,
        application=share.application,
        state=deployed.state,
        ready=deployed.replicas_ready,
        target=share.replicas,
        message=deployed.message,
    )


def _remove_application(
    cell: CellStatus,
    deployed: ApplicationStatus,
    following: _Cell,
    snapshot: Snapshot,
    ready: Readiness,
    changes: ServingChanges,
) -> None:
    if _is_routed(snapshot, deployed.name, cell.region) or not ready.may_lower(deployed.name, cell.region, 0):
        changes.block(BlockedReason.STILL_ROUTED, cell.region, deployed)
        following.kept.append(KeptApplication(deployed.name, deployed.config))
    else:
        following.changes.append(ServeChange(deployed.name, 0))


def _is_busy(snapshot: Snapshot, changes: ServingChanges, name: ApplicationName) -> bool:
    """Return whether replicas of an application are being replaced in a cell, or are about to be."""
    found = (cell.application(name) for cell in snapshot.cells if cell.answered)
    is_changing = any(status is not None and status.state is not DeployState.RUNNING for status in found)
    return name in changes.restarting or is_changing


def _may_change(
    region: RegionId,
    share: ApplicationShare,
    deployed: ApplicationStatus,
    ready: Readiness,
    *,
    is_busy: bool,
    rolling_parts: int,
) -> bool:
    """Return whether going to *share* leaves enough ready.

    What replaces every replica of a cell is done in one cell at a time, while no other cell does so. Serve replaces one
    of *rolling_parts* at a time; where one cell alone serves an application there is no other way.
    """
    target = deployed.replicas_target if deployed.replicas_target is not None else deployed.replicas_ready
    differs = difference(share, deployed.config)
    if share.replicas < target and not ready.may_lower(deployed.name, region, share.replicas):
        return False
    if differs is Difference.COUNT:
        return True
    if is_busy and deployed.state is DeployState.RUNNING:
        return False
    if differs is Difference.MOVE:
        return region in ready.joined
    rolling = max(1, -(-target // rolling_parts))
    is_alone = ready.capacity_without(deployed.name, region, lasting=False) == 0
    return is_alone or ready.may_lower(deployed.name, region, target - rolling)


def _is_routed(snapshot: Snapshot, application: ApplicationName, region: RegionId) -> bool:
    table = snapshot.routing
    return table is not None and any(
        backend.region == region
        for route in table.routes
        if route.application == application
        for backend in route.backends
    )
