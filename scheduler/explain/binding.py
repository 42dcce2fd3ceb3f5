"""What binds, and what a little more of it would save: shadow prices, as differences of whole optima."""

from collections import Counter
from dataclasses import dataclass, replace

from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.rules import Rule, rules_of
from scheduler.solve.formulate import quota_headroom, quota_size
from state.model.catalog import Offer, Quota
from state.model.inventory import Role
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.units import Usd

QUESTIONS_MAX = 12
"""Each question is a solve; those about what is dearest are asked first."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that holds the fleet back, and what it is worth."""

    words: str
    more: str
    """What one more would be."""
    saves: Usd


def rule_prices(snapshot: Snapshot, application: str) -> tuple[tuple[Rule, Usd], ...]:
    """Return what each requirement of an application costs per hour, dearest first; only those that do."""
    if snapshot.wanted is None:
        return ()
    spec = snapshot.wanted.spec
    whole = from_scratch(snapshot).per_hour
    if whole is None:
        return ()
    found = []
    for rule in rules_of(spec):
        if rule.application != application:
            continue
        without = from_scratch(snapshot, rule.without(spec)).per_hour
        if without is not None and without < whole:
            found.append((rule, Usd(whole.micros - without.micros)))
    return tuple(sorted(found, key=lambda pair: (-pair[1].micros, pair[0].path)))


def bindings(snapshot: Snapshot) -> tuple[Binding, ...]:
    """Return the quotas and stocks that are used up and what one machine more would save, dearest first."""
    base = from_scratch(snapshot)
    whole = base.per_hour
    if whole is None:
        return ()
    found = []
    for words, more, changed in [*_quotas(snapshot, base.placement), *_stocks(snapshot, base.placement)][
        :QUESTIONS_MAX
    ]:
        cost = from_scratch(changed).per_hour
        if cost is not None and cost < whole:
            found.append(Binding(words, more, Usd(whole.micros - cost.micros)))
    return tuple(sorted(found, key=lambda b: (-b.saves.micros, b.words)))


def _used(placement: Placement) -> Counter[tuple[Offer, ...] | Offer]:
    used: Counter[tuple[Offer, ...] | Offer] = Counter()
    for machine in placement.machines:
        if machine.role is Role.WORKER:
            used[machine.offer] += machine.count
    return used


def _quotas(snapshot: Snapshot, placement: Placement) -> list[tuple[str, str, Snapshot]]:
    """Return quotas that have no room for one more machine of those they are for."""
    found = []
    for number, quota in enumerate(snapshot.quotas):
        members = [offer for offer in snapshot.offers if offer.machine.gpus and _is_for(quota, offer)]
        if not members:
            continue
        smallest = min(members, key=lambda o: (o.price.per_hour, o.key))
        size = max(1, quota_size(quota, smallest.machine.gpus, smallest.machine.vcpus))
        taken = sum(
            count * quota_size(quota, offer.machine.gpus, offer.machine.vcpus)
            for offer, count in _used(placement).items()
            if isinstance(offer, Offer) and _is_for(quota, offer)
        )
        if quota_headroom(snapshot, quota) - taken >= size:
            continue
        raised = replace(quota, limit=quota.limit + max(size, taken + size - quota_headroom(snapshot, quota)))
        quotas = (*snapshot.quotas[:number], raised, *snapshot.quotas[number + 1 :])
        words = f"quota of {quota.family} ({quota.market}) in {quota.region}: {quota.limit} {quota.unit}"
        more = f"one more {smallest.machine.gpu} machine of quota in {quota.region}"
        found.append((words, more, replace(snapshot, quotas=quotas)))
    return found


def _is_for(quota: Quota, offer: Offer) -> bool:
    key = offer.key
    return (key.region, offer.machine.family, key.market) == (quota.region, quota.family, quota.market)


def _stocks(snapshot: Snapshot, placement: Placement) -> list[tuple[str, str, Snapshot]]:
    """Return offers of which everything that is believed to be there is used."""
    found = []
    for offer, count in sorted(_used(placement).items(), key=lambda pair: -_price(pair[0])):
        if not isinstance(offer, Offer):
            continue
        limit = snapshot.limits.machines_per_offer if offer.stock is None else offer.stock
        if count < limit or offer.stock is None:
            continue
        offers = tuple(replace(o, stock=limit + 1) if o.key == offer.key else o for o in snapshot.offers)
        words = f"stock of {offer.key}: {limit}"
        more = f"one more {offer.key.instance_type} in {offer.key.region}"
        found.append((words, more, replace(snapshot, offers=offers)))
    return found


def _price(offer: object) -> int:
    return offer.price.per_hour.micros if isinstance(offer, Offer) else 0
