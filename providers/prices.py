"""Prices, each with its source and age: lists, agreed ones, live ones, and the bands of plausible ones. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from statistics import median
from typing import Final

from state.model.catalog import Market, Offer, OfferKey, Price
from state.model.ids import region_name
from state.model.inventory import CloudInstance
from state.model.units import Usd

GPU_HOUR_USD: Final = (0.02, 60.0)
"""The plausible price per GPU and hour: the cheapest and dearest list prices, with a margin."""
CPU_HOUR_USD: Final = (0.001, 30.0)


LIST_PRICES: Final = "list prices"


def zone_and_region(key: OfferKey) -> tuple[str, ...]:
    """Return where an offer's price may be listed: most zones have the prices of their region."""
    return key.zone, region_name(key.region)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by provider, location, instance type and market."""

    prices: dict[tuple[str, str, str, Market], Price]
    problem: str = ""
    """Why prices are missing or older than they should be; empty where all is well."""

    @property
    def degraded(self) -> dict[str, str]:
        """What offers lack without list prices, to the reason."""
        return {LIST_PRICES: self.problem} if self.problem else {}

    def price(self, provider: str, locations: tuple[str, ...], instance_type: str, market: Market) -> Price | None:
        """Return the price at the first of *locations* that has one, or None.

        Catalogues price by zone for some clouds and by region for others, so callers name both.
        """
        found = (self.prices.get((provider, location, instance_type, market)) for location in locations)
        return next((price for price in found if price is not None), None)

    def names(self, provider: str) -> dict[str, set[str]]:
        """Return the instance types of a provider that have a price, by location."""
        found: dict[str, set[str]] = {}
        for of, at, name, _ in self.prices:
            if of == provider:
                found.setdefault(at, set()).add(name)
        return found

    def paid(
        self, seen: Iterable[CloudInstance], locations: Callable[[OfferKey], tuple[str, ...]] = zone_and_region
    ) -> list[CloudInstance]:
        """Return machines with their prices by this list; reserved ones cost nothing more.

        Args:
            seen: The machines.
            locations: Returns where the price of an offer may be listed.
        """
        return [replace(one, price_per_hour=self._paid(one.key, locations(one.key))) for one in seen]

    def _paid(self, key: OfferKey, locations: tuple[str, ...]) -> Usd | None:
        if key.market is Market.RESERVED:
            return Usd(0)
        found = self.price(key.provider, locations, key.instance_type, key.market)
        return None if found is None else found.per_hour


@dataclass(frozen=True, slots=True)
class Negotiated:
    """An agreed price, for what its patterns match; the first that matches applies."""

    provider: str
    region: str
    """A shell pattern of the cloud's own name."""
    instance_type: str
    """A shell pattern."""
    market: Market
    usd_per_hour: float | None
    discount: float
    """Off the list price, where no price is named."""
    source: str

    def price(self, listed: Price) -> Price:
        """Return what is paid instead of a list price."""
        usd = listed.per_hour.dollars * (1 - self.discount) if self.usd_per_hour is None else self.usd_per_hour
        return Price(Usd.of(round(usd, 6)), f"{self.source}, on {listed.source}", listed.as_of)

    def matches(self, provider: str, location: str, instance_type: str, market: Market) -> bool:
        """Return whether it applies to a price; a zone counts as in its region."""
        is_there = fnmatchcase(location, self.region) or fnmatchcase(location.rpartition("-")[0], self.region)
        is_meant = fnmatchcase(instance_type, self.instance_type) and market is self.market
        return provider == self.provider and is_there and is_meant


def with_negotiated(prices: PriceList, agreed: tuple[Negotiated, ...]) -> PriceList:
    """Return a price list in which agreed prices replace those that they match."""

    def paid(key: tuple[str, str, str, Market], listed: Price) -> Price:
        found = next((one for one in agreed if one.matches(*key)), None)
        return listed if found is None else found.price(listed)

    return PriceList({key: paid(key, listed) for key, listed in prices.prices.items()})


LIVE_PRICES: Final = "live spot prices"
PEERS_MIN: Final = 3
PEERS_SHARE: Final = 0.4
"""An on-demand price below this share of what the same type usually costs its cloud's other locations is suspect."""
Key = tuple[str, str, str, Market]


def doubt_outliers(prices: PriceList, suspected: Mapping[Key, Usd]) -> tuple[PriceList, dict[Key, Usd]]:
    """Return a price list in which outliers are doubted, and the outliers; one that is seen twice is not doubted.

    Args:
        prices: As they were loaded.
        suspected: The outliers of the last load.
    """
    peers: dict[tuple[str, str], list[int]] = {}
    for (provider, _, name, market), price in prices.prices.items():
        if market is Market.ON_DEMAND:
            peers.setdefault((provider, name), []).append(price.per_hour.micros)
    usual = {kind: median(several) for kind, several in peers.items() if len(several) >= PEERS_MIN}

    def is_suspect(key: Key, price: Price) -> bool:
        floor = usual.get((key[0], key[2]), 0) * PEERS_SHARE
        return key[3] is Market.ON_DEMAND and price.per_hour.micros < floor and suspected.get(key) != price.per_hour

    suspects = {key: price.per_hour for key, price in prices.prices.items() if is_suspect(key, price)}
    listed = {key: replace(price, is_doubted=key in suspects) for key, price in prices.prices.items()}
    return PriceList(listed), suspects


LIVE_BAND: Final = (0.2, 5.0)
"""The plausible multiples of the catalogue's price for a live spot price; others are a wrong unit, or a gap."""


def live_spot(offer: Offer, usd: float | None, source: str, now: datetime) -> Offer:
    """Return a spot offer at its live price, if that is plausible; else at the catalogue's."""
    if usd is None or offer.key.market is not Market.SPOT or not is_plausible(usd, offer.machine.gpus):
        return offer
    low, high = LIVE_BAND
    if not low * offer.price.per_hour.dollars <= usd <= high * offer.price.per_hour.dollars:
        return offer
    return replace(offer, price=Price(Usd.of(usd), source, now))


def is_plausible(usd_per_hour: float, gpus: int) -> bool:
    """Return whether a price lies within the bands."""
    low, high = GPU_HOUR_USD if gpus else CPU_HOUR_USD
    return low <= usd_per_hour / max(gpus, 1) <= high
