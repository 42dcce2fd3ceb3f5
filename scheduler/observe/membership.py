"""Which machines are in their cells, as the cells report it, and since when they are not. Pure.

One reading without a machine is no fact: it is only remembered since when. Only changes are recorded.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from scheduler.observe.inventory import SyncedInventory
from state.model.ids import InstanceId
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.serving import CellStatus, NodeStatus


def with_membership(synced: SyncedInventory, cells: tuple[CellStatus, ...], now: datetime) -> SyncedInventory:
    """Return the inventory with what each machine's cell reports of it."""
    by_region = {cell.region: cell for cell in cells}
    changed: dict[InstanceId, Instance] = {}
    learned = {instance.id for instance in synced.learned}
    for instance in synced.live:
        cell = by_region.get(instance.region)
        if cell is None or instance.status is InstanceStatus.REQUESTED:
            continue
        current = _seen_by(cell, instance, now)
        if current != instance:
            # A change that this observation found already has its version.
            version = instance.version + (instance.id not in learned)
            changed[instance.id] = replace(current, version=version)
    return replace(
        synced,
        live=tuple(changed.get(instance.id, instance) for instance in synced.live),
        learned=tuple(_merged(synced.learned, changed)),
    )


def _merged(learned: tuple[Instance, ...], changed: dict[InstanceId, Instance]) -> Iterator[Instance]:
    yield from (changed.get(instance.id, instance) for instance in learned)
    known = {instance.id for instance in learned}
    yield from (instance for instance in changed.values() if instance.id not in known)


def _seen_by(cell: CellStatus, instance: Instance, now: datetime) -> Instance:
    node = next((node for node in cell.nodes if node.instance_id == instance.id), None)
    if node is not None:
        return _joined(instance, node, now)
    if not cell.answered and instance.role is Role.WORKER:
        # Silence is not absence: what follows it is judged anew.
        return instance if instance.left_cell_since is None else replace(instance, left_cell_since=None)
    has_left = instance.node_id is not None and instance.left_cell_since is None
    return replace(instance, left_cell_since=now) if has_left else instance


def _joined(instance: Instance, node: NodeStatus, now: datetime) -> Instance:
    if node.node_id != instance.node_id:
        instance = replace(instance, node_id=node.node_id, joined_at=now, carried_at=None, drain_until=None)
    carried_at = instance.carried_at or (now if node.replicas else None)
    return replace(instance, carried_at=carried_at, left_cell_since=None)
