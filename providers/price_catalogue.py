"""List prices through gpuhunt: its published catalogue, or a folder in the same format."""

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from providers.prices import Key, Negotiated, PriceList, is_plausible, with_negotiated
from providers.registry import CLOUDS
from state.clock import Clock
from state.model.catalog import Market, Price
from state.model.ids import ProviderName
from state.model.units import Usd

PRICES_MAX_AGE: Final = timedelta(hours=6)
PRICES_RETRY: Final = timedelta(minutes=5)
"""How long after a failed load the next one is tried."""
PRICES_MISSING: Final = "prices_missing"


class PricesError(Exception):
    """The price catalogue cannot be read; the message has the reason."""


class CachedPrices:
    """The price list, loaded when it is first needed, and again when it is old."""

    def __init__(
        self, names: tuple[str, ...], catalog_dir: Path | None, clock: Clock, agreed: tuple[Negotiated, ...]
    ) -> None:
        """Load nothing yet; the arguments are those of `load_prices`, and the prices that were agreed upon."""
        self._names, self._agreed = names, agreed
        self._catalog_dir = catalog_dir
        self._clock = clock
        self._lock = threading.Lock()
        self._list = PriceList({})
        self._load_at = clock.now()

    def __call__(self) -> PriceList:
        """Return the last list that could be loaded, with what is wrong with it; without one, an empty list."""
        with self._lock:
            now = self._clock.now()
            if now >= self._load_at:
                try:
                    self._list, self._load_at = self._loaded(now), now + PRICES_MAX_AGE
                except PricesError as error:
                    # Without prices nothing new is bought, and what stands is kept.
                    structlog.get_logger().warning(PRICES_MISSING, reason=str(error))
                    self._list, self._load_at = replace(self._list, problem=str(error)), now + PRICES_RETRY
            return self._list

    def _loaded(self, now: datetime) -> PriceList:
        return with_negotiated(load_prices(self._names, self._catalog_dir, now), self._agreed)


def load_prices(providers: tuple[str, ...], catalog_dir: Path | None, now: datetime) -> PriceList:
    """Return all prices of *providers*.

    Args:
        providers: Names as gpuhunt has them.
        catalog_dir: A folder of `PROVIDER.csv` files; None: gpuhunt's published catalogue, downloaded.
        now: The age of prices of the published catalogue, which states none.

    Raises:
        PricesError: The catalogue cannot be read, or lacks one of *providers*.
    """
    import gpuhunt  # noqa: PLC0415  slow to import, and only commands that need prices pay for it

    catalog = gpuhunt.Catalog(auto_reload=catalog_dir is None)
    if catalog_dir is not None:
        # The one way gpuhunt has of naming a folder; it reads it at each query.
        os.environ["GPUHUNT_CATALOG_DIR"] = str(catalog_dir)
    try:
        found = catalog.query(provider=list(providers))
        prices = PriceList(dict(_priced(item, now) for item in found if is_plausible(item.price, item.gpu_count)))
    except (gpuhunt.GPUHuntError, OSError, ValueError, KeyError) as error:
        cause = error.__cause__ or error
        msg = f"the price catalogue cannot be read: {type(cause).__name__}: {cause}"
        raise PricesError(msg) from error
    if missing := [name for name in providers if not prices.names(name)]:
        msg = f"the price catalogue has no prices of {', '.join(missing)}"
        raise PricesError(msg)
    return prices


def _priced(item: Any, now: datetime) -> tuple[Key, Price]:  # noqa: ANN401  gpuhunt's own
    """Return what an item of the catalogue is the price of, and that price."""
    listed_type = CLOUDS[ProviderName(item.provider)].profile.listed_type
    market = Market.SPOT if item.spot else Market.ON_DEMAND
    as_of = item.provider_data.get("as_of")
    price = Price(
        per_hour=Usd.of(item.price),
        source=str(item.provider_data.get("source", "gpuhunt catalogue")),
        as_of=datetime.fromisoformat(str(as_of)).replace(tzinfo=UTC) if as_of else now,
    )
    name = listed_type(str(item.instance_name), item.gpu_name or "", item.gpu_count)
    return (item.provider, item.location, name, market), price
