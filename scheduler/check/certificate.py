"""Rules on the survivability certificate: complete, true, and credited only with stock that is there. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from providers.regions import known_regions
from scheduler.check.facts import at_least, carried_by, demand_of, is_chosen, is_short
from scheduler.check.machines import replicas_on
from scheduler.check.placement import is_too_far, is_under
from state.model.catalog import NO_ZONE, Market, Offer, OfferKey
from state.model.health import HealthState
from state.model.ids import ApplicationName, RegionId, provider_of
from state.model.inventory import Role
from state.model.placement import SpecRule, Survival
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain


def lines(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    """Find lines that are missing or surplus, or whose figures are not those of the replicas and the spec."""
    if snapshot.wanted is None:
        return
    found: dict[tuple[str, str], list[Survival]] = {}
    for line in plan.placement.certificate:
        found.setdefault((line.application, line.domain), []).append(line)
    reported = {(v.application, v.subject) for v in plan.placement.violations if v.rule is SpecRule.SURVIVE}
    due = _due(plan, snapshot)
    for name, domain in sorted({*found, *due}):
        several = found.get((name, domain), [])
        remaining = due.get((name, domain))
        application = snapshot.wanted.spec.applications.get(name)
        if application is None or remaining is None or len(several) != 1:
            yield Finding(PlanRule.CERTIFICATE, Severity.ERROR, domain, ApplicationName(name), len(several), 1)
            continue
        yield from _line(several[0], application, remaining)
        if not several[0].holds and (name, domain) not in reported:
            subject = f"{SpecRule.SURVIVE} {domain}"
            yield Finding(PlanRule.REPORTED_VIOLATION, Severity.ERROR, subject, ApplicationName(name))


def _line(line: Survival, application: Application, remaining: int) -> Iterator[Finding]:
    if line.kind is not application.survive.any or line.remaining_milli != remaining:
        yield _wrong(PlanRule.CERTIFICATE, line, line.remaining_milli, remaining)
    required = at_least(application.survive.share, demand_of(application))
    if line.required_milli != required:
        yield _wrong(PlanRule.CERTIFICATE, line, line.required_milli, required)


def _due(plan: Plan, snapshot: Snapshot) -> dict[tuple[str, str], int]:
    """Return by application and failure domain what remains of the application after its loss, in thousandths.

    What is in no known zone may be in any of its region's, and is lost with each.
    """
    lost: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    applications = {} if snapshot.wanted is None else snapshot.wanted.spec.applications
    for replicas in plan.placement.replicas:
        application = applications[replicas.application]
        kind = application.survive.any
        capacity = replicas.count * carried_by(application, application.shapes[replicas.shape])
        totals[replicas.application] += capacity
        if kind is not FailureDomain.NONE:
            lost[replicas.application, _domain(kind, replicas.region, replicas.zone)] += capacity
    anywhere = {key: capacity for key, capacity in lost.items() if key[1].endswith(f"/{NO_ZONE}")}
    for (name, domain), capacity in anywhere.items():
        for other in [key for key in lost if key[0] == name and key[1] != domain]:
            lost[other] += capacity * (other[1].rpartition("/")[0] == domain.rpartition("/")[0])
    return {(name, domain): totals[name] - capacity for (name, domain), capacity in lost.items()}


def _domain(kind: FailureDomain, region: RegionId, zone: str | None) -> str:
    if kind is FailureDomain.ZONE:
        return f"{region}/{zone}"
    return region if kind is FailureDomain.REGION else provider_of(region)


def _wrong(rule: PlanRule, line: Survival, actual: int, allowed: int) -> Finding:
    return Finding(rule, Severity.ERROR, line.domain, line.application, actual, allowed)


@dataclass(frozen=True, slots=True)
class _Stock:
    """Machines that one application can count on after one loss."""

    left: Mapping[OfferKey, int]
    capacity: Mapping[OfferKey, int]
    """What one machine of an offer carries of the application, in thousandths."""

    @property
    def total_milli(self) -> int:
        return sum(count * self.capacity[key] for key, count in self.left.items())

    def machines(self, milli: int) -> int:
        """Return how many machines the capacity needs at least."""
        return -(-milli // max(self.capacity.values()))


def credits(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:  # noqa: A001  the certificate's own term
    """Find credits above the spec's share, above known stock, or above what applications can share after one loss."""
    if snapshot.wanted is None:
        return
    left = _left(plan, snapshot)
    counted: dict[str, list[tuple[_Stock, int]]] = {}
    for line in plan.placement.certificate:
        application = snapshot.wanted.spec.applications.get(line.application)
        if application is None or not line.credited_milli:
            continue
        share = at_least(application.survive.replacement_credit, demand_of(application))
        stock = _stock(line, application, left, snapshot)
        if not 0 < line.credited_milli <= min(share, stock.total_milli):
            yield _wrong(PlanRule.CREDIT, line, line.credited_milli, min(share, stock.total_milli))
        else:
            counted.setdefault(line.domain, []).append((stock, line.credited_milli))
    for domain, stocks in sorted(counted.items()):
        yield from _shared(domain, stocks)


