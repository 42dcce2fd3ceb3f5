"""From the placement's machines and those that exist to launches, drains and ends: each step and what blocks it."""

from dataclasses import replace
from typing import Any

import pytest

from state.model.health import HealthState, RegionHealth
from state.model.ids import InstanceId, derive_id
from state.model.inventory import (
    Instance,
    Role,
)
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, Blocked, BlockedReason, Launch
from state.model.settings import CellSettings, Limits
from state.model.units import Usd
from tests.builders import NOON, a_head_offer
from tests.changes import (
    EU_HEAD,
    EU_OFFER,
    HEAD,
    OFFER,
    PLAN,
    R,
    S,
    T,
    a_fleet,
    a_readiness,
    changes_of,
    chat,
    ended,
)
from tests.plans import CHAT, CHOICE, EU, US, a_launch, a_record, placed, running

# Launches.


def test_what_is_placed_and_does_not_exist_is_launched_heads_first_and_recorded() -> None:
    snapshot = a_fleet(running(OFFER, "sk-1"))

    changes = changes_of(snapshot, placed(OFFER, 3), placed(HEAD, 1, Role.HEAD))

    assert [(launch.role, launch.key) for launch in changes.launches] == [
        (Role.HEAD, HEAD.key),
        (Role.WORKER, OFFER.key),
        (Role.WORKER, OFFER.key),
    ]
    head, first, second = changes.launches
    assert first == Launch(
        instance_id=InstanceId(derive_id("sk", "test", PLAN, str(OFFER.key), "worker", "0")),
        key=OFFER.key,
        machine=OFFER.machine,
        role=Role.WORKER,
        price_per_hour=OFFER.price.per_hour,
        cell=next(cell for cell in snapshot.cell_settings if cell.region == US),
        choice=CHOICE,
    )
    assert second.instance_id == derive_id("sk", "test", PLAN, str(OFFER.key), "worker", "1")
    assert changes.instances == [
        replace(a_record(launch), plan_id=PLAN, choice=CHOICE, address=launch.cell.head_address if n == 0 else None)
        for n, launch in enumerate((head, first, second))
    ]
    assert changes.blocked == []


@pytest.mark.parametrize(
    ("worker", "is_launched"),
    [
        (None, False),
        (a_record(a_launch(OFFER, "sk-1")), False),
        (a_record(a_launch(OFFER, "sk-1"), cloud_id="c-1"), True),
        (running(OFFER, "sk-1"), True),
        (running(OFFER, "sk-1", status=S.TERMINATING, reason=T.NOT_PLACED), False),
        (running(EU_OFFER, "sk-1"), False),
    ],
    ids=["none", "unknown", "accepted", "running", "ending", "elsewhere"],
)
def test_a_head_is_launched_once_its_cell_has_a_worker(worker: Instance | None, *, is_launched: bool) -> None:
    snapshot = a_fleet(*([] if worker is None else [worker]))

    changes = changes_of(snapshot, placed(OFFER), placed(EU_OFFER), placed(HEAD, 1, Role.HEAD))

    assert (HEAD.key in {launch.key for launch in changes.launches if launch.role is Role.HEAD}) is is_launched
    assert (blocked_launch(R.WORKER_FIRST, HEAD.key) in changes.blocked) is not is_launched


def test_only_what_is_missing_is_launched_and_what_ends_or_does_not_count_is_missing() -> None:
    snapshot = a_fleet(running(OFFER, "sk-1"), running(OFFER, "sk-2", status=S.TERMINATING, reason=T.NOT_PLACED))

    assert len(changes_of(snapshot, placed(OFFER, 3)).launches) == 2
    assert len(changes_of(snapshot, placed(OFFER, 2), placed(OFFER, 1, Role.HEAD)).launches) == 2
    down = replace(snapshot, health=(RegionHealth(US, HealthState.DOWN, NOON),))
    assert len(changes_of(down, placed(OFFER, 3)).launches) == 3


