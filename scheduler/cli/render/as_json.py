"""Values to JSON; docs/reference/cli.md describes the shapes. Pure."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from scheduler.cli.render import explanations, problems, words
from scheduler.cli.render.obstacles import doubt_json, failure_json, obstacle_json, shortage_json
from scheduler.cli.render.spec import warning_json
from scheduler.drills.report import DrillReport
from scheduler.explain.resilience import ResiliencePrice
from scheduler.service.reports import DestroyReport, DrillResult, PlanReport, PriceSource, StatusReport
from state.model.catalog import Offer, Price
from state.model.history import Event
from state.model.inventory import Instance
from state.model.placement import Placement, Survival, UnmetDemand, Violation
from state.model.plan import Action, Blocked, Drain, Launch, PendingMove, Plan, Route, Serve, Terminate, kind_of
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot
from state.model.units import MILLI


def offer_json(offer: Offer, now: datetime) -> dict[str, Any]:
    """Return an offer."""
    return {
        "offer": str(offer.key),
        "provider": offer.key.provider,
        "region": offer.key.region,
        "zone": offer.key.zone,
        "instance_type": offer.key.instance_type,
        "market": offer.key.market,
        "gpu": offer.machine.gpu,
        "gpus": offer.machine.gpus,
        "gpu_memory_gib": round(offer.machine.gpu_memory_gib, 1),
        "vcpus": offer.machine.vcpus,
        "memory_gib": offer.machine.memory_gib,
        "usd_per_hour": offer.price.per_hour.dollars,
        "price_source": offer.price.source,
        "price_age_days": max(0, (now - offer.price.as_of).days),
        "price_basis": offer.price.basis,
        "price_peers": offer.price.peers,
        "price_doubt": None if offer.price.doubt is None else doubt_json(offer.price.doubt),
        "doubted_prices": [_doubted_json(price) for price in offer.alternatives if price.doubt is not None],
    }


def _doubted_json(price: Price) -> dict[str, Any]:
    doubt = None if price.doubt is None else doubt_json(price.doubt)
    return {"usd_per_hour": price.per_hour.dollars, "price_source": price.source, "price_doubt": doubt}


def action_json(action: Action) -> dict[str, Any]:
    """Return an action; its message is for people, and all that it states is in the other fields."""
    base: dict[str, Any] = {"action": kind_of(action), "message": words.action(action)}
    match action:
        case Launch():
            base |= {"instance": action.instance_id, "offer": str(action.key), "role": action.role}
            base |= {"usd_per_hour": action.price_per_hour.dollars, "repeats": action.is_repeat}
            base |= {} if action.choice is None else {"choice": action.choice.kind}
        case Terminate():
            base |= {"instance": action.instance_id, "offer": str(action.key), "reason": action.reason}
        case Drain():
            base |= {"instance": action.instance_id, "region": action.region, "reason": action.reason}
            base |= {"within_seconds": action.within.total_seconds()}
        case Serve():
            changes = [{"application": c.application, "replicas": c.replicas} for c in action.changes]
            base |= {"region": action.region, "changes": changes, "restarts": action.restarts}
        case Route():
            base |= {"regions": sorted(action.table.regions()), "added": action.added, "removed": action.removed}
    return base


def placement_json(placement: Placement) -> dict[str, Any]:
    """Return a placement."""
    return {
        "usd_per_hour": placement.per_hour.dollars,
        "gap": placement.gap if placement.is_whole else None,
        "machines": [
            {
                "offer": str(m.offer.key),
                "role": m.role,
                "count": m.count,
                "usd_per_hour_each": m.offer.price.per_hour.dollars,
                "message": words.choice(m.choice),
                "choice": m.choice.kind,
                "usd_per_unit_hour": None if m.choice.usd_per_unit is None else m.choice.usd_per_unit.dollars,
                "rank": m.choice.rank or None,
            }
            for m in placement.machines
        ],
        "replicas": [
            {
                "application": r.application,
                "region": r.region,
                "instance_type": r.instance_type,
                "spot": r.is_spot,
                "count": r.count,
                "capacity_each": r.milli_each / MILLI,
            }
            for r in placement.replicas
        ],
        "certificate": [survival_json(line) for line in placement.certificate],
        "unmet": [unmet_json(u) for u in placement.unmet],
        "violations": [violation_json(v) for v in placement.violations],
    }


def survival_json(line: Survival) -> dict[str, Any]:
    """Return a line of the certificate."""
    return {
        "application": line.application,
        "loss_of": line.domain,
        "kind": line.kind,
        "remaining": line.remaining_milli / MILLI,
        "required": line.required_milli / MILLI,
        "credited": line.credited_milli / MILLI,
        "holds": line.holds,
    }


def resilience_json(resilience: tuple[ResiliencePrice, ...]) -> dict[str, float | None]:
    """Return the cheapest fleet per kind of loss survived; None where there is none."""
    return {price.survives: None if price.per_hour is None else price.per_hour.dollars for price in resilience}


def instance_json(instance: Instance) -> dict[str, Any]:
    """Return an instance."""
    return {
        "instance": instance.id,
        "offer": str(instance.key),
        "region": instance.region,
        "role": instance.role,
        "status": instance.status,
        "usd_per_hour": instance.price_per_hour.dollars,
        "cloud_id": instance.cloud_id,
        "requested_at": instance.requested_at.isoformat(),
        "reason": instance.reason,
        "message": words.termination(instance.reason, instance.message, instance.notice),
    }


def unmet_json(unmet: UnmetDemand) -> dict[str, Any]:
    """Return demand that is not placed."""
    return {
        "application": unmet.application,
        "missing": unmet.missing_milli / MILLI,
        "demand": unmet.demand_milli / MILLI,
        "unit": unmet.unit,
        "causes": dict(unmet.causes),
        "message": problems.unmet(unmet),
    }


def violation_json(violation: Violation) -> dict[str, Any]:
    """Return a rule of the spec that is not kept."""
    return {
        "application": violation.application,
        "rule": violation.rule,
        "subject": violation.subject,
        "actual": violation.actual_milli / MILLI,
        "required": violation.required_milli / MILLI,
        "unit": violation.unit,
        "causes": dict(violation.causes),
        "message": problems.violation(violation),
    }


def left_out_json(plan: Plan) -> list[dict[str, Any]]:
    """Return why applications are left as they stand: what their part of the plan breaks."""
    return [
        {
            "application": found.application,
            "rule": found.rule,
            "subject": found.subject,
            "actual": found.actual,
            "allowed": found.allowed,
            "message": words.finding(found),
        }
        for found in plan.refused
    ]


def blocked_json(blocked: Blocked) -> dict[str, Any]:
    """Return something that is not done yet, with the fields that apply."""
    facts = {
        "action": blocked.action,
        "region": blocked.region,
        "application": blocked.application,
        "instance": blocked.instance_id,
        "offer": None if blocked.key is None else str(blocked.key),
        "status": blocked.status,
        "state": blocked.state,
        "ready": blocked.ready,
        "target": blocked.target,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return {"reason": blocked.reason, **known, "message": words.blocked(blocked)}


def _pending_json(move: PendingMove) -> dict[str, Any]:
    """Return a move for price that waits."""
    return {
        "offer": str(move.key),
        "count": move.count,
        "since": move.since.isoformat(),
        "until": move.until.isoformat(),
        "saves_usd_per_hour": move.saves.dollars,
        "message": words.pending_move(move),
    }


def report_json(report: PlanReport) -> dict[str, Any]:
    """Return a plan and what explains it."""
    removals = [{"application": r.application, "replicas": r.replicas, "routed": r.is_routed} for r in report.removals]
    plan = report.plan
    return {
        "plan": plan.id,
        "changes": plan.changes_anything,
        "converged": report.is_converged,
        "actions": [action_json(action) for action in plan.actions],
        "blocked": [blocked_json(b) for b in plan.blocked],
        "pending_moves": [_pending_json(move) for move in plan.pending_moves],
        "placement": placement_json(plan.placement),
        "left_out": left_out_json(plan),
        "resilience_usd_per_hour": resilience_json(report.resilience),
        "conflict": explanations.conflict_json(report.conflict),
        "obstacles": [obstacle_json(obstacle) for obstacle in report.obstacles],
        "failures": [failure_json(failure) for failure in report.failures],
        "removals": removals,
        "replaces_fleet": report.replaces_fleet,
        "warnings": [warning_json(warning) for warning in report.warnings],
        "catalogue": None if report.prices is None else prices_json(report.prices),
    }


def prices_json(prices: PriceSource) -> dict[str, Any]:
    """Return the price catalogue that a plan is decided on alone, with its oldest and newest date."""
    return {
        "source": prices.source,
        "as_of": prices.oldest.date().isoformat(),
        "newest": prices.newest.date().isoformat(),
        "offers_listed": prices.listed,
        "offers_considered": prices.considered,
    }


def destroy_json(report: DestroyReport) -> dict[str, Any]:
    """Return what is left of a fleet after its end was asked for."""
    unreachable = [failure.region for failure in report.unreachable]
    return {"ended": report.ended, "left": report.left, "leaked": report.leaked, "unreachable": unreachable}


def status_json(report: StatusReport) -> dict[str, Any]:
    """Return what exists, what serves and how healthy it is."""
    snapshot, plan = report.snapshot, report.plan
    live = [i for i in snapshot.instances if i.is_live]
    return {
        "fleet": snapshot.wanted.spec.fleet if snapshot.wanted else None,
        "spec_version": snapshot.wanted.version if snapshot.wanted else None,
        "observed_at": snapshot.taken_at.isoformat(),
        "age_seconds": round(report.age.total_seconds(), 1),
        "daemon": report.daemon,
        "usd_per_hour": sum(i.price_per_hour.micros for i in live) / 1_000_000,
        "instances": [instance_json(i) for i in live],
        "cells": [_cell_json(cell) for cell in snapshot.cells],
        "health": {
            h.region: {"state": h.state, "reason": h.reason, "message": words.health(h.reason, h.ready, h.expected)}
            for h in snapshot.health
        },
        "unreachable": sorted(snapshot.unreachable),
        "shortages": [shortage_json(s) for s in snapshot.shortages if s.until > snapshot.taken_at],
        "routed": sorted(snapshot.routing.regions()) if snapshot.routing else [],
        "violations": [violation_json(v) for v in plan.placement.violations],
        "unmet": [unmet_json(u) for u in plan.placement.unmet],
        "left_out": left_out_json(plan),
        "blocked": [blocked_json(b) for b in plan.blocked],
        "pending_moves": [_pending_json(move) for move in plan.pending_moves],
        "converged": report.is_converged,
        "refused": None if report.refused is None else _refusal_json(report.refused),
        "warnings": [warning_json(warning) for warning in report.warnings],
    }


def _refusal_json(refusal: Event) -> dict[str, Any]:
    return {
        "plan": refusal.subject,
        "at": refusal.at.isoformat(),
        "findings": event_json(refusal)["what"]["findings"],
        "message": words.refusal(refusal),
    }


def _cell_json(cell: CellStatus) -> dict[str, Any]:
    return {
        "region": cell.region,
        "answers": cell.answered,
        "applications": [
            {"name": a.name, "state": a.state, "ready": a.replicas_ready, "target": a.replicas_target}
            for a in cell.applications
        ],
    }


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a snapshot has, in counts."""
    return {
        "taken_at": snapshot.taken_at.isoformat(),
        "fleet": snapshot.wanted.spec.fleet if snapshot.wanted else None,
        "spec_version": snapshot.wanted.version if snapshot.wanted else None,
        "offers": len(snapshot.offers),
        "instances": len(snapshot.instances),
        "cells": len(snapshot.cells),
        "shortages": len([s for s in snapshot.shortages if s.until > snapshot.taken_at]),
        "unreachable": sorted(snapshot.unreachable),
    }


def event_json(event: Event) -> dict[str, Any]:
    """Return an event."""
    return {
        "number": event.number,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "kind": event.kind,
        "subject": event.subject,
        "what": TypeAdapter(type(event.what)).dump_python(event.what, mode="json"),
        "message": words.event(event),
    }


def drill_json(result: DrillResult) -> dict[str, Any]:
    """Return a drill with its report, null while it has none; one computed from a file is the report alone."""
    report = None if result.report is None else drill_report_json(result.report)
    if result.drill is None:
        return report or {}
    drill = result.drill
    return {
        "drill": drill.id,
        "region": drill.region,
        "mode": drill.mode,
        "state": drill.state,
        "started_at": drill.started_at.isoformat(),
        "report": report,
    }


def drill_report_json(report: DrillReport) -> dict[str, Any]:
    """Return a drill's report."""
    return asdict(report) | {
        "violations": [violation_json(violation) for violation in report.violations],
        "unmet": [unmet_json(unmet) for unmet in report.unmet],
    }
