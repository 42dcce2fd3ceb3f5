"""What the spec and the snapshot amount to, by formulas of the checker's own. Pure.

The solver has its own of each, written otherwise. Only data are shared: places of regions, names of GPUs, and the
constants that round trips were fitted with. Where the two may differ in the last digits, the checker errs towards
the solver.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Final

from providers.regions import EARTH_RADIUS_KM, METRO_KM, METRO_MS, RTT_BASE_MS, RTT_MS_PER_1000_KM
from state.model.catalog import Offer, Shortage, ShortageKind
from state.model.spec import Application, Choice, Shape
from state.model.units import MILLI

METRO_TOLERANCE_KM: Final = 0.001
"""Two formulas of one distance differ by less; the fitted round trip jumps at the border of a metropolitan area."""

Point = tuple[float, float]
"""Latitude and longitude, in degrees."""


def demand_of(application: Application) -> int:
    """Return what an application is to carry, in thousandths of its unit."""
    demand = application.demand
    return round((demand.requests_per_second or 0) * MILLI) if demand.replicas is None else demand.replicas * MILLI


def carried_by(application: Application, shape: Shape) -> int:
    """Return what one replica carries in thousandths: itself, or the requests per second measured for its shape."""
    is_counted = application.demand.replicas is not None
    return MILLI if is_counted else round((shape.requests_per_second or 0) * MILLI)


def at_least(share: float, demand: int) -> int:
    """Return how many thousandths are a share of a demand at least: all that is begun counts."""
    return math.ceil(exactly(share) * demand)


def at_most(share: float, total: int, one_replica: int) -> int:
    """Return how many thousandths a place may have of a capacity: no more than its share, give or take a replica."""
    return math.floor(exactly(share) * total) + one_replica


def exactly(share: float) -> Fraction:
    """Return a share as the spec means it: to a millionth."""
    return Fraction(round(share * 1_000_000), 1_000_000)


def is_model(wanted: str, offered: str) -> bool:
    """Return whether an offered GPU is of a model or a variant of it, part by part: `A100` of `A100-80GB`."""
    model, variant = wanted.upper().split("-"), offered.upper().split("-")
    return variant[: len(model)] == model


def fitted_ms(a: Point, b: Point) -> float:
    """Return the round trip between two points, fitted from the angle between them as seen from the Earth's centre."""
    one, other, antipode = _unit_vector(a), _unit_vector(b), _unit_vector((-b[0], b[1] + 180))
    km = EARTH_RADIUS_KM * 2 * math.atan2(math.dist(one, other), math.dist(one, antipode))
    return METRO_MS if km < METRO_KM + METRO_TOLERANCE_KM else RTT_BASE_MS + km * (RTT_MS_PER_1000_KM / 1000)


def _unit_vector(point: Point) -> tuple[float, float, float]:
    latitude, longitude = math.radians(point[0]), math.radians(point[1])
    around = math.cos(latitude)
    return around * math.cos(longitude), around * math.sin(longitude), math.sin(latitude)


def is_short(offer: Offer, shortages: Iterable[Shortage], now: datetime) -> bool:
    """Return whether an offer is to be avoided: some shortage lasts beyond *now* and names nothing else than it."""
    key = offer.key
    for shortage in shortages:
        named = (
            (shortage.zone, key.zone),
            (shortage.instance_type, key.instance_type),
            (shortage.market, key.market),
            (shortage.family, offer.machine.family),
        )
        is_other = any(name is not None and name != its for name, its in named)
        is_spared = key.zone in shortage.available_zones
        if shortage.kind is ShortageKind.QUOTA and shortage.family is None:
            is_spared = is_spared or not offer.machine.gpus
        provider = key.region.partition("/")[0]
        is_here = shortage.region in {key.region, f"{provider}/*"}
        if now < shortage.until and is_here and not is_other and not is_spared:
            return True
    return False


def is_sold(offer: Offer, now: datetime) -> bool:
    """Return whether *now* lies in the time that an offer is sold for: its beginning counts, its end does not."""
    has_begun = offer.valid_from is None or now >= offer.valid_from
    has_ended = offer.valid_until is not None and now >= offer.valid_until
    return has_begun and not has_ended


def is_chosen(name: str, choice: Choice) -> bool:
    """Return whether a choice leaves *name*: what it denies goes first, then all but what it allows."""
    left = {name} - set(choice.deny)
    return bool(left & set(choice.allow)) if choice.allow else bool(left)
