"""A plan that breaks a rule for one application: that one is left as it stands, and the others go on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scheduler.check import UnsafePlanError, check_plan
from scheduler.cli.render import as_json, problems
from scheduler.observe import observe
from scheduler.plan import make_plan
from scheduler.service.planning import plan_snapshot
from scheduler.simulation.world import World
from scheduler.solve.hold import Settled, settle
from scheduler.solve.isolate import settle_apart
from scheduler.tick import decide, tick
from state.model.catalog import ChoiceKind, Market, Offer, Quota
from state.model.health import HealthState, RegionHealth
from state.model.history import PlanRefused
from state.model.ids import ApplicationName
from state.model.inventory import Role
from state.model.placement import Placement, SpecRule, Unit
from state.model.plan import Launch, PlanRule, Severity, Terminate
from state.model.settings import CostModel
from state.model.snapshot import Snapshot
from tests.builders import AT_ONCE, a_spec, an_instance, an_offer, application, with_heads
from tests.plans import CHAT, CODE, EU, US, a_snapshot, replicas, running

CHEAP, DEAR = an_offer(US, "1"), an_offer(EU, "3")
APART = frozenset({CHAT})


def an_application(count: int, **changes: Any) -> dict[str, Any]:
    return application(demand={"replicas": count}, disruption={"max_surge": 20}, **changes)


def a_fleet(*offers: Offer, chat: int = 2, code: int = 2, **changes: Any) -> Snapshot:
    """Return a fleet with heads in two regions, where two machines stand for chat."""
    sold = offers or (CHEAP, DEAR)
    held = tuple(running(CHEAP, f"sk-{n}", node_id=f"n{n}") for n in range(2))
    fields: dict[str, Any] = {"instances": held, "placed": (replicas(CHEAP, 2),), "cost_model": AT_ONCE} | changes
    return a_snapshot(*with_heads(*sold), chat=an_application(chat), code=an_application(code), **fields)


def workers(placement: Placement) -> dict[str, int]:
    return {str(m.offer.key.region): m.count for m in placement.machines if m.role is Role.WORKER}


def carried(placement: Placement, name: str) -> dict[str, int]:
    return {str(r.region): r.count for r in placement.replicas if r.application == name}


def test_what_stands_stays_and_the_others_are_placed_beside_it() -> None:
    snapshot = a_fleet()

    placement = settle_apart(snapshot, APART).placement

    assert carried(placement, CHAT) == {US: 2}
    assert carried(placement, CODE) == {US: 2}
    assert workers(placement) == {US: 4}
    assert placement.is_whole
    assert check_plan(make_plan(placement, snapshot), snapshot) == ()


def test_what_does_not_stand_is_not_placed_and_said_to_be_unmet() -> None:
    placement = settle_apart(a_fleet(chat=5), APART).placement

    assert carried(placement, CHAT) == {US: 2}
    [short] = placement.unmet
    assert (short.application, short.missing_milli, short.demand_milli) == (CHAT, 3000, 5000)


@pytest.mark.parametrize(
    "changes",
    [
        {"placed": (replicas(CHEAP, 2, shape=1),)},
        {"placed": (replicas(an_offer(US, market=Market.SPOT), 2),)},
        {"placed": ()},
        {"instances": ()},
        {"health": (RegionHealth(US, HealthState.DOWN, a_snapshot().taken_at),)},
    ],
    ids=["another shape", "another market", "nothing placed", "no machines", "a region that is down"],
)
def test_only_what_is_there_counts_as_standing(changes: dict[str, Any]) -> None:
    assert carried(settle_apart(a_fleet(**changes), APART).placement, CHAT) == {}


def test_no_more_stands_than_its_machines_hold() -> None:
    few = a_fleet(placed=(replicas(CHEAP, 5),), chat=5)

    placement = settle_apart(few, APART).placement

    assert carried(placement, CHAT) == {US: 2}
    gangs = replace(few, placed=(replicas(CHEAP, 1),))
    assert workers(settle_apart(replace(gangs, wanted=a_fleet(code=1).wanted), APART).placement) == {US: 2}


def test_the_others_get_the_rest_of_the_budget_and_of_the_stock() -> None:
    assert settle_apart(a_fleet(budget=2 + 2 + 0.3), APART).placement.is_whole
    [short] = settle_apart(a_fleet(budget=2 + 1 + 0.3), APART).placement.unmet
    assert (short.application, short.missing_milli) == (CODE, 1000)
    scarce = replace(CHEAP, stock=1)
    assert carried(settle_apart(a_fleet(scarce, DEAR), APART).placement, CODE) != {US: 2}


def test_its_cell_keeps_its_head_where_no_other_uses_it() -> None:
    head = with_heads(CHEAP)[-1]
    existing = replace(an_instance("sk-h", key=head.key, role=Role.HEAD), machine=head.machine)
    base = a_fleet(replace(CHEAP, stock=0), DEAR)

    placement = settle_apart(replace(base, instances=(*base.instances, existing)), APART).placement

    assert carried(placement, CODE) == {EU: 2}
    assert {str(m.offer.key.region): m.count for m in placement.machines if m.role is Role.HEAD} == {US: 1, EU: 1}


def test_zones_are_kept_apart_where_they_matter() -> None:
    sold = (an_offer(US, "1", zone="a"), an_offer(US, "1", zone="b"))
    held = (running(sold[0], "sk-0"), running(sold[1], "sk-1"), running(sold[1], "sk-2"))
    stood = (replicas(sold[0], 1, zone="a"), replicas(sold[1], 2, zone="b"))
    base = a_snapshot(
        *with_heads(*sold),
        chat=an_application(3, survive={"any": "zone", "share": 0.5}),
        code=an_application(1),
        instances=held,
        placed=stood,
        cost_model=AT_ONCE,
    )

    placement = settle_apart(base, APART).placement

    assert [(r.zone, r.count) for r in placement.replicas if r.application == CHAT] == [("a", 1), ("b", 2)]
    lines = {(line.domain, line.remaining_milli) for line in placement.certificate if line.application == CHAT}
    assert lines == {(f"{US}/a", 2000), (f"{US}/b", 1000)}
    assert [(v.application, v.rule, v.subject) for v in placement.violations] == [(CHAT, SpecRule.SURVIVE, f"{US}/b")]
    assert check_plan(make_plan(placement, base), base) == ()


def test_several_that_stand_keep_their_machines_and_count_by_the_spec_of_now() -> None:
    by_rate: dict[str, Any] = {
        "demand": {"requests_per_second": 6.5},
        "shapes": [{"gpu": "L4", "requests_per_second": 3.0}],
        "disruption": {"max_surge": 20},
    }
    gang = an_application(1, shapes=[{"gpu": "L4", "machines": 2}])
    wide = an_offer(EU, "3")
    held = [running(CHEAP, f"sk-{n}") for n in range(2)] + [running(wide, f"sk-e{n}") for n in range(2)]
    stood = (
        replicas(CHEAP, 1, application=ApplicationName("gone")),
        replicas(CHEAP, 2, milli_each=9000),
        replicas(wide, 1, application=CODE, zone=None),
    )
    base = a_snapshot(
        *with_heads(CHEAP, wide),
        chat=application(**by_rate),
        code=gang,
        more=an_application(1),
        instances=tuple(held),
        placed=stood,
        cost_model=AT_ONCE,
    )

    placement = settle_apart(base, frozenset({CHAT, CODE})).placement

    counts = {(str(r.application), r.count, r.milli_each) for r in placement.replicas}
    assert counts == {("chat", 2, 3000), ("code", 1, 1000), ("more", 1, 1000)}
    assert workers(placement) == {US: 3, EU: 2}
    [short] = placement.unmet
    assert (short.application, short.missing_milli, short.unit, short.causes) == (
        CHAT,
        500,
        Unit.REQUESTS_PER_SECOND,
        (),
    )
    added = {m.choice.kind for m in placement.machines if m.offer.key.region == EU}
    assert added == {ChoiceKind.FIXED}


def test_one_machine_more_than_it_needs_is_left_to_the_others() -> None:
    base = a_fleet(placed=(replicas(CHEAP, 1),), chat=1, code=1)

    placement = settle_apart(base, APART).placement

    assert workers(placement) == {US: 2}, "code takes the other"
    dear = replace(base, placed=(replicas(CHEAP, 1), replicas(DEAR, 1, application=CODE)))
    two = (*base.instances[:1], running(DEAR, "sk-e"))
    stays = settle_apart(replace(dear, instances=two, cost_model=CostModel()), APART).placement
    assert carried(stays, CODE) == {EU: 1}, "where it was placed last it stays"


def test_a_head_of_a_cell_that_none_uses_is_not_kept() -> None:
    head = next(o for o in with_heads(DEAR) if not o.machine.gpus)
    idle = replace(an_instance("sk-h", key=head.key, role=Role.HEAD), machine=head.machine)
    base = a_fleet()

    placement = settle_apart(replace(base, instances=(*base.instances, idle)), APART).placement

    assert {str(m.offer.key.region) for m in placement.machines} == {US}


def test_a_machine_that_is_not_sold_any_more_is_kept_too() -> None:
    placement = settle_apart(a_fleet(DEAR), APART).placement

    assert carried(placement, CHAT) == {US: 2}
    assert {m.offer.price.source for m in placement.machines if m.offer.key == CHEAP.key} == {"as launched"}


def erring(snapshot: Snapshot) -> Settled:
    """Return what is decided, with one replica of chat lost from the books: a mistake that the check finds."""
    found = settle(snapshot)
    kept = tuple(replace(r, count=r.count - 1) if r.application == CHAT else r for r in found.placement.replicas)
    return replace(found, placement=replace(found.placement, replicas=kept))


def test_a_mistake_about_one_application_stops_that_one_alone() -> None:
    snapshot = a_fleet()

    plan = decide(snapshot, erring)

    assert {(f.rule, f.application) for f in plan.refused} == {(PlanRule.REPORTED_VIOLATION, CHAT)}
    launched = [a for a in plan.actions if isinstance(a, Launch) and a.role is Role.WORKER]
    assert len(launched) == 2, "for code"
    assert not [action for action in plan.actions if isinstance(action, Terminate)]
    assert not plan.is_converged
    [line] = problems.left_out(plan)
    assert line.startswith("chat: left as it stands, since its part of the plan was refused: a rule is not kept")
    assert problems.of_plan(plan) == [line]
    [facts] = as_json.left_out_json(plan)
    assert (facts["application"], facts["rule"]) == (CHAT, PlanRule.REPORTED_VIOLATION)
    assert decide(snapshot).refused == ()


def test_what_stands_may_break_a_rule_of_the_spec_until_the_mistake_is_found() -> None:
    wanted = a_fleet().wanted
    assert wanted is not None
    chat = a_spec(chat=an_application(2, regions={"jurisdictions": ["EU"]})).applications["chat"]
    spec = wanted.spec.model_copy(update={"applications": {**wanted.spec.applications, "chat": chat}})
    moved = replace(a_fleet(), wanted=replace(wanted, spec=spec))

    def nowhere(snapshot: Snapshot) -> Settled:
        found = settle(snapshot)
        kept = tuple(r for r in found.placement.replicas if r.application != CHAT)
        return replace(found, placement=replace(found.placement, replicas=kept))

    plan = decide(moved, nowhere)

    assert {finding.application for finding in plan.refused} == {CHAT}
    assert carried(plan.placement, CHAT) == {US: 2}


def test_a_mistake_about_all_or_about_none_refuses_the_plan() -> None:
    alone = a_fleet()
    assert alone.wanted is not None
    spec = alone.wanted.spec.model_copy(update={"applications": {"chat": alone.wanted.spec.applications["chat"]}})
    with pytest.raises(UnsafePlanError):
        decide(replace(alone, wanted=replace(alone.wanted, spec=spec)), erring)

    limited = a_fleet(quotas=(Quota(US, "gpu", Market.ON_DEMAND, 2, 2, "gpus"),))
    with pytest.raises(UnsafePlanError) as refused:
        decide(limited, lambda snapshot: settle(replace(snapshot, quotas=())))
    assert {finding.severity for finding in refused.value.findings} == {Severity.ERROR}


def test_a_new_spec_with_an_application_left_out_is_not_put_in_force() -> None:
    report = plan_snapshot(a_fleet())

    assert report.may_apply
    left_out = replace(report, plan=replace(report.plan, refused=decide(a_fleet(), erring).refused))
    assert not left_out.is_possible
    assert not replace(left_out, is_same_spec=False).may_apply


def test_what_was_refused_is_kept_with_its_snapshot_and_the_others_are_served() -> None:
    world = World(CHEAP, DEAR)
    world.want(a_spec(chat=an_application(1), code=an_application(1)))
    for _ in range(30):
        fence = world.store.acquire_lease("test", timedelta(minutes=1), world.clock.now())
        assert fence is not None
        plan = tick(world.ports, fence, erring)
        world.clock.sleep(timedelta(seconds=10))

    cells = observe(world.ports).cells
    assert {served.name for cell in cells for served in cell.applications} == {CODE}
    assert sum(world.running().values()) == 1
    refusal = world.store.last_refusal()
    assert refusal is not None
    assert isinstance(refusal.what, PlanRefused)
    assert refusal.what.findings == plan.refused
    assert world.store.snapshot(refusal.subject) is not None
    last = world.store.last_tick()
    assert last is not None
    assert last.plan.refused == plan.refused
