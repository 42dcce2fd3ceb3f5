"""What one observation found of each region, for its health. Pure."""

from datetime import datetime

from scheduler.observe.inventory import Readings
from state.model.health import RegionSignals
from state.model.ids import RegionId
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.serving import CellStatus
from state.model.settings import Thresholds


def region_signals(
    regions: tuple[RegionId, ...],
    live: tuple[Instance, ...],
    cells: tuple[CellStatus, ...],
    readings: Readings,
    thresholds: Thresholds,
) -> tuple[RegionSignals, ...]:
    """Return the signals of each of *regions*, from our machines and what the cells report."""
    by_region = {cell.region: cell for cell in cells}
    found = []
    for region in regions:
        here = [instance for instance in live if instance.region == region and instance.exists]
        cell = by_region.get(region)
        api_answered = region not in readings.unreachable
        if cell is not None and cell.answered and here:
            found.append(_answered(region, api_answered, here, cell, _counts_absence(here, readings, thresholds)))
        else:
            is_silent = bool(here) and not any(_is_starting(i, readings.taken_at, thresholds) for i in here)
            found.append(RegionSignals(region, api_answered, head_answered=False if is_silent else None))
    return tuple(found)


def _is_starting(instance: Instance, now: datetime, thresholds: Thresholds) -> bool:
    """Return whether a machine is a head that has not answered yet, and may still."""
    if instance.role is not Role.HEAD or instance.node_id is not None:
        return False
    since = instance.running_at
    return instance.status is InstanceStatus.REQUESTED or (since is not None and now - since <= thresholds.join_max)


def _counts_absence(here: list[Instance], readings: Readings, thresholds: Thresholds) -> bool:
    """Return whether machines that a cell answers without are missed: its head has been there for long."""
    heads = (i.joined_at for i in here if i.role is Role.HEAD and i.joined_at is not None)
    return any(readings.taken_at - joined_at > thresholds.rejoin_max for joined_at in heads)


def _answered(
    region: RegionId,
    api_answered: bool,  # noqa: FBT001
    here: list[Instance],
    cell: CellStatus,
    counts_absence: bool,  # noqa: FBT001
) -> RegionSignals:
    workers = [i for i in here if i.role is Role.WORKER and i.status is InstanceStatus.RUNNING]
    absent = sum(i.left_cell_since is not None and i.drain_until is None for i in workers)
    return RegionSignals(
        region,
        api_answered,
        head_answered=True,
        replicas_wanted=sum(a.replicas_target or a.replicas_ready for a in cell.applications),
        # Replicas behind proxies that take no requests do not serve.
        replicas_ready=sum(a.replicas_ready for a in cell.applications) if cell.proxies else 0,
        workers=len(workers),
        workers_joined=sum(i.node_id is not None for i in workers),
        workers_absent=absent if counts_absence else 0,
        proxies_answer=bool(cell.proxies),
    )
