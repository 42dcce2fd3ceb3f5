"""The plan as a whole: the order of its actions, what it records and what it waits for."""

from dataclasses import replace

from scheduler.plan import make_plan
from state.model.catalog import Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import derive_id
from state.model.inventory import Role, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.plan import Blocked, Drain, Launch, Route, Serve, Terminate
from state.model.serving import (
    NodeStatus,
)
from state.model.snapshot import Snapshot
from tests.builders import NOON, an_offer
from tests.plans import AZ, CODE, EU, US, placed, replicas, running
from tests.shares import (
    EU_OFFER,
    HEADS,
    OFFER,
    R,
    a_cell,
    a_fleet,
    blocked,
    chat,
    deployed,
)

# The plan as a whole.


def a_moving_fleet() -> tuple[Placement, Snapshot]:
    """Return a fleet that starts in EU, serves and drains in US, ends a machine in AZ, and routes."""
    head, idle = running(HEADS[US], "sk-h", Role.HEAD), running(an_offer(US, zone="b"), "sk-1")
    worker, az = running(OFFER, "sk-2"), running(an_offer(AZ), "sk-3")
    ending = advanced(az, InstanceStatus.TERMINATING, TerminationReason.NOT_PLACED)
    nodes = tuple(
        NodeStatus(i.id, f"10.0.0.{n}", f"node-{i.id}", False, n) for n, i in ((0, head), (3, idle), (1, worker))
    )
    cell = a_cell(US, deployed(1), nodes=nodes, proxies=("us:8000",))
    health = (
        RegionHealth(AZ, HealthState.HEALTHY, NOON, replicas_served=5),
        RegionHealth(US, HealthState.HEALTHY, NOON, replicas_served=5),
    )
    snapshot = a_fleet(cell, chat=chat(1), code=chat(1), instances=(head, idle, worker, ending), health=health)
    machines = (
        placed(HEADS[US], 1, Role.HEAD),
        placed(OFFER),
        placed(EU_OFFER),
        placed(HEADS[EU], 1, Role.HEAD),
    )
    carried = (replicas(OFFER, 1), replicas(EU_OFFER, 1, application=CODE))
    return Placement(machines, carried), snapshot


def test_a_plan_routes_launches_serves_drains_and_ends_in_this_order() -> None:
    placement, snapshot = a_moving_fleet()

    plan = make_plan(placement, snapshot)

    assert [type(a) for a in plan.actions] == [Route, Launch, Drain, Terminate]
    assert plan.placement is placement
    assert (plan.made_at, plan.spec_version, plan.shortages) == (NOON, 1, ())
    both = replace(placement, replicas=(*placement.replicas, replicas(OFFER, 1, application=CODE)))
    with_serve = make_plan(both, snapshot)
    assert [type(a) for a in with_serve.actions] == [Route, Launch, Serve, Terminate]
    moving = [b for b in with_serve.blocked if b.reason is R.CELL_CHANGING]
    assert [b.instance_id for b in moving] == ["sk-1"], "nothing is drained while its cell changes"


def test_what_is_not_done_yet_is_named_and_machines_that_start_or_end_are() -> None:
    placement, snapshot = a_moving_fleet()
    starting = replace(running(EU_OFFER, "sk-9"), status=InstanceStatus.REQUESTED)
    snapshot = replace(snapshot, instances=(*snapshot.instances, starting))

    plan = make_plan(placement, snapshot)

    found = [b for b in plan.blocked if b.reason in {R.STARTING, R.ENDING}]
    ending = next(i for i in snapshot.instances if i.id == "sk-3")
    assert found == [
        Blocked(R.ENDING, region=AZ, instance_id=ending.id, key=ending.key, status=InstanceStatus.TERMINATING),
        Blocked(R.STARTING, region=EU, instance_id=starting.id, key=starting.key, status=InstanceStatus.REQUESTED),
    ]
    assert blocked(R.CELL_SILENT, EU) in plan.blocked
    silent = make_plan(placement, replace(snapshot, unreachable=frozenset({AZ})))
    assert [b.region for b in silent.blocked if b.reason in {R.STARTING, R.ENDING}] == [EU]


def test_replicas_that_we_move_ourselves_are_not_missed() -> None:
    placement, snapshot = a_moving_fleet()

    moved = {h.region: h.replicas_served for h in make_plan(placement, snapshot).health}
    assert moved == {AZ: 5, US: 2}, "three move off the drained machine"
    few = tuple(replace(h, replicas_served=1) for h in snapshot.health)
    moved = {h.region: h.replicas_served for h in make_plan(placement, replace(snapshot, health=few)).health}
    assert moved == {AZ: 1, US: 0}
    restarted = replace(placement, replicas=(replicas(OFFER, 1, shape=1),))
    served = {h.region: h.replicas_served for h in make_plan(restarted, snapshot).health}
    assert served == {AZ: 5, US: 0}
    counted = replace(placement, replicas=(replicas(OFFER, 2),))
    served = {h.region: h.replicas_served for h in make_plan(counted, snapshot).health}
    assert served == {AZ: 5, US: 5}


def test_each_machine_is_recorded_once_in_its_newest_state() -> None:
    placement, snapshot = a_moving_fleet()
    [surplus] = [i for i in snapshot.instances if i.id == "sk-1"]
    other = running(EU_OFFER, "sk-0", status=InstanceStatus.GONE)
    empty = replace(snapshot, learned=(surplus, other), cells=())

    plan = make_plan(placement, empty)

    recorded = {str(i.id): i.status for i in plan.instances}
    assert list(recorded) == sorted(recorded)
    assert (recorded["sk-1"], recorded["sk-0"]) == (InstanceStatus.TERMINATING, InstanceStatus.GONE)
    assert len(plan.instances) == len(recorded) == 3, "and the one that is launched"


def test_new_shortages_are_recorded_with_the_plan() -> None:
    placement, snapshot = a_moving_fleet()
    short = Shortage(US, None, None, None, ShortageKind.DENIED, NOON, NOON)

    assert make_plan(placement, replace(snapshot, new_shortages=(short,))).shortages == (short,)


def test_a_plan_has_an_id_of_the_time_the_spec_and_every_machine_it_knew() -> None:
    placement, snapshot = a_moving_fleet()
    held = (f"{i.id}:{i.version}" for i in snapshot.instances)

    assert make_plan(placement, snapshot).id == derive_id("plan", NOON.isoformat(), "1", *held)
    nothing = replace(snapshot, wanted=None, instances=())
    plan = make_plan(Placement(), nothing)
    assert plan.id == derive_id("plan", NOON.isoformat(), "")
    assert (plan.spec_version, plan.actions) == (None, ())
