"""What requirements cost, and what a little more of what is used up would save: differences of whole optima. Pure."""

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.rules import Requirement, requirements, without
from scheduler.solve.quotas import quota_headroom, size_of
from state.model.catalog import Offer, OfferKey, Quota
from state.model.inventory import Role
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.units import Usd

QUESTIONS_MAX = 12
"""Each question is a solve; those about the dearest come first."""


class LimitKind(StrEnum):
    """What limits the fleet."""

    QUOTA = "quota"
    STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota or a stock that is used up, and what one machine more would save per hour."""

    kind: LimitKind
    offer: OfferKey
    """The offer whose stock it is, or the cheapest that the quota is for."""
    gpu: str
    """The GPU model of that offer."""
    limit: int
    """In the quota's unit, or machines in stock."""
    saves: Usd
    quota: Quota | None = None


def rule_prices(snapshot: Snapshot, application: str) -> tuple[tuple[Requirement, Usd], ...]:
    """Return what each requirement of an application costs per hour, dearest first; only those that do."""
    if snapshot.wanted is None:
        return ()
    spec = snapshot.wanted.spec
    whole = from_scratch(snapshot).per_hour
    if whole is None:
        return ()
    found = []
    for rule in requirements(spec):
        if rule.application != application:
            continue
        cost = from_scratch(snapshot, without(rule, spec)).per_hour
        if cost is not None and cost < whole:
            found.append((rule, Usd(whole.micros - cost.micros)))
    return tuple(sorted(found, key=lambda pair: (-pair[1].micros, pair[0].path)))


def limits(snapshot: Snapshot) -> tuple[Limit, ...]:
    """Return the quotas and stocks that are used up and what one machine more would save, dearest first."""
    base = from_scratch(snapshot)
    whole = base.per_hour
    if whole is None:
        return ()
    found = []
    questions = [*_quotas(snapshot, base.placement), *_stocks(snapshot, base.placement)]
    for limit, changed in questions[:QUESTIONS_MAX]:
        cost = from_scratch(changed).per_hour
        if cost is not None and cost < whole:
            found.append(replace(limit, saves=Usd(whole.micros - cost.micros)))
    return tuple(sorted(found, key=lambda found: (-found.saves.micros, found.kind, found.offer)))


def _used(placement: Placement) -> Counter[Offer]:
    used: Counter[Offer] = Counter()
    for machine in placement.machines:
        if machine.role is Role.WORKER:
            used[machine.offer] += machine.count
    return used


def _quotas(snapshot: Snapshot, placement: Placement) -> list[tuple[Limit, Snapshot]]:
    """Return quotas that have no headroom for one more machine of their family."""
    found = []
    for number, quota in enumerate(snapshot.quotas):
        members = [offer for offer in snapshot.offers if offer.machine.gpus and quota.counts(offer.key, offer.machine)]
        if not members:
            continue
        smallest = min(members, key=lambda o: (o.price.per_hour, o.key))
        size = size_of(quota, smallest.machine)
        used = sum(
            count * size_of(quota, offer.machine)
            for offer, count in _used(placement).items()
            if quota.counts(offer.key, offer.machine)
        )
        if quota_headroom(snapshot, quota) - used >= size:
            continue
        raised = replace(quota, limit=quota.limit + max(size, used + size - quota_headroom(snapshot, quota)))
        quotas = (*snapshot.quotas[:number], raised, *snapshot.quotas[number + 1 :])
        limit = Limit(LimitKind.QUOTA, smallest.key, smallest.machine.gpu or "", quota.limit, Usd(), quota)
        found.append((limit, replace(snapshot, quotas=quotas)))
    return found


def _stocks(snapshot: Snapshot, placement: Placement) -> list[tuple[Limit, Snapshot]]:
    """Return offers whose reported stock is used up."""
    found = []
    for offer, count in sorted(_used(placement).items(), key=lambda pair: -pair[0].price.per_hour.micros):
        if offer.stock is None or count < offer.stock:
            continue
        limit = offer.stock
        offers = tuple(replace(o, stock=limit + 1) if o.key == offer.key else o for o in snapshot.offers)
        found.append(
            (Limit(LimitKind.STOCK, offer.key, offer.machine.gpu or "", limit, Usd()), replace(snapshot, offers=offers))
        )
    return found
