"""What is for sale: which offers anybody may use, in groups, and how many were refused for which cause.

Zones of a region that sell the same instance type in the same market at the same price are one *group*:
the solver counts machines per group, and they are spread over zones afterwards. Equal columns would only multiply
equal solutions. Where zones matter to somebody, each is a group of its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from state.model.catalog import Capability, Machine, Market, Offer, OfferKey, Price
from state.model.health import HealthState
from state.model.ids import RegionId
from state.model.inventory import Instance, Role
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec, FailureDomain
from state.model.units import Usd

HEAD_VCPUS: Final = 2
HEAD_MEMORY_GIB: Final = 7.0
"""Least size of a cell's head: Ray's head with Serve's controller holds about 1 GiB, and grows with replicas."""

HALF_OPEN: Final = timedelta(hours=1)
"""How long after a shortage an offer is tried with one machine at a time."""


@dataclass(frozen=True, slots=True)
class OfferGroup:
    """Offers that differ in nothing but their zone."""

    region: RegionId
    instance_type: str
    market: Market
    machine: Machine
    price: Usd
    offers: tuple[Offer, ...]
    standing: int
    """Machines of ours that count."""
    low: int
    high: int
    """Bounds on machines; equal where the region must not be touched."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What the solver may choose among, whichever application it is for."""

    groups: tuple[OfferGroup, ...]
    heads: dict[RegionId, Offer]
    """The machine for a cell's head, per region that can have one."""
    refused: Counter[str]
    """Offers that nobody may use, by cause."""