def _shared(domain: str, stocks: list[tuple[_Stock, int]]) -> Iterator[Finding]:
    """Find applications that together count on more machines than the offers have that they all depend on."""
    needed: Counter[frozenset[OfferKey]] = Counter()
    left: dict[frozenset[OfferKey], int] = {}
    for stock, credited in stocks:
        keys = frozenset(stock.left)
        needed[keys] += stock.machines(credited)
        left[keys] = sum(stock.left.values())
    for keys in sorted(left, key=sorted):
        machines = sum(count for others, count in needed.items() if others <= keys)
        if machines > left[keys]:
            yield Finding(PlanRule.CREDIT, Severity.ERROR, domain, actual=machines, allowed=left[keys])


def _left(plan: Plan, snapshot: Snapshot) -> list[tuple[Offer, int]]:
    """Return on-demand offers with the machines that are known to be left once the plan is done.

    Neither a shortage nor a region that does not count, or is not to be touched, has any.
    """
    placed: Counter[OfferKey] = Counter()
    for machine in plan.placement.machines:
        placed[machine.offer.key] += machine.count if machine.role is Role.WORKER else 0
    existing = Counter(i.key for i in snapshot.instances if i.exists and i.role is Role.WORKER)
    bad = {h.region for h in snapshot.health if h.state is not HealthState.HEALTHY} | snapshot.unreachable
    found = []
    for offer in snapshot.offers:
        key, count = offer.key, offer.stock
        if key.market is not Market.ON_DEMAND or count is None or key.region in bad:
            continue
        remaining = count - max(0, placed[key] - existing[key])
        if remaining > 0 and not is_short(offer, snapshot.shortages, snapshot.taken_at):
            found.append((offer, remaining))
    return found


def _stock(line: Survival, application: Application, left: list[tuple[Offer, int]], snapshot: Snapshot) -> _Stock:
    """Return what of *left* lies outside the domain of a line and can carry its application."""
    usable: dict[RegionId, bool] = {}
    counts: dict[OfferKey, int] = {}
    capacity: dict[OfferKey, int] = {}
    for offer, count in left:
        key = offer.key
        if key.region not in usable:
            usable[key.region] = _may_use(application, key.region, snapshot)
        milli_each = max(
            replicas_on(shape, offer.machine) * carried_by(application, shape) // shape.machines
            for shape in application.shapes
        )
        if usable[key.region] and milli_each and _domain(line.kind, key.region, key.zone) != line.domain:
            counts[key], capacity[key] = count, milli_each
    return _Stock(counts, capacity)


def _may_use(application: Application, region: RegionId, snapshot: Snapshot) -> bool:
    if snapshot.wanted is None or snapshot.settings_of(region) is None:
        return False
    spec, known = snapshot.wanted.spec, known_regions(snapshot.own_regions)
    is_allowed = is_chosen(region, spec.regions) and is_chosen(provider_of(region), spec.providers)
    is_near = not is_too_far(application, region, snapshot, known)
    return is_allowed and is_near and is_under(application, region, known)


RULES: Final[tuple[Callable[[Plan, Snapshot], Iterator[Finding]], ...]] = (lines, credits)
