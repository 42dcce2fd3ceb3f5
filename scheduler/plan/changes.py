"""What is to be done about machines, as it is put together, and the nodes that they are in their cells."""

from dataclasses import dataclass, field, replace

from state.model.ids import RegionId
from state.model.inventory import Instance
from state.model.plan import ActionKind, Blocked, Drain, Launch, Terminate
from state.model.serving import NodeStatus
from state.model.snapshot import Snapshot


@dataclass(slots=True)
class CapacityChanges:
    """What is to be done about machines."""

    launches: list[Launch] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    terminations: list[Terminate] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    """Requested, drained and terminating ones, to be recorded."""
    blocked: list[Blocked] = field(default_factory=list)
    changing: frozenset[RegionId] = frozenset()
    """Cells whose configuration is about to change, or waits to."""

    def block(self, blocked: Blocked, instance: Instance, action: ActionKind) -> None:
        """Record what blocks an action on a machine."""
        found = replace(
            blocked,
            action=action,
            region=instance.region,
            instance_id=instance.id,
            key=instance.key,
            status=instance.status,
        )
        self.blocked.append(found)


def node_of(snapshot: Snapshot, instance: Instance) -> NodeStatus | None:
    """Return the node that a machine is in its cell, or None."""
    cell = snapshot.cell(instance.region)
    if cell is None:
        return None
    return next((node for node in cell.nodes if node.instance_id == instance.id), None)


def replicas_on(snapshot: Snapshot, instance: Instance) -> int:
    """Return how many replicas a machine carries, by its cell."""
    node = node_of(snapshot, instance)
    return node.replicas if node is not None else 0
