"""Settings to providers; the only module that names the clouds. Each SDK is imported only if it is used."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from providers.base import Provider
from providers.cached import CachedProvider
from providers.prices import Key, Negotiated, PriceList, beside_peers, load_prices, with_negotiated
from providers.recorded import RecordedProvider
from providers.settings import ProvidersSettings
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
    """Return the providers that the settings name, wrapped."""
    names = tuple(name for name in ("aws", "gcp", "azure") if getattr(settings, name) is not None)
    prices = _Prices(names, catalog_dir, clock, agreed)
    built: list[Provider] = []
    if settings.aws is not None:
        from providers.aws.machines import Aws  # noqa: PLC0415  slow SDK

        built.append(Aws(settings.aws, prices, owner, clock))
    if settings.gcp is not None:
        from providers.gcp.machines import Gcp  # noqa: PLC0415  slow SDK

        built.append(Gcp(settings.gcp, prices, clock))
    if settings.azure is not None:
        from providers.azure.machines import Azure  # noqa: PLC0415  slow SDK

        built.append(Azure(settings.azure, prices, clock))
    cached: list[Provider] = [CachedProvider(RecordedProvider(provider, clock), clock) for provider in built]
    if settings.static is not None:
        from providers.static.machines import Static  # noqa: PLC0415  only where it is used

        # One call a site tells what is free now; what was free minutes ago would be asked for in vain.
        cached.append(RecordedProvider(Static(settings.static, clock), clock))
    return {provider.name: provider for provider in cached}


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
                    # Without prices nothing new is bought; what stands is kept, and the next look tries again.
                    structlog.get_logger().error(PRICES_MISSING, reason=f"{type(error).__name__}: {error}")
                    return self._list or PriceList({})
            return self._list
