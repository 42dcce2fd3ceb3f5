"""Use cases: list what clouds offer now, or what the price catalogue lists."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from providers.catalogue.source import Catalogue
from providers.peers import beside_peers
from scheduler.explain.obstacles import similar_gpus
from scheduler.ports import Ports
from scheduler.service.catalogue import offers_listed, price_source
from scheduler.service.reports import OffersReport, UnknownGpu
from state.model.catalog import Market, Offer
from state.model.snapshot import ReadFailure, ReadKind


class OfferOrder(StrEnum):
    """By what offers are sorted."""

    PRICE = "price"
    PRICE_PER_GPU = "price-per-gpu"
    GPU = "gpu"
    REGION = "region"


_KEYS: Final[dict[OfferOrder, Callable[[Offer], Any]]] = {
    OfferOrder.PRICE: lambda o: (o.price.per_hour, o.key),
    OfferOrder.PRICE_PER_GPU: lambda o: (o.price.per_hour.micros / max(o.machine.gpus, 1), o.key),
    OfferOrder.GPU: lambda o: (o.machine.gpu or "", o.price.per_hour, o.key),
    OfferOrder.REGION: lambda o: (o.key, o.price.per_hour),
}


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """Which offers to list, and how. None admits all."""

    gpu: str | None = None
    """How the name of the GPU model begins, in any case."""
    region: str | None = None
    """A region, or a provider."""
    market: Market | None = None
    max_price: float | None = None
    """US dollars per hour."""
    order: OfferOrder = OfferOrder.PRICE
    limit: int | None = None

    def admits(self, offer: Offer) -> bool:
        """Return whether an offer is asked for."""
        key = offer.key
        return (
            (self.gpu is None or (offer.machine.gpu or "").upper().startswith(self.gpu.upper()))
            and (self.region is None or self.region in {key.region, key.provider})
            and (self.market is None or key.market is self.market)
            and (self.max_price is None or offer.price.per_hour.dollars <= self.max_price)
        )

    def select(self, offers: Iterable[Offer]) -> tuple[Offer, ...]:
        """Return the offers that are asked for, in order, however many."""
        return tuple(sorted(filter(self.admits, offers), key=_KEYS[self.order]))


def list_offers(ports: Ports, query: OfferQuery) -> OffersReport:
    """Return what the clouds of the settings offer now."""
    providers = [ports.providers[name] for name in sorted(ports.providers)]
    observations = [provider.offers() for provider in providers]
    found = query.select(beside_peers(offer for observed in observations for offer in observed.items))
    failures = tuple(
        ReadFailure(region, ReadKind.OFFERS, message)
        for observed in observations
        for region, message in sorted(observed.unreachable.items())
    )
    is_any_read = any(
        set(provider.regions) - set(observed.unreachable)
        for provider, observed in zip(providers, observations, strict=True)
    )
    return OffersReport(
        found[: query.limit],
        len(found),
        ports.clock.now(),
        failures=failures,
        is_any_read=is_any_read,
        unknown_gpu=_unknown_gpu(query, [offer for observed in observations for offer in observed.items]),
    )


def list_catalogue_offers(catalogue: Catalogue, query: OfferQuery, now: datetime) -> OffersReport:
    """Return what a price catalogue lists, in every region that is known. Pure."""
    listed = offers_listed(catalogue)
    found = query.select(listed)
    prices = price_source(catalogue, listed)
    return OffersReport(found[: query.limit], len(found), now, prices=prices, unknown_gpu=_unknown_gpu(query, listed))


def _unknown_gpu(query: OfferQuery, offers: Iterable[Offer]) -> UnknownGpu | None:
    """Return the GPU model that is asked for where no offer has it, with the names of similar ones."""
    names = {offer.machine.gpu for offer in offers if offer.machine.gpu is not None}
    if query.gpu is None or not names or any(name.upper().startswith(query.gpu.upper()) for name in names):
        return None
    return UnknownGpu(query.gpu, similar_gpus(query.gpu, names))