def untouchable(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region must be left as it is: it does not answer, or we hold it suspect."""
    health = snapshot.health_of(region)
    return region in snapshot.unreachable or (health is not None and health.state is HealthState.SUSPECT)


def is_excluded(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region does not count: down, or not yet back."""
    health = snapshot.health_of(region)
    return health is not None and health.state in {HealthState.DOWN, HealthState.RECOVERING}


def sold(snapshot: Snapshot, spec: CapacitySpec) -> Supply:
    """Return everything that any application may use, in groups, and counts of what none may."""
    heads = _heads(snapshot)
    usable, refused = _screened(snapshot, spec, heads)
    return Supply(_grouped(snapshot, spec, usable), heads, refused)


def _heads(snapshot: Snapshot) -> dict[RegionId, Offer]:
    """Return per region the offer that its head stands on, or else the cheapest it could."""
    standing = {i.region: i for i in snapshot.instances if i.role is Role.HEAD and i.is_standing}
    fit: dict[RegionId, list[Offer]] = {}
    for offer in snapshot.offers:
        machine = offer.machine
        can_stand = snapshot.is_capable(offer.key.provider, Capability.FIXED_ADDRESS)
        if machine.gpus or offer.key.market is Market.SPOT or not can_stand:
            continue
        if machine.vcpus < HEAD_VCPUS or machine.memory_gib < HEAD_MEMORY_GIB or not _is_head_zone(snapshot, offer):
            continue
        ours = standing.get(offer.key.region)
        if ours is not None and ours.key == offer.key:
            fit[offer.key.region] = [offer]
        elif ours is None and _room(snapshot, offer):
            fit.setdefault(offer.key.region, []).append(offer)
    chosen = {region: min(offers, key=lambda o: (o.price.per_hour, o.key)) for region, offers in fit.items()}
    # A head whose offer left the catalogue, or whose region does not answer, still stands.
    for region, instance in standing.items():
        chosen[region] = standing_offer(instance)
    return chosen


def _is_head_zone(snapshot: Snapshot, offer: Offer) -> bool:
    settings = snapshot.settings_of(offer.key.region)
    return settings is not None and settings.head_zone in {None, offer.key.zone}


def standing_offer(instance: Instance) -> Offer:
    """Return the offer that an instance was bought at."""
    price = Price(instance.price_per_hour, "as launched", instance.requested_at)
    return Offer(instance.key, instance.machine, price)


def shortage_covers(snapshot: Snapshot, offer: Offer) -> Iterable[bool]:
    """Yield True for each shortage in force that covers *offer*."""
    return (True for s in snapshot.shortages if s.until > snapshot.taken_at and s.covers(offer))


def _screened(snapshot: Snapshot, spec: CapacitySpec, heads: dict[RegionId, Offer]) -> tuple[list[Offer], Counter[str]]:
    """Return the GPU offers that any application may use, and counts of the others by cause."""
    set_up = {cell.region for cell in snapshot.cell_settings}
    ours = {(i.key): i for i in snapshot.instances if i.is_standing and i.role is Role.WORKER}
    sold = {offer.key: offer for offer in snapshot.offers if offer.machine.gpus}
    # What we hold but nobody lists (a region that does not answer) is still there.
    sold |= {key: standing_offer(i) for key, i in ours.items() if key not in sold}
    usable: list[Offer] = []
    refused: Counter[str] = Counter()
    for key in sorted(sold)[: snapshot.limits.offers_per_solve]:
        offer = sold[key]
        cause = _screen(snapshot, spec, key, set_up, heads)
        if cause is None and key not in ours and not offer.is_in_force(snapshot.taken_at):
            cause = "reservation not in force"
        if cause is None and key not in ours and any(shortage_covers(snapshot, offer)):
            cause = "out of stock or over quota lately"
        if cause is None:
            usable.append(offer)
        else:
            refused[cause] += 1
    return usable, refused


def _screen(
    snapshot: Snapshot, spec: CapacitySpec, key: OfferKey, set_up: set[RegionId], heads: dict[RegionId, Offer]
) -> str | None:
    if not spec.providers.admits(key.provider):
        return "provider not allowed"
    if not spec.regions.admits(key.region):
        return "region not allowed"
    if key.region not in set_up:
        return "region not set up"
    if is_excluded(snapshot, key.region):
        return "region down or recovering"
    if key.region not in heads:
        return "no machine for the cell's head"
    return None


def _grouped(snapshot: Snapshot, spec: CapacitySpec, offers: list[Offer]) -> tuple[OfferGroup, ...]:
    by_zone = zones_matter(spec)
    standing: Counter[OfferKey] = Counter(i.key for i in snapshot.instances if i.is_standing and i.role is Role.WORKER)
    by_kind: dict[tuple[RegionId, str, Market, Usd, int, str], list[Offer]] = {}
    for offer in offers:
        key = offer.key
        zone = key.zone if by_zone or offer.minimum > 1 else ""
        kind = (key.region, key.instance_type, key.market, offer.price.per_hour, offer.minimum, zone)
        by_kind.setdefault(kind, []).append(offer)
    groups = []
    for (region, instance_type, market, price, _, _), members in sorted(by_kind.items()):
        count = sum(standing[o.key] for o in members)
        is_fixed = untouchable(snapshot, region)
        room = 0 if is_fixed else sum(_room(snapshot, o) for o in members)
        low = count if is_fixed else 0
        groups.append(
            OfferGroup(
                region, instance_type, market, members[0].machine, price, tuple(members), count, low, count + room
            )
        )
    return tuple(groups)


def zones_matter(spec: CapacitySpec) -> bool:
    """Return whether anybody must survive the loss of a zone, or runs one replica on several machines of one."""
    return any(
        application.survive.any is FailureDomain.ZONE or any(shape.machines > 1 for shape in application.shapes)
        for _, application in spec.named()
    )


def _room(snapshot: Snapshot, offer: Offer) -> int:
    """Return how many more machines of an offer we believe can be had."""
    if any(shortage_covers(snapshot, offer)) or not offer.is_in_force(snapshot.taken_at):
        return 0
    limit = snapshot.limits.machines_per_offer
    if any(s.until <= snapshot.taken_at < s.until + HALF_OPEN and s.covers(offer) for s in snapshot.shortages):
        limit = 1  # one try, before we believe that the shortage is over
    return limit if offer.stock is None else min(offer.stock, limit)
