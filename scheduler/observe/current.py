"""Facts of machines that their cloud changes after their launch: price, market and end. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from state.model.catalog import Offer
from state.model.inventory import CloudInstance, CloudState, Instance, Notice, NoticeKind
from state.model.units import Usd


def priced(machines: Iterable[CloudInstance], offers: Iterable[Offer]) -> Iterator[CloudInstance]:
    """Yield machines at what their offers cost now; at the price list's, where they are not sold any more.

    A doubted price changes nothing: what is paid is not known then.
    """
    prices = {offer.key: offer.price for offer in offers}
    for machine in machines:
        price = prices.get(machine.key)
        if price is None:
            yield machine
        else:
            yield replace(machine, price_per_hour=None if price.is_doubted else price.per_hour)


def expiry_notices(machines: Iterable[CloudInstance]) -> Iterator[Notice]:
    """Yield a notice for each machine whose reservation or allowed time has a known end."""
    for machine in machines:
        if machine.ends_at is not None and machine.state in {CloudState.PENDING, CloudState.RUNNING}:
            reservation = machine.reservation or ""
            yield Notice(machine.instance_id, machine.key.region, NoticeKind.EXPIRY, machine.ends_at, reservation)


def as_paid(instance: Instance, seen: CloudInstance) -> Instance:
    """Return a machine in the market and at the price that its cloud lists it with now."""
    key = replace(instance.key, market=seen.key.market)
    price: Usd = instance.price_per_hour if seen.price_per_hour is None else seen.price_per_hour
    return replace(instance, key=key, price_per_hour=price)
