"""Shortages: what makes one, what it covers, how it grows, ends and half-opens. Pure.

A shortage is remembered instead of retried: while it lasts, the solver does not consider the offers it covers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, assert_never

from providers.errors import (
    DeniedError,
    ProviderError,
    QuotaError,
    RefusedError,
    Scope,
    ShortageError,
    ThrottledError,
)
from state.model.catalog import Machine, Offer, OfferKey, QuotaScope, Shortage, ShortageKind
from state.model.health import HealthState, RegionHealth
from state.model.ids import RegionId, derive_id, every_region, provider_of
from state.model.inventory import EndKind, Instance, Notice, NoticeKind, Role, TerminationReason
from state.model.placement import RefusalCause
from state.model.plan import Launch, Terminate
from state.model.settings import ShortagePolicy
from state.model.weather import Loss, PoolWeather

BREAKER_MAX: Final = timedelta(hours=6)
"""An offer's breaker stays open no longer: losses older than this are forgotten."""
REGION_WINDOW: Final = timedelta(hours=1)
"""Losses and invalid requests of a region are counted over this time."""
URGENT_AFTER: Final = 2
"""So many offers without stock make demand urgent once; as many again, once more."""
WIDENED_DOUBLINGS: Final = 2
"""How often the pause of a region in which requests are invalid doubles."""

END_KINDS: Final[dict[EndKind, ShortageKind]] = {
    EndKind.STOCK_OUT: ShortageKind.STOCK_OUT,
    EndKind.QUOTA: ShortageKind.QUOTA,
    EndKind.DENIED: ShortageKind.DENIED,
    EndKind.INVALID_REQUEST: ShortageKind.INVALID_REQUEST,
}
"""What the reported cause of an early end makes; any other is an early end like one without a cause."""

ONCE_IS_LITTLE: Final = frozenset({ShortageKind.ENDED_EARLY, ShortageKind.THROTTLED})
"""Kinds of which the first only half-opens, so that one machine at a time is tried."""

CAUSES: Final[dict[ShortageKind, RefusalCause]] = {
    ShortageKind.STOCK_OUT: RefusalCause.STOCK_OUT,
    ShortageKind.QUOTA: RefusalCause.QUOTA_REFUSED,
    ShortageKind.DENIED: RefusalCause.DENIED,
    ShortageKind.INVALID_REQUEST: RefusalCause.INVALID_REQUEST,
    ShortageKind.NEVER_READY: RefusalCause.NEVER_READY,
    ShortageKind.ENDED_EARLY: RefusalCause.ENDED_EARLY,
    ShortageKind.THROTTLED: RefusalCause.THROTTLED,
    ShortageKind.LAUNCHES_FAIL: RefusalCause.LAUNCHES_FAIL,
    ShortageKind.PRICE_DOUBTED: RefusalCause.PRICE_DOUBTED,
    ShortageKind.RECLAIM_RISK: RefusalCause.RECLAIM_RISK,
}
"""Why an offer that a shortage covers is not considered."""


def covers(shortage: Shortage, offer: Offer) -> bool:
    """Return whether *offer* is among what *shortage* is about, whether or not it is in force."""
    key = offer.key
    return (
        shortage.region in (key.region, every_region(key.provider))
        and shortage.zone in (None, key.zone)
        and key.zone not in shortage.available_zones
        and shortage.instance_type in (None, key.instance_type)
        and shortage.market in (None, key.market)
        and shortage.family in (None, offer.machine.family)
        # A limit on GPUs is wide where it names no family; machines for heads do not count against it.
        and (shortage.kind is not ShortageKind.QUOTA or shortage.family is not None or offer.machine.gpus > 0)
    )


def in_force(shortages: Iterable[Shortage], offer: Offer, now: datetime) -> Shortage | None:
    """Return the shortage that covers *offer* at *now* and ends last; None where nothing does."""
    found = [shortage for shortage in shortages if shortage.until > now and covers(shortage, offer)]
    return max(found, key=lambda shortage: (shortage.until, shortage.scope), default=None)


def is_half_open(shortages: Iterable[Shortage], offer: Offer, now: datetime, policy: ShortagePolicy) -> bool:
    """Return whether a shortage of *offer* ended a short while ago, so that one machine at a time is tried."""
    return any(s.until <= now < s.until + policy.half_open and covers(s, offer) for s in shortages)


