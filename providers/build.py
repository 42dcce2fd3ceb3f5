"""Settings to providers, wrapped. Each SDK is imported only if its cloud is used."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from providers.base import Provider
from providers.cached import CachedProvider
from providers.price_catalogue import load_prices
from providers.prices import Key, Negotiated, PriceList, beside_peers, with_negotiated
from providers.recorded import RecordedProvider
from providers.registry import ProvidersSettings
from providers.settings import CloudSettings, Context
from state.clock import Clock
from state.model.ids import ProviderName
from state.model.units import Usd

PRICES_MAX_AGE: Final = timedelta(hours=6)
PRICES_MISSING: Final = "prices_missing"
PRICES_SUSPECTED: Final = "prices_suspected"


def build_providers(
    settings: ProvidersSettings,
    catalog_dir: Path | None,
    owner: Callable[[], str],
    clock: Clock,
    agreed: tuple[Negotiated, ...] = (),
) -> dict[ProviderName, Provider]:
    """Return the providers that the settings name, wrapped; nothing is called yet.

    Args:
        settings: The clouds that are used.
        catalog_dir: A folder in gpuhunt's format; None: its published catalogue.
        owner: Returns the installation's id.
        clock: Tells the time, and waits.
        agreed: Prices that were agreed upon.
    """
    priced = tuple(cloud.profile.name for cloud in settings.used if cloud.profile.has_price_catalogue)
    context = Context(_Prices(priced, catalog_dir, clock, agreed), owner, clock)
    providers = (_wrapped(cloud, context) for cloud in settings.used)
    return {provider.name: provider for provider in providers}


def _wrapped(cloud: CloudSettings, context: Context) -> Provider:
    """Return a cloud's provider, recorded, and cached where its offers may be minutes old."""
    recorded = RecordedProvider(cloud.provider(context), context.clock)
    return CachedProvider(recorded, context.clock) if cloud.profile.is_cached else recorded


class _Prices:
    """The price list, loaded when it is first asked for, and again when it is old."""

    def __init__(
        self, names: tuple[str, ...], catalog_dir: Path | None, clock: Clock, agreed: tuple[Negotiated, ...]
    ) -> None:
        self._names, self._agreed = names, agreed
        self._catalog_dir = catalog_dir
        self._clock = clock
        self._lock = threading.Lock()
        self._list: PriceList | None = None
        self._suspected: dict[Key, Usd] = {}
        self._loaded_at = clock.now()

    def __call__(self) -> PriceList:
        with self._lock:
            now = self._clock.now()
            if self._list is None or now - self._loaded_at > PRICES_MAX_AGE:
                try:
                    listed = load_prices(self._names, self._catalog_dir, now)
                    listed, self._suspected = beside_peers(listed, self._suspected)
                    if self._suspected:
                        structlog.get_logger().warning(PRICES_SUSPECTED, prices=sorted(map(str, self._suspected)))
                    self._list, self._loaded_at = with_negotiated(listed, self._agreed), now
                except (OSError, ValueError, KeyError) as error:
                    # Without prices nothing new is bought; what stands is kept, and the next read tries again.
                    structlog.get_logger().error(PRICES_MISSING, reason=f"{type(error).__name__}: {error}")
                    return self._list or PriceList({})
            return self._list