def test_nothing_is_launched_where_nothing_is_wanted() -> None:
    changes = changes_of(replace(a_fleet(), wanted=None), placed(OFFER))

    assert (changes.launches, changes.blocked) == ([], [])


def test_a_region_that_is_not_set_up_gets_nothing() -> None:
    with pytest.raises(AssertionError, match="aws/us-east-1 is not set up"):
        changes_of(replace(a_fleet(), cell_settings=()), placed(OFFER))


def blocked_launch(reason: BlockedReason, key: Any = OFFER.key) -> Blocked:
    return Blocked(reason, ActionKind.LAUNCH, key.region, key=key)


def test_a_region_that_must_be_left_alone_gets_nothing_and_others_do() -> None:
    machines = placed(OFFER, 2), placed(EU_OFFER)
    for silence in (
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
    ):
        changes = changes_of(a_fleet(**silence), *machines)

        assert [launch.key for launch in changes.launches] == [EU_OFFER.key]
        assert changes.blocked == [blocked_launch(R.REGION_LEFT_ALONE)]


@pytest.mark.parametrize(("limit", "launches"), [(3, 3), (2, 2), (0, 0)])
def test_a_plan_launches_no_more_than_its_limit(limit: int, launches: int) -> None:
    changes = changes_of(a_fleet(limits=Limits(launches_per_plan=limit)), placed(OFFER, 3))

    assert len(changes.launches) == launches
    assert changes.blocked == ([] if launches == 3 else [blocked_launch(R.LAUNCH_LIMIT)])


def test_no_more_workers_start_at_once_than_all_applications_allow_together() -> None:
    held = (
        a_record(a_launch(OFFER, "sk-starts"), cloud_id="c"),
        a_record(a_launch(OFFER, "sk-starts-too"), cloud_id="c"),
        a_record(a_launch(HEAD, "sk-head", Role.HEAD), cloud_id="c"),
        running(OFFER, "sk-run"),
        running(EU_OFFER, "sk-eu"),
    )
    both: dict[str, Any] = {"chat": chat(disruption={"max_surge": 3}), "code": chat(disruption={"max_surge": 1})}
    snapshot = a_fleet(*held, **both)

    machines = placed(OFFER, 7), placed(EU_OFFER), placed(HEAD, 1, Role.HEAD), placed(EU_HEAD, 1, Role.HEAD)
    changes = changes_of(snapshot, *machines)

    assert [launch.role for launch in changes.launches] == [Role.HEAD, Role.WORKER, Role.WORKER]
    assert changes.blocked == [blocked_launch(R.MAX_SURGE)]


@pytest.mark.parametrize("status", [S.REQUESTED, S.RUNNING, S.TERMINATING])
def test_a_new_head_waits_until_the_old_one_has_given_its_address_back(status: InstanceStatus) -> None:
    old = replace(running(a_head_offer(US, zone="b"), "sk-head", Role.HEAD, status=status), reason=T.NOT_PLACED)

    changes = changes_of(a_fleet(old), placed(HEAD, 1, Role.HEAD))
    assert changes.launches == []
    assert blocked_launch(R.HEAD_ADDRESS_IN_USE, HEAD.key) in changes.blocked

    worker, machines = running(OFFER, "sk-1"), (placed(OFFER), placed(HEAD, 1, Role.HEAD))
    elsewhere = replace(old, key=EU_HEAD.key)
    assert len(changes_of(a_fleet(elsewhere, worker), *machines).launches) == 1
    other = replace(old, role=Role.WORKER)
    assert len(changes_of(a_fleet(other, worker), *machines).launches) == 1


