"""Readiness, and where the gateway is to send requests: weights follow ready replicas."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.plan.ready import Readiness, readiness
from scheduler.plan.routing import routing_change
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, RegionId
from state.model.lifecycle import InstanceStatus
from state.model.placement import Placement
from state.model.plan import Route
from state.model.serving import (
    ApplicationRoute,
    ApplicationStatus,
    Backend,
    CellStatus,
    DeployState,
    NodeStatus,
    RoutingTable,
)
from state.model.snapshot import Snapshot
from tests.builders import NOON, an_offer, application
from tests.plans import AZ, CHAT, CODE, EU, US, a_snapshot, placed, replicas, running

OFFERS = {US: an_offer(US), EU: an_offer(EU), AZ: an_offer(AZ)}
RUNNING = DeployState.RUNNING


def a_cell(region: RegionId, ready: int = 0, name: ApplicationName = CHAT, **changes: Any) -> CellStatus:
    applications = (ApplicationStatus(name, RUNNING, ready, ready, "{}"),) if ready else ()
    return replace(CellStatus(region, True, applications, proxies=(f"{region}:8000",)), **changes)


def a_world(*cells: CellStatus, **changes: Any) -> Snapshot:
    """Return a fleet with a running machine in each of three regions."""
    held = tuple(running(offer, f"sk-{region}") for region, offer in OFFERS.items())
    fields = {"chat": application(demand={"replicas": 4}), "instances": held} | changes
    return a_snapshot(*OFFERS.values(), cells=cells, **fields)


def a_placement(**counts: int) -> Placement:
    regions = {"us": US, "eu": EU, "az": AZ}
    found = {regions[name]: count for name, count in counts.items()}
    return Placement(
        tuple(placed(OFFERS[r], n) for r, n in found.items()), tuple(replicas(OFFERS[r], n) for r, n in found.items())
    )


def route(snapshot: Snapshot, **counts: int) -> Route | None:
    return routing_change(snapshot, readiness(snapshot, a_placement(**counts)))


def weights(found: Route | None) -> dict[RegionId, int]:
    if found is None:
        return {}
    [only] = found.table.routes
    return {backend.region: backend.weight for backend in only.backends}


def a_table(*backends: Backend, name: ApplicationName = CHAT) -> RoutingTable:
    return RoutingTable((ApplicationRoute(name, f"/{name}", backends),))


# Readiness.


def test_readiness_counts_replicas_as_placed_and_as_ready() -> None:
    snapshot = a_world(a_cell(US, 2), a_cell(EU, 1), a_cell(AZ))

    found = readiness(snapshot, a_placement(us=3, az=1))

    assert found.wanted == {(CHAT, US): 3, (CHAT, AZ): 1}
    assert found.ready == {(CHAT, US): 2, (CHAT, EU): 1}
    assert found.floor == {CHAT: 4000}
    assert found.milli_each == {(CHAT, US): 1000, (CHAT, AZ): 1000, (CHAT, EU): 1000}


def test_replicas_of_several_shapes_in_a_region_add_up() -> None:
    two = Placement((), (replicas(OFFERS[US], 2), replicas(OFFERS[US], 1, milli_each=500)))

    found = readiness(a_world(), two)

    assert (found.wanted, found.milli_each) == ({(CHAT, US): 3}, {(CHAT, US): 500})


def test_in_a_cell_that_the_placement_leaves_a_replica_carries_what_the_least_shape_does() -> None:
    shapes = [{"gpu": "L4", "requests_per_second": n} for n in (30, 20, 40)]
    chat = application(demand={"requests_per_second": 100}, shapes=shapes)
    cell = a_cell(EU, 2, applications=(*a_cell(EU, 2).applications, *a_cell(EU, 1, CODE).applications))

    found = readiness(a_world(a_cell(US, 2), cell, chat=chat), a_placement(us=2))

    assert found.milli_each == {(CHAT, US): 1000, (CHAT, EU): 20_000}


@pytest.mark.parametrize("state", list(HealthState))
def test_replicas_serve_in_cells_that_answered_and_count(state: HealthState) -> None:
    snapshot = a_world(a_cell(US, 2), a_cell(EU, 2, answered=False), health=(RegionHealth(US, state, NOON),))
    serves = state in {HealthState.HEALTHY, HealthState.RECOVERING}

    assert readiness(snapshot, a_placement()).ready == ({(CHAT, US): 2} if serves else {})


def test_what_a_change_may_leave_unserved_lowers_the_floor() -> None:
    chat = application(demand={"replicas": 4}, disruption={"max_unavailable": 0.25})

    assert readiness(a_world(chat=chat), a_placement()).floor == {CHAT: 3000}
    assert readiness(replace(a_world(), wanted=None), a_placement()).floor == {}


def a_node(name: str) -> NodeStatus:
    return NodeStatus(running(OFFERS[US], name).id, "10.0.0.5", f"node-{name}", False, 0)


@pytest.mark.parametrize(
    ("nodes", "status", "count", "has_joined"),
    [
        (["sk-1", "sk-2"], InstanceStatus.RUNNING, 2, True),
        (["sk-1"], InstanceStatus.RUNNING, 2, False),
        (["sk-1"], InstanceStatus.RUNNING, 1, True),
        ([], InstanceStatus.RUNNING, 1, False),
        (["sk-1", "sk-2"], InstanceStatus.TERMINATING, 1, False),
        (["sk-1", "sk-x"], InstanceStatus.RUNNING, 2, False),
    ],
)
def test_a_cell_is_complete_once_every_placed_machine_of_it_has_joined(
    nodes: list[str], status: InstanceStatus, count: int, *, has_joined: bool
) -> None:
    held = tuple(running(OFFERS[US], name, status=status) for name in ("sk-1", "sk-2"))
    cell = a_cell(US, 1, nodes=tuple(a_node(name) for name in nodes))
    snapshot = a_world(cell, instances=held)

    assert (US in readiness(snapshot, a_placement(us=count, eu=5)).joined) is has_joined
    assert readiness(snapshot, a_placement(eu=1)).joined == {US}, "nothing is placed there"


FOUR = Readiness(
    wanted={(CHAT, US): 2, (CHAT, EU): 1},
    ready={(CHAT, US): 2, (CHAT, EU): 3, (CODE, EU): 7},
    milli_each={(CHAT, US): 1000, (CHAT, EU): 500, (CODE, EU): 9000},
    floor={CHAT: 2000, CODE: 1},
)


def test_capacity_without_a_cell_is_what_the_others_carry_now_or_for_good() -> None:
    assert FOUR.capacity_without(CHAT, US, lasting=False) == 1500
    assert FOUR.capacity_without(CHAT, US, lasting=True) == 500
    assert FOUR.capacity_without(CHAT, AZ, lasting=False) == 3500
    assert FOUR.capacity_without(CODE, EU, lasting=False) == 0
    assert FOUR.capacity_without(CODE, US, lasting=True) == 0, "nothing of it is placed"


@pytest.mark.parametrize(
    ("floor", "replicas", "may"),
    [
        (2500, 2, True),
        (2501, 2, False),
        (1500, 1, True),
        (1501, 1, False),
        (500, 0, True),
        (501, 0, False),
        # Two are ready there: more does not help.
        (2500, 9, True),
        (9000, 9, False),
    ],
)
def test_a_cell_may_go_down_to_what_leaves_the_floor_ready(floor: int, replicas: int, *, may: bool) -> None:
    assert replace(FOUR, floor={CHAT: floor}).may_lower(CHAT, US, replicas) is may


def test_where_less_than_the_floor_is_ready_a_cell_may_lower_nothing_that_is_ready() -> None:
    short = replace(FOUR, ready={(CHAT, US): 2}, floor={CHAT: 9000})

    assert [short.may_lower(CHAT, US, n) for n in (1, 2, 3)] == [False, True, True]
    assert short.may_lower(CHAT, EU, 0), "none is ready there"
    surplus = replace(FOUR, ready={(CHAT, US): 3}, milli_each={(CHAT, US): 1000, (CHAT, EU): 1000}, floor={CHAT: 3000})
    assert not surplus.may_lower(CHAT, EU, 1), "what is placed and not ready carries nothing"
    idle = replace(FOUR, ready={})
    assert idle.may_lower(CHAT, US, 0)


def test_what_is_not_wanted_any_more_may_go_at_once() -> None:
    assert replace(FOUR, floor={}).may_lower(CHAT, US, 0)


# Routing.


def test_weights_follow_ready_capacity() -> None:
    found = route(a_world(a_cell(US, 2), a_cell(EU, 4), a_cell(AZ)), us=2, eu=4, az=1)

    assert found == Route(a_table(Backend(US, f"{US}:8000", 128), Backend(EU, f"{EU}:8000", 256)), (US, EU), ())
    assert weights(route(a_world(a_cell(US, 1), a_cell(EU, 3)), us=1, eu=3)) == {US: 85, EU: 256}
    assert weights(route(a_world(a_cell(US, 1), a_cell(EU, 1000)), us=1, eu=1000)) == {US: 1, EU: 256}


def test_capacity_counts_and_not_replicas() -> None:
    placement = Placement((), (replicas(OFFERS[US], 2, milli_each=4000), replicas(OFFERS[EU], 4)))
    snapshot = a_world(a_cell(US, 2), a_cell(EU, 4))

    found = routing_change(snapshot, readiness(snapshot, placement))

    assert weights(found) == {US: 256, EU: 128}


def test_a_table_that_is_right_is_not_sent_again() -> None:
    snapshot = a_world(a_cell(US, 2))
    sent = route(snapshot, us=2)
    assert sent is not None

    assert route(replace(snapshot, routing=sent.table), us=2) is None
    assert route(a_world()) is None, "no table and no route are the same"


def test_regions_that_come_and_go_are_named_in_order() -> None:
    old = a_table(Backend(AZ, "az:8000", 256))
    snapshot = a_world(a_cell(US, 2), a_cell(EU, 2), a_cell(AZ), routing=old)

    found = route(snapshot, us=2, eu=2)
    assert found is not None
    assert (found.added, found.removed) == ((US, EU), (AZ,))
    back = route(replace(snapshot, routing=found.table, cells=(a_cell(AZ, 4),)), az=4, eu=0)
    assert back is not None
    assert (back.added, set(back.removed)) == ((AZ,), set())


def test_where_nothing_is_wanted_all_routes_close() -> None:
    old = a_table(Backend(US, "us:8000", 256))
    snapshot = replace(a_world(a_cell(US, 2), routing=old), wanted=None)

    assert route(snapshot) == Route(RoutingTable(), (), (US,))


def test_the_prefix_is_that_of_the_serve_application_and_applications_come_in_order() -> None:
    both = {"chat": application(), "code": application()}
    cell = a_cell(US, 1, applications=(*a_cell(US, 1, CODE).applications, *a_cell(US, 1).applications))
    snapshot = a_world(cell, **both)
    assert snapshot.wanted is not None
    serve = ((CHAT, '{"route_prefix": null}'), (CODE, '{"route_prefix": "/v1/code"}'))
    snapshot = replace(snapshot, wanted=replace(snapshot.wanted, serve_applications=serve))

    found = route(snapshot)

    assert found is not None
    assert [(r.application, r.prefix) for r in found.table.routes] == [(CHAT, "/"), (CODE, "/v1/code")]


def test_each_proxy_gets_its_share_and_a_regions_own_balancer_all_of_it() -> None:
    two = a_cell(US, 4, proxies=("a:8000", "b:8000"))
    found = route(a_world(two, a_cell(EU, 4)), us=4, eu=4)
    assert found is not None
    assert found.table == a_table(
        Backend(US, "a:8000", 128), Backend(US, "b:8000", 128), Backend(EU, f"{EU}:8000", 256)
    )

    snapshot = a_world(two, a_cell(EU, 4))
    settings = tuple(replace(c, serve_address="lb:80") if c.region == US else c for c in snapshot.cell_settings)
    balanced = route(replace(snapshot, cell_settings=settings), us=4, eu=4)
    assert balanced is not None
    assert balanced.table == a_table(Backend(US, "lb:80", 256), Backend(EU, f"{EU}:8000", 256))
    none = replace(two, proxies=())
    assert weights(route(replace(snapshot, cell_settings=settings, cells=(none, a_cell(EU, 4))), us=4, eu=4)) == {
        EU: 256
    }


@pytest.mark.parametrize(
    ("state", "step", "expected"),
    [
        (HealthState.HEALTHY, 0, {US: 256, EU: 256}),
        (HealthState.RECOVERING, 0, {US: 26, EU: 256}),
        (HealthState.RECOVERING, 1, {US: 77, EU: 256}),
        (HealthState.SUSPECT, 0, {EU: 256}),
        (HealthState.DOWN, 0, {EU: 256}),
    ],
)
def test_a_region_gets_the_share_of_its_health(state: HealthState, step: int, expected: dict[RegionId, int]) -> None:
    snapshot = a_world(a_cell(US, 4), a_cell(EU, 4), health=(RegionHealth(US, state, NOON, step=step),))

    assert weights(route(snapshot, us=4, eu=4)) == expected


def test_a_cell_that_does_not_answer_keeps_its_entry_while_it_has_machines() -> None:
    old = a_table(Backend(EU, "eu:8000", 7), Backend(US, "us:8000", 9))
    silent = a_cell(US, 2, answered=False)
    snapshot = a_world(silent, a_cell(EU, 2), routing=old)

    assert weights(route(snapshot, us=2, eu=2)) == {US: 9, EU: 256}
    unread = replace(snapshot, cells=(a_cell(EU, 2),))
    assert weights(route(unread, us=2, eu=2)) == {US: 9, EU: 256}
    without = tuple(i for i in snapshot.instances if i.region != US)
    assert weights(route(replace(snapshot, instances=without), us=2, eu=2)) == {EU: 256}
    gone = tuple(replace(i, status=InstanceStatus.GONE) if i.region == US else i for i in snapshot.instances)
    assert weights(route(replace(snapshot, instances=gone), us=2, eu=2)) == {EU: 256}
    assert weights(route(replace(snapshot, routing=None), us=2, eu=2)) == {EU: 256}


def test_routes_are_never_replaced_by_none() -> None:
    old = a_table(Backend(US, "us:8000", 9))
    snapshot = a_world(a_cell(US), a_cell(EU), routing=old)

    assert route(snapshot, us=2) is None, "nothing is ready, and the old entry stays"
    assert route(replace(snapshot, routing=None), us=2) is None


def test_an_application_leaves_a_cell_once_the_others_carry_it() -> None:
    carried = a_world(a_cell(US, 4), a_cell(EU, 4))
    assert weights(route(carried, eu=4)) == {EU: 256}

    early = a_world(a_cell(US, 4), a_cell(EU, 1))
    assert weights(route(early, eu=4)) == {US: 256, EU: 64}, "it carries most until then, so it gets most"


def test_entries_of_another_application_are_not_kept() -> None:
    old = RoutingTable(
        (
            ApplicationRoute(CHAT, "/chat", (Backend(EU, "eu:8000", 256),)),
            ApplicationRoute(CODE, "/code", (Backend(US, "us:8000", 256),)),
        )
    )
    snapshot = a_world(a_cell(US, 2, answered=False), a_cell(EU, 2), routing=old)

    assert weights(route(snapshot, us=2, eu=2)) == {EU: 256}


def test_a_cell_whose_region_is_not_set_up_any_more_gets_nothing() -> None:
    snapshot = a_world(a_cell(US, 2), a_cell(EU, 2))
    fewer = tuple(cell for cell in snapshot.cell_settings if cell.region != US)

    assert weights(route(replace(snapshot, cell_settings=fewer), us=2, eu=2)) == {EU: 256}
