"""What every store does alike, as pure functions of values."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from state.model.catalog import Shortage
from state.model.history import (
    ACTION_DONE,
    ACTION_FAILED,
    HEALTH_CHANGED,
    INSTANCE_CHANGED,
    PLAN_COMMITTED,
    Event,
    Outcome,
    OutcomeKind,
)
from state.model.ids import derive_id
from state.model.inventory import Instance, advanced
from state.model.lifecycle import InstanceStatus
from state.model.plan import Plan

SHORTAGE_FIRST: Final = timedelta(minutes=3)
SHORTAGE_MAX: Final = timedelta(minutes=30)
QUOTA_MIN: Final = timedelta(hours=1)
FORGET_AFTER: Final = timedelta(hours=1)
"""A refusal this long after the end of the last one starts again at the first length."""
JITTER: Final = 0.2


def remembered(old: Shortage | None, new: Shortage) -> Shortage:
    """Return *new* with its end: 3 min, doubled at each repeat to 30 min, with derived jitter.

    A quota refusal lasts at least an hour: asking again sooner cannot help.
    """
    repeats = 0
    if old is not None and new.since < old.until + FORGET_AFTER:
        repeats = old.repeats if new.since < old.until else old.repeats + 1
    length = min(SHORTAGE_FIRST * 2**repeats, SHORTAGE_MAX)
    seed = int(derive_id("j", new.scope, str(repeats))[2:10], 16) / 0xFFFFFFFF
    length *= 1 + JITTER * (2 * seed - 1)
    if new.family is not None:
        length = max(length, QUOTA_MIN)
    return replace(new, repeats=repeats, until=new.since + length)


def after_outcome(instance: Instance, outcome: Outcome) -> Instance:
    """Return *instance* as it is once *outcome* is known; itself where nothing changes."""
    if instance.status is InstanceStatus.REQUESTED and outcome.action == "Launch":
        if outcome.kind is OutcomeKind.REFUSED:
            return advanced(instance, InstanceStatus.REFUSED, outcome.detail, ended_at=outcome.at)
        if outcome.kind is OutcomeKind.DONE and instance.cloud_id is None and outcome.cloud_id is not None:
            return replace(instance, cloud_id=outcome.cloud_id, version=instance.version + 1)
    return instance


def events_of_commit(plan: Plan, old_status: dict[str, str], actor: str, now: datetime) -> list[Event]:
    """Return the events that committing *plan* stands for."""
    events = [
        Event(now, actor, INSTANCE_CHANGED, instance.id, f"{instance.status}: {instance.key} {instance.reason}".strip())
        for instance in plan.instances
        if old_status.get(instance.id) != instance.status
    ]
    events += [
        Event(now, actor, HEALTH_CHANGED, health.region, f"{health.state}: {health.reason}".strip(": "))
        for health in plan.health
        if old_status.get(health.region) not in (None, health.state)
    ]
    if plan.actions:
        detail = f"{len(plan.actions)} actions, {plan.placement.per_hour}/h"
        events.append(Event(now, actor, PLAN_COMMITTED, plan.id, detail))
    return events


def event_of_outcome(outcome: Outcome, actor: str) -> Event:
    """Return the event that an outcome stands for."""
    kind = ACTION_DONE if outcome.kind is OutcomeKind.DONE else ACTION_FAILED
    return Event(outcome.at, actor, kind, outcome.target, f"{outcome.action}: {outcome.detail}".strip(": "))
