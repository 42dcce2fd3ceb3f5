"""Every plan of the planner passes its checks; every corruption of one is found, by an independent model."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from providers.regions import KNOWN
from scheduler.check import check_plan
from scheduler.plan import make_plan
from scheduler.solve import solve
from state.model.catalog import Market, Offer, Quota
from state.model.ids import ApplicationName, InstanceId, RegionId, provider_of
from state.model.inventory import Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import ReplicaCount, SpecRule
from state.model.plan import Launch, Plan, PlanRule, Severity, Terminate
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain
from tests.builders import a_spec, an_offer, application, wanted, with_heads
from tests.plans import CHAT, CODE, a_snapshot, having

REGIONS = ("aws/eu-central-1", "aws/us-east-1", "azure/eastus", "gcp/europe-west4", "gcp/us-central1")
PRICES = ("1.2", "1", "1.5", "1.1", "0.9")
QUIET = settings(
    max_examples=int(os.environ.get("SKERRY_EXAMPLES", "60")), deadline=None, suppress_health_check=list(HealthCheck)
)
SHARES = st.sampled_from((0.1, 0.29, 0.3, 0.5, 0.57, 1.0))

Found = set[tuple[PlanRule, str | None, str]]


@st.composite
def applications(draw: st.DrawFn) -> dict[str, Any]:
    rules: dict[str, Any] = {"min": draw(st.integers(1, 3)), "max_share": draw(SHARES)}
    if draw(st.booleans()):
        rules["jurisdictions"] = draw(st.sampled_from((["EU"], ["US"], ["EU", "US"])))
    place = draw(st.sampled_from(("EU", "aws", "gcp/us-central1")))
    rules["shares"] = {place: {"min": draw(st.sampled_from((0.0, 0.2))), "max": draw(SHARES)}}
    rules["floors"] = draw(st.sampled_from(({}, {"US": 1}, {"azure": 2})))
    return application(
        demand={"replicas": draw(st.integers(1, 9))},
        regions=rules,
        survive={
            "any": draw(st.sampled_from(("none", "region", "provider"))),
            "share": draw(st.sampled_from((0.5, 0.7, 1.0))),
            "replacement_credit": draw(st.sampled_from((0.0, 0.3, 1.0))),
        },
        market={
            "spot": draw(st.sampled_from(("never", "allowed", "preferred"))),
            "on_demand_floor": draw(st.sampled_from((0.0, 0.3))),
            "survive_spot_loss": draw(st.sampled_from((0.0, 0.5))),
        },
        disruption={"max_surge": draw(st.integers(1, 12))},
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Return a world that sells in five regions, with stock and quotas of which some are known."""
    stock = st.one_of(st.none(), st.integers(0, 5))
    offers: list[Offer] = []
    for region, price in zip(REGIONS, PRICES, strict=True):
        offers += [replace(an_offer(region, price, zone=zone), stock=draw(stock)) for zone in "ab"]
        cheap = str(float(price) / 3)
        offers.append(replace(an_offer(region, cheap, market=Market.SPOT), stock=draw(stock)))
    limited = draw(st.sampled_from(REGIONS))
    quotas = (Quota(RegionId(limited), "gpu", Market.ON_DEMAND, draw(st.integers(0, 6)), 0, "gpus"),)
    chosen = {"chat": draw(applications()), "code": draw(applications())}
    budget = draw(st.sampled_from((5, 20, 100)))
    return a_snapshot(*with_heads(*offers), budget=budget, quotas=quotas, **chosen)


def decided(snapshot: Snapshot) -> Plan:
    return make_plan(solve(snapshot), snapshot)


def after(plan: Plan, snapshot: Snapshot) -> Snapshot:
    """Return the world once what a plan launches runs, and what it ends is gone."""
    ended = {a.instance_id for a in plan.actions if isinstance(a, Terminate)}
    held = {i.id: i for i in snapshot.instances} | {i.id: i for i in plan.instances}
    running = tuple(
        replace(i, status=InstanceStatus.RUNNING, cloud_id=f"c-{i.id}", running_at=snapshot.taken_at)
        for i in held.values()
        if i.id not in ended
    )
    taken = Counter(launch.key for launch in plan.actions if isinstance(launch, Launch))
    offers = tuple(o if o.stock is None else replace(o, stock=max(0, o.stock - taken[o.key])) for o in snapshot.offers)
    return replace(snapshot, instances=running, offers=offers, placed=plan.placement.replicas)