def from_refusal(launch: Launch, error: ProviderError, now: datetime) -> Shortage | None:
    """Return what a refused launch teaches; None where the same request may be made again.

    The shortage is as wide as the refusal: an offer, a zone, a market in the region, a quota's family, or the
    region where the credentials are refused.
    """
    if not isinstance(error, RefusedError):
        return None
    key, message = launch.key, str(error)
    if isinstance(error, ThrottledError):
        asked = timedelta(seconds=error.retry_after_s or 0)
        return Shortage(key.region, None, None, None, ShortageKind.THROTTLED, now, now + asked, message)
    if isinstance(error, DeniedError):
        return Shortage(key.region, None, None, None, ShortageKind.DENIED, now, now, message)
    if isinstance(error, QuotaError):
        return _over_quota(key, launch.machine, error.scope, now, message)
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
    """Return what a machine that we end teaches: one that never started or never joined makes its offer doubtful."""
    if ended.reason not in {TerminationReason.NEVER_STARTED, TerminationReason.NEVER_JOINED}:
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
        instance.key: instance
        for instance in learned
        if instance.reason in {TerminationReason.ENDED_BY_PROVIDER, TerminationReason.NEVER_SEEN}
        and instance.notice is None
        and instance.region not in failing
        and not (instance.role is Role.HEAD and instance.region in served)
        and not (instance.end is not None and instance.end.kind is EndKind.BY_USER)
        and instance.ended_at is not None
        and (instance.ended_at - instance.requested_at < policy.early_end_max or _was_never_seen(instance))
    }
    return tuple(_from_end(instance, now) for _, instance in sorted(early.items(), key=lambda item: item[0]))


def _was_never_seen(ended: Instance) -> bool:
    return ended.reason is TerminationReason.NEVER_SEEN


def _from_end(ended: Instance, now: datetime) -> Shortage:
    """Return what the end of an accepted machine teaches: as much as a refusal where its cloud reports that cause."""
    if _was_never_seen(ended):
        return _of_offer(ended.key, ShortageKind.NEVER_READY, now, ended.message)
    kind = ShortageKind.ENDED_EARLY if ended.end is None else END_KINDS.get(ended.end.kind, ShortageKind.ENDED_EARLY)
    if kind is ShortageKind.QUOTA and ended.end is not None and ended.end.quota is not None:
        return _over_quota(ended.key, ended.machine, ended.end.quota, now, ended.message)
    return _of_offer(ended.key, kind, now, ended.message)


def _over_quota(key: OfferKey, machine: Machine, scope: QuotaScope, now: datetime, message: str) -> Shortage:
    """Return a shortage as wide as a limit is: a family in a zone or region, a whole region, or the account."""
    wide = Shortage(key.region, None, None, key.market, ShortageKind.QUOTA, now, now, message, family=machine.family)
    match scope:
        case QuotaScope.ZONE:
            return replace(wide, zone=key.zone)
        case QuotaScope.FAMILY:
            return wide
        case QuotaScope.REGION:
            return replace(wide, family=None)
        case QuotaScope.ACCOUNT:
            return replace(wide, region=every_region(key.provider), market=None, family=None)
        case _:
            assert_never(scope)


def from_losses(
    weather: Iterable[PoolWeather], held: Iterable[Instance], now: datetime, policy: ShortagePolicy
) -> tuple[Shortage, ...]:
    """Return the breakers that are open: of offers whose machines are lost one after the other, and wider ones.

    They follow from the losses alone, so they are derived at each observation and never stored. Machines that live on
    close an offer's breaker. What ends by its spot market counts, since buying it again is a loop all the same.
    """
    pools = sorted(weather, key=lambda pool: pool.key)
    lasting = [i for i in held if i.exists and i.was_of_use and now - i.requested_at >= policy.early_end_max]
    breakers = [b for pool in pools if (b := _offer_breaker(pool, lasting, policy)) is not None]
    recent = [
        (pool.key, loss)
        for pool in pools
        for loss in pool.losses
        if _is_early(loss, policy) and loss.at > now - REGION_WINDOW
    ]
    breakers += [*_region_breakers(recent, policy), *_cause_breakers(recent, policy)]
    return tuple(breaker for breaker in breakers if breaker.until > now)


def _offer_breaker(pool: PoolWeather, lasting: list[Instance], policy: ShortagePolicy) -> Shortage | None:
    in_row = _early_in_row(pool, policy)
    if len(in_row) < policy.breaker_after or any(_has_outlived(i, pool, in_row) for i in lasting):
        return None
    length = min(policy.breaker_for * 2 ** (len(in_row) - policy.breaker_after), BREAKER_MAX)
    last = in_row[-1].at
    return replace(_of_offer(pool.key, ShortageKind.LAUNCHES_FAIL, last, ""), until=last + length)


def _region_breakers(recent: list[tuple[OfferKey, Loss]], policy: ShortagePolicy) -> Iterator[Shortage]:
    """Yield the breaker of each region with as many losses in its window as are let through."""
    for region in sorted({key.region for key, _ in recent}):
        times = sorted(loss.at for key, loss in recent if key.region == region)
        if len(times) >= policy.region_losses_max:
            until = times[-policy.region_losses_max] + REGION_WINDOW
            yield Shortage(region, None, None, None, ShortageKind.LAUNCHES_FAIL, times[-1], until)


