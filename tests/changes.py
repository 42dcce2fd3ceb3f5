"""Fleets and changes of capacity, for tests of one step of a plan."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from scheduler.plan.capacity import capacity_changes
from scheduler.plan.changes import CapacityChanges
from scheduler.plan.ready import Readiness
from state.model.ids import InstanceId, PlanId, RegionId
from state.model.inventory import (
    Instance,
    TerminationReason,
)
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement
from state.model.plan import BlockedReason
from state.model.serving import CellStatus, NodeStatus
from state.model.snapshot import Snapshot
from tests.builders import a_head_offer, an_offer, application
from tests.plans import CHAT, EU, US, a_snapshot

OFFER, HEAD = an_offer(US), a_head_offer(US)
EU_OFFER, EU_HEAD = an_offer(EU, "2"), a_head_offer(EU)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
R, T, S = BlockedReason, TerminationReason, InstanceStatus
PLAN = PlanId("plan-7")


def a_readiness(**changes: Any) -> Readiness:
    return replace(Readiness({}, {}, {}, {}), **changes)


def changes_of(
    snapshot: Snapshot, *machines: MachineCount, ready: Readiness | None = None, changing: Any = ()
) -> CapacityChanges:
    return capacity_changes(
        Placement(machines), snapshot, ready or a_readiness(), PLAN, frozenset(RegionId(r) for r in changing)
    )


def chat(**changes: Any) -> dict[str, Any]:
    return application(**({"disruption": {"max_surge": 20}} | changes))


def a_fleet(*held: Instance, budget: float = 1000, **changes: Any) -> Snapshot:
    fields = {"chat": chat()} | changes
    return a_snapshot(OFFER, HEAD, EU_OFFER, EU_HEAD, budget=budget, instances=held, **fields)


def a_node(instance: Instance, replicas: int = 0, **changes: Any) -> NodeStatus:
    return replace(NodeStatus(instance.id, "10.0.0.5", f"node-{instance.id}", False, replicas), **changes)


def a_cell(region: RegionId, *nodes: NodeStatus, **changes: Any) -> CellStatus:
    return replace(CellStatus(region, answered=True, nodes=nodes), **changes)


def ended(changes: CapacityChanges) -> list[tuple[InstanceId, TerminationReason]]:
    return [(t.instance_id, t.reason) for t in changes.terminations]


READY = a_readiness(joined=frozenset({US}), wanted={(CHAT, US): 1})