def errors(plan: Plan, snapshot: Snapshot) -> Found:
    found = check_plan(plan, snapshot)
    return {(f.rule, f.application, f.subject) for f in found if f.severity is Severity.ERROR}


@given(snapshots(), st.lists(applications(), max_size=2))
@QUIET
def test_every_plan_of_the_planner_passes_its_checks(snapshot: Snapshot, later: list[dict[str, Any]]) -> None:
    plan = decided(snapshot)
    assert check_plan(plan, snapshot) == ()
    for chat in later:
        snapshot = replace(after(plan, snapshot), wanted=wanted(a_spec(100, chat=chat), 2))
        plan = decided(snapshot)
        assert check_plan(plan, snapshot) == ()


# A model of the rules on placements, from the words of docs/reference/spec.md alone.


def share(value: float, whole: int) -> Fraction:
    return Fraction(str(value)) * whole


def domain(kind: FailureDomain, r: ReplicaCount) -> str:
    return {"region": str(r.region), "provider": str(provider_of(r.region))}[str(kind)]


def lies_in(region: RegionId, place: str) -> bool:
    return place in {str(region), str(provider_of(region)), KNOWN[region].jurisdiction}


def not_kept(app: Application, carried: list[ReplicaCount]) -> set[tuple[SpecRule, str]]:
    """Return the rules of the spec that replicas do not keep; each replica carries one unit."""
    where = Counter({r.region: 0 for r in carried})
    spot: Counter[RegionId] = Counter()
    for r in carried:
        where[r.region] += r.count * 1000
        spot[r.region] += r.count * 1000 * r.is_spot
    total, demand, rules = where.total(), app.demand.milli, app.regions
    broken = set()
    if len([region for region in where if where[region]]) < rules.min:
        broken.add((SpecRule.REGIONS_MIN, ""))
    broken |= {(SpecRule.MAX_SHARE, r) for r, n in where.items() if n - 1000 > share(rules.max_share, total)}
    for place, floor in rules.floors.items():
        if sum(n for r, n in where.items() if lies_in(r, place)) < floor * 1000:
            broken.add((SpecRule.FLOOR, place))
    for place, bounds in rules.shares.items():
        inside = sum(n for r, n in where.items() if lies_in(r, place))
        if inside < share(bounds.min, demand):
            broken.add((SpecRule.SHARE_MIN, place))
        if inside - 1000 > share(bounds.max, total):
            broken.add((SpecRule.SHARE_MAX, place))
    if total - spot.total() < share(app.market.on_demand_floor, demand):
        broken.add((SpecRule.ON_DEMAND_FLOOR, ""))
    left = share(app.market.survive_spot_loss, demand)
    return broken | {(SpecRule.SURVIVE_SPOT_LOSS, r) for r, n in spot.items() if n and total - n < left}


