"""Rules on machines: each finds the plan that breaks exactly it, and none the plan just inside its bound."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.catalog import Market
from state.model.ids import InstanceId
from state.model.inventory import Role, TerminationReason
from state.model.lifecycle import InstanceStatus
from state.model.placement import Unit, UnmetDemand
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.settings import Limits
from state.model.units import Usd
from tests.builders import a_head_offer, an_offer, application
from tests.plans import (
    CHAT,
    US,
    a_good_plan,
    a_launch,
    a_plan,
    a_record,
    a_snapshot,
    having,
    only,
    placed,
    replicas,
    running,
)

OFFER = an_offer(US)
HEAD = a_head_offer(US)
ENDED = TerminationReason.NOT_PLACED


def an_error(rule: PlanRule, subject: object = "", actual: int | None = None, allowed: int | None = None) -> Finding:
    return Finding(rule, Severity.ERROR, str(subject), None, actual, allowed)


def chat(count: int, **changes: Any) -> dict[str, Any]:
    return application(demand={"replicas": count}, **changes)


def test_a_plan_may_have_as_many_actions_and_launches_as_the_limits_say_and_no_more() -> None:
    plan, snapshot = a_good_plan()

    def limited(**limits: int) -> Any:
        return replace(snapshot, limits=replace(Limits(), **limits))

    assert check_plan(plan, limited(actions_per_plan=4, launches_per_plan=4)) == ()
    assert only(plan, limited(actions_per_plan=3)) == an_error(PlanRule.ACTIONS_PER_PLAN, "", 4, 3)
    too_many = an_error(PlanRule.LAUNCHES_PER_PLAN, "", 4, 3)
    assert only(plan, limited(launches_per_plan=3)) == too_many
    idle = running(an_offer(US, zone="b"), "sk-idle")
    beside = replace(limited(launches_per_plan=3), instances=(idle,))
    assert only(plan, beside) == too_many, "whatever exists already"


def test_repeats_do_not_count_as_launches() -> None:
    launch = a_launch(OFFER, is_repeat=True)
    snapshot = a_snapshot(OFFER, chat=chat(1), instances=(a_record(launch),), limits=Limits(launches_per_plan=0))

    assert check_plan(a_plan([placed(OFFER)], [replicas(OFFER)], launch), snapshot) == ()


def test_finds_a_machine_that_one_plan_starts_twice() -> None:
    launch = a_launch(OFFER)
    snapshot = a_snapshot(OFFER, chat=chat(2))
    twice = a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], launch, launch)

    assert check_plan(twice, snapshot) == (an_error(PlanRule.DOUBLE_LAUNCH, "sk-new"),) * 2


def test_finds_a_new_launch_of_a_machine_that_is_held() -> None:
    launch = a_launch(OFFER)
    snapshot = a_snapshot(OFFER, chat=chat(2), instances=(a_record(launch),))

    assert only(a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], launch), snapshot) == an_error(
        PlanRule.DOUBLE_LAUNCH, "sk-new"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"status": InstanceStatus.RUNNING},
        {"status": InstanceStatus.TERMINATING, "reason": ENDED},
        {"cloud_id": "c-1"},
    ],
)
def test_finds_a_repeat_of_a_machine_that_was_listed_or_is_to_end(changes: dict[str, Any]) -> None:
    launch = a_launch(OFFER, is_repeat=True)
    snapshot = a_snapshot(OFFER, chat=chat(1), instances=(a_record(launch, **changes),))

    assert only(a_plan([placed(OFFER)], [replicas(OFFER)], launch), snapshot) == an_error(
        PlanRule.DOUBLE_LAUNCH, "sk-new"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"id": InstanceId("sk-other")},
        {"key": an_offer(US, zone="b").key},
        {"role": Role.HEAD},
        {"status": InstanceStatus.RUNNING},
    ],
)
def test_finds_a_launch_without_a_matching_record(changes: dict[str, Any]) -> None:
    launch = a_launch(OFFER)
    plan = a_plan([placed(OFFER)], [replicas(OFFER)], launch, instances=(a_record(launch, **changes),))

    assert only(plan, a_snapshot(OFFER, chat=chat(1))) == an_error(PlanRule.UNRECORDED_LAUNCH, "sk-new")


def test_finds_a_repeat_that_repeats_nothing_or_something_else() -> None:
    launch = a_launch(OFFER, is_repeat=True)
    plan = a_plan([placed(OFFER)], [replicas(OFFER)], launch)
    elsewhere = a_record(launch, key=an_offer(US, zone="b").key)

    for held in ((), (elsewhere,)):
        assert only(plan, a_snapshot(OFFER, chat=chat(1), instances=held)) == an_error(
            PlanRule.UNRECORDED_LAUNCH, "sk-new"
        )


def test_finds_launches_beyond_the_placement_where_nothing_exists() -> None:
    launches = [a_launch(OFFER, f"sk-{n}") for n in range(3)]
    snapshot = a_snapshot(OFFER, chat=chat(2))

    assert check_plan(a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], *launches[:2]), snapshot) == ()
    assert only(a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], *launches), snapshot) == an_error(
        PlanRule.EXCESS_LAUNCH, OFFER.key, 3, 2
    )


@pytest.mark.parametrize("status", [InstanceStatus.REQUESTED, InstanceStatus.RUNNING])
def test_finds_launches_beyond_the_placement_where_machines_exist(status: InstanceStatus) -> None:
    held = tuple(running(OFFER, f"sk-held{n}", status=status) for n in range(2))
    snapshot = a_snapshot(OFFER, chat=chat(3), instances=held)
    launches = [a_launch(OFFER, f"sk-{n}") for n in range(2)]

    assert check_plan(a_plan([placed(OFFER, 3)], [replicas(OFFER, 3)], *launches[:1]), snapshot) == ()
    assert only(a_plan([placed(OFFER, 3)], [replicas(OFFER, 3)], *launches), snapshot) == an_error(
        PlanRule.EXCESS_LAUNCH, OFFER.key, 2, 1
    )


def test_finds_a_launch_of_what_exists_in_full_or_more_than_in_full() -> None:
    for count in (1, 2):
        held = tuple(running(OFFER, f"sk-held{n}") for n in range(count))
        snapshot = a_snapshot(OFFER, chat=chat(1), instances=held)

        assert only(a_plan([placed(OFFER)], [replicas(OFFER)], a_launch(OFFER)), snapshot) == an_error(
            PlanRule.EXCESS_LAUNCH, OFFER.key, 1, 0
        )


def test_a_machine_that_ends_is_replaced_and_a_head_is_no_worker() -> None:
    ending = running(OFFER, "sk-old", status=InstanceStatus.TERMINATING)
    snapshot = a_snapshot(OFFER, chat=chat(1), instances=(ending,))
    plan = a_plan([placed(OFFER)], [replicas(OFFER)], a_launch(OFFER))
    assert check_plan(plan, snapshot) == ()

    head = running(OFFER, "sk-old", Role.HEAD)
    assert check_plan(plan, replace(snapshot, instances=(head,))) == ()
    as_head = replace(a_launch(OFFER), role=Role.HEAD)
    assert only(a_plan([placed(OFFER)], [replicas(OFFER)], as_head), replace(snapshot, instances=())) == an_error(
        PlanRule.EXCESS_LAUNCH, OFFER.key, 1, 0
    )


def test_the_placement_of_an_offer_may_be_in_several_lines() -> None:
    launches = [a_launch(OFFER, f"sk-{n}") for n in range(2)]
    plan = a_plan([placed(OFFER), placed(OFFER)], [replicas(OFFER, 2)], *launches)

    assert check_plan(plan, a_snapshot(OFFER, chat=chat(2))) == ()


def test_finds_a_surge_above_the_sum_of_what_applications_allow() -> None:
    held = (
        running(OFFER, "sk-run"),
        a_record(a_launch(OFFER, "sk-starts")),
        a_record(a_launch(OFFER, "sk-starts-too")),
        a_record(a_launch(HEAD, "sk-head", Role.HEAD)),
    )
    launches = [a_launch(OFFER, f"sk-{n}") for n in range(2)]
    plan = a_plan([placed(OFFER, 5), placed(HEAD, 1, Role.HEAD)], [replicas(OFFER, 5)], *launches)

    some = (replicas(OFFER, 3), replicas(OFFER, 1, application="code"))
    plan = having(plan, replicas=some, unmet=(UnmetDemand(CHAT, 1000, 4000, Unit.REPLICAS, ()),))

    def allowing(surge: int) -> Any:
        small = chat(4, disruption={"max_surge": surge})
        other = application(demand={"replicas": 1}, disruption={"max_surge": 1})
        return plan, a_snapshot(OFFER, HEAD, chat=small, code=other, instances=held)

    assert check_plan(*allowing(3)) == ()
    assert only(*allowing(2)) == an_error(PlanRule.MAX_SURGE, "", 4, 3)


def test_a_plan_that_starts_no_worker_may_find_many_starting() -> None:
    held = tuple(a_record(a_launch(OFFER, f"sk-{n}")) for n in range(3))
    snapshot = a_snapshot(OFFER, HEAD, chat=chat(3, disruption={"max_surge": 1}), instances=held)
    machines = [placed(OFFER, 3), placed(HEAD, 1, Role.HEAD)]

    assert check_plan(a_plan(machines, [replicas(OFFER, 3)], a_launch(HEAD, "sk-h", Role.HEAD)), snapshot) == ()
    repeat = replace(a_launch(OFFER, "sk-0"), is_repeat=True)
    assert check_plan(a_plan(machines, [replicas(OFFER, 3)], repeat), snapshot) == ()


def test_finds_a_launch_without_a_price_or_below_the_listed_one() -> None:
    def priced(micros: int, offers: Any = (OFFER,)) -> tuple[Plan, Any]:
        launch = replace(a_launch(OFFER), price_per_hour=Usd(micros))
        return a_plan([placed(OFFER)], [replicas(OFFER)], launch), a_snapshot(*offers, chat=chat(1))

    assert check_plan(*priced(1_000_000)) == ()
    assert only(*priced(999_999)) == an_error(PlanRule.PRICE, OFFER.key, 999_999, 1_000_000)
    assert check_plan(*priced(1, ())) == (), "its offer is not listed any more"
    assert only(*priced(0, ())) == an_error(PlanRule.PRICE, OFFER.key, 0, 0)


def test_what_is_reserved_costs_nothing_and_a_repeat_keeps_its_price() -> None:
    reserved = an_offer(US, "0", market=Market.RESERVED)
    plan = a_plan([placed(reserved)], [replicas(reserved)], a_launch(reserved))
    assert check_plan(plan, a_snapshot(reserved, chat=chat(1))) == ()

    repeat = replace(a_launch(OFFER), is_repeat=True, price_per_hour=Usd.of("0.5"))
    snapshot = a_snapshot(OFFER, chat=chat(1), instances=(a_record(repeat),))
    assert check_plan(a_plan([placed(OFFER)], [replicas(OFFER)], repeat), snapshot) == ()
    again = replace(a_launch(reserved), is_repeat=True)
    held = a_snapshot(reserved, chat=chat(1), instances=(a_record(again),))
    assert check_plan(a_plan([placed(reserved)], [replicas(reserved)], again), held) == ()


def test_finds_launches_above_the_budget_beside_everything_that_may_cost_money() -> None:
    held = (running(OFFER, "sk-a"), running(OFFER, "sk-b", status=InstanceStatus.TERMINATING))
    plan = a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], a_launch(OFFER))

    assert check_plan(plan, a_snapshot(OFFER, budget=3, chat=chat(2), instances=held)) == ()
    assert only(plan, a_snapshot(OFFER, budget=2.999999, chat=chat(2), instances=held)) == an_error(
        PlanRule.BUDGET, "", 3_000_000, 2_999_999
    )


def test_a_plan_that_starts_nothing_new_may_be_above_a_lowered_budget() -> None:
    held = (running(OFFER, "sk-a"),)
    snapshot = a_snapshot(OFFER, budget=0.1, chat=chat(1), instances=held)

    assert check_plan(a_plan([placed(OFFER)], [replicas(OFFER)]), snapshot) == ()
