"""From the placement's replicas and what cells serve to what is sent: counts, moves, removals, and their waits."""

from dataclasses import replace
from typing import Any

import pytest

from inference.ray.config import Difference, difference
from scheduler.plan.serving import ServingChanges, cell_shares
from state.model.health import HealthState, RegionHealth
from state.model.ids import ApplicationName, RegionId
from state.model.placement import Placement
from state.model.plan import Blocked, Serve, ServeChange
from state.model.serving import (
    ApplicationRoute,
    ApplicationStatus,
    Backend,
    DeployState,
    KeptApplication,
    RoutingTable,
)
from state.model.settings import Limits
from tests.builders import NOON, an_offer
from tests.plans import AZ, CHAT, CODE, EU, US, replicas
from tests.shares import (
    EU_OFFER,
    OFFER,
    R,
    a_cell,
    a_fleet,
    a_placement,
    blocked,
    changes_of,
    deployed,
    share_of,
)


def test_the_builders_deploy_what_they_share() -> None:
    assert difference(share_of(2), deployed(2).config) is Difference.NONE
    assert difference(share_of(2), deployed(3).config) is Difference.COUNT
    assert difference(share_of(2, 1), deployed(2).config) is Difference.RESTART
    assert difference(share_of(2, 2), deployed(2).config) is Difference.MOVE


def test_replicas_of_a_region_are_shares_by_application_and_shape() -> None:
    snapshot = a_fleet()
    placement = Placement(
        (),
        (
            replicas(EU_OFFER, 1),
            replicas(OFFER, 2),
            replicas(an_offer(US, gpus=2), 3),
            replicas(OFFER, 4, shape=1),
            replicas(OFFER, 5, application=CODE),
        ),
    )
    assert snapshot.wanted is not None

    assert cell_shares(placement, snapshot.wanted) == {
        US: [share_of(5), share_of(4, 1), share_of(5, 0, CODE)],
        EU: [share_of(1)],
    }


def test_an_empty_cell_is_sent_its_share() -> None:
    changes = changes_of(a_fleet(a_cell(US)), a_placement({US: 2}))

    assert changes.serves == [Serve(US, (share_of(2),), (), (ServeChange(CHAT, 2),), restarts=False)]
    assert (changes.blocked, changes.changing) == ([], {US})


def test_a_cell_that_has_its_share_is_sent_nothing() -> None:
    changes = changes_of(a_fleet(a_cell(US, deployed(2))), a_placement({US: 2}))

    assert (changes.serves, changes.blocked, changes.changing) == ([], [], set())


def test_nothing_is_sent_where_nothing_is_wanted() -> None:
    snapshot = replace(a_fleet(a_cell(US, deployed(2))), wanted=None)

    assert changes_of(snapshot, Placement()).serves == []


@pytest.mark.parametrize(
    "status",
    [
        deployed(2, replicas_ready=1, message="one crashed"),
        deployed(2, state=DeployState.DEPLOYING),
        deployed(2, state=DeployState.UNHEALTHY, replicas_ready=0),
    ],
)
def test_a_cell_that_is_still_deploying_is_waited_for(status: ApplicationStatus) -> None:
    changes = changes_of(a_fleet(a_cell(US, status)), a_placement({US: 2}))

    assert changes.serves == []
    assert changes.blocked == [
        Blocked(
            R.DEPLOYING,
            region=US,
            application=CHAT,
            state=status.state,
            ready=status.replicas_ready,
            target=2,
            message=status.message,
        )
    ]


def test_more_ready_than_is_placed_is_not_waited_for() -> None:
    assert changes_of(a_fleet(a_cell(US, deployed(2, replicas_ready=3))), a_placement({US: 2})).blocked == []


def test_what_changes_is_sent_with_all_that_stays() -> None:
    cell = a_cell(US, deployed(2), deployed(1, 0, CODE))
    both = Placement(a_placement({US: 0}).machines, (replicas(OFFER, 3), replicas(OFFER, 1, application=CODE)))

    [serve] = changes_of(a_fleet(cell), both).serves

    assert serve == Serve(US, (share_of(3), share_of(1, 0, CODE)), (), (ServeChange(CHAT, 3),))


# A count goes down only while the others carry the demand.


def test_a_count_goes_down_only_where_enough_stays_ready() -> None:
    snapshot = a_fleet(a_cell(US, deployed(4)), a_cell(EU, deployed(2)))
    placement = a_placement({US: 2, EU: 2})

    allowed = changes_of(snapshot, placement, floor={CHAT: 4000})
    assert [s.changes for s in allowed.serves] == [(ServeChange(CHAT, 2),)]
    refused = changes_of(snapshot, placement, floor={CHAT: 4001})
    assert refused.serves == []
    assert refused.blocked == [blocked(R.REPLACEMENT_NOT_READY, US, CHAT)]
    assert refused.changing == {US}


