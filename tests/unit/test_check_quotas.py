"""Rules on quotas, reservations, silent regions and ends: at their bounds and beyond."""

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
from state.model.plan import Drain, Finding, Launch, Plan, PlanRule, Route, Serve, Severity, Terminate
from state.model.serving import RoutingTable
from state.model.units import Usd
from tests.builders import NOON, an_offer, application
from tests.plans import (
    AZ,
    EU,
    US,
    a_good_plan,
    a_launch,
    a_plan,
    a_snapshot,
    only,
    placed,
    replicas,
    running,
)

OFFER = an_offer(US)
ENDED = TerminationReason.NOT_PLACED


def an_error(rule: PlanRule, subject: object = "", actual: int | None = None, allowed: int | None = None) -> Finding:
    return Finding(rule, Severity.ERROR, str(subject), None, actual, allowed)


def chat(count: int, **changes: Any) -> dict[str, Any]:
    return application(demand={"replicas": count}, **changes)


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
    in_vcpus = replace(used(16, 16), quotas=(a_quota(16, 16, "vcpus"),))
    assert check_plan(plan, in_vcpus) == ()
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
    in_vcpus = (a_quota(8, 16, "vcpus"),)
    assert only(kept, a_snapshot(OFFER, chat=chat(2), instances=held, quotas=in_vcpus)) == Finding(
        PlanRule.QUOTA, Severity.WARNING, subject, None, 16, 8
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
    two_more = [launch, a_launch(reserved(1), "sk-b")]
    assert only(*on(reserved(1), [placed(reserved(1), 3)], *two_more)) == replace(missing, actual=3, allowed=2)


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
        Drain(held.id, US, "n", ENDED, timedelta(minutes=2)),
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
