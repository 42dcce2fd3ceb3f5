"""What a spec demands of a placement, in exact figures: written from `docs/reference/spec.md`, not from the solver."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from providers.regions import known_regions
from state.model.catalog import Machine, Market, Offer, OfferKey
from state.model.inventory import Role
from state.model.placement import Placement, ReplicaCount, SpecRule
from state.model.snapshot import Snapshot
from state.model.spec import Application, FailureDomain, Shape, Spot

KNOWN = known_regions(())
LEVELS = (
    (SpecRule.SURVIVE, SpecRule.SURVIVE_SPOT_LOSS, SpecRule.ON_DEMAND_FLOOR),
    (SpecRule.FLOOR, SpecRule.SHARE_MIN),
    (SpecRule.REGIONS_MIN,),
    (SpecRule.MAX_SHARE, SpecRule.SHARE_MAX),
)
"""Below demand, in the order in which rules are kept."""


def thousandths(value: float) -> int:
    return round(value * 1000)


def exactly(share: float) -> Fraction:
    return Fraction(round(share * 1_000_000), 1_000_000)


def at_least(share: float, demand: int) -> int:
    return ceil(exactly(share) * demand)


def at_most(share: float, total: int, largest: int) -> int:
    return int(exactly(share) * total) + largest


def demand_of(application: Application) -> int:
    wanted = application.demand
    return thousandths(wanted.replicas or wanted.requests_per_second or 0)


def carries(application: Application, shape: Shape) -> int:
    return 1000 if application.demand.replicas else thousandths(shape.requests_per_second or 0)


def largest_of(application: Application) -> int:
    return max(carries(application, shape) for shape in application.shapes)


def held_alone(shape: Shape, machine: Machine) -> int:
    """Return how many replicas of a shape a machine holds alone."""
    milli = thousandths(shape.count)
    by_gpu = machine.gpus * (1000 // milli) if milli < 1000 else machine.gpus // (milli // 1000)
    by_cpu = floor(Fraction(machine.vcpus) / Fraction(str(shape.cpus))) if shape.cpus else by_gpu
    by_memory = floor(Fraction(machine.memory_gib) / Fraction(str(shape.memory_gib))) if shape.memory_gib else by_gpu
    held = min(by_gpu, by_cpu, by_memory)
    return min(held, 1) if shape.machines > 1 else held


def places(held: int, gpus: int) -> int:
    """Return into how many places a machine is divided for a replica beside others."""
    odd = gpus
    while odd % 2 == 0:
        odd //= 2
    ladder: list[int] = [1, *(odd << k for k in range(11) if odd << k <= 1024)]
    return max(step for step in ladder if step <= held)


def domain(kind: FailureDomain, region: str, zone: str) -> str:
    if kind is FailureDomain.ZONE:
        return f"{region}/{zone}"
    return region if kind is FailureDomain.REGION else region.split("/", maxsplit=1)[0]


def is_in(region: str, place: str) -> bool:
    return place in (region, region.split("/", maxsplit=1)[0], KNOWN[region].jurisdiction)  # type: ignore[index]


def may_use(application: Application, offer: Offer) -> bool:
    return offer.key.market is not Market.SPOT or application.market.spot is not Spot.NEVER


@dataclass(frozen=True)
class Where:
    """Capacity of one application in thousandths, by region, zone and whether it is spot."""

    application: Application
    parts: dict[tuple[str, str, bool], int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def within(self, region: str | None = None, *, spot: bool | None = None) -> int:
        return sum(
            n for (r, _, s), n in self.parts.items() if (region is None or r == region) and (spot is None or s == spot)
        )

    @property
    def regions(self) -> list[str]:
        return sorted({r for (r, _, _), n in self.parts.items() if n})

    def lost(self) -> dict[str, int]:
        kind = self.application.survive.any
        lost: Counter[str] = Counter()
        for (r, zone, _), n in self.parts.items():
            if n and kind is not FailureDomain.NONE:
                lost[domain(kind, r, zone)] += n
        return dict(lost)


Miss = tuple[SpecRule, str]


def misses(where: Where, credit: dict[str, int]) -> dict[Miss, int]:
    """Return by how much each rule below demand is missed; *credit* is what may be bought after each loss."""
    a, found = where.application, dict[Miss, int]()
    rules, demand, largest, total = a.regions, demand_of(a), largest_of(a), where.total
    required = at_least(a.survive.share, demand)
    for name, lost in where.lost().items():
        found[SpecRule.SURVIVE, name] = required - (total - lost + credit.get(name, 0))
    if not total and a.survive.any is not FailureDomain.NONE:
        found[SpecRule.SURVIVE, ""] = required - min(required, at_least(a.survive.replacement_credit, demand))
    for region in where.regions:
        if where.within(region, spot=True):
            left = total - where.within(region, spot=True)
            found[SpecRule.SURVIVE_SPOT_LOSS, region] = at_least(a.market.survive_spot_loss, demand) - left
        found[SpecRule.MAX_SHARE, region] = where.within(region) - at_most(rules.max_share, total, largest)
    found[SpecRule.ON_DEMAND_FLOOR, ""] = at_least(a.market.on_demand_floor, demand) - where.within(spot=False)
    found[SpecRule.REGIONS_MIN, ""] = rules.min - len(where.regions)
    for place in {*rules.floors, *rules.shares}:
        inside = sum(where.within(region) for region in where.regions if is_in(region, place))
        found[SpecRule.FLOOR, place] = thousandths(rules.floors.get(place, 0)) - inside
        if place in rules.shares:
            share = rules.shares[place]
            found[SpecRule.SHARE_MIN, place] = at_least(share.min, demand) - inside
            found[SpecRule.SHARE_MAX, place] = inside - at_most(share.max, total, largest)
    return {miss: amount for miss, amount in found.items() if amount > 0}


def in_order(snapshot: Snapshot, unserved: dict[str, int], missed: dict[str, dict[Miss, int]]) -> tuple[Fraction, ...]:
    """Return what is missed, the most important first: demand by class, then each level of rules by class.

    Of the rules of a level the worst counts.
    """
    assert snapshot.wanted is not None
    applications = snapshot.wanted.spec.applications
    classes = sorted({a.priority for a in applications.values()}, reverse=True)
    found = [
        sum((Fraction(unserved[n], largest_of(a)) for n, a in applications.items() if a.priority == c), Fraction())
        for c in classes
    ]
    for level in LEVELS:
        for c in classes:
            amount = Fraction()
            for name, a in applications.items():
                if a.priority == c:
                    amount += _level(level, missed[name], 1 if SpecRule.REGIONS_MIN in level else largest_of(a))
            found.append(amount)
    return tuple(found)


def _level(level: tuple[SpecRule, ...], missed: dict[Miss, int], unit: int) -> Fraction:
    return Fraction(max((amount for (rule, _), amount in missed.items() if rule in level), default=0), unit)


def pool_of(r: ReplicaCount) -> tuple[str, str, Market]:
    market = Market.RESERVED if r.is_reserved else Market.SPOT if r.is_spot else Market.ON_DEMAND
    return str(r.region), r.instance_type, market


def machines_of(placement: Placement, role: Role = Role.WORKER) -> dict[OfferKey, int]:
    found: Counter[OfferKey] = Counter()
    for machine in placement.machines:
        if machine.role is role:
            found[machine.offer.key] += machine.count
    return dict(found)


def sharing(snapshot: Snapshot) -> int:
    """Return how many applications have a credit for a loss that they must survive."""
    assert snapshot.wanted is not None
    every = [a.survive for a in snapshot.wanted.spec.applications.values()]
    return sum(survive.replacement_credit > 0 and survive.any is not FailureDomain.NONE for survive in every)


def left_in_stock(snapshot: Snapshot, used: dict[OfferKey, int]) -> dict[OfferKey, int]:
    """Return what each application with a credit may count on of each on-demand offer: an even share."""
    among = sharing(snapshot)
    return {
        offer.key: max(0, offer.stock - used.get(offer.key, 0)) // max(among, 1)
        for offer in snapshot.offers
        if offer.machine.gpus and offer.stock is not None and offer.key.market is Market.ON_DEMAND
    }


def best_use(application: Application, offer: Offer) -> tuple[int, int] | None:
    """Return the machines and the thousandths of the shape that carries most per machine of an offer."""
    options = [
        (shape.machines, held_alone(shape, offer.machine) * carries(application, shape))
        for shape in application.shapes
        if held_alone(shape, offer.machine)
    ]
    return max(options, key=lambda option: Fraction(option[1], option[0]), default=None)


def credit_after(snapshot: Snapshot, application: Application, used: dict[OfferKey, int], lost: str) -> int:
    """Return what an application may buy after a loss."""
    left = left_in_stock(snapshot, used)
    capacity = 0
    for offer in snapshot.offers:
        key = offer.key
        if key in left and domain(application.survive.any, str(key.region), key.zone) != lost:
            use = best_use(application, offer)
            capacity += 0 if use is None else left[key] // use[0] * use[1]
    required = at_least(application.survive.share, demand_of(application))
    return min(at_least(application.survive.replacement_credit, demand_of(application)), required, capacity)
