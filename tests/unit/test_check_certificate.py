"""Rules on the certificate: its lines are complete and true, and what it credits is there for all that count on it."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.check import check_plan
from state.model.placement import SpecRule, Unit, Violation
from state.model.plan import Plan, PlanRule
from state.model.snapshot import Snapshot
from state.model.spec import FailureDomain
from tests.builders import an_offer
from tests.certified import EU_OFFER, US_OFFER, a_case, an_error, line, survives
from tests.plans import (
    AZ,
    CHAT,
    CODE,
    EU,
    US,
    a_plan,
    a_snapshot,
    having,
    only,
    placed,
    replicas,
    running,
)

GOOD = line(EU, 2000), line(US, 2000)


def test_a_certificate_with_every_line_right_is_fine() -> None:
    assert check_plan(*a_case(*GOOD)) == ()
    assert check_plan(*a_case(*reversed(GOOD))) == ()
    assert check_plan(*a_case(kind="none")) == ()


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"remaining_milli": 2001}, (2001, 2000)),
        ({"remaining_milli": 3000}, (3000, 2000)),
        ({"kind": FailureDomain.PROVIDER}, (2000, 2000)),
        ({"required_milli": 1999}, (1999, 2000)),
    ],
)
def test_finds_a_line_with_a_wrong_figure_or_kind(changes: dict[str, Any], figures: tuple[int, int]) -> None:
    assert only(*a_case(GOOD[0], replace(GOOD[1], **changes))) == an_error(PlanRule.CERTIFICATE, US, CHAT, *figures)


def test_finds_a_line_that_is_missing_twice_there_or_about_nothing() -> None:
    assert only(*a_case(GOOD[0])) == an_error(PlanRule.CERTIFICATE, US, CHAT, 0, 1)
    assert only(*a_case(*GOOD, GOOD[0])) == an_error(PlanRule.CERTIFICATE, EU, CHAT, 2, 1)
    assert only(*a_case(*GOOD, line(AZ, 4000))) == an_error(PlanRule.CERTIFICATE, AZ, CHAT, 1, 1)
    assert only(*a_case(*GOOD, line(US, 4000, application=CODE))) == an_error(PlanRule.CERTIFICATE, US, CODE, 1, 1)
    assert only(*a_case(*GOOD[:1], kind="none")).rule is PlanRule.CERTIFICATE
    assert len(check_plan(*a_case())) == 2


@pytest.mark.parametrize("shape", [{"requests_per_second": 0.5}, {"requests_per_second": 2}])
def test_remaining_capacity_is_counted_from_the_spec(shape: dict[str, Any]) -> None:
    replica_milli = round(shape["requests_per_second"] * 1000)
    chat: dict[str, Any] = {"of": {"demand": {"requests_per_second": 1}}, "shapes": [{"gpu": "L4"} | shape]}

    right = line(EU, 2 * replica_milli, 1000), line(US, 2 * replica_milli, 1000)
    assert check_plan(*a_case(*right, **chat)) == ()
    assert len(check_plan(*a_case(line(EU, 2000, 1000), line(US, 2000, 1000), **chat))) == 2


def test_what_is_required_is_the_spec_s_share_of_the_demand() -> None:
    lines = line(EU, 2000, 1400), line(US, 2000, 1400)

    assert check_plan(*a_case(*lines, share=0.7)) == ()
    assert only(*a_case(lines[0], replace(lines[1], required_milli=1399), share=0.7)).allowed == 1400
    odd = line(EU, 2000, 667), line(US, 2000, 667)
    assert check_plan(*a_case(*odd, share=0.333333)) == (), "rounded up: 666.666"


@pytest.mark.parametrize(
    ("kind", "domains"),
    [
        (FailureDomain.PROVIDER, ("aws", "gcp")),
        (FailureDomain.REGION, (str(US), str(EU))),
        (FailureDomain.ZONE, (f"{US}/a", f"{EU}/a")),
    ],
)
def test_each_kind_of_domain_has_its_lines(kind: FailureDomain, domains: tuple[str, str]) -> None:
    plan, snapshot = a_case(*(line(d, 2000, kind=kind) for d in domains), kind=str(kind))
    zoned = tuple(replace(r, zone="a") for r in plan.placement.replicas)

    assert check_plan(having(plan, replicas=zoned), snapshot) == ()
    less = having(plan, replicas=zoned, certificate=plan.placement.certificate[:1])
    assert only(less, snapshot) == an_error(PlanRule.CERTIFICATE, domains[1], CHAT, 0, 1)


def test_replicas_of_one_domain_fall_together() -> None:
    zones = [an_offer(US), an_offer(US, zone="b")]
    held = tuple(running(o, f"sk-{o.key.zone}") for o in zones)
    carried = [replicas(o, zone=o.key.zone) for o in zones]
    plan = a_plan([placed(o) for o in zones], carried)
    snapshot = a_snapshot(*zones, chat=survives(1), instances=held)

    lost = Violation(CHAT, SpecRule.SURVIVE, US, 0, 1000, Unit.REPLICAS)
    whole = having(plan, certificate=(line(US, 0, 1000),), violations=(lost,))
    assert check_plan(whole, snapshot) == ()
    by_zone = tuple(line(f"{US}/{z}", 1000, 1000, kind=FailureDomain.ZONE) for z in "ab")
    zoned = a_snapshot(*zones, chat=survives(1, "zone"), instances=held)
    assert check_plan(having(plan, certificate=by_zone), zoned) == ()


def unsafe(*violations: Violation) -> tuple[Plan, Snapshot]:
    plan, snapshot = a_case(line(EU, 3000), line(US, 1000), us=3, eu=1)
    return having(plan, violations=violations), snapshot


def test_a_loss_that_is_not_survived_is_reported_or_found() -> None:
    lost = Violation(CHAT, SpecRule.SURVIVE, US, 1000, 2000, Unit.REPLICAS)
    missing = an_error(PlanRule.REPORTED_VIOLATION, f"survive {US}", CHAT, None, None)

    assert check_plan(*unsafe(lost)) == ()
    assert only(*unsafe()) == missing
    assert only(*unsafe(replace(lost, subject=EU))) == missing
    assert only(*unsafe(replace(lost, application=CODE))) == missing
    assert only(*unsafe(replace(lost, rule=SpecRule.MAX_SHARE))) == missing


def test_one_applications_loss_is_not_hidden_by_another_s_of_the_same_region() -> None:
    plan, snapshot = unsafe()
    twice = tuple(replace(m, count=2 * m.count) for m in plan.placement.machines)
    theirs = tuple(replace(r, application=CODE) for r in plan.placement.replicas)
    lines = (*plan.placement.certificate, *(replace(x, application=CODE) for x in plan.placement.certificate))
    both = tuple(Violation(n, SpecRule.SURVIVE, US, 1000, 2000, Unit.REPLICAS) for n in (CHAT, CODE))
    held = tuple(running(m.offer, f"sk-{m.offer.key.region}-{n}") for m in twice for n in range(m.count))
    snapshot = a_snapshot(US_OFFER, EU_OFFER, chat=survives(), code=survives(), instances=held)
    plan = having(plan, machines=twice, replicas=(*plan.placement.replicas, *theirs), certificate=lines)

    assert check_plan(having(plan, violations=both), snapshot) == ()
    for kept, hidden in ((0, CODE), (1, CHAT)):
        found = only(having(plan, violations=(both[kept],)), snapshot)
        assert (found.application, found.subject) == (hidden, f"survive {US}")
