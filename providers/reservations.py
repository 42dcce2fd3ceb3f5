"""Reservations to offers, and the choice of the reservation for the next machine. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from providers.errors import ShortageError
from state.model.catalog import Machine, Market, Offer, OfferKey, Price, ReservedPlaces
from state.model.ids import RegionId
from state.model.inventory import CloudInstance
from state.model.units import Usd

LAST_SALE: Final = timedelta(minutes=30)
"""How long before its end a reservation is sold last: a machine is replaced half an hour ahead."""


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

    def is_sold(self, now: datetime) -> bool:
        """Return whether a new machine may be taken from it at *now*: not shortly before its end."""
        return self.is_in_force(now) and (self.valid_until is None or now < self.valid_until - LAST_SALE)


def _by_end(reservation: Reservation) -> tuple[bool, str, str]:
    return (reservation.valid_until is None, str(reservation.valid_until), reservation.id)


def find_reservation(
    reservations: Iterable[Reservation], zone: str, instance_type: str, now: datetime
) -> Reservation | None:
    """Return the reservation to take the next machine from: the free one that ends first; None if there is none."""
    fit = (h for h in reservations if (h.zone, h.instance_type) == (zone, instance_type))
    return min((h for h in fit if h.free > 0 and h.is_sold(now)), key=_by_end, default=None)


def select_reservation(
    reservations: Iterable[Reservation], key: OfferKey, now: datetime, named: str | None = None
) -> Reservation:
    """Return the reservation to take the next machine of an offer from.

    Args:
        reservations: As the cloud lists them.
        key: The offer.
        now: The present time.
        named: The one that the plan chose, which alone will do; None: the free one that ends first.

    Raises:
        ShortageError: No reservation is free.
    """
    fit = (one for one in reservations if named in {None, one.id})
    reservation = find_reservation(fit, key.zone, key.instance_type, now)
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
        if reservation.instance_type in machines and _has_use(reservation, now):
            by_kind.setdefault((reservation.zone, reservation.instance_type), []).append(reservation)
    offers = []
    for (zone, instance_type), several in sorted(by_kind.items()):
        current = [h for h in several if h.is_sold(now)]
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
                places=tuple(ReservedPlaces(h.id, h.free, h.valid_until) for h in sorted(current, key=_by_end)),
            )
        )
    return offers


def _has_use(reservation: Reservation, now: datetime) -> bool:
    """Return whether machines may be taken from a reservation now or later."""
    return reservation.valid_until is None or now < reservation.valid_until - LAST_SALE


def in_reservations(
    machines: Iterable[CloudInstance], reservations: Iterable[Reservation], now: datetime
) -> list[CloudInstance]:
    """Return machines with what their reservations are now: one whose reservation is over runs at list price.

    A cloud goes on naming the reservation that a machine was launched into, or drops it, so that its own list of
    reservations decides.
    """
    known = {(one.id.lower(), one.zone, one.instance_type): one for one in reservations}

    def current(machine: CloudInstance) -> CloudInstance:
        if machine.reservation is None:
            return machine
        key = machine.key
        found = known.get((machine.reservation.lower(), key.zone, key.instance_type))
        if found is None or not found.is_in_force(now):
            return replace(machine, key=replace(key, market=Market.ON_DEMAND), reservation=None)
        ends = [at for at in (machine.ends_at, found.valid_until) if at is not None]
        return replace(machine, ends_at=min(ends, default=None))

    return [current(machine) for machine in machines]