def modelled(plan: Plan, snapshot: Snapshot) -> Found:
    """Return what the model finds wrong with where replicas are, and with what is reported and certified of it."""
    assert snapshot.wanted is not None
    found: Found = set()
    placement = plan.placement
    for name, app in snapshot.wanted.spec.named():
        carried = [r for r in placement.replicas if r.application == name]
        total = sum(r.count for r in carried) * 1000
        for region in {r.region for r in carried}:
            if app.regions.jurisdictions and KNOWN[region].jurisdiction not in app.regions.jurisdictions:
                found.add((PlanRule.JURISDICTION, name, region))
        if app.market.spot == "never":
            found |= {(PlanRule.SPOT, name, r.region) for r in carried if r.is_spot and r.count}
        reported = {(v.rule, v.subject) for v in placement.violations if v.application == name}
        silent = {f"{rule} {subject}".strip() for rule, subject in not_kept(app, carried) - reported}
        missing = [u.missing_milli for u in placement.unmet if u.application == name]
        if missing != [app.demand.milli - total][: total < app.demand.milli]:
            silent.add("demand")
        lines = [line for line in placement.certificate if line.application == name]
        due = {} if app.survive.any == "none" else Counter({domain(app.survive.any, r): 0 for r in carried})
        for r in carried if app.survive.any != "none" else ():
            due[domain(app.survive.any, r)] += r.count * 1000
        needed = ceil(share(app.survive.share, app.demand.milli))
        for place in {*due, *(line.domain for line in lines)}:
            ours = [line for line in lines if line.domain == place]
            good = [
                line
                for line in ours
                if (line.remaining_milli, line.required_milli) == (total - due.get(place, 0), needed)
            ]
            if len(ours) != 1 or place not in due or len(good) != 1:
                found.add((PlanRule.CERTIFICATE, name, place))
            if len(ours) == 1 and place in due and not ours[0].holds and (SpecRule.SURVIVE, place) not in reported:
                silent.add(f"{SpecRule.SURVIVE} {place}")
        found |= {(PlanRule.REPORTED_VIOLATION, name, subject) for subject in silent}
    return found | unheld(plan)


def unheld(plan: Plan) -> Found:
    """Return the pools of machines that do not hold the replicas which are placed on them, one on each GPU."""
    room: Counter[tuple[str, str, str]] = Counter()
    for m in plan.placement.machines:
        key = m.offer.key
        if m.role is Role.WORKER:
            room[key.region, key.instance_type, key.market] += m.count * m.offer.machine.gpus
    for r in plan.placement.replicas:
        market = Market.SPOT if r.is_spot else Market.ON_DEMAND
        room[r.region, r.instance_type, market] -= r.count
    return {
        (PlanRule.PACKING, r.application, f"{r.region}/{r.instance_type}")
        for r in plan.placement.replicas
        if room[r.region, r.instance_type, Market.SPOT if r.is_spot else Market.ON_DEMAND] < 0
    }


MODELLED = {
    PlanRule.JURISDICTION,
    PlanRule.SPOT,
    PlanRule.CERTIFICATE,
    PlanRule.REPORTED_VIOLATION,
    PlanRule.PACKING,
}

Corruption = Callable[[Plan, st.DataObject], Plan]


def a_count_is_changed(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.replicas)
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = replace(lines[number], count=data.draw(st.integers(0, 12)))
    return having(plan, replicas=tuple(lines))


def a_machine_is_dropped(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.machines)
    lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    return having(plan, machines=tuple(lines))


def a_replica_moves(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.replicas)
    number = data.draw(st.integers(0, len(lines) - 1))
    moved: dict[str, Any] = {
        "region": RegionId(data.draw(st.sampled_from(REGIONS))),
        "is_spot": data.draw(st.booleans()),
    }
    lines[number] = replace(lines[number], **moved)
    return having(plan, replicas=tuple(lines))


def a_replica_changes_hands(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.replicas)
    number = data.draw(st.integers(0, len(lines) - 1))
    other = CODE if lines[number].application == CHAT else CHAT
    lines[number] = replace(lines[number], application=other)
    return having(plan, replicas=tuple(lines))


def a_line_is_dropped_or_doubled(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.certificate)
    assume(lines)
    line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    return having(plan, certificate=(*lines, *[line] * data.draw(st.integers(0, 2))))


def a_line_is_changed(plan: Plan, data: st.DataObject) -> Plan:
    lines = list(plan.placement.certificate)
    assume(lines)
    number = data.draw(st.integers(0, len(lines) - 1))
    field = data.draw(st.sampled_from(("remaining_milli", "required_milli")))
    lines[number] = replace(lines[number], **{field: data.draw(st.integers(0, 12)) * 1000})  # type: ignore[arg-type]
    return having(plan, certificate=tuple(lines))


def something_is_not_reported(plan: Plan, data: st.DataObject) -> Plan:
    """Forget a violation or unmet demand, or blame it on another application."""
    reported: list[Any] = [*plan.placement.violations, *plan.placement.unmet]
    assume(reported)
    one = reported.pop(data.draw(st.integers(0, len(reported) - 1)))
    if data.draw(st.booleans()):
        reported.append(replace(one, application=CODE if one.application == CHAT else CHAT))
    kept = [v for v in reported if hasattr(v, "rule")], [u for u in reported if not hasattr(u, "rule")]
    return having(plan, violations=tuple(kept[0]), unmet=tuple(kept[1]))


