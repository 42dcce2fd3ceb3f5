"""Use case: plan on a price catalogue alone, without an account, settings or a cloud."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from providers.catalogue import catalogue_offers
from providers.catalogue.source import Catalogue
from providers.regions import known_regions
from scheduler import shortages
from scheduler.service.planning import plan_snapshot
from scheduler.service.reports import PlanReport, PriceSource
from scheduler.solve.fit import replicas_per_machine
from state.model.catalog import Market, Offer, OfferKey
from state.model.ids import RegionId
from state.model.settings import TICK, CellSettings, ShortagePolicy, SolveBudget
from state.model.snapshot import Snapshot, Wanted
from state.model.spec import Application, CapacitySpec

TYPES_PER_PLACE: Final = 3
"""Types that an application considers per region and market: one that fits well, and two in case."""
NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104  a cell that is never built has none
"""Head address of a cell that only a plan knows."""


def catalogue_snapshot(wanted: Wanted | None, offers: tuple[Offer, ...], now: datetime) -> Snapshot:
    """Return a snapshot in which clouds sell what a catalogue lists, and nothing runs yet. Pure."""
    regions = sorted({offer.key.region for offer in offers})
    return Snapshot(
        taken_at=now,
        wanted=wanted,
        offers=offers,
        shortages=shortages.from_prices(offers, now, ShortagePolicy()),
        cell_settings=tuple(CellSettings(region, NO_ADDRESS) for region in regions),
    )


def offers_listed(catalogue: Catalogue) -> tuple[Offer, ...]:
    """Return the offers of every region that is known. Pure."""
    return catalogue_offers(catalogue.listed, known_regions(), catalogue.head_types)


def price_source(catalogue: Catalogue, offers: tuple[Offer, ...]) -> PriceSource:
    """Return where prices come from, and the oldest and newest of their dates. Pure."""
    dates = [offer.price.as_of for offer in offers]
    return PriceSource(catalogue.source, min(dates), max(dates), len(dates), len(dates))


def plan_catalogue(catalogue: Catalogue, wanted: Wanted, now: datetime, budget: SolveBudget = TICK) -> PlanReport:
    """Return the plan for a spec, decided on a price catalogue alone. Pure.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    listed = offers_listed(catalogue)
    offers = considered(listed, wanted.spec)
    report = plan_snapshot(replace(catalogue_snapshot(wanted, offers, now), solve_budget=budget))
    prices = replace(price_source(catalogue, listed), considered=len(offers))
    return replace(report, prices=prices)


def considered(offers: tuple[Offer, ...], spec: CapacitySpec) -> tuple[Offer, ...]:
    """Return the offers that a plan considers: heads, and per application, region and market the cheapest types.

    A whole catalogue has a hundred types a region, and a minute does not do for all of them. One offer of each GPU
    model stays in any case, so that a model is known to be sold. Pure.
    """
    kept = {offer.key for offer in offers if not offer.machine.gpus}
    by_price = sorted(offers, key=lambda offer: (offer.price.per_hour, offer.key))
    kept |= set({offer.machine.gpu: offer.key for offer in reversed(by_price)}.values())
    places: dict[tuple[RegionId, Market], list[Offer]] = {}
    for offer in by_price:
        if offer.machine.gpus:
            places.setdefault((offer.key.region, offer.key.market), []).append(offer)
    for _, application in spec.named():
        for place in places.values():
            kept |= _cheapest(place, application)
    return tuple(offer for offer in offers if offer.key in kept)


def _cheapest(offers: list[Offer], application: Application) -> set[OfferKey]:
    """Return the offers of the types that are cheapest per unit of demand, and of the one that is cheapest at all."""
    costs: dict[str, float] = {}
    for offer in offers:
        carried = max(
            replicas_per_machine(shape, offer.machine) * application.replica_milli(shape) / shape.machines
            for shape in application.shapes
        )
        if carried and not offer.price.is_doubted:
            cost = offer.price.per_hour.micros / carried
            costs[offer.key.instance_type] = min(cost, costs.get(offer.key.instance_type, cost))
    types = {*sorted(costs, key=lambda name: (costs[name], name))[:TYPES_PER_PLACE], *list(costs)[:1]}
    return {offer.key for offer in offers if offer.key.instance_type in types}
