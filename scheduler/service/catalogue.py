"""Use case: plan on a price catalogue alone, without an account, settings or a cloud."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from providers.catalogue import catalogue_offers
from providers.catalogue.source import Catalogue
from providers.regions import known_regions
from scheduler import shortages
from scheduler.service.planning import PlanReport, PriceSource, plan_snapshot
from state.model.catalog import Offer
from state.model.settings import TICK, CellSettings, SolveBudget
from state.model.snapshot import Snapshot, Wanted

NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104  a cell that is never built has none
"""Head address of a cell that only a plan knows."""


def catalogue_snapshot(wanted: Wanted | None, offers: tuple[Offer, ...], now: datetime) -> Snapshot:
    """Return a snapshot in which clouds sell what a catalogue lists, and nothing runs yet. Pure."""
    regions = sorted({offer.key.region for offer in offers})
    return Snapshot(
        taken_at=now,
        wanted=wanted,
        offers=offers,
        shortages=shortages.from_prices(offers, now),
        cell_settings=tuple(CellSettings(region, NO_ADDRESS) for region in regions),
    )


def offers_listed(catalogue: Catalogue) -> tuple[Offer, ...]:
    """Return the offers of every region that is known. Pure."""
    return catalogue_offers(catalogue.listed, known_regions(), catalogue.head_types)


def price_source(catalogue: Catalogue, offers: Iterable[Offer]) -> PriceSource:
    """Return where prices come from, and the oldest and newest of their dates. Pure."""
    dates = [offer.price.as_of for offer in offers]
    return PriceSource(catalogue.source, min(dates), max(dates))


def plan_catalogue(catalogue: Catalogue, wanted: Wanted, now: datetime, budget: SolveBudget = TICK) -> PlanReport:
    """Return the plan for a spec, decided on a price catalogue alone. Pure.

    Raises:
        UnsafePlanError: The plan breaks a rule.
    """
    offers = offers_listed(catalogue)
    report = plan_snapshot(replace(catalogue_snapshot(wanted, offers, now), solve_budget=budget))
    return replace(report, prices=price_source(catalogue, offers))
