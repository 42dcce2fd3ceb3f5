"""Values to tables and to JSON. Pure; the shapes of the JSON are described in docs/cli.md."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.table import Table

from scheduler.explain.resilience import ResiliencePrice
from state.model.catalog import Offer
from state.model.history import Drill, Event
from state.model.inventory import Instance
from state.model.placement import Placement, Survival
from state.model.plan import Action, Drain, Launch, Plan, Route, Serve, Terminate
from state.model.snapshot import Snapshot
from state.model.units import MILLI


def table(title: str, *columns: str) -> Table:
    """Return an empty table."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column, justify="right" if column in {"$/h", "count", "rps", "GPUs", "vCPUs", "GiB"} else "left"
        )
    return made


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
    }


def offers_table(offers: Iterable[Offer], now: datetime) -> Table:
    """Return offers as a table."""
    shown = table("Offers", "offer", "GPU", "GPUs", "vCPUs", "GiB", "$/h", "price from", "age")
    for offer in offers:
        machine, age = offer.machine, max(0, (now - offer.price.as_of).days)
        shown.add_row(
            str(offer.key),
            machine.gpu or "-",
            str(machine.gpus),
            str(machine.vcpus),
            f"{machine.memory_gib:g}",
            f"{offer.price.per_hour.dollars:.4f}",
            offer.price.source,
            f"{age} d",
        )
    return shown


def action_json(action: Action) -> dict[str, Any]:
    """Return an action."""
    base: dict[str, Any] = {"action": type(action).__name__.lower(), "reason": action.reason}
    match action:
        case Launch():
            base |= {"instance": action.instance_id, "offer": str(action.key), "role": action.role}
            base |= {"usd_per_hour": action.price_per_hour.dollars}
        case Terminate():
            base |= {"instance": action.instance_id, "offer": str(action.key)}
        case Serve() | Drain():
            base |= {"region": action.region}
        case Route():
            base |= {"regions": sorted(action.table.regions())}
    return base


