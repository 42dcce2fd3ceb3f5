"""A wrapper that keeps the last live prices while the service that they come from does not answer.

A price service that fails now and then would else swap two sources back and forth, and each swap would look like a
change of price.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from providers.base import Observation, Provider
from providers.wrapped import WrappedProvider
from state.clock import Clock
from state.model.catalog import Offer, OfferKey, Price, PriceBasis
from state.model.ids import ProviderName

KEPT_MAX: Final = timedelta(hours=12)
"""How old a kept price may be: spot prices of clouds move by a few percent in that time, a list may be a factor off."""


class PriceMemory(Protocol):
    """Where live prices are kept, across processes."""

    def kept_prices(self, provider: ProviderName) -> Mapping[OfferKey, Price]:
        """Return the last live prices of a provider, of any age."""

    def keep_prices(self, provider: ProviderName, prices: Mapping[OfferKey, Price]) -> None:
        """Replace the kept prices of a provider."""


class SteadyProvider(WrappedProvider):
    """Any provider, whose live prices outlast gaps of their source."""

    def __init__(self, inner: Provider, memory: PriceMemory, clock: Clock) -> None:
        """Read nothing yet."""
        super().__init__(inner)
        self._memory, self._clock = memory, clock
        self._lock = threading.Lock()
        self._kept: dict[OfferKey, Price] | None = None

    def offers(self) -> Observation[Offer]:
        """Return the offers; one that had a live price lately and has none now keeps it, with its age."""
        observed = self.inner.offers()
        with self._lock:
            if self._kept is None:
                self._kept = dict(self._memory.kept_prices(self.name))
            live = {o.key: o.price for o in observed.items if o.price.basis is PriceBasis.LIVE}
            oldest = self._clock.now() - KEPT_MAX
            kept = {key: price for key, price in self._kept.items() if price.as_of > oldest} | live
            if kept != self._kept:
                self._memory.keep_prices(self.name, kept)
                self._kept = kept
        return replace(observed, items=tuple(_steady(offer, kept.get(offer.key)) for offer in observed.items))


def _steady(offer: Offer, kept: Price | None) -> Offer:
    """Return an offer at its kept price, if it has no live one and none that was agreed upon."""
    if kept is None or offer.price.basis is not PriceBasis.LISTED:
        return offer
    price = replace(kept, basis=PriceBasis.KEPT)
    return replace(offer, price=price, alternatives=(offer.price, *offer.alternatives))
