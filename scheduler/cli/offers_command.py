"""The `offers` command."""

from dataclasses import dataclass

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, text
from scheduler.cli.render.obstacles import failure_lines, not_sold, remedy
from scheduler.cli.session import are_embedded_clouds_down, console, listed_prices, opened, working
from scheduler.service.offers import OfferOrder, OfferQuery, list_catalogue_offers, list_offers
from scheduler.service.reports import OffersReport
from state.clock import SystemClock
from state.model.catalog import Market


@dataclass(frozen=True, slots=True)
class OffersRequest:
    """Which offers to list, as it was typed in."""

    gpu: str | None
    region: str | None
    market: str | None
    max_price: float | None
    sort: str
    limit: int


def offers(asked: OffersRequest, output: Output, *, catalogue: bool = False) -> None:
    """List offers: what the clouds of the settings sell now, or what the price catalogue lists."""
    report = _report(_query(asked), catalogue=catalogue)
    if report.prices is not None:
        say(text.prices_line(report.prices))
    for line in failure_lines(report.failures):
        say(line)
    if output is Output.JSON:
        answer_json([as_json.offer_json(offer, report.at) for offer in report.offers])
    elif report.is_any_read:
        console().print(text.offers_table(report.offers, report.at))
    if not report.is_any_read:
        raise fail(Exit.NOT_NOW, f"no provider answered: {remedy(are_embedded_down=are_embedded_clouds_down())}")
    if report.unknown_gpu is not None:
        unknown = report.unknown_gpu
        say(not_sold([(unknown.name, unknown.similar)], is_catalogue=catalogue))
    if output is Output.TEXT and report.found > len(report.offers):
        say(f"{report.found - len(report.offers)} more; raise --limit")


def _query(asked: OffersRequest) -> OfferQuery:
    if asked.sort not in list(OfferOrder):
        raise fail(Exit.BAD_INPUT, f"--sort {asked.sort}: use one of {', '.join(OfferOrder)}")
    if asked.market is not None and asked.market not in list(Market):
        raise fail(Exit.BAD_INPUT, f"--market {asked.market}: use one of {', '.join(Market)}")
    market = None if asked.market is None else Market(asked.market)
    return OfferQuery(asked.gpu, asked.region, market, asked.max_price, OfferOrder(asked.sort), asked.limit)


def _report(query: OfferQuery, *, catalogue: bool) -> OffersReport:
    if catalogue:
        listed, now = listed_prices(SystemClock())
        return list_catalogue_offers(listed, query, now)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers"):
        return list_offers(ports, query)
