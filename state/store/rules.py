"""What every store does alike, as pure functions of values."""

from dataclasses import replace
from datetime import datetime

from state.model.history import (
    ActionAttempted,
    Drill,
    DrillChanged,
    Event,
    HealthChanged,
    InstanceChanged,
    Outcome,
    OutcomeKind,
    PlanCommitted,
    PlanRefused,
    SpecApplied,
    SpecWithdrawn,
)
from state.model.ids import PlanId
from state.model.inventory import Instance, TerminationReason, advanced
from state.model.lifecycle import InstanceStatus
from state.model.plan import ActionKind, Finding, Plan
from state.model.snapshot import Wanted
from state.store import ConflictError


def after_outcome(instance: Instance, outcome: Outcome) -> Instance:
    """Return *instance* as it is once *outcome* is known; itself where nothing changes."""
    if instance.status is InstanceStatus.REQUESTED and outcome.action is ActionKind.LAUNCH:
        if outcome.kind is OutcomeKind.REFUSED:
            reason = TerminationReason.LAUNCH_REFUSED
            return advanced(instance, InstanceStatus.REFUSED, reason, message=outcome.message, ended_at=outcome.at)
        if outcome.kind is OutcomeKind.DONE and instance.cloud_id is None and outcome.cloud_id is not None:
            return replace(instance, cloud_id=outcome.cloud_id, version=instance.version + 1)
    return instance


def event_of_spec(wanted: Wanted | None, version: int, actor: str, now: datetime) -> Event:
    """Return the event of a new version of the spec; None for *wanted* withdraws it."""
    if wanted is None:
        return Event(now, actor, "fleet", SpecWithdrawn(version))
    return Event(now, actor, wanted.spec.fleet, SpecApplied(version))


def require_in_force(found: Wanted | None, replaces: int | None) -> None:
    """Compare the version in force with the one that a new version replaces.

    Args:
        found: The spec in force.
        replaces: Its expected version, 0 for none; None for any.

    Raises:
        ConflictError: They differ.
    """
    version = 0 if found is None else found.version
    if replaces not in {None, version}:
        msg = f"nothing was changed: version {version} is in force, not {replaces}"
        raise ConflictError(msg)


def events_of_commit(plan: Plan, old_status: dict[str, str], actor: str, now: datetime) -> list[Event]:
    """Return the events of a commit.

    Args:
        plan: The plan.
        old_status: Status by instance id and health state by region, before the commit.
        actor: The holder of the lease.
        now: The time of the commit.
    """
    events = [
        Event(
            now,
            actor,
            instance.id,
            InstanceChanged(instance.status, instance.key, instance.reason, instance.message, instance.notice),
        )
        for instance in plan.instances
        if old_status.get(instance.id) != instance.status
    ]
    events += [
        Event(now, actor, health.region, HealthChanged(health.state, health.reason, health.ready, health.expected))
        for health in plan.health
        if old_status.get(health.region) not in (None, health.state)
    ]
    if plan.actions:
        events.append(Event(now, actor, plan.id, PlanCommitted(len(plan.actions), plan.placement.per_hour)))
    return events


def event_of_refusal(plan_id: PlanId, findings: tuple[Finding, ...], actor: str, now: datetime) -> Event:
    """Return the event of a plan that broke rules."""
    return Event(now, actor, plan_id, PlanRefused(findings))


def event_of_outcome(outcome: Outcome, actor: str) -> Event:
    """Return the event of an action's attempt."""
    return Event(outcome.at, actor, outcome.target, ActionAttempted(outcome.action, outcome.kind, outcome.message))


def event_of_drill(drill: Drill, actor: str, now: datetime) -> Event:
    """Return the event of a drill that began or ended."""
    return Event(now, actor, drill.region, DrillChanged(drill.id, drill.mode, drill.state))
