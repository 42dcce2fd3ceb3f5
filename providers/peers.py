"""Prices beside their peers: which of several an offer has, and which are doubted. Pure.

Peers of a price are those of the same GPU model in other regions and clouds, and on-demand beside spot. Which of two
prices is wrong is a question to them: neither the older source nor the newer is taken to be right. Prices are compared
for each GPU, region by region, with their median, in which every cloud has the same weight: a list that is wrong for
one whole cloud is one error.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isclose
from statistics import median
from typing import Final

from state.model.catalog import Doubt, DoubtKind, Market, Offer, Price, PriceBasis
from state.model.ids import RegionId, provider_of
from state.model.units import Usd

PEERS_MIN: Final = 3
"""Regions with a price, at least: among fewer nothing shows which of two is wrong, and neither is doubted."""


@dataclass(frozen=True, slots=True)
class Band:
    """The plausible multiples of what peers usually cost."""

    low: float
    high: float


TYPE_BAND: Final = {Market.ON_DEMAND: Band(0.4, 4.0), Market.SPOT: Band(0.1, 10.0)}
"""Against the same type in other regions of its cloud."""
GPU_BAND: Final = {Market.ON_DEMAND: Band(0.25, 10.0), Market.SPOT: Band(0.1, 10.0)}
"""Against the same GPU in other regions and clouds, whose machines have more or less beside it. The list prices of 2026
lie within 0.3 and 6.4 times (on-demand), and 0.13 and 5.6 times (spot)."""
ON_DEMAND_BAND: Final = Band(0.03, 3.0)
"""Spot against on-demand of the same GPU in other regions and clouds: 0.04 to 1.8 times in 2026."""
SPOT_BAND: Final = Band(0.5, 30.0)
"""On-demand against spot, where on-demand has too few peers of its own."""
ON_DEMAND_MARGIN: Final = 1.1
"""Spot may cost so many times what the same machine costs on demand: some clouds round."""

Values = Mapping[RegionId, float]
Family = tuple[str, ...]
"""Whose prices are peers: a GPU model, or a cloud's type."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What others usually cost, and the band around that."""

    usual: float
    regions: int
    band: Band


@dataclass(slots=True)
class _Peers:
    """Prices for each GPU, by family, market and region."""

    by_region: dict[tuple[Family, Market], Values]
    _usual: dict[tuple[Family, Market, RegionId], tuple[float, int]] = field(default_factory=dict)
    _rules: dict[tuple[tuple[Family, ...], Market, RegionId], tuple[_Rule, ...]] = field(default_factory=dict)

    def beside(self, family: Family, market: Market, region: RegionId) -> tuple[float, int]:
        """Return (what others usually cost, how many regions they are)."""
        key = (family, market, region)
        if key not in self._usual:
            values = self.by_region.get((family, market), {})
            others = {other: value for other, value in values.items() if other != region}
            self._usual[key] = (_median(others), len(others))
        return self._usual[key]

    def rule(self, family: Family, market: Market, region: RegionId, band: Band) -> tuple[_Rule, ...]:
        """Return the rule of a band around a market's prices; none where the peers are too few."""
        usual, regions = self.beside(family, market, region)
        return (_Rule(usual, regions, band),) if regions >= PEERS_MIN else ()

    def rules(self, families: tuple[Family, ...], market: Market, region: RegionId) -> tuple[_Rule, ...]:
        """Return the rules that hold for the prices of a type in a market of a region."""
        key = (families, market, region)
        if key not in self._rules:
            of_type, *of_gpu = families
            found = list(self.rule(of_type, market, region, TYPE_BAND[market]))
            for gpu in of_gpu:
                own = self.rule(gpu, market, region, GPU_BAND[market])
                found += own
                if market is Market.SPOT:
                    found += self.rule(gpu, Market.ON_DEMAND, region, ON_DEMAND_BAND)
                elif not own:
                    found += self.rule(gpu, Market.SPOT, region, SPOT_BAND)
            self._rules[key] = tuple(found)
        return self._rules[key]


def _median(values: Values) -> float:
    """Return the median of regions' prices, every cloud with the same weight; 0 where there are none."""
    counts = Counter(provider_of(region) for region in values)
    weighted = sorted((value, 1 / counts[provider_of(region)]) for region, value in values.items())
    below = 0.0
    for number, (value, weight) in enumerate(weighted):
        below += weight
        if isclose(2 * below, len(counts)) and number + 1 < len(weighted):
            return (value + weighted[number + 1][0]) / 2
        if isclose(2 * below, len(counts)) or 2 * below > len(counts):
            return value
    return 0.0


