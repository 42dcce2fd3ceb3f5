"""Machines that stay on their way, or in an unknown state: each ends in a bounded time, and teaches."""

from datetime import timedelta

import pytest

from scheduler.simulation.world import World
from state.model.catalog import ShortageKind
from state.model.ids import InstanceId
from state.model.inventory import CloudState, Role, TerminationReason
from tests.builders import a_spec, an_offer, application

US, EU = "aws/us-east-1", "gcp/europe-west4"
SLOWLY = timedelta(seconds=30)


@pytest.mark.parametrize("state", [CloudState.PENDING, CloudState.UNKNOWN])
@pytest.mark.parametrize("role", list(Role))
def test_a_machine_that_never_starts_is_replaced_and_takes_no_surge_for_ever(state: CloudState, role: Role) -> None:
    world = World(an_offer(US, "1"), an_offer(EU, "5"), boot=2 * SLOWLY)
    world.want(a_spec(chat=application(demand={"replicas": 2}, disruption={"max_surge": 2})))
    stuck: set[InstanceId] = set()
    for _ in range(2 * 60):
        for machine, its in world.cloud("aws").alive():
            if its is role:
                stuck.add(machine.instance_id)
                world.cloud("aws").stuck.add(machine.instance_id)
                world.cloud("aws").reported[machine.instance_id] = state
        world.tick(SLOWLY)

    ends = {i.id: i.reason for i in world.store.instances()}
    assert {ends[name] for name in stuck} - {None} == {TerminationReason.NEVER_STARTED}, "one may be on its way again"
    assert len(stuck) <= 2 + 1, "two at first, and one to try again"
    kinds = {s.kind for s in world.store.load().shortages}
    assert kinds == {ShortageKind.NEVER_READY}
    assert world.running() == {f"{EU}/a/l4.1/on_demand": 2}, "what can be had elsewhere serves"
    assert world.routed() == {EU}


def test_a_machine_that_joins_its_cell_while_its_cloud_reports_no_state_is_left_to_serve() -> None:
    world = World(an_offer(US, "1"))
    world.want(a_spec(chat=application(demand={"replicas": 1})))
    world.converge()
    [name] = [m.instance_id for m, role in world.cloud("aws").alive() if role is Role.WORKER]
    world.cloud("aws").reported[name] = CloudState.UNKNOWN

    for _ in range(2 * 60):
        world.tick(SLOWLY)

    assert world.launches() == 2
