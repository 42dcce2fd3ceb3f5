"""Signals to region health, with hysteresis. Pure.

A region fails when its cell's head does not answer, or half of the replicas that were ready are not.
A silent cloud API alone is no failure: its replicas serve, and nothing is concluded from absence.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from state.model.health import (
    HEALTH_STEPS,
    HealthReason,
    HealthState,
    HealthThresholds,
    RegionHealth,
    RegionSignals,
)

_H = HealthState


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a region changes its state, with the counts of replicas that show it."""

    reason: HealthReason
    ready: int = 0
    expected: int = 0


def assess(
    known: tuple[RegionHealth, ...], signals: tuple[RegionSignals, ...], now: datetime, thresholds: HealthThresholds
) -> tuple[RegionHealth, ...]:
    """Return the health of every region of which something is concluded, in order.

    If every established region fails at once, the fault is on our side: nothing is concluded.
    """
    before = {health.region: health for health in known}
    failing = {s.region: why for s in signals if (why := _failure(before.get(s.region), s, thresholds))}
    established = {health.region for health in known if health.established and health.state is not _H.DOWN}
    if len(established) > 1 and established <= set(failing):
        return tuple(sorted((_frozen(health) for health in known), key=lambda h: h.region))
    after = [_next(before.get(s.region), s, failing.get(s.region), now, thresholds) for s in signals]
    return tuple(sorted((health for health in after if health is not None), key=lambda h: h.region))


def _frozen(health: RegionHealth) -> RegionHealth:
    return replace(health, reason=HealthReason.OBSERVER_ISOLATED)


def _failure(health: RegionHealth | None, signals: RegionSignals, thresholds: HealthThresholds) -> _Why | None:
    """Return why a region fails, or None."""
    if health is None or not health.established:
        return None
    if signals.head_answered is False:
        return _Why(HealthReason.HEAD_SILENT)
    expected = _expected(health, signals)
    if (
        expected
        and signals.replicas_ready < expected * (1 - thresholds.bad_share) + 1e-9
        and signals.replicas_ready < expected
    ):
        return _Why(HealthReason.REPLICAS_NOT_READY, signals.replicas_ready, expected)
    if health.state is _H.DOWN and not signals.api_answered:
        return _Why(HealthReason.API_SILENT)
    return None


def _expected(health: RegionHealth, signals: RegionSignals) -> int:
    """Return how many replicas should be ready: those that were, less those of machines known to have ended."""
    expected = min(signals.replicas_wanted, health.replicas_served)
    if signals.workers < health.workers_served:
        expected = expected * signals.workers // health.workers_served
    return expected


def _next(
    health: RegionHealth | None,
    signals: RegionSignals,
    failure: _Why | None,
    now: datetime,
    thresholds: HealthThresholds,
) -> RegionHealth | None:
    serves = signals.head_answered is True and signals.replicas_ready > 0
    if health is None:
        return RegionHealth(signals.region, _H.HEALTHY, now, established=serves) if serves else None
    if failure is not None:
        return _failed(health, failure, now, thresholds)
    if health.state is _H.HEALTHY and signals.head_answered is None:
        return None  # the cell was given up on purpose
    return _clean(replace(health, established=health.established or serves), signals, now, thresholds)


def _failed(health: RegionHealth, failure: _Why, now: datetime, thresholds: HealthThresholds) -> RegionHealth:
    since = health.failing_since or now
    health = replace(health, failing_since=since, clean_since=None)
    if health.state is _H.RECOVERING:
        return _moved(health, _H.DOWN, failure, now)
    if health.state is _H.SUSPECT and now - since >= thresholds.down_after:
        return _moved(health, _H.DOWN, failure, now)
    if health.state is _H.HEALTHY and now - since >= thresholds.suspect_after:
        return _moved(health, _H.SUSPECT, failure, now)
    return health


def _clean(health: RegionHealth, signals: RegionSignals, now: datetime, thresholds: HealthThresholds) -> RegionHealth:
    since = health.clean_since or now
    if health.reason is HealthReason.OBSERVER_ISOLATED:
        health = replace(health, reason=None)  # a region answers again, so the isolation is over
    served = min(signals.replicas_wanted, max(signals.replicas_ready, 0))
    health = replace(
        health, failing_since=None, clean_since=since, replicas_served=served, workers_served=signals.workers
    )
    if health.state is _H.SUSPECT:
        return _moved(health, _H.HEALTHY, _Why(HealthReason.ANSWERS_AGAIN), now)
    if health.state is _H.DOWN and now - since >= thresholds.recover_after:
        return replace(_moved(health, _H.RECOVERING, _Why(HealthReason.CLEAN_AGAIN), now), step=0)
    if health.state is _H.RECOVERING and now - health.since >= thresholds.recover_after:
        last = health.step + 1 >= len(thresholds.steps_percent)
        if last:
            return _moved(health, _H.HEALTHY, _Why(HealthReason.STAYED_CLEAN), now)
        return replace(health, step=health.step + 1, since=now)
    return health


def _moved(health: RegionHealth, state: HealthState, why: _Why, now: datetime) -> RegionHealth:
    if state not in HEALTH_STEPS[health.state]:
        msg = f"{health.region} may not go from {health.state} to {state}"
        raise AssertionError(msg)
    return replace(health, state=state, since=now, reason=why.reason, ready=why.ready, expected=why.expected)
