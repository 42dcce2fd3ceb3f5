"""Shortages: what makes one, what it covers, how it grows, ends and half-opens. Pure.

A shortage is remembered instead of retried: while it lasts, the solver does not consider the offers it covers.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from providers.errors import (
    DeniedError,
    ProviderError,
    QuotaError,
    RefusedError,
    Scope,
    ShortageError,
    ThrottledError,
)
from state.model.catalog import Offer, OfferKey, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import RegionId, derive_id
from state.model.inventory import Instance, Notice, NoticeKind, Role, TerminationReason
from state.model.placement import RefusalCause
from state.model.plan import Launch, Terminate
from state.model.settings import ShortagePolicy
from state.model.weather import Loss, PoolWeather

BREAKER_MAX: Final = timedelta(hours=6)
"""An offer's breaker stays open no longer: losses older than this are forgotten."""
REGION_WINDOW: Final = timedelta(hours=1)
"""Losses of a region are counted over this time."""

CAUSES: Final[dict[ShortageKind, RefusalCause]] = {
    ShortageKind.STOCK_OUT: RefusalCause.STOCK_OUT,
    ShortageKind.QUOTA: RefusalCause.QUOTA_REFUSED,
    ShortageKind.DENIED: RefusalCause.DENIED,
    ShortageKind.INVALID_REQUEST: RefusalCause.INVALID_REQUEST,
    ShortageKind.NEVER_READY: RefusalCause.NEVER_READY,
    ShortageKind.ENDED_EARLY: RefusalCause.ENDED_EARLY,
    ShortageKind.LAUNCHES_FAIL: RefusalCause.LAUNCHES_FAIL,
    ShortageKind.PRICE_DOUBTED: RefusalCause.PRICE_DOUBTED,
    ShortageKind.RECLAIM_RISK: RefusalCause.RECLAIM_RISK,
}
"""Why an offer that a shortage covers is not considered."""


def covers(shortage: Shortage, offer: Offer) -> bool:
    """Return whether *offer* is among what *shortage* is about, whether or not it is in force."""
    key = offer.key
    return (
        key.region == shortage.region
        and shortage.zone in (None, key.zone)
        and key.zone not in shortage.available_zones
        and shortage.instance_type in (None, key.instance_type)
        and shortage.market in (None, key.market)
        and shortage.family in (None, offer.machine.family)
    )


def in_force(shortages: Iterable[Shortage], offer: Offer, now: datetime) -> Shortage | None:
    """Return the shortage that covers *offer* at *now* and ends last; None where nothing does."""
    found = [shortage for shortage in shortages if shortage.until > now and covers(shortage, offer)]
    return max(found, key=lambda shortage: (shortage.until, shortage.scope), default=None)


def is_urgent(shortages: Iterable[Shortage], now: datetime, policy: ShortagePolicy) -> bool:
    """Return whether a launch was refused for want of stock a short while ago, so that demand may wait for it."""
    kinds = (s.since for s in shortages if s.kind is ShortageKind.STOCK_OUT)
    return any(now - policy.urgent_for < since <= now for since in kinds)


def is_half_open(shortages: Iterable[Shortage], offer: Offer, now: datetime, policy: ShortagePolicy) -> bool:
    """Return whether a shortage of *offer* ended a short while ago, so that one machine at a time is tried."""
    return any(s.until <= now < s.until + policy.half_open and covers(s, offer) for s in shortages)


def from_refusal(launch: Launch, error: ProviderError, now: datetime) -> Shortage | None:
    """Return what a refused launch teaches; None where the same request may be made again.

    The shortage is as wide as the refusal: an offer, a zone, a market in the region, a quota's family, or the
    region where the credentials are refused.
    """
    if not isinstance(error, RefusedError) or isinstance(error, ThrottledError):
        return None
    key, message = launch.key, str(error)
    if isinstance(error, DeniedError):
        return Shortage(key.region, None, None, None, ShortageKind.DENIED, now, now, message)
    if isinstance(error, QuotaError):
        family = launch.machine.family
        return Shortage(key.region, None, None, key.market, ShortageKind.QUOTA, now, now, message, family=family)
    if isinstance(error, ShortageError):
        return _stock_out(key, error, now)
    return _of_offer(key, ShortageKind.INVALID_REQUEST, now, message)


def _stock_out(key: OfferKey, error: ShortageError, now: datetime) -> Shortage:
    stock_out = _of_offer(key, ShortageKind.STOCK_OUT, now, str(error))
    if error.scope is Scope.MARKET_IN_REGION:
        stock_out = replace(stock_out, zone=None)
    if error.scope is Scope.ZONE:
        return replace(stock_out, instance_type=None, market=None)
    if error.available_in:
        # A provider that names the zones with stock reports by that that the others have none.
        zones = tuple(zone for zone in error.available_in if zone != key.zone)
        return replace(stock_out, zone=None, available_zones=zones)
    return stock_out


def from_termination(ended: Terminate, now: datetime) -> Shortage | None:
    """Return what a machine that we end teaches: one that never joined makes its offer doubtful."""
    if ended.reason is not TerminationReason.NEVER_JOINED:
        return None
    return _of_offer(ended.key, ShortageKind.NEVER_READY, now, ended.message)