def beside_peers(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return offers, each at the best of its prices that its peers bear out, the others of it dropped.

    Prices that differ too much from their peers are doubted, and stay among the alternatives; where all of an offer's
    are, it has the best of them, doubted. On-demand is compared first, since spot is compared with it.
    """
    every = tuple(offers)
    on_demand = [o for o in every if o.key.market is Market.ON_DEMAND]
    spot = [o for o in every if o.key.market is Market.SPOT]
    listed = _peers(on_demand, lambda offer: offer.price)
    likely = _peers(spot, lambda offer: _likely(offer, listed))
    known = _Peers(listed.by_region | likely.by_region)
    judged = {o.key: _judged(o, known, None) for o in on_demand}
    judged |= {o.key: _judged(o, known, judged.get(replace(o.key, market=Market.ON_DEMAND))) for o in spot}
    return tuple(judged.get(offer.key, offer) for offer in every)


def _peers(offers: list[Offer], price_of: Callable[[Offer], Price | None]) -> _Peers:
    found: dict[tuple[Family, Market], dict[RegionId, list[float]]] = {}
    for offer in offers:
        price = price_of(offer)
        for family in _families(offer) if price is not None else ():
            regions = found.setdefault((family, offer.key.market), {})
            regions.setdefault(offer.key.region, []).append(_per_gpu(offer, price))
    return _Peers({kind: {r: median(several) for r, several in regions.items()} for kind, regions in found.items()})


def _families(offer: Offer) -> tuple[Family, ...]:
    of_type: Family = (offer.key.provider, offer.key.instance_type)
    return (of_type,) if offer.machine.gpu is None else (of_type, (offer.machine.gpu,))


def _per_gpu(offer: Offer, price: Price | None) -> float:
    if price is None:
        return 0.0
    return (price.listed or price.per_hour).micros / max(offer.machine.gpus, 1)


def _likely(offer: Offer, on_demand: _Peers) -> Price | None:
    """Return the best price of a spot offer that on-demand bears out, to compare others with; None for none."""
    region, families = offer.key.region, _families(offer)
    rules = [r for f in families for r in on_demand.rule(f, Market.ON_DEMAND, region, ON_DEMAND_BAND)]
    prices = (offer.price, *offer.alternatives)
    return next((p for p in prices if not any(_outside(_per_gpu(offer, p), rule) for rule in rules)), None)


def _outside(value: float, rule: _Rule) -> Doubt | None:
    """Return how a price for each GPU lies outside a band around its peers; None where it does not."""
    if rule.band.low * rule.usual <= value <= rule.band.high * rule.usual:
        return None
    kind = DoubtKind.BELOW_PEERS if value < rule.usual else DoubtKind.ABOVE_PEERS
    return Doubt(kind, Usd(round(value)), Usd(round(rule.usual)), rule.regions)


def _judged(offer: Offer, peers: _Peers, on_demand: Offer | None) -> Offer:
    prices = [_compared(offer, price, peers, on_demand) for price in (offer.price, *offer.alternatives)]
    chosen = next((price for price in prices if not price.is_doubted), prices[0])
    return replace(offer, price=chosen, alternatives=tuple(p for p in prices if p.is_doubted and p is not chosen))


def _compared(offer: Offer, price: Price, peers: _Peers, on_demand: Offer | None) -> Price:
    """Return a price with how it compares; one that was agreed upon is what it is."""
    if price.basis is PriceBasis.AGREED and price.listed is None:
        return price
    rules = peers.rules(_families(offer), offer.key.market, offer.key.region)
    value = _per_gpu(offer, price)
    doubts = (_outside(value, rule) for rule in rules)
    doubt = next((found for found in doubts if found is not None), None) or _above(offer, price, on_demand)
    return replace(price, doubt=doubt, peers=max((rule.regions for rule in rules), default=0))


def _above(offer: Offer, price: Price, on_demand: Offer | None) -> Doubt | None:
    """Return how spot costs more than the same machine on demand, if that price has peers that bear it out."""
    if on_demand is None or on_demand.price.is_doubted or not on_demand.price.peers:
        return None
    value, usual = _per_gpu(offer, price), _per_gpu(on_demand, on_demand.price)
    if value <= usual * ON_DEMAND_MARGIN:
        return None
    return Doubt(DoubtKind.ABOVE_ON_DEMAND, Usd(round(value)), Usd(round(usual)), 1)
