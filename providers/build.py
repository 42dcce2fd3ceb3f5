"""Settings to providers, wrapped. A cloud's `machines` module, and so its SDK, is imported only if it is used."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from providers.base import Provider
from providers.cached import CachedProvider
from providers.context import Context
from providers.price_catalogue import CachedPrices
from providers.prices import Negotiated
from providers.recorded import RecordedProvider
from providers.registry import ProvidersSettings
from providers.settings import CloudSettings
from providers.throttle import PauseLog
from state.clock import Clock
from state.model.ids import ProviderName


def build_providers(
    settings: ProvidersSettings,
    catalog_dir: Path | None,
    owner: Callable[[], str],
    clock: Clock,
    agreed: tuple[Negotiated, ...] = (),
    pauses: PauseLog | None = None,
) -> dict[ProviderName, Provider]:
    """Return the providers that the settings name, wrapped; nothing is called yet.

    Args:
        settings: The clouds that are used.
        catalog_dir: A folder in gpuhunt's format; None: its published catalogue.
        owner: Returns the installation's id.
        clock: The time, and waits.
        agreed: Prices that were agreed upon.
        pauses: Where the pauses that clouds ask for are kept; None: in this process alone.
    """
    priced = tuple(cloud.profile.name for cloud in settings.used if cloud.profile.has_price_catalogue)
    context = Context(CachedPrices(priced, catalog_dir, clock, agreed), owner, clock, pauses)
    providers = (_wrapped(cloud, context) for cloud in settings.used)
    return {provider.name: provider for provider in providers}


def _wrapped(cloud: CloudSettings, context: Context) -> Provider:
    """Return a cloud's provider, recorded, and cached where its offers may be minutes old."""
    module = import_module(f"providers.{cloud.profile.name}.machines")
    provider: Provider = module.build(cloud, context)
    recorded = RecordedProvider(provider, context.clock)
    return CachedProvider(recorded, context.clock) if cloud.profile.is_cached else recorded
