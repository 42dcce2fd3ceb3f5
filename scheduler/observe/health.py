"""Signals to region health, with hysteresis. Pure.

Scope follows evidence. A region fails when its cell's head or all its proxies do not answer, or when half of its
machines are missing from the cell although its cloud lists them. Replicas that are not ready on machines that are in
place are Serve's to restart: they alone fail a region only when that lasts. A silent cloud API alone is no failure: its
replicas serve, and nothing is concluded from absence.
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
    found = {s.region: s for s in signals}
    before = {h.region: _measured(h, found[h.region], now, thresholds) if h.region in found else h for h in known}
    failing = {s.region: why for s in signals if (why := _failure(before.get(s.region), s, now, thresholds))}
    established = {health.region for health in known if health.established and health.state is not _H.DOWN}
    if len(established) > 1 and established <= set(failing):
        return tuple(sorted((_frozen(health) for health in known), key=lambda h: h.region))
    after = [_next(before.get(s.region), s, failing.get(s.region), now, thresholds) for s in signals]
    return tuple(sorted((health for health in after if health is not None), key=lambda h: h.region))


def _frozen(health: RegionHealth) -> RegionHealth:
    return replace(health, reason=HealthReason.OBSERVER_ISOLATED)


def _measured(
    health: RegionHealth, signals: RegionSignals, now: datetime, thresholds: HealthThresholds
) -> RegionHealth:
    """Return a region's health with since when its cell is degraded: when it gets better, that begins anew."""
    if signals.head_answered is False:
        return health  # its replicas are not known
    ready, expected = signals.replicas_ready, _expected(health, signals)
    is_degraded = ready < expected and _is_bad(expected - ready, expected, thresholds)
    if not is_degraded:
        return replace(health, degraded_since=None, degraded_ready=0)
    if health.degraded_since is None or ready > health.degraded_ready:
        return replace(health, degraded_since=now, degraded_ready=ready)
    return health


def _is_bad(missing: int, expected: int, thresholds: HealthThresholds) -> bool:
    return expected - missing < expected * (1 - thresholds.bad_share) + 1e-9


def _failure(
    health: RegionHealth | None, signals: RegionSignals, now: datetime, thresholds: HealthThresholds
) -> _Why | None:
    """Return why a region fails, or None."""
    if health is None or not health.established:
        return None
    failure = _cell_failure(health, signals, now, thresholds)
    if failure is None and health.state is _H.DOWN and not signals.api_answered:
        return _Why(HealthReason.API_SILENT)
    return failure


def _cell_failure(
    health: RegionHealth, signals: RegionSignals, now: datetime, thresholds: HealthThresholds
) -> _Why | None:
    """Return what is wrong with a region's cell, by the evidence that counts most, or None."""
    if signals.head_answered is False:
        return _Why(HealthReason.HEAD_SILENT)
    expected = _expected(health, signals)
    if expected and not signals.proxies_answer:
        return _Why(HealthReason.PROXIES_SILENT)
    if _are_absent(signals, thresholds):
        there = signals.workers_joined - signals.workers_absent
        return _Why(HealthReason.MACHINES_ABSENT, there, signals.workers_joined)
    if health.degraded_since is not None and now - health.degraded_since >= thresholds.replicas_down_after:
        return _Why(HealthReason.REPLICAS_NOT_READY, signals.replicas_ready, expected)
    return None


def _are_absent(signals: RegionSignals, thresholds: HealthThresholds) -> bool:
    """Return whether so many machines are missing that it is not these machines' own: all, or several."""
    joined, absent = signals.workers_joined, signals.workers_absent
    is_scattered = absent == 1 < joined
    return absent > 0 and not is_scattered and _is_bad(absent, joined, thresholds)


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
    # What served stays the measure while replicas restart, less what is not wanted or whose machines ended.
    served = max(_expected(health, signals), min(signals.replicas_wanted, signals.replicas_ready))
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