def placement_json(placement: Placement) -> dict[str, Any]:
    """Return a placement."""
    return {
        "usd_per_hour": placement.per_hour.dollars,
        "gap": placement.gap,
        "machines": [
            {
                "offer": str(m.offer.key),
                "role": m.role,
                "count": m.count,
                "usd_per_hour_each": m.offer.price.per_hour.dollars,
                "reason": m.reason,
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
        "unmet": [
            {
                "application": u.application,
                "missing": u.missing_milli / MILLI,
                "demand": u.demand_milli / MILLI,
                "reasons": dict(u.reasons),
            }
            for u in placement.unmet
        ],
        "violations": list(placement.violations),
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


def plan_json(plan: Plan, resilience: tuple[ResiliencePrice, ...]) -> dict[str, Any]:
    """Return a plan with the price of resilience."""
    return {
        "plan": plan.id,
        "changes": plan.changes_anything,
        "converged": plan.is_converged,
        "actions": [action_json(action) for action in plan.actions],
        "blocked": list(plan.blocked),
        "placement": placement_json(plan.placement),
        "resilience_usd_per_hour": resilience_json(resilience),
    }


def resilience_json(resilience: tuple[ResiliencePrice, ...]) -> dict[str, float | None]:
    """Return the cheapest fleet per kind of loss survived; None where there is none."""
    return {price.survives: None if price.per_hour is None else price.per_hour.dollars for price in resilience}


def machines_table(placement: Placement) -> Table:
    """Return the machines of a placement."""
    shown = table(f"Machines, {placement.per_hour}/h", "count", "offer", "for", "$/h", "why")
    for machine in placement.machines:
        price = (machine.offer.price.per_hour * machine.count).dollars
        shown.add_row(str(machine.count), str(machine.offer.key), machine.role, f"{price:.3f}", machine.reason)
    return shown


def certificate_table(placement: Placement) -> Table:
    """Return the survivability certificate."""
    shown = table("Survivability certificate", "application", "after the loss of", "left", "needed", "holds")
    for line in placement.certificate:
        left, needed = line.remaining_milli / MILLI, line.required_milli / MILLI
        holds = "NO" if not line.holds else "yes" if not line.credited_milli else "with replacements"
        shown.add_row(line.application, line.domain, f"{left:g}", f"{needed:g}", holds)
    return shown


def resilience_line(resilience: tuple[ResiliencePrice, ...]) -> str:
    """Return what resilience costs, in one line."""
    parts = [
        f"{price.survives} {price.per_hour if price.per_hour is not None else 'not possible'}" for price in resilience
    ]
    return f"What resilience costs per hour, bought afresh: {', '.join(parts)}"


def gap_line(placement: Placement) -> str:
    """Return how far from the optimum the cost can be."""
    if placement.gap is None:
        return "Found by search: how far from the optimum the cost is has not been proven (docs/solver.md)."
    return f"The cost is proven to lie at most {placement.gap:.2%} above the optimum."


def problems_lines(placement: Placement) -> list[str]:
    """Return what a placement does not do, in words."""
    lines = [f"NOT KEPT: {text}" for text in placement.violations]
    for unmet in placement.unmet:
        missing, demand = unmet.missing_milli / MILLI, unmet.demand_milli / MILLI
        causes = ", ".join(f"{cause}: {count} offers" for cause, count in unmet.reasons) or "budget or quota"
        lines.append(f"NO PLACE for {missing:g} of {demand:g} of {unmet.application} ({causes})")
    return lines


def actions_table(plan: Plan) -> Table:
    """Return a plan's actions."""
    shown = table("Actions", "action", "target", "why")
    for action in plan.actions:
        facts = action_json(action)
        target = facts.get("offer") or facts.get("region") or ", ".join(facts.get("regions", [])) or "-"
        shown.add_row(facts["action"], str(target), action.reason)
    return shown


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
    }


def status_json(snapshot: Snapshot, plan: Plan | None, daemon: str | None) -> dict[str, Any]:
    """Return what stands, what serves and how healthy it is."""
    live = [i for i in snapshot.instances if i.is_live]
    return {
        "fleet": snapshot.wanted.spec.fleet if snapshot.wanted else None,
        "spec_version": snapshot.wanted.version if snapshot.wanted else None,
        "daemon": daemon,
        "usd_per_hour": sum(i.price_per_hour.micros for i in live) / 1_000_000,
        "instances": [instance_json(i) for i in live],
        "cells": [
            {
                "region": cell.region,
                "answers": cell.answered,
                "applications": [
                    {"name": a.name, "status": a.status, "ready": a.replicas_ready, "target": a.replicas_target}
                    for a in cell.applications
                ],
            }
            for cell in snapshot.cells
        ],
        "health": {h.region: {"state": h.state, "reason": h.reason} for h in snapshot.health},
        "unreachable": sorted(snapshot.unreachable),
        "routed": sorted(snapshot.routing.regions()) if snapshot.routing else [],
        "blocked": list(plan.blocked) if plan else [],
        "converged": plan.is_converged if plan else None,
    }


def status_tables(status: dict[str, Any]) -> list[Table]:
    """Return a status as tables."""
    machines = table(f"Machines, ${status['usd_per_hour']:.2f}/h", "instance", "offer", "role", "status", "$/h")
    for i in status["instances"]:
        machines.add_row(i["instance"], i["offer"], i["role"], i["status"], f"{i['usd_per_hour']:.3f}")
    cells = table("Cells", "region", "health", "requests", "application", "ready")
    for cell in status["cells"]:
        health = status["health"].get(cell["region"], {}).get("state", "healthy")
        routed = "yes" if cell["region"] in status["routed"] else "no"
        for app in cell["applications"] or [{"name": "-", "ready": "-", "target": "-"}]:
            ready = f"{app['ready']} of {app['target']}" if cell["answers"] else "does not answer"
            cells.add_row(cell["region"], health, routed, app["name"], ready)
    return [machines, cells]


def event_json(event: Event) -> dict[str, Any]:
    """Return an event."""
    return {
        "number": event.number,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "kind": event.kind,
        "subject": event.subject,
        "detail": event.detail,
    }


def drill_json(drill: Drill, report: dict[str, Any]) -> dict[str, Any]:
    """Return a drill with its report."""
    return {
        "drill": drill.id,
        "region": drill.region,
        "mode": drill.mode,
        "state": drill.state,
        "started_at": drill.started_at.isoformat(),
        "report": report,
    }


def drill_lines(report: dict[str, Any]) -> list[str]:
    """Return a drill report in words."""
    lines = [
        f"Drill of {report['region']} ({report['mode']}): {'recovered' if report['recovered'] else 'NOT recovered'}"
    ]
    seconds = {name: value for name, value in report["seconds"].items() if value is not None}
    if seconds:
        lines.append(
            "  seconds after the loss: " + ", ".join(f"{n.replace('_', ' ')} {v:.1f}" for n, v in seconds.items())
        )
    if report["requests"]["sent"]:
        lines.append("  requests: " + ", ".join(f"{n.replace('_', ' ')} {v}" for n, v in report["requests"].items()))
    carried = ", ".join(f"{name} {share:.0%}" for name, share in report["survivors_carry"].items())
    if carried:
        lines.append(f"  demand carried by the others at the moment of the loss: {carried}")
    dollars = ", ".join(f"{name} ${value:.2f}/h" for name, value in report["usd_per_hour"].items())
    lines.append(f"  cost: {dollars}")
    for when, regions in report["regions"].items():
        lines.append(f"  regions {when}: {', '.join(regions)}")
    lines.append(f"  machines launched {report['instances_launched']}, leaked {report['instances_leaked']}")
    lines += [f"  note: {note}" for note in report["notes"]]
    return lines
