"""Rules on the survivability certificate: complete, true, and credited only with stock that is there. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

from providers.gpus import same_gpu
from providers.regions import known_regions
from state.model.catalog import Market, Offer
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.placement import SpecRule, Survival
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain
from state.model.units import MILLI


def lines(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find lines that are missing, or whose figures are not those of the replicas and the spec."""
    if snapshot.wanted is None:
        return
    found = {(line.application, line.domain): line for line in plan.placement.certificate}
    reported = {(v.application, v.subject) for v in plan.placement.violations if v.rule is SpecRule.SURVIVE}
    for name, application in snapshot.wanted.spec.named():
        kind = application.survive.any
        if kind is FailureDomain.NONE:
            continue
        carried = _carried(plan, name, application)
        for domain, lost in sorted(carried.items()):
            line = found.get((name, domain))
            if line is None or line.kind is not kind or line.remaining_milli != carried.total() - lost:
                yield Finding(PlanRule.CERTIFICATE, Severity.ERROR, domain, name)
                continue
            required = Fraction(round(application.survive.share * 1_000_000), 1_000_000) * application.demand.milli
            if line.required_milli < required:
                yield _wrong(PlanRule.CERTIFICATE, line, line.required_milli, math.ceil(required))
            if not line.holds and (name, domain) not in reported:
                yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, f"{SpecRule.SURVIVE} {domain}", name)


def _carried(plan: Plan, name: ApplicationName, application: Application) -> Counter[str]:
    carried: Counter[str] = Counter()
    for replicas in plan.placement.replicas:
        if replicas.application == name:
            capacity = replicas.count * application.replica_milli(application.shapes[replicas.shape])
            carried[_domain(application.survive.any, replicas.region, replicas.zone)] += capacity
    return carried


def _domain(kind: FailureDomain, region: RegionId, zone: str | None) -> str:
    if kind is FailureDomain.ZONE:
        return f"{region}/{zone}"
    return region if kind is FailureDomain.REGION else provider_of(region)


def _wrong(rule: PlanRule, line: Survival, actual: int, allowed: int) -> Finding:
    return Finding(rule, Severity.ERROR, line.domain, line.application, actual, allowed)


def credits(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:  # noqa: A001  the certificate's own term
    """Find credits above the spec's share, above known stock, or above what applications can share after one loss."""
    if snapshot.wanted is None:
        return
    spec = snapshot.wanted.spec
    needed: Counter[str] = Counter()
    spare: dict[str, int] = {}
    for line in plan.placement.certificate:
        application = spec.applications[line.application]
        share = Fraction(application.survive.replacement_credit) * application.demand.milli
        if line.credited_milli > math.ceil(share):
            yield _wrong(PlanRule.CREDIT, line, line.credited_milli, math.ceil(share))
        if not line.credited_milli:
            continue
        stock = {offer.key: (count, offer) for count, offer in _spare(line, plan, snapshot)}
        capacity = {key: _capacity(application, offer) for key, (_, offer) in stock.items()}
        most = sum(count * capacity[key] for key, (count, _) in stock.items())
        if line.credited_milli > most:
            yield _wrong(PlanRule.CREDIT, line, line.credited_milli, most)
        best = max(capacity.values(), default=0)
        needed[line.domain] += math.ceil(line.credited_milli / best) if best else 0
        spare[line.domain] = max(spare.get(line.domain, 0), sum(count for count, _ in stock.values()))
    for domain, machines in sorted(needed.items()):
        if machines > spare[domain]:
            yield Finding(PlanRule.CREDIT, Severity.ERROR, domain, actual=machines, allowed=spare[domain])


def _spare(line: Survival, plan: Plan, snapshot: Snapshot) -> Iterator[tuple[int, Offer]]:
    """Yield on-demand offers outside a domain with the machines that are known to be left once the plan is done."""
    placed = Counter({m.offer.key: m.count for m in plan.placement.machines if m.role is Role.WORKER})
    existing = Counter(i.key for i in snapshot.instances if i.is_standing)
    for offer in snapshot.offers:
        key = offer.key
        is_elsewhere = _domain(line.kind, key.region, key.zone) != line.domain
        if key.market is Market.ON_DEMAND and offer.machine.gpus and offer.stock is not None and is_elsewhere:
            left = offer.stock - max(0, placed[key] - existing[key])
            if left > 0 and _may_use(line.application, offer, snapshot):
                yield left, offer


def _may_use(name: ApplicationName, offer: Offer, snapshot: Snapshot) -> bool:
    if snapshot.wanted is None or snapshot.settings_of(offer.key.region) is None:
        return False
    spec, region = snapshot.wanted.spec, offer.key.region
    wanted = spec.applications[name].regions.jurisdictions
    here = known_regions(snapshot.own_regions).get(region)
    is_allowed = spec.regions.admits(region) and spec.providers.admits(offer.key.provider)
    return is_allowed and (not wanted or (here is not None and here.jurisdiction in wanted))


def _capacity(application: Application, offer: Offer) -> int:
    """Return what one machine carries at most, by its GPUs alone, in thousandths."""
    machine = offer.machine
    return max(
        (
            (1 if shape.machines > 1 else machine.gpus * MILLI // round(shape.count * MILLI))
            * application.replica_milli(shape)
            for shape in application.shapes
            if same_gpu(shape.gpu, machine.gpu or "")
        ),
        default=0,
    )


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (lines, credits)
