"""What can be bought: the offers that any application may use, in groups, and how many each cause excludes.

Zones of a region that sell the same instance type in the same market at the same price are one *group*: the solver
counts machines per group, and they are spread over zones afterwards. Equal columns would only multiply equal
solutions. Where zones matter to an application, or a zone has a quota, each is a group of its own.
"""

from collections import Counter
from dataclasses import dataclass

from scheduler import shortages
from scheduler.region_policy import is_excluded, must_be_left_alone
from scheduler.solve.pruning import pruned
from state.model.catalog import NO_ZONE, Capability, Machine, Market, Offer, OfferKey, Price, Shortage, ShortageKind
from state.model.ids import RegionId
from state.model.inventory import Instance, Role
from state.model.placement import RefusalCause
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec, FailureDomain
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class OfferGroup:
    """Offers that differ in nothing but their zone."""

    region: RegionId
    instance_type: str
    market: Market
    machine: Machine
    price: Usd
    offers: tuple[Offer, ...]
    existing: int
    """Machines of ours that count."""
    low: int
    high: int
    """Bounds on machines; equal where the region must be left alone."""
    spare: tuple[tuple[OfferKey, int], ...] = ()
    """On-demand stock that is known, by offer: a shortage has none, nor a region that must be left alone."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What the solver may choose among, whichever application it is for."""

    groups: tuple[OfferGroup, ...]
    heads: dict[RegionId, Offer]
    """The machine for a cell's head, per region that can have one."""
    refused: Counter[RefusalCause]
    """Offers that no application may use, by cause."""
    existing: Counter[OfferKey]
    """Workers of ours that exist."""


def build_supply(snapshot: Snapshot, spec: CapacitySpec) -> Supply:
    """Return everything that any application may use, in groups, and counts of what none may."""
    heads = _heads(snapshot)
    usable, refused = _screened(snapshot, spec, heads)
    existing = Counter(i.key for i in snapshot.instances if i.exists and i.role is Role.WORKER)
    return Supply(_grouped(snapshot, spec, usable, existing), heads, refused, existing)


def _heads(snapshot: Snapshot) -> dict[RegionId, Offer]:
    """Return per region the offer that its head runs on, or else the cheapest it could."""
    existing = {i.region: i for i in snapshot.instances if i.role is Role.HEAD and i.exists}
    fit: dict[RegionId, list[Offer]] = {}
    for offer in snapshot.offers:
        if not _is_fit_for_head(snapshot, offer):
            continue
        ours = existing.get(offer.key.region)
        if ours is not None and ours.key == offer.key:
            fit[offer.key.region] = [offer]
        elif ours is None and _headroom(snapshot, offer):
            fit.setdefault(offer.key.region, []).append(offer)
    chosen = {region: min(offers, key=lambda o: (o.price.per_hour, o.key)) for region, offers in fit.items()}
    # A head whose offer left the catalogue, or whose region does not answer, is still there.
    for region, instance in existing.items():
        chosen[region] = offer_of(instance)
    return chosen


def _is_fit_for_head(snapshot: Snapshot, offer: Offer) -> bool:
    machine, limits, settings = offer.machine, snapshot.limits, snapshot.settings_of(offer.key.region)
    is_large_enough = machine.vcpus >= limits.head_vcpus and machine.memory_gib >= limits.head_memory_gib
    is_in_zone = settings is not None and settings.head_zone in {None, offer.key.zone}
    has_address = snapshot.is_capable(offer.key.provider, Capability.FIXED_ADDRESS)
    is_lasting = not machine.gpus and offer.key.market is not Market.SPOT
    return is_lasting and is_large_enough and is_in_zone and has_address


def offer_of(instance: Instance) -> Offer:
    """Return the offer that an instance was bought at."""
    price = Price(instance.price_per_hour, "as launched", instance.requested_at)
    return Offer(instance.key, instance.machine, price)


def shortage_of(snapshot: Snapshot, offer: Offer) -> Shortage | None:
    """Return the shortage in force that covers *offer*, or None."""
    return shortages.in_force(snapshot.shortages, offer, snapshot.taken_at)


def _screened(
    snapshot: Snapshot, spec: CapacitySpec, heads: dict[RegionId, Offer]
) -> tuple[list[Offer], Counter[RefusalCause]]:
    """Return the GPU offers that any application may use, and counts of the others by cause."""
    ours = {(i.key): i for i in snapshot.instances if i.exists and i.role is Role.WORKER}
    sold = {offer.key: offer for offer in snapshot.offers if offer.machine.gpus}
    # What we hold but no list has (its region does not answer) is still there.
    sold |= {key: offer_of(i) for key, i in ours.items() if key not in sold}
    set_up = {cell.region for cell in snapshot.cell_settings}
    no_head = _causes_of_no_head(snapshot, set_up - set(heads))
    usable: list[Offer] = []
    refused: Counter[RefusalCause] = Counter()
    for key in sorted(sold):
        cause = _rule_cause(snapshot, spec, key, set_up)
        if cause is None and key not in ours:
            cause = _stock_cause(snapshot, sold[key])
        cause = cause or no_head.get(key.region)
        if cause is None:
            usable.append(sold[key])
        else:
            refused[cause] += 1
    kept = pruned(spec, usable, set(ours), snapshot.limits.offers_per_solve)
    if len(kept) < len(usable):
        refused[RefusalCause.PRUNED] += len(usable) - len(kept)
    return kept, refused