@pytest.mark.parametrize(("target", "count"), [(2, 3), (None, 4), (3, 3)])
def test_a_count_that_does_not_go_down_is_always_sent(target: int | None, count: int) -> None:
    status = deployed(2, replicas_target=target, replicas_ready=4 if target is None else 2)
    changes = changes_of(a_fleet(a_cell(US, status)), a_placement({US: count}), floor={CHAT: 99_000})

    assert [s.changes for s in changes.serves] == [(ServeChange(CHAT, count),)]


def test_without_a_target_the_ready_replicas_are_what_would_go_down() -> None:
    status = deployed(2, replicas_target=None, replicas_ready=4)
    changes = changes_of(a_fleet(a_cell(US, status)), a_placement({US: 3}), floor={CHAT: 4000})

    assert changes.blocked == [blocked(R.REPLACEMENT_NOT_READY, US, CHAT)]


def test_an_application_that_may_not_change_is_kept_beside_one_that_does() -> None:
    cell = a_cell(US, deployed(4), deployed(1, 0, CODE))
    both = Placement(a_placement({US: 0}).machines, (replicas(OFFER, 2), replicas(OFFER, 3, application=CODE)))

    changes = changes_of(a_fleet(cell), both, floor={CHAT: 4000, CODE: 0})

    assert changes.serves == [
        Serve(US, (share_of(3, 0, CODE),), (KeptApplication(CHAT, deployed(4).config),), (ServeChange(CODE, 3),))
    ]


# What replaces every replica is done in one cell at a time.


def test_a_move_to_other_machines_waits_for_them_and_may_surge() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)))
    placement = a_placement({US: 2}, shape=2)

    waiting = changes_of(snapshot, placement)
    assert (waiting.serves, waiting.blocked) == ([], [blocked(R.REPLACEMENT_NOT_READY, US, CHAT)])
    moved = changes_of(snapshot, placement, joined=frozenset({US}))
    [serve] = moved.serves
    assert serve.shares == (replace(share_of(2, 2), may_surge=True),)
    assert (serve.restarts, serve.changes) == (True, (ServeChange(CHAT, 2),))
    assert moved.restarting == {CHAT}


def test_a_restart_in_place_replaces_a_fifth_at_a_time_of_what_the_others_can_spare() -> None:
    def restart(count: int, floor: int, eu: int = 2, **limits: Any) -> ServingChanges:
        snapshot = a_fleet(a_cell(US, deployed(count)), a_cell(EU, deployed(eu, 1)), limits=Limits(**limits))
        shape = Placement(
            a_placement({US: 0, EU: 0}).machines, (replicas(OFFER, count, shape=1), replicas(EU_OFFER, eu, shape=1))
        )
        return changes_of(snapshot, shape, floor={CHAT: floor})

    # Of ten, two are replaced at a time: eight and the others' two are left.
    [serve] = restart(10, 10_000).serves
    assert (serve.region, serve.restarts, serve.shares) == (US, True, (share_of(10, 1),))
    assert restart(10, 10_001).serves == []
    assert len(restart(11, 10_000).serves) == 1, "three of eleven: parts are rounded up"
    assert restart(11, 10_001).serves == []
    assert len(restart(1, 2000).serves) == 1
    assert restart(1, 2001).serves == [], "one at least"
    assert len(restart(10, 7_000, rolling_update_parts=2).serves) == 1, "five of ten, where the limits say a half"
    assert restart(10, 7_001, rolling_update_parts=2).serves == []


def test_a_cell_that_serves_alone_is_restarted_whatever_is_ready() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)))

    assert len(changes_of(snapshot, a_placement({US: 2}, 1), floor={CHAT: 99_000}).serves) == 1


def test_one_cell_at_a_time_replaces_an_applications_replicas() -> None:
    snapshot = a_fleet(a_cell(EU, deployed(2)), a_cell(US, deployed(2)))
    placement = Placement(
        a_placement({US: 0, EU: 0}).machines, (replicas(OFFER, 2, shape=1), replicas(EU_OFFER, 2, shape=1))
    )

    changes = changes_of(snapshot, placement)

    assert [(s.region, s.restarts) for s in changes.serves] == [(US, True)]
    assert changes.blocked == [blocked(R.REPLACEMENT_NOT_READY, EU, CHAT)]
    assert changes.changing == {US, EU}


def test_while_one_cell_is_changing_another_is_not_restarted_but_its_own_may_be() -> None:
    placement = a_placement({US: 2}, 1)
    changing = deployed(2, state=DeployState.DEPLOYING)

    elsewhere = a_fleet(a_cell(US, deployed(2)), a_cell(EU, changing))
    assert US not in [s.region for s in changes_of(elsewhere, placement).serves]
    silent = a_fleet(a_cell(US, deployed(2)), a_cell(EU, changing, answered=False))
    assert [s.region for s in changes_of(silent, placement).serves] == [US]
    another = a_fleet(a_cell(US, deployed(2)), a_cell(EU, replace(changing, name=CODE)))
    assert US in [s.region for s in changes_of(another, placement).serves]
    own = a_fleet(a_cell(US, changing))
    assert [s.region for s in changes_of(own, placement).serves] == [US], "a broken deployment is deployed again"


