"""Scratch memory for one application: its items to choose among, and how far a choice keeps its rules.

An *item* is a pair at one cost, with a limit: headroom in machines that are paid for anyway is one item, headroom in
machines still to be bought another. All rules of an application depend on its capacity in total, on demand, per
failure domain, per region and per region's spot pool; these sums are kept as items come and go, so that what
is missing is found from the few domains in use.
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, ZONE, BoolArray, FloatArray, IntArray, Problem
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.solution_state import RULES_MISSED

TOTAL, ON_DEMAND, ITEMS, DOMAINS, REGIONS, HELD = 0, 1, 2, 3, 4, 5
"""What is where in `Scratch.now`."""
FIRST_DOMAIN, IN_FIRST_DOMAIN, IN_SECOND_DOMAIN, FIRST_REGION, IN_FIRST_REGION, IN_SECOND_REGION = 0, 1, 2, 3, 4, 5
"""What is where in `Scratch.top`."""


class Scratch(NamedTuple):
    """Scratch memory for one application at a time; made once, used for all."""

    now: IntArray
    """Capacity in total and on demand; how many items there are; how many domains, regions and items are listed."""
    top: IntArray
    """The fullest domain and region, what they hold, and what the next ones do; `summarise` writes it."""
    pair: IntArray
    cost: FloatArray
    capacity_per_replica: IntArray
    domain: IntArray
    region: IntArray
    is_spot: BoolArray
    shape: IntArray
    limit: IntArray
    x: IntArray
    part: FloatArray
    """How much of each item is chosen where fractions are allowed."""
    held: IntArray
    """The items that were chosen, listed."""
    best: IntArray
    """What was chosen before a move that may be undone."""
    choice: IntArray
    """The cheapest choice so far."""
    order: IntArray
    key: FloatArray
    in_domain: IntArray
    """Capacity, by domain."""
    domains: IntArray
    """The domains that were touched, listed."""
    in_region: IntArray
    spot_in: IntArray
    replicas_in: IntArray
    shape_in: IntArray
    """The shape that a region's replicas have, where it has any."""
    regions: IntArray


def new_scratch(p: Problem) -> Scratch:
    """Return scratch memory large enough for every application."""
    widest = 3 * int(np.max(np.diff(p.first), initial=1))
    regions = len(p.head)
    domains = 1 + max(int(np.max(k, initial=0)) for k in (p.zone, p.region, p.provider))

    def whole(size: int) -> IntArray:
        return np.zeros(size, np.int64)

    return Scratch(
        now=whole(6),
        top=whole(6),
        pair=whole(widest),
        cost=np.zeros(widest, np.float64),
        capacity_per_replica=whole(widest),
        domain=whole(widest),
        region=whole(widest),
        is_spot=np.zeros(widest, np.bool_),
        shape=whole(widest),
        limit=whole(widest),
        x=whole(widest),
        part=np.zeros(widest, np.float64),
        held=whole(widest),
        best=whole(widest),
        choice=whole(widest),
        order=whole(widest),
        key=np.zeros(widest, np.float64),
        in_domain=whole(domains),
        domains=whole(domains),
        in_region=whole(regions),
        spot_in=whole(regions),
        replicas_in=whole(regions),
        shape_in=whole(regions),
        regions=whole(regions),
    )


@compiled
def domain_index(kind: int, zone: int, region: int, provider: int) -> int:
    """Return the failure domain of a place, of the kind that an application must survive."""
    if kind == ZONE:
        return zone
    return provider if kind == PROVIDER else region


@compiled
def add_candidate(p: Problem, d: Scratch, a: int, j: int, cost: float, limit: int) -> None:
    """Add an item."""
    i = d.now[ITEMS]
    g = p.group[j]
    d.pair[i] = j
    d.cost[i] = cost
    d.capacity_per_replica[i] = p.capacity_per_replica[j]
    d.domain[i] = domain_index(p.kind[a], p.zone[g], p.region[g], p.provider[g])
    d.region[i] = p.region[g]
    d.is_spot[i] = p.is_spot[g]
    d.shape[i] = p.shape[j]
    d.limit[i] = limit
    d.x[i] = 0
    d.now[ITEMS] = i + 1


@compiled
def clear(d: Scratch) -> None:
    """Take every replica off, and leave the items."""
    for k in range(d.now[DOMAINS]):
        d.in_domain[d.domains[k]] = 0
    for k in range(d.now[REGIONS]):
        r = d.regions[k]
        d.in_region[r] = 0
        d.spot_in[r] = 0
        d.replicas_in[r] = 0
    for k in range(d.now[HELD]):
        d.x[d.held[k]] = 0
    d.now[HELD] = 0
    d.now[TOTAL] = 0
    d.now[ON_DEMAND] = 0
    d.now[DOMAINS] = 0
    d.now[REGIONS] = 0


@compiled
def assign(d: Scratch, i: int, n: int) -> None:
    """Choose *n* more of an item; fewer, where *n* is negative."""
    capacity = n * d.capacity_per_replica[i]
    r, domain = d.region[i], d.domain[i]
    if d.in_domain[domain] == 0:
        append_unique(d.domains, d.now, DOMAINS, domain)
    if d.replicas_in[r] == 0:
        append_unique(d.regions, d.now, REGIONS, r)
        d.shape_in[r] = d.shape[i]
    if d.x[i] == 0:
        append_unique(d.held, d.now, HELD, i)
    d.x[i] += n
    d.now[TOTAL] += capacity
    d.in_domain[domain] += capacity
    d.in_region[r] += capacity
    d.replicas_in[r] += n
    if d.is_spot[i]:
        d.spot_in[r] += capacity
    else:
        d.now[ON_DEMAND] += capacity