def _rule_cause(snapshot: Snapshot, spec: CapacitySpec, key: OfferKey, set_up: set[RegionId]) -> RefusalCause | None:
    """Return why no application may use an offer, by the spec, the settings and its region's health."""
    if not spec.providers.admits(key.provider):
        return RefusalCause.PROVIDER_NOT_ALLOWED
    if not spec.regions.admits(key.region):
        return RefusalCause.REGION_NOT_ALLOWED
    if key.region not in set_up:
        return RefusalCause.REGION_NOT_SET_UP
    return RefusalCause.REGION_DOWN if is_excluded(snapshot, key.region) else None


def _stock_cause(snapshot: Snapshot, offer: Offer) -> RefusalCause | None:
    """Return why no more of an offer can be bought now."""
    if not _is_sold(snapshot, offer):
        return RefusalCause.RESERVATION_NOT_IN_FORCE
    shortage = shortage_of(snapshot, offer)
    return None if shortage is None else shortages.CAUSES[shortage.kind]


def _is_sold(snapshot: Snapshot, offer: Offer) -> bool:
    """Return whether a new machine may be had: a reservation that ends would be left as soon as it is taken."""
    is_ending = offer.valid_until is not None and (
        offer.valid_until - snapshot.taken_at <= snapshot.thresholds.maintenance_ahead
    )
    return offer.is_in_force(snapshot.taken_at) and not is_ending


def _causes_of_no_head(snapshot: Snapshot, regions: set[RegionId]) -> dict[RegionId, RefusalCause]:
    """Return why regions have no machine for a head: none is sold, or those that are fit are short.

    A missing permission explains most, so it comes first.
    """
    kinds: dict[RegionId, list[ShortageKind]] = {}
    for offer in snapshot.offers:
        if offer.key.region in regions and _is_fit_for_head(snapshot, offer):
            shortage = shortage_of(snapshot, offer)
            kinds.setdefault(offer.key.region, []).extend([] if shortage is None else [shortage.kind])
    found = dict.fromkeys(sorted(regions), RefusalCause.NO_HEAD_MACHINE)
    for region, several in kinds.items():
        if several:
            found[region] = shortages.CAUSES[min(several, key=lambda kind: (kind is not ShortageKind.DENIED, kind))]
    return found


def _grouped(
    snapshot: Snapshot, spec: CapacitySpec, offers: list[Offer], existing: Counter[OfferKey]
) -> tuple[OfferGroup, ...]:
    by_zone = zones_matter(snapshot, spec)
    limited = {quota.region for quota in snapshot.quotas if quota.zone is not None}
    by_kind: dict[tuple[RegionId, str, Market, Usd, int, str], list[Offer]] = {}
    for offer in offers:
        key = offer.key
        zone = key.zone if by_zone or offer.minimum > 1 or key.region in limited or key.zone == NO_ZONE else ""
        kind = (key.region, key.instance_type, key.market, offer.price.per_hour, offer.minimum, zone)
        by_kind.setdefault(kind, []).append(offer)
    groups = []
    for (region, instance_type, market, price, _, _), members in sorted(by_kind.items()):
        count = sum(existing[o.key] for o in members)
        is_fixed = must_be_left_alone(snapshot, region)
        headroom = 0 if is_fixed else sum(_headroom(snapshot, o) for o in members)
        low, high = count if is_fixed else 0, count + headroom
        machine = members[0].machine
        spare = () if is_fixed or market is not Market.ON_DEMAND else _spare(snapshot, members)
        groups.append(
            OfferGroup(region, instance_type, market, machine, price, tuple(members), count, low, high, spare)
        )
    return tuple(groups)


def _spare(snapshot: Snapshot, offers: list[Offer]) -> tuple[tuple[OfferKey, int], ...]:
    return tuple((o.key, o.stock) for o in offers if o.stock is not None and shortage_of(snapshot, o) is None)


def zones_matter(snapshot: Snapshot, spec: CapacitySpec) -> bool:
    """Return whether an application must survive the loss of a zone, or runs one replica on several machines.

    One that is placed beside the spec's own, by zone, counts too.
    """
    beside = (r for r in snapshot.placed if r.application not in spec.applications)
    return any(r.zone is not None for r in beside) or any(
        application.survive.any is FailureDomain.ZONE or any(shape.machines > 1 for shape in application.shapes)
        for _, application in spec.named()
    )


def _headroom(snapshot: Snapshot, offer: Offer) -> int:
    """Return how many more machines of an offer can be had, as far as is known."""
    if shortage_of(snapshot, offer) is not None or not _is_sold(snapshot, offer):
        return 0
    limit = snapshot.limits.machines_per_offer
    if shortages.is_half_open(snapshot.shortages, offer, snapshot.taken_at, snapshot.shortage_policy):
        limit = 1
    return limit if offer.stock is None else max(0, min(offer.stock - _claimed(snapshot, offer), limit))


def _claimed(snapshot: Snapshot, offer: Offer) -> int:
    """Return how many places of a reserved offer launches with an unknown outcome may have taken."""
    places = {place.id for place in offer.places}
    return sum(i.exists and i.cloud_id is None and i.reservation in places for i in snapshot.instances)
