"""A wrapper that caches offers and quotas; machines and notices are read every time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from providers.base import LaunchOrder, Observation, Provider
from providers.wrapped import WrappedProvider
from state.clock import Clock
from state.model.catalog import Market, Offer, Quota
from state.model.ids import RegionId
from state.model.inventory import CloudInstance

OFFERS_MAX_AGE: Final = timedelta(minutes=5)
QUOTAS_MAX_AGE: Final = timedelta(minutes=5)
UNREACHABLE_MAX_AGE: Final = timedelta(seconds=30)
"""A read that some region did not answer is repeated sooner; until then the region's last answer is used."""

Item = TypeVar("Item", Offer, Quota)


@dataclass(slots=True)
class _Entry(Generic[Item]):
    observation: Observation[Item] | None = None
    taken_at: datetime | None = None
    by_region: dict[RegionId, tuple[Item, ...]] = field(default_factory=dict)


class CachedProvider(WrappedProvider):
    """Any provider, with its offers and quotas cached."""

    def __init__(self, inner: Provider, clock: Clock) -> None:
        """Keep nothing yet."""
        super().__init__(inner)
        self._clock = clock
        self._lock = threading.Lock()
        self._offers: _Entry[Offer] = _Entry()
        self._quotas: _Entry[Quota] = _Entry()

    def offers(self) -> Observation[Offer]:
        """Return offers at most five minutes old; those of an unreachable region are its last ones."""
        return self._fresh(self._offers, self.inner.offers, OFFERS_MAX_AGE, lambda offer: offer.key.region)

    def quotas(self) -> Observation[Quota]:
        """Return quotas at most five minutes old."""
        return self._fresh(self._quotas, self.inner.quotas, QUOTAS_MAX_AGE, lambda quota: quota.region)

    def _fresh(
        self,
        entry: _Entry[Item],
        read: Callable[[], Observation[Item]],
        max_age: timedelta,
        region_of: Callable[[Item], RegionId],
    ) -> Observation[Item]:
        with self._lock:
            now = self._clock.now()
            age = UNREACHABLE_MAX_AGE if entry.observation is not None and entry.observation.unreachable else max_age
            if entry.observation is not None and entry.taken_at is not None and now - entry.taken_at < age:
                return entry.observation
            observed = read()
            found: dict[RegionId, list[Item]] = {}
            for item in observed.items:
                found.setdefault(region_of(item), []).append(item)
            entry.by_region |= {region: tuple(items) for region, items in found.items()}
            old = tuple(item for region in sorted(observed.unreachable) for item in entry.by_region.get(region, ()))
            entry.observation, entry.taken_at = replace(observed, items=observed.items + old), self._clock.now()
            return entry.observation

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine; the rest of a reservation is read again after that."""
        machine = self.inner.launch(order)
        if order.key.market is Market.RESERVED:
            with self._lock:
                self._offers.taken_at = None
        return machine