CORRUPTIONS: tuple[Corruption, ...] = (
    a_count_is_changed,
    a_machine_is_dropped,
    a_replica_moves,
    a_replica_changes_hands,
    a_line_is_dropped_or_doubled,
    a_line_is_changed,
    something_is_not_reported,
)


@given(snapshots(), st.lists(st.sampled_from(CORRUPTIONS), max_size=3), st.data())
@QUIET
def test_what_is_found_in_a_corrupted_plan_is_what_the_model_finds(
    snapshot: Snapshot, corruptions: list[Corruption], data: st.DataObject
) -> None:
    plan = decided(snapshot)
    for corrupt in corruptions:
        assume(plan.placement.replicas and plan.placement.machines)
        plan = corrupt(plan, data)

    found = {finding for finding in errors(plan, snapshot) if finding[0] in MODELLED}
    assert found == modelled(plan, snapshot)


@given(snapshots(), st.booleans(), st.data())
@QUIET
def test_launches_beyond_the_placement_are_found_whatever_exists(
    snapshot: Snapshot,
    exists: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    plan = decided(snapshot)
    if exists:
        snapshot = after(plan, snapshot)
        plan = replace(plan, actions=(), instances=())
    heads_and_workers = [(m.offer, m.role) for m in plan.placement.machines]
    assume(heads_and_workers)
    offer, role = data.draw(st.sampled_from(heads_and_workers))
    cell = snapshot.settings_of(offer.key.region)
    assert cell is not None
    missing = 0
    for m in plan.placement.machines:
        missing += m.count if (m.offer.key, m.role) == (offer.key, role) else 0
    missing -= sum((i.key, i.role) == (offer.key, role) for i in snapshot.instances)
    planned = sum((a.key, a.role) == (offer.key, role) for a in plan.actions if isinstance(a, Launch))
    extra = tuple(
        Launch(InstanceId(f"sk-extra-{n}"), offer.key, offer.machine, role, offer.price.per_hour, cell, None)
        for n in range(missing - planned + 1)
    )

    raised = replace(plan, actions=(*plan.actions, *extra))
    assert (PlanRule.EXCESS_LAUNCH, None, str(offer.key)) in errors(raised, snapshot)
    fewer = replace(plan, actions=(*plan.actions, *extra[:-1]))
    assert PlanRule.EXCESS_LAUNCH not in {rule for rule, _, _ in errors(fewer, snapshot)}


@given(snapshots(), st.integers(1, 9000), st.data())
@QUIET
def test_a_credit_that_grows_beyond_the_spec_or_the_stock_is_found(
    snapshot: Snapshot, more: int, data: st.DataObject
) -> None:
    plan = decided(snapshot)
    lines = list(plan.placement.certificate)
    assume(lines and snapshot.wanted is not None)
    number = data.draw(st.integers(0, len(lines) - 1))
    line = lines[number]
    raised = replace(line, credited_milli=line.credited_milli + more)
    lines[number] = raised

    assert snapshot.wanted is not None
    app = snapshot.wanted.spec.applications[ApplicationName(line.application)]
    credit_max_milli = ceil(share(app.survive.replacement_credit, app.demand.milli))
    stock = sum(
        offer.stock or 0
        for offer in snapshot.offers
        if offer.key.market is Market.ON_DEMAND
        and offer.machine.gpus
        and line.domain not in {str(offer.key.region), str(offer.key.provider)}
    )
    bought = sum(
        m.count
        for m in plan.placement.machines
        if m.offer.key.market is Market.ON_DEMAND
        and m.role is Role.WORKER
        and m.offer.stock is not None
        and line.domain not in {str(m.offer.key.region), str(m.offer.key.provider)}
    )
    if raised.credited_milli > min(credit_max_milli, (stock - bought) * 1000):
        found = errors(having(plan, certificate=tuple(lines)), snapshot)
        assert (PlanRule.CREDIT, line.application, line.domain) in found
