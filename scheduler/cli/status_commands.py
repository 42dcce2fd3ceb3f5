"""offers, status, events."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, text, words
from scheduler.cli.render.obstacles import failure_lines, remedy
from scheduler.cli.render.spec import warning_text
from scheduler.cli.session import are_embedded_clouds_down, console, listed_prices, opened, settings_with_cells, working
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.service.catalogue import offers_listed, price_source
from scheduler.service.status import StatusReport, list_events, list_offers, read_status, refresh_status
from state.clock import Clock, SystemClock
from state.model.catalog import Market, Offer

WATCH_EVERY: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """Which offers to list, and how."""

    gpu: str | None
    region: str | None
    market: str | None
    max_price: float | None
    sort: str
    limit: int

    def admits(self, offer: Offer) -> bool:
        """Return whether an offer is asked for."""
        key = offer.key
        return (
            (self.gpu is None or (offer.machine.gpu or "").upper().startswith(self.gpu.upper()))
            and (self.region is None or self.region in {key.region, key.provider})
            and (self.market is None or key.market == self.market)
            and (self.max_price is None or offer.price.per_hour.dollars <= self.max_price)
        )


SORTS: Final[dict[str, Callable[[Offer], Any]]] = {
    "price": lambda o: (o.price.per_hour, o.key),
    "price-per-gpu": lambda o: (o.price.per_hour.micros / max(o.machine.gpus, 1), o.key),
    "gpu": lambda o: (o.machine.gpu or "", o.price.per_hour, o.key),
    "region": lambda o: (o.key, o.price.per_hour),
}


def offers(wanted: OfferFilter, output: Output, *, catalogue: bool = False) -> None:
    """List offers: what the clouds of the settings sell now, or what the price catalogue lists."""
    if wanted.sort not in SORTS:
        raise fail(Exit.BAD_INPUT, f"--sort {wanted.sort}: use one of {', '.join(SORTS)}")
    if wanted.market is not None and wanted.market not in list(Market):
        raise fail(Exit.BAD_INPUT, f"--market {wanted.market}: use one of {', '.join(Market)}")
    if catalogue:
        listed, now = listed_prices(SystemClock())
        every = offers_listed(listed)
        say(text.prices_line(price_source(listed, every)))
        found = [offer for offer in every if wanted.admits(offer)]
    else:
        _, ports = opened()
        with working(f"reading {len(ports.providers)} providers"):
            sold = list_offers(ports, wanted.admits)
        for line in failure_lines(sold.failures):
            say(line)
        if not sold.is_any_read:
            if output is Output.JSON:
                answer_json([])
            raise fail(Exit.NOT_NOW, f"no provider answered: {remedy(are_embedded_down=are_embedded_clouds_down())}")
        found, now = list(sold.offers), ports.clock.now()
    found.sort(key=SORTS[wanted.sort])
    if output is Output.JSON:
        answer_json([as_json.offer_json(offer, now) for offer in found[: wanted.limit]])
        return
    console().print(text.offers_table(found[: wanted.limit], now))
    if len(found) > wanted.limit:
        say(f"{len(found) - wanted.limit} more; raise --limit")


def status(*, watch: bool, refresh: bool, output: Output) -> None:
    """Show the state of the fleet: what the last tick observed and decided, or what an observation finds now."""
    clock = SystemClock()
    read = _refreshed() if refresh else _last(clock)
    while True:
        report = read()
        facts = as_json.status_json(report)
        if output is Output.JSON:
            answer_json(facts)
        else:
            for warning in report.warnings:
                say(warning_text(warning))
            _print_status(facts, clear=watch)
        if not watch:
            return
        clock.sleep(WATCH_EVERY)


def _refreshed() -> Callable[[], StatusReport]:
    _, ports = opened()

    def read() -> StatusReport:
        with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
            return refresh_status(ports)

    return read


def _last(clock: Clock) -> Callable[[], StatusReport]:
    store = open_store(settings_with_cells())

    def read() -> StatusReport:
        report = read_status(store, clock.now())
        refusal = store.last_refusal() if report is None else None
        if refusal is not None:
            raise fail(Exit.NOT_NOW, f"nothing was committed yet: {words.refusal(refusal)}")
        if report is None:
            raise fail(Exit.NOT_NOW, "no tick has run yet; start `skerry daemon`, or pass --refresh to observe now")
        return report

    return read


def _print_status(facts: dict[str, Any], *, clear: bool) -> None:
    screen = console()
    if clear:
        screen.clear()
    for shown in text.status_parts(facts):
        screen.print(shown)


def events(after: int, limit: int, output: Output) -> None:
    """Show the event log."""
    found = list_events(open_store(load_settings()), after, limit)
    if output is Output.JSON:
        answer_json([as_json.event_json(event) for event in found])
        return
    for event in found:
        line = f"{event.number:6} {event.at:%H:%M:%S} {event.kind:17} {event.subject}  {words.event(event)}"
        sys.stdout.write(f"{line}\n")