def _cause_breakers(recent: list[tuple[OfferKey, Loss]], policy: ShortagePolicy) -> Iterator[Shortage]:
    """Yield the breaker of each zone, region or account in which several offers fail for one reported cause."""
    by_cause: dict[tuple[str, RegionId, str | None], dict[OfferKey, datetime]] = {}
    for key, loss in recent:
        if loss.cause:
            places = ((key.region, key.zone), (key.region, None), (every_region(key.provider), None))
            for region, zone in places:
                by_cause.setdefault((loss.cause, region, zone), {})[key] = loss.at
    for (cause, region, zone), offers in sorted(by_cause.items(), key=lambda item: (item[0][0], str(item[0][1:]))):
        needed = policy.breaker_after
        if region == every_region(provider_of(region)):
            # An account is at fault where the cause shows in several of its regions.
            needed = max(needed, 2 * policy.breaker_after - 1)
            if len({key.region for key in offers}) < 2:  # noqa: PLR2004  several
                continue
        if len(offers) >= needed:
            last = max(offers.values())
            yield Shortage(region, zone, None, None, ShortageKind.LAUNCHES_FAIL, last, last + REGION_WINDOW, cause)


def _early_in_row(pool: PoolWeather, policy: ShortagePolicy) -> list[Loss]:
    """Return the newest losses that came early, one after the other, oldest first."""
    early = takewhile(lambda loss: _is_early(loss, policy), reversed(pool.losses))
    return list(early)[::-1]


def _is_early(loss: Loss, policy: ShortagePolicy) -> bool:
    """Return whether a loss speaks against its offer: it came soon, or the machine never was of any use."""
    return loss.useless or loss.lived < policy.early_end_max


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


def widened(known: Iterable[Shortage], now: datetime, policy: ShortagePolicy) -> tuple[Shortage, ...]:
    """Return a shortage for each region in which several offers were refused as invalid within an hour.

    What is wrong with such requests is seldom the offer: others are not asked in turn, but after a pause that grows.
    """
    invalid: dict[RegionId, list[Shortage]] = {}
    for short in known:
        if short.kind is ShortageKind.INVALID_REQUEST and short.instance_type is not None:
            invalid.setdefault(short.region, []).append(short)
    found = []
    for region, several in sorted(invalid.items()):
        recent = sorted((short.since, short.message) for short in several if short.since > now - REGION_WINDOW)
        if len(recent) >= policy.widen_after:
            (last, message), further = recent[-1], min(len(recent) - policy.widen_after, WIDENED_DOUBLINGS)
            until = last + policy.initial_backoff * 2**further
            found.append(Shortage(region, None, None, None, ShortageKind.INVALID_REQUEST, last, until, message))
    return tuple(wide for wide in found if wide.until > now)


def urgency(known: Iterable[Shortage], now: datetime, policy: ShortagePolicy) -> float:
    """Return how much demand that waits for stock urges: 0 where none does, 1, and more the more offers lacked it."""
    count = sum(s.kind is ShortageKind.STOCK_OUT and now - policy.urgent_for < s.since <= now for s in known)
    return 0.0 if not count else max(1.0, count / URGENT_AFTER)


def from_prices(offers: Iterable[Offer], now: datetime, policy: ShortagePolicy) -> tuple[Shortage, ...]:
    """Return a shortage for each offer whose price is doubted; it lasts until the next observation."""
    return tuple(
        replace(
            _of_offer(offer.key, ShortageKind.PRICE_DOUBTED, now, offer.price.source),
            until=now + policy.recommendation_max,
            doubt=offer.price.doubt,
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
        new: The shortage as it was made; of a throttled launch, its end is the least that its cloud asks for.
        policy: The lengths.

    A refusal by quota lasts at least `quota_min`: an earlier attempt cannot help. A first early end and a first
    throttled launch only half-open: one proves little.
    """
    old = next((shortage for shortage in known if shortage.scope == new.scope), None)
    repeats = 0
    if old is not None and new.since < old.until + policy.reset_after:
        repeats = old.repeats if new.since < old.until else old.repeats + 1
    seed = int(derive_id("j", new.scope, str(repeats))[2:10], 16) / 0xFFFFFFFF
    length = _backoff(repeats, policy) * (1 + policy.jitter * (2 * seed - 1))
    if new.kind is ShortageKind.QUOTA:
        length = max(length, policy.quota_min)
    if new.kind in ONCE_IS_LITTLE and not repeats:
        length = timedelta()
    if new.kind is ShortageKind.THROTTLED:
        length = max(length, new.until - new.since)
    return replace(new, repeats=repeats, until=new.since + length)


def _backoff(repeats: int, policy: ShortagePolicy) -> timedelta:
    """Return the length of a shortage before jitter; step by step, since a power of many repeats overflows."""
    length = policy.initial_backoff
    for _ in range(repeats):
        if length >= policy.max_backoff:
            break
        length *= policy.backoff_multiplier
    return min(length, policy.max_backoff)
