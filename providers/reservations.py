"""Reservations to offers, and the choice of the reservation for the next machine. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from providers.errors import ShortageError
from state.model.catalog import Machine, Market, Offer, OfferKey, Price
from state.model.ids import RegionId
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation, as its cloud lists it."""

    id: str
    """What a launch names it by."""
    zone: str
    instance_type: str
    free: int
    """Machines of it that are not in use."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """Return whether machines can be taken from it at *now*."""
        has_begun = self.valid_from is None or self.valid_from <= now
        return has_begun and (self.valid_until is None or now < self.valid_until)


def _by_end(reservation: Reservation) -> tuple[bool, str, str]:
    return (reservation.valid_until is None, str(reservation.valid_until), reservation.id)


def find_reservation(
    reservations: Iterable[Reservation], zone: str, instance_type: str, now: datetime
) -> Reservation | None:
    """Return the reservation to take the next machine from: the free one that ends first; None if there is none."""
    fit = (h for h in reservations if (h.zone, h.instance_type) == (zone, instance_type))
    return min((h for h in fit if h.free > 0 and h.is_in_force(now)), key=_by_end, default=None)


def select_reservation(reservations: Iterable[Reservation], key: OfferKey, now: datetime) -> Reservation:
    """Return the reservation to take the next machine of an offer from.

    Raises:
        ShortageError: No reservation is free.
    """
    reservation = find_reservation(reservations, key.zone, key.instance_type, now)
    if reservation is None:
        raise ShortageError(key.provider, "launch", "ReservationUsedUp", f"no machine of {key} is left")
    return reservation


def reserved_offers(
    region: RegionId, machines: Mapping[str, Machine], reservations: Iterable[Reservation], now: datetime
) -> list[Offer]:
    """Return the offers of a region's reservations, at no price: one per zone and type.

    Those in force count together, until the first of them ends; if none is, the next one is offered with its window.
    """
    by_kind: dict[tuple[str, str], list[Reservation]] = {}
    for reservation in reservations:
        if reservation.instance_type in machines and (reservation.valid_until is None or reservation.valid_until > now):
            by_kind.setdefault((reservation.zone, reservation.instance_type), []).append(reservation)
    offers = []
    for (zone, instance_type), several in sorted(by_kind.items()):
        current = [h for h in several if h.is_in_force(now)]
        counted = current or [min(several, key=lambda h: (str(h.valid_from), h.id))]
        names = ", ".join(sorted(h.id for h in counted))
        ends = [h.valid_until for h in counted if h.valid_until is not None]
        offers.append(
            Offer(
                key=OfferKey(region, zone, instance_type, Market.RESERVED),
                machine=machines[instance_type],
                price=Price(Usd(0), f"paid for already: {names}", now),
                stock=sum(h.free for h in counted),
                valid_from=None if current else counted[0].valid_from,
                valid_until=min(ends, default=None),
            )
        )
    return offers