@compiled
def append_unique(listed: IntArray, now: IntArray, size: int, value: int) -> None:
    """Add a value to a list that it is not in yet; `now[size]` is the list's length."""
    for k in range(now[size]):
        if listed[k] == value:
            return
    listed[now[size]] = value
    now[size] += 1


@compiled
def fits_shape(replicas_in: IntArray, shape_in: IntArray, r: int, shape: int) -> bool:
    """Return whether a shape may join what a region has."""
    return bool(replicas_in[r] == 0 or shape_in[r] == shape)


@compiled
def missing(p: Problem, d: Scratch, a: int) -> int:
    """Return by how much the rules of an application are missed, in thousandths of its demand's unit.

    Of each level of rules the most by which any of it, or any before it, is missed counts once: so a level outweighs
    those after it. Demand counts at each, and as much again, so that each replica that serves some makes it less.
    """
    capacity = d.now[TOTAL]
    unserved = max(0, p.demand[a] - capacity)
    short = max(unserved, p.on_demand[a] - d.now[ON_DEMAND])
    if p.kind[a] != NO_DOMAIN:
        short = max(short, p.required[a] - capacity)
        for k in range(d.now[DOMAINS]):
            short = max(short, p.required[a] - capacity + d.in_domain[d.domains[k]])
    if p.spot_left[a] > 0:
        for k in range(d.now[REGIONS]):
            if d.spot_in[d.regions[k]] > 0:
                short = max(short, p.spot_left[a] - capacity + d.spot_in[d.regions[k]])
    return int(RULES_MISSED * unserved + short + _missing_spread(p, d, a, short))


@compiled
def unserved_of(p: Problem, d: Scratch, a: int) -> int:
    """Return how much of an application's demand has no replica."""
    return int(max(0, p.demand[a] - d.now[TOTAL]))


@compiled
def _missing_spread(p: Problem, d: Scratch, a: int, short: int) -> int:
    """Return the sum over the levels of rules about places, regions and shares; *short* is missed before them."""
    capacity = d.now[TOTAL]
    floors = short
    used = 0
    over = 0
    region_max = p.share[a] * capacity // PPM + p.slack[a]
    for k in range(d.now[REGIONS]):
        inside = d.in_region[d.regions[k]]
        used += inside > 0
        over = max(over, inside - region_max)
    for f in range(p.floor_first[a], p.floor_first[a + 1]):
        inside = in_place(p, d, f)
        floors = max(floors, p.floor_min[f] - inside)
        over = max(over, inside - p.floor_max[f] * capacity // PPM - p.slack[a])
    spread = max(floors, (p.min_regions[a] - used) * p.slack[a])
    return int(floors + spread + max(spread, over))


@compiled
def in_place(p: Problem, d: Scratch, f: int) -> int:
    """Return the capacity in the place that a floor is for."""
    inside = 0
    for k in range(d.now[REGIONS]):
        if p.place_has[p.floor_place[f], d.regions[k]]:
            inside += d.in_region[d.regions[k]]
    return int(inside)


@compiled
def _fullest(places: IntArray, count: int, capacity: IntArray) -> tuple[int, int, int]:
    """Return the fullest of the first *count* places, what is in it, and what is in the second fullest."""
    first, highest, second = -1, 0, 0
    for k in range(count):
        inside = capacity[places[k]]
        if inside > highest:
            first, highest, second = places[k], inside, highest
        elif inside > second:
            second = inside
    return first, highest, second


@compiled
def summarise(d: Scratch) -> None:
    """Look up the fullest two domains and regions, for `missing_with`."""
    first, highest, second = _fullest(d.domains, d.now[DOMAINS], d.in_domain)
    d.top[FIRST_DOMAIN], d.top[IN_FIRST_DOMAIN], d.top[IN_SECOND_DOMAIN] = first, highest, second
    first, highest, second = _fullest(d.regions, d.now[REGIONS], d.in_region)
    d.top[FIRST_REGION], d.top[IN_FIRST_REGION], d.top[IN_SECOND_REGION] = first, highest, second


@compiled
def is_plain(p: Problem, a: int) -> bool:
    """Return whether an application has only the rules that `plainly_missing` knows."""
    return bool(p.spot_left[a] == 0 and p.min_regions[a] <= 1 and p.floor_first[a] == p.floor_first[a + 1])


class Rules(NamedTuple):
    """The rules of one application, out of the arrays: few enough that compiled code keeps them in registers."""

    demand: int
    required: int
    on_demand: int
    share: int
    slack: int
    is_plain: bool
    one_shape: bool


@compiled
def rules_of(p: Problem, a: int) -> Rules:
    """Return the rules of an application; nothing is required of it where it need not survive anything."""
    required = 0 if p.kind[a] == NO_DOMAIN else p.required[a]
    return Rules(p.demand[a], required, p.on_demand[a], p.share[a], p.slack[a], is_plain(p, a), p.one_shape[a])


@compiled
def plainly_missing(rules: Rules, capacity: int, bought: int, domain: int, region: int) -> int:
    """Return what is missing of a capacity, given what of it is on demand, in the fullest domain and region."""
    unserved = max(0, rules.demand - capacity)
    short = max(unserved, rules.on_demand - bought)
    if rules.required > 0:
        short = max(short, rules.required - capacity + domain)
    over = short
    if rules.share < PPM:
        over = max(over, region - rules.share * capacity // PPM - rules.slack)
    return int(RULES_MISSED * unserved + (RULES_MISSED - 1) * short + over)


@compiled
def missing_with(p: Problem, d: Scratch, a: int, i: int, n: int) -> int:
    """Return what would be missing with *n* more of an item, whatever the rules are."""
    assign(d, i, n)
    short = missing(p, d, a)
    assign(d, i, -n)
    return short
