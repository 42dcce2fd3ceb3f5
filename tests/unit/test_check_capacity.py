"""Rules on machines: each finds the plan that breaks exactly it, and none the plan just inside its bound."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.catalog import Market, Price, Quota
from state.model.health import HealthState, RegionHealth
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, Role, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.placement import Unit, UnmetDemand
from state.model.plan import Drain, Finding, Launch, Plan, PlanRule, Route, Serve, Severity, Terminate
from state.model.serving import RoutingTable
from state.model.settings import Limits
from state.model.units import Usd
from tests.builders import NOON, a_head_offer, an_offer, application
from tests.plans import (
    AZ,
    CHAT,
    EU,
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
    assert only(plan, limited(launches_per_plan=3)) == an_error(PlanRule.LAUNCHES_PER_PLAN, "", 4, 3)


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
        a_record(a_launch(HEAD, "sk-head", Role.HEAD)),
    )
    launches = [a_launch(OFFER, f"sk-{n}") for n in range(2)]
    plan = a_plan([placed(OFFER, 4), placed(HEAD, 1, Role.HEAD)], [replicas(OFFER, 4)], *launches)

    some = (replicas(OFFER, 3), replicas(OFFER, 1, application="code"))
    plan = having(plan, replicas=some, unmet=(UnmetDemand(CHAT, 1000, 4000, Unit.REPLICAS, ()),))

    def allowing(surge: int) -> Any:
        small = chat(4, disruption={"max_surge": surge})
        other = application(demand={"replicas": 1}, disruption={"max_surge": 1})
        return plan, a_snapshot(OFFER, HEAD, chat=small, code=other, instances=held)

    assert check_plan(*allowing(2)) == ()
    assert only(*allowing(1)) == an_error(PlanRule.MAX_SURGE, "", 3, 2)


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


def a_quota(limit: int, used: int = 0, unit: str = "gpus", **changes: Any) -> Quota:
    return replace(Quota(US, "gpu", Market.ON_DEMAND, limit, used, unit), **changes)


def test_finds_a_placement_above_a_quota() -> None:
    wide = an_offer(US, gpus=2)
    launches = [a_launch(wide, f"sk-{n}") for n in range(3)]
    plan = a_plan([placed(wide, 3)], [replicas(wide, 6)], *launches)

    def under(*quotas: Quota) -> Any:
        return a_snapshot(wide, chat=chat(6), quotas=quotas)

    subject = "aws/us-east-1/gpu/on_demand"
    assert check_plan(plan, under(a_quota(6))) == ()
    assert only(plan, under(a_quota(5))) == an_error(PlanRule.QUOTA, subject, 6, 5)
    assert check_plan(plan, under(a_quota(48, unit="vcpus"))) == ()
    assert only(plan, under(a_quota(47, unit="vcpus"))) == an_error(PlanRule.QUOTA, subject, 48, 47)
    others = (a_quota(0, region=EU), a_quota(0, family="cpu"), a_quota(0, market=Market.SPOT))
    assert check_plan(plan, under(*others)) == ()


def test_what_others_use_of_a_quota_is_not_ours() -> None:
    held = (running(OFFER, "sk-a"), running(OFFER, "sk-end", status=InstanceStatus.TERMINATING))
    plan = a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], a_launch(OFFER))

    def used(limit: int, used: int, instances: Any = held) -> Any:
        return a_snapshot(OFFER, chat=chat(2), instances=instances, quotas=(a_quota(limit, used),))

    assert check_plan(plan, used(2, 2)) == (), "both that are in use are ours"
    assert check_plan(plan, used(2, 0)) == (), "a use below ours is stale, not room"
    assert only(plan, used(3, 4)) == an_error(PlanRule.QUOTA, "aws/us-east-1/gpu/on_demand", 2, 1)
    unseen = (replace(held[0], cloud_id=None, status=InstanceStatus.REQUESTED), held[1])
    assert only(plan, used(2, 2, unseen)).allowed == 1, "what is not listed yet is not in the use"


def test_a_placement_that_only_keeps_what_exists_above_a_quota_is_a_warning() -> None:
    held = (running(OFFER, "sk-a"), running(OFFER, "sk-b"))
    quotas = (a_quota(1, 2),)
    kept = a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)])
    subject = "aws/us-east-1/gpu/on_demand"

    assert only(kept, a_snapshot(OFFER, chat=chat(2), instances=held, quotas=quotas)) == Finding(
        PlanRule.QUOTA, Severity.WARNING, subject, None, 2, 1
    )
    more = a_plan([placed(OFFER, 3)], [replicas(OFFER, 3)], a_launch(OFFER))
    assert only(more, a_snapshot(OFFER, chat=chat(3), instances=held, quotas=quotas)).severity is Severity.ERROR
    ending = (held[0], replace(held[1], status=InstanceStatus.TERMINATING))
    again = a_plan([placed(OFFER, 2)], [replicas(OFFER, 2)], a_launch(OFFER))
    assert only(again, a_snapshot(OFFER, chat=chat(2), instances=ending, quotas=quotas)).severity is Severity.ERROR
    heads = (held[0], replace(held[1], role=Role.HEAD))
    assert only(again, a_snapshot(OFFER, chat=chat(2), instances=heads, quotas=quotas)).severity is Severity.ERROR


def test_heads_are_left_to_the_answer_of_their_cloud() -> None:
    plan, snapshot = a_good_plan()

    quotas = (a_quota(0, family="cpu", unit="vcpus"),)
    assert check_plan(plan, replace(snapshot, quotas=quotas)) == ()


def test_a_machine_without_what_a_quota_counts_takes_one_of_it() -> None:
    none = replace(OFFER, machine=replace(OFFER.machine, vcpus=0))
    plan = a_plan([placed(none)], [replicas(none)], a_launch(none))
    free = application(demand={"replicas": 1}, shapes=[{"gpu": "L4", "cpus": 0}])

    def under(limit: int) -> Any:
        return a_snapshot(none, chat=free, quotas=(a_quota(limit, unit="vcpus"),))

    assert check_plan(plan, under(1)) == ()
    assert only(plan, under(0)).rule is PlanRule.QUOTA


def reserved(stock: int | None, **changes: Any) -> Any:
    return replace(an_offer(US, "0", market=Market.RESERVED, stock=stock), **changes)


def test_finds_more_machines_on_a_reservation_than_it_has_beside_those_that_exist() -> None:
    held = (running(reserved(1), "sk-a"),)

    def on(offer: Any, machines: Any, *launches: Launch) -> Any:
        plan = a_plan(machines, [replicas(offer, 2)], *launches)
        return plan, a_snapshot(offer, chat=chat(2), instances=held)

    launch = a_launch(reserved(1))
    assert check_plan(*on(reserved(1), [placed(reserved(1), 2)], launch)) == ()
    assert check_plan(*on(reserved(None), [placed(reserved(None), 2)], launch)) == ()
    missing = an_error(PlanRule.RESERVATION, reserved(0).key, 2, 1)
    assert only(*on(reserved(0), [placed(reserved(0), 2)], launch)) == missing
    assert only(*on(reserved(0), [placed(reserved(0)), placed(reserved(0))], launch)) == missing


@pytest.mark.parametrize(
    "changes", [{"valid_from": NOON + timedelta(seconds=1)}, {"valid_until": NOON}], ids=["later", "over"]
)
def test_finds_a_machine_on_a_reservation_that_is_not_in_force(changes: dict[str, Any]) -> None:
    offer = reserved(5, **changes)
    plan = a_plan([placed(offer)], [replicas(offer)], a_launch(offer))

    assert only(plan, a_snapshot(offer, chat=chat(1))) == an_error(PlanRule.RESERVATION, offer.key, 1, 0)
    kept = a_plan([placed(offer)], [replicas(offer)])
    assert check_plan(kept, a_snapshot(offer, chat=chat(1), instances=(running(offer, "sk-a"),))) == ()


def test_stock_of_other_markets_is_no_reservation() -> None:
    scarce = replace(OFFER, stock=0)

    assert (
        check_plan(a_plan([placed(OFFER)], [replicas(OFFER)], a_launch(OFFER)), a_snapshot(scarce, chat=chat(1))) == ()
    )


def test_finds_any_action_in_a_region_that_did_not_answer() -> None:
    held = running(OFFER, "sk-a", status=InstanceStatus.TERMINATING)
    snapshot = a_snapshot(OFFER, chat=chat(1), instances=(held,))
    actions = (
        a_launch(OFFER),
        Terminate(held.id, held.key, held.cloud_id, ENDED),
        Serve(US),
        Drain(held.id, US, "n", ENDED),
    )
    for action in actions:
        count = 1 if isinstance(action, Launch) else 0
        plan = a_plan([placed(OFFER)] * count, [replicas(OFFER)] * count, action)
        wanted = snapshot if count else replace(snapshot, wanted=None)
        assert check_plan(plan, wanted) == ()
        assert check_plan(plan, replace(wanted, unreachable=frozenset({EU}))) == ()
        assert only(plan, replace(wanted, unreachable=frozenset({EU, US}))) == an_error(PlanRule.UNREACHABLE_REGION, US)


def test_routes_are_changed_while_a_region_does_not_answer() -> None:
    snapshot = a_snapshot(OFFER, wanted=None, unreachable=frozenset({US}))

    assert check_plan(a_plan([], [], Route(RoutingTable())), snapshot) == ()
    both = a_plan([], [], Route(RoutingTable()), Serve(US))
    assert only(both, snapshot).rule is PlanRule.UNREACHABLE_REGION, "what comes after a route is looked at too"


def an_end(plan_records: Any, held: Any, end: Terminate, **changes: Any) -> tuple[Plan, Any]:
    plan = replace(a_plan([], [], end), instances=plan_records)
    return plan, a_snapshot(OFFER, wanted=None, instances=held, **changes)


def test_only_recorded_ends_of_our_own_machines_are_asked_for() -> None:
    held = running(OFFER, "sk-a")
    ending = advanced(held, InstanceStatus.TERMINATING, ENDED)
    end = Terminate(held.id, held.key, held.cloud_id, ENDED)
    foreign = an_error(PlanRule.FOREIGN_MACHINE, "sk-a")

    assert check_plan(*an_end((ending,), (held,), end)) == ()
    assert check_plan(*an_end((), (ending,), end)) == ()
    assert only(*an_end((), (held,), end)) == foreign, "it is not recorded as ending"
    assert only(*an_end((ending,), (), end)) == foreign, "it is not held"
    assert only(*an_end((ending,), (held,), replace(end, cloud_id="c-other"))) == foreign
    assert only(*an_end((ending,), (held,), replace(end, key=an_offer(AZ).key))) == foreign


def test_an_orphan_may_be_ended_and_only_it() -> None:
    orphan = CloudInstance("c-9", InstanceId("sk-o"), OFFER.key, CloudState.RUNNING, None, NOON)
    end = Terminate(orphan.instance_id, orphan.key, orphan.cloud_id, TerminationReason.ORPHAN)

    assert check_plan(*an_end((), (), end, orphans=(orphan,))) == ()
    other = only(*an_end((), (), replace(end, cloud_id="c-8"), orphans=(orphan,)))
    assert other == an_error(PlanRule.FOREIGN_MACHINE, "sk-o")


@pytest.mark.parametrize("state", list(HealthState))
def test_machines_of_a_region_that_may_come_back_are_not_ended(state: HealthState) -> None:
    held = running(OFFER, "sk-a")
    ending = advanced(held, InstanceStatus.TERMINATING, ENDED)
    end = Terminate(held.id, held.key, held.cloud_id, ENDED)
    health = (RegionHealth(US, state, NOON), RegionHealth(EU, HealthState.RECOVERING, NOON))
    may = state in {HealthState.HEALTHY, HealthState.DOWN}

    found = check_plan(*an_end((ending,), (held,), end, health=health))
    assert found == (() if may else (an_error(PlanRule.RECOVERING_REGION, "sk-a"),))
    assert check_plan(*an_end((), (ending,), end, health=health)) == (), "its end was decided earlier"


def test_every_end_of_a_plan_is_looked_at() -> None:
    held = running(OFFER, "sk-a")
    ending = advanced(held, InstanceStatus.TERMINATING, ENDED)
    ends = [Terminate(held.id, held.key, held.cloud_id, ENDED), Terminate(InstanceId("sk-x"), held.key, "c", ENDED)]
    plan = replace(a_plan([], [], Serve(US), *ends), instances=(ending,))

    assert only(plan, a_snapshot(OFFER, wanted=None, instances=(held,))) == an_error(PlanRule.FOREIGN_MACHINE, "sk-x")


def test_a_price_that_rose_since_is_paid_in_the_budget() -> None:
    dear = replace(OFFER, price=Price(Usd.of(5), "test", NOON))
    plan = a_plan([placed(dear)], [replicas(dear)], a_launch(dear))

    assert only(plan, a_snapshot(dear, budget=4.5, chat=chat(1))).rule is PlanRule.BUDGET