@pytest.mark.parametrize(("budget", "launches"), [(4.0, 2), (3.999999, 1), (3.0, 1), (2.9, 0)])
def test_launches_stay_within_the_budget_beside_what_may_cost_money(budget: float, launches: int) -> None:
    held = (running(OFFER, "sk-1"), running(OFFER, "sk-2", status=S.TERMINATING, reason=T.NOT_PLACED))

    changes = changes_of(a_fleet(*held, budget=budget), placed(OFFER, 3))

    assert len(changes.launches) == launches
    assert changes.blocked == ([] if launches == 2 else [blocked_launch(R.BUDGET)])


def test_what_blocks_one_offer_does_not_block_a_cheaper_one() -> None:
    changes = changes_of(a_fleet(budget=1.5), placed(EU_OFFER), placed(OFFER))

    assert [launch.key for launch in changes.launches] == [OFFER.key]
    assert changes.blocked == [blocked_launch(R.BUDGET, EU_OFFER.key)]


# Launches with an unknown outcome.


def unknown(name: str = "sk-1", offer: Any = OFFER, **changes: Any) -> Instance:
    return replace(a_record(a_launch(offer, name)), choice=CHOICE, price_per_hour=Usd.of("0.7"), **changes)


def test_a_launch_with_an_unknown_outcome_is_repeated_under_its_id_and_price() -> None:
    snapshot = a_fleet(unknown())

    changes = changes_of(snapshot, placed(OFFER))

    assert changes.launches == [
        Launch(
            InstanceId("sk-1"),
            OFFER.key,
            OFFER.machine,
            Role.WORKER,
            Usd.of("0.7"),
            next(cell for cell in snapshot.cell_settings if cell.region == US),
            CHOICE,
            is_repeat=True,
        )
    ]
    assert changes.instances == []


@pytest.mark.parametrize(
    "changes",
    [{"cloud_id": "c-1"}, {"status": S.RUNNING}, {"status": S.TERMINATING, "reason": T.NOT_PLACED}],
)
def test_what_was_listed_or_is_to_end_is_not_requested_again(changes: dict[str, Any]) -> None:
    placement = placed(OFFER) if changes.get("status") is not S.TERMINATING else placed(EU_OFFER)
    repeats = [a for a in changes_of(a_fleet(unknown(**changes)), placement).launches if a.is_repeat]

    assert repeats == []


@pytest.mark.parametrize(
    "changes",
    [
        {"unreachable": frozenset({US})},
        {"health": (RegionHealth(US, HealthState.SUSPECT, NOON),)},
        {"health": (RegionHealth(US, HealthState.DOWN, NOON),)},
        {"cell_settings": (CellSettings(EU, "10.0.0.1"),)},
    ],
)
def test_nothing_is_repeated_where_nothing_may_start(changes: dict[str, Any]) -> None:
    other = unknown("sk-2", EU_OFFER)
    found = changes_of(a_fleet(unknown(), other, **changes), placed(OFFER), placed(EU_OFFER))

    assert [a.instance_id for a in found.launches if a.is_repeat] == ["sk-2"], "and the others still are"


def test_in_a_region_that_is_down_nothing_is_repeated_though_nothing_may_end_yet() -> None:
    down = (RegionHealth(US, HealthState.DOWN, NOON),)

    found = changes_of(a_fleet(unknown(), health=down), placed(OFFER), ready=a_readiness(floor={CHAT: 1}))

    assert [a.is_repeat for a in found.launches] == [False], "its replacement is requested"
    assert found.terminations == []


def test_what_is_not_placed_any_more_is_ended_and_not_repeated() -> None:
    changes = changes_of(a_fleet(unknown("sk-1"), unknown("sk-2"), unknown("sk-3")), placed(OFFER))

    assert [a.instance_id for a in changes.launches] == ["sk-3"]
    assert ended(changes) == [("sk-1", T.NOT_PLACED), ("sk-2", T.NOT_PLACED)]
    worker = running(OFFER, "sk-worker")
    as_head = changes_of(a_fleet(unknown("sk-1"), worker), placed(OFFER, 1, Role.HEAD), placed(OFFER, 1))
    assert [a.is_repeat for a in as_head.launches] == [False]
