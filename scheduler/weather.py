"""Weather: what launches and machines of the last days say of each pool, as figures that the solver prices. Pure.

A pool is an instance type in a zone and a market. Where little is known of one, its neighbours count: the same type in
the region's other zones first, then everything in the same market of the region, then the market everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from state.model.catalog import Market, Offer, OfferKey
from state.model.ids import RegionId
from state.model.inventory import Instance
from state.model.lifecycle import InstanceStatus
from state.model.weather import PoolWeather

PRIOR_LAUNCHES: Final = 2.0
"""What the neighbours say of a pool counts like so many launches of its own."""
ELSEWHERE_SHARE: Final = 0.5
"""What the market does everywhere counts by this share for a region of which nothing is known: it may differ."""
PRIOR_HOURS: Final = 20.0
"""What is assumed of a spot pool's interruptions counts like so many machine-hours of its own."""


@dataclass(frozen=True, slots=True)
class PoolForecast:
    """What is expected of one pool."""

    key: OfferKey
    launch_failure: float
    """How likely a launch is to fail for lack of stock, or its machine never to run: 0 to 1."""
    interruptions_per_hour: float | None
    """Of a spot machine; None for other markets."""
    time_to_start: timedelta | None
    """From a request until the machine runs; None where none ever did."""
    launches: float
    """How many launches this rests on, older ones counting less."""
    spot_hours: float
    """How many machine-hours of spot this rests on, older ones counting less."""


class Weather:
    """The weather of all pools at one time."""

    def __init__(self, known: Iterable[PoolWeather], instances: Iterable[Instance], now: datetime) -> None:
        """Take what is known, and the machines that run: their hours without an interruption count too."""
        self._pools = {pool.key: pool.faded(now) for pool in known}
        for instance in instances:
            if _is_spot_running(instance) and instance.running_at is not None:
                pool = self._pools.get(instance.key, PoolWeather(instance.key, now))
                lived = max(0.0, (now - instance.running_at).total_seconds() / 3600)
                self._pools[instance.key] = replace(pool, spot_hours=pool.spot_hours + lived)
        self._types: dict[tuple[RegionId, str, Market], tuple[float, float]] = {}
        self._markets: dict[tuple[RegionId, Market], tuple[float, float]] = {}
        self._everywhere: dict[Market, tuple[float, float]] = {}
        for key, pool in self._pools.items():
            self._types[_type(key)] = _plus(self._types.get(_type(key)), pool)
            self._markets[_market(key)] = _plus(self._markets.get(_market(key)), pool)
            self._everywhere[key.market] = _plus(self._everywhere.get(key.market), pool)

    def launch_failure(self, key: OfferKey) -> float:
        """Return how likely a launch is to fail: 0 where nothing failed in this market."""
        everywhere = ELSEWHERE_SHARE * _shrunk(self._everywhere.get(key.market, (0.0, 0.0)), 0.0)
        in_market = _shrunk(self._markets.get(_market(key), (0.0, 0.0)), everywhere)
        of_type = _shrunk(self._types.get(_type(key), (0.0, 0.0)), in_market)
        pool = self._pools.get(key)
        return _shrunk((0.0, 0.0) if pool is None else (pool.failures, pool.launches), of_type)

    def interruptions_per_hour(self, key: OfferKey, assumed: float) -> float | None:
        """Return how often a spot machine is reclaimed, where *assumed* is what holds without any experience."""
        if key.market is not Market.SPOT:
            return None
        pool = self._pools.get(key, None)
        found, hours = (0.0, 0.0) if pool is None else (pool.interruptions, pool.spot_hours)
        return (found + assumed * PRIOR_HOURS) / (hours + PRIOR_HOURS)

    def forecasts(self, assumed: float) -> tuple[PoolForecast, ...]:
        """Return what is expected of each pool that something is known of, in order."""
        return tuple(
            PoolForecast(
                key,
                self.launch_failure(key),
                self.interruptions_per_hour(key, assumed),
                timedelta(seconds=pool.start_seconds / pool.starts) if pool.starts else None,
                pool.launches,
                pool.spot_hours,
            )
            for key, pool in sorted(self._pools.items())
        )

    def priced(self, offer: Offer, assumed: float) -> Offer:
        """Return an offer with what is expected of its pool; a rate that its provider reports is the assumption."""
        failure = max(offer.stockout_probability, self.launch_failure(offer.key))
        if offer.key.market is not Market.SPOT or offer.key not in self._pools:
            # Nothing is concluded of a pool that no machine of ours was in.
            return offer if failure == offer.stockout_probability else replace(offer, stockout_probability=failure)
        reported = offer.interruptions_per_hour
        rate = self.interruptions_per_hour(offer.key, assumed if reported is None else reported)
        return replace(offer, stockout_probability=failure, interruptions_per_hour=rate)


def _is_spot_running(instance: Instance) -> bool:
    return instance.key.market is Market.SPOT and instance.status is InstanceStatus.RUNNING


def _type(key: OfferKey) -> tuple[RegionId, str, Market]:
    return key.region, key.instance_type, key.market


def _market(key: OfferKey) -> tuple[RegionId, Market]:
    return key.region, key.market


def _plus(known: tuple[float, float] | None, pool: PoolWeather) -> tuple[float, float]:
    failures, launches = known or (0.0, 0.0)
    return failures + pool.failures, launches + pool.launches


def _shrunk(counted: tuple[float, float], expected: float) -> float:
    """Return a share of failures, drawn towards what is expected while few launches are counted."""
    failures, launches = counted
    return (failures + expected * PRIOR_LAUNCHES) / (launches + PRIOR_LAUNCHES)