def test_counts_change_while_another_cell_is_changing() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)), a_cell(EU, deployed(2, state=DeployState.DEPLOYING)))

    assert [s.region for s in changes_of(snapshot, a_placement({US: 3, EU: 2})).serves] == [US]


# What leaves a cell.


def routed(region: RegionId, name: ApplicationName = CHAT) -> RoutingTable:
    return RoutingTable((ApplicationRoute(name, "/", (Backend(region, "x:8000", 1),)),))


def test_an_application_leaves_a_cell_once_nothing_is_sent_to_it_there() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)))

    gone = changes_of(snapshot, a_placement({US: 0}))
    assert gone.serves == [Serve(US, (), (), (ServeChange(CHAT, 0),))]
    for table in (routed(EU), routed(US, CODE), RoutingTable()):
        assert len(changes_of(replace(snapshot, routing=table), a_placement({US: 0})).serves) == 1
    kept = changes_of(replace(snapshot, routing=routed(US)), a_placement({US: 0}))
    assert (kept.serves, kept.blocked) == ([], [blocked(R.STILL_ROUTED, US, CHAT)])


def test_an_application_leaves_a_cell_only_once_the_others_carry_it() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)), a_cell(EU, deployed(2)))
    placement = a_placement({US: 0, EU: 2})

    assert len(changes_of(snapshot, placement, floor={CHAT: 2000}).serves) == 1
    kept = changes_of(snapshot, placement, floor={CHAT: 2001})
    assert (kept.serves, kept.blocked) == ([], [blocked(R.STILL_ROUTED, US, CHAT)])


def test_what_may_not_leave_is_kept_beside_what_changes() -> None:
    cell = a_cell(US, deployed(2), deployed(1, 0, CODE))
    snapshot = a_fleet(cell, routing=routed(US))

    [serve] = changes_of(snapshot, a_placement({US: 3}, name=CODE)).serves

    assert serve == Serve(
        US, (share_of(3, 0, CODE),), (KeptApplication(CHAT, deployed(2).config),), (ServeChange(CODE, 3),)
    )


def test_a_cell_without_a_head_in_the_placement_is_emptied_too() -> None:
    changes = changes_of(a_fleet(a_cell(EU, deployed(2)), a_cell(AZ)), Placement())

    assert changes.serves == [Serve(EU, (), (), (ServeChange(CHAT, 0),))]
    silent = a_fleet(a_cell(EU, deployed(2), answered=False))
    assert (changes_of(silent, Placement()).serves, changes_of(silent, Placement()).blocked) == ([], [])


# Cells that are left alone.


@pytest.mark.parametrize(
    "changes",
    [
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
        {"health": (RegionHealth(US, HealthState.DOWN, NOON),)},
    ],
)
def test_a_region_that_is_left_alone_or_does_not_count_is_sent_nothing(changes: dict[str, Any]) -> None:
    snapshot = a_fleet(a_cell(EU), a_cell(US), **changes)
    found = changes_of(snapshot, a_placement({US: 2, EU: 2}))
    assert [s.region for s in found.serves] == [EU]
    assert found.blocked == [blocked(R.REGION_LEFT_ALONE)]

    leaving = changes_of(a_fleet(a_cell(US, deployed(2)), **changes), Placement())
    assert (leaving.serves, leaving.blocked) == ([], []), "it has no part in the placement"


def test_a_cell_that_does_not_answer_is_waited_for_and_the_others_are_served() -> None:
    for cells in ((), (a_cell(EU, answered=False),)):
        found = changes_of(a_fleet(*cells, a_cell(US)), a_placement({EU: 2, US: 2}))
        assert [s.region for s in found.serves] == [US]
        assert found.blocked == [blocked(R.CELL_SILENT, EU)]
    snapshot = a_fleet(a_cell(US), cell_settings=())
    assert changes_of(snapshot, a_placement({US: 2})).blocked == [blocked(R.CELL_SILENT)]


def test_cells_after_a_silent_one_are_served_too() -> None:
    found = changes_of(a_fleet(a_cell(EU)), a_placement({US: 2, EU: 2}))

    assert [s.region for s in found.serves] == [EU]
    assert found.blocked == [blocked(R.CELL_SILENT, US)]


def test_a_cell_does_not_serve_alone_while_one_that_is_left_still_does() -> None:
    snapshot = a_fleet(a_cell(US, deployed(2)), a_cell(EU, deployed(2)))

    found = changes_of(snapshot, a_placement({US: 2}, 1), floor={CHAT: 99_000}, wanted={(CHAT, US): 2})

    assert US not in [s.region for s in found.serves]
