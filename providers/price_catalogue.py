"""List prices through gpuhunt: its published catalogue, or a folder in the same format."""

import os
from datetime import UTC, datetime
from pathlib import Path

from providers.prices import PriceList, is_believable
from providers.registry import CLOUDS
from state.model.catalog import Market, Price
from state.model.ids import ProviderName
from state.model.units import Usd


def load_prices(providers: tuple[str, ...], catalog_dir: Path | None, now: datetime) -> PriceList:
    """Return all prices of *providers*.

    Args:
        providers: Names as gpuhunt has them.
        catalog_dir: A folder of `PROVIDER.csv` files; None: gpuhunt's published catalogue, downloaded.
        now: The age of prices of the published catalogue, which states none.
    """
    import gpuhunt  # noqa: PLC0415  slow to import, and only commands that need prices pay for it

    catalog = gpuhunt.Catalog(auto_reload=catalog_dir is None)
    if catalog_dir is not None:
        # The one way gpuhunt has of naming a folder; it reads it at each query.
        os.environ["GPUHUNT_CATALOG_DIR"] = str(catalog_dir)
    prices: dict[tuple[str, str, str, Market], Price] = {}
    for item in catalog.query(provider=list(providers)):
        if not is_believable(item.price, item.gpu_count):
            continue
        listed_type = CLOUDS[ProviderName(item.provider)].profile.listed_type
        market = Market.SPOT if item.spot else Market.ON_DEMAND
        as_of = item.provider_data.get("as_of")
        price = Price(
            per_hour=Usd.of(item.price),
            source=str(item.provider_data.get("source", "gpuhunt catalogue")),
            as_of=datetime.fromisoformat(str(as_of)).replace(tzinfo=UTC) if as_of else now,
        )
        name = listed_type(item.instance_name, item.gpu_name or "", item.gpu_count)
        prices[item.provider, item.location, name, market] = price
    return PriceList(prices)