def from_early_ends(
    learned: Iterable[Instance], health: Iterable[RegionHealth], now: datetime, policy: ShortagePolicy
) -> tuple[Shortage, ...]:
    """Return a shortage for each offer whose machine ended soon after it was requested, without our asking.

    What ends with its whole region teaches nothing of its offer. The head of a cell that has served is replaced at
    once: all workers of the cell wait for it.
    """
    served = {region.region for region in health if region.established}
    failing = {region.region for region in health if region.state is not HealthState.HEALTHY}
    early = {
        instance.key: instance.message
        for instance in learned
        if instance.reason is TerminationReason.ENDED_BY_PROVIDER
        and instance.notice is None
        and instance.region not in failing
        and not (instance.role is Role.HEAD and instance.region in served)
        and instance.ended_at is not None
        and instance.ended_at - instance.requested_at < policy.early_end_max
    }
    return tuple(
        _of_offer(key, ShortageKind.ENDED_EARLY, now, message)
        for key, message in sorted(early.items(), key=lambda item: item[0])
    )


def from_losses(
    weather: Iterable[PoolWeather], held: Iterable[Instance], now: datetime, policy: ShortagePolicy
) -> tuple[Shortage, ...]:
    """Return the breakers that are open: of offers whose machines are lost one after the other, and of regions.

    They follow from the losses alone, so they are derived at each observation and never stored. Machines that live on
    close an offer's breaker. What ends by its spot market counts, since buying it again is a loop all the same.
    """
    lasting = [i for i in held if i.exists and now - i.requested_at >= policy.early_end_max]
    open_breakers = []
    early_by_region: dict[RegionId, list[datetime]] = {}
    for pool in sorted(weather, key=lambda pool: pool.key):
        early = [loss.at for loss in pool.losses if loss.lived < policy.early_end_max]
        early_by_region.setdefault(pool.key.region, []).extend(early)
        in_row = _early_in_row(pool, policy)
        if len(in_row) < policy.breaker_after or any(_has_outlived(i, pool, in_row) for i in lasting):
            continue
        length = min(policy.breaker_for * 2 ** (len(in_row) - policy.breaker_after), BREAKER_MAX)
        last = in_row[-1].at
        open_breakers.append(replace(_of_offer(pool.key, ShortageKind.LAUNCHES_FAIL, last, ""), until=last + length))
    for region, times in sorted(early_by_region.items()):
        recent = sorted(at for at in times if at > now - REGION_WINDOW)
        if len(recent) >= policy.region_losses_max:
            until = recent[-policy.region_losses_max] + REGION_WINDOW
            open_breakers.append(Shortage(region, None, None, None, ShortageKind.LAUNCHES_FAIL, recent[-1], until))
    return tuple(breaker for breaker in open_breakers if breaker.until > now)


def _early_in_row(pool: PoolWeather, policy: ShortagePolicy) -> list[Loss]:
    """Return the newest losses that came early, one after the other, oldest first."""
    early = takewhile(lambda loss: loss.lived < policy.early_end_max, reversed(pool.losses))
    return list(early)[::-1]


def _has_outlived(instance: Instance, pool: PoolWeather, losses: list[Loss]) -> bool:
    """Return whether a machine of the pool that was requested since the first loss lives on."""
    return instance.key == pool.key and instance.requested_at >= losses[0].at - losses[0].lived


def from_recommendations(
    notices: Iterable[Notice], held: Iterable[Instance], now: datetime, policy: ShortagePolicy
) -> tuple[Shortage, ...]:
    """Return a shortage for each offer whose machines the cloud recommends to leave."""
    keys = {instance.id: instance.key for instance in held}
    advised = {
        keys[n.instance_id]: n.detail for n in notices if n.kind is NoticeKind.REBALANCE and n.instance_id in keys
    }
    return tuple(
        replace(_of_offer(key, ShortageKind.RECLAIM_RISK, now, detail), until=now + policy.recommendation_max)
        for key, detail in sorted(advised.items())
    )


def from_prices(offers: Iterable[Offer], now: datetime, policy: ShortagePolicy) -> tuple[Shortage, ...]:
    """Return a shortage for each offer whose price is doubted; it lasts until the next observation."""
    return tuple(
        replace(
            _of_offer(offer.key, ShortageKind.PRICE_DOUBTED, now, offer.price.source),
            until=now + policy.recommendation_max,
        )
        for offer in offers
        if offer.price.is_doubted
    )


def _of_offer(key: OfferKey, kind: ShortageKind, now: datetime, message: str) -> Shortage:
    return Shortage(key.region, key.zone, key.instance_type, key.market, kind, now, now, message)


def grown(known: Iterable[Shortage], new: Shortage, policy: ShortagePolicy) -> Shortage:
    """Return *new* with its end: longer at each repeat, up to a limit, with derived jitter.

    Args:
        known: All that are remembered, ended ones too; the one of the same scope decides the length.
        new: The shortage as it was made, without an end.
        policy: The lengths.

    A refusal by quota lasts at least `quota_min`: an earlier attempt cannot help. A first early end only half-opens:
    one machine that fails proves little.
    """
    old = next((shortage for shortage in known if shortage.scope == new.scope), None)
    repeats = 0
    if old is not None and new.since < old.until + policy.reset_after:
        repeats = old.repeats if new.since < old.until else old.repeats + 1
    seed = int(derive_id("j", new.scope, str(repeats))[2:10], 16) / 0xFFFFFFFF
    length = _backoff(repeats, policy) * (1 + policy.jitter * (2 * seed - 1))
    if new.kind is ShortageKind.QUOTA:
        length = max(length, policy.quota_min)
    if new.kind is ShortageKind.ENDED_EARLY and not repeats:
        length = timedelta()
    return replace(new, repeats=repeats, until=new.since + length)


def _backoff(repeats: int, policy: ShortagePolicy) -> timedelta:
    """Return the length of a shortage before jitter; step by step, since a power of many repeats overflows."""
    length = policy.initial_backoff
    for _ in range(repeats):
        if length >= policy.max_backoff:
            break
        length *= policy.backoff_multiplier
    return min(length, policy.max_backoff)
