"""Settings to providers, wrapped. A cloud's `machines` module, and so its SDK, is imported only if it is used."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

from providers.base import Provider
from providers.cached import CachedProvider
from providers.context import Context
from providers.kept_prices import PriceMemory, SteadyProvider
from providers.price_catalogue import CachedPrices
from providers.prices import Negotiated
from providers.recorded import RecordedProvider
from providers.registry import ProvidersSettings
from providers.settings import CloudSettings
from providers.throttle import PauseLog
from state.clock import Clock
from state.model.ids import ProviderName


class Memory(PauseLog, PriceMemory, Protocol):
    """What providers remember across processes."""


def build_providers(
    settings: ProvidersSettings,
    catalog_dir: Path | None,
    owner: Callable[[], str],
    clock: Clock,
    agreed: tuple[Negotiated, ...] = (),
    memory: Memory | None = None,
) -> dict[ProviderName, Provider]:
    """Return the providers that the settings name, wrapped; nothing is called yet.

    Args:
        settings: The clouds that are used.
        catalog_dir: A folder in gpuhunt's format; None: its published catalogue.
        owner: Returns the installation's id.
        clock: The time, and waits.
        agreed: Prices that were agreed upon.
        memory: Where live prices, and the pauses that clouds ask for, are kept; None: in this process alone.
    """
    priced = tuple(cloud.profile.name for cloud in settings.used if cloud.profile.has_price_catalogue)
    context = Context(CachedPrices(priced, catalog_dir, clock, agreed), owner, clock, memory)
    providers = (_wrapped(cloud, context, memory) for cloud in settings.used)
    return {provider.name: provider for provider in providers}


def _wrapped(cloud: CloudSettings, context: Context, memory: PriceMemory | None) -> Provider:
    """Return a cloud's provider, recorded, with its prices kept, and cached where its offers may be minutes old."""
    module = import_module(f"providers.{cloud.profile.name}.machines")
    provider: Provider = RecordedProvider(module.build(cloud, context), context.clock)
    if cloud.profile.has_price_catalogue and memory is not None:
        provider = SteadyProvider(provider, memory, context.clock)
    return CachedProvider(provider, context.clock) if cloud.profile.is_cached else provider
