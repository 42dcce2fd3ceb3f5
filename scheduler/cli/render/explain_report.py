"""Why an application is placed where it is, as JSON and as text. Pure."""

from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from scheduler.cli.render import as_json, explanations, problems, text, words
from scheduler.cli.render.obstacles import failure_json, obstacle_json, obstacle_lines
from scheduler.explain import Explanation
from state.model.units import MILLI


def report_json(report: Explanation) -> dict[str, Any]:
    """Return why an application is placed where it is."""
    name, placement = report.application, report.placement
    facts = as_json.placement_json(placement)
    own = {
        key: [line for line in facts[key] if line["application"] == name]
        for key in ("replicas", "certificate", "unmet", "violations")
    }
    return own | {
        "application": name,
        "machines": facts["machines"],
        "refused_offers": {cause: count for app, cause, count in placement.refusals if app == name},
        "resilience_usd_per_hour": as_json.resilience_json(report.resilience),
        "rules": [explanations.rule_price_json(rule, cost) for rule, cost in report.rules],
        "limits": [explanations.limit_json(limit) for limit in report.limits],
        "conflict": explanations.conflict_json(report.conflict),
        "obstacles": [obstacle_json(obstacle) for obstacle in report.obstacles],
        "failures": [failure_json(failure) for failure in report.failures],
    }


def report_parts(report: Explanation, now: datetime, *, are_embedded_down: bool) -> list[RenderableType]:
    """Return why an application is placed where it is, part by part.

    Args:
        report: The explanation.
        now: The time of the snapshot.
        are_embedded_down: Whether the clouds of the settings are embedded ones that do not run.
    """
    placement = report.placement
    parts: list[RenderableType] = []
    for r in placement.replicas:
        if r.application == report.application:
            market = "spot" if r.is_spot else "reserved" if r.is_reserved else "on demand"
            parts.append(f"{r.count} x {r.milli_each / MILLI:g} in {r.region} on {r.instance_type}, {market}")
    if placement.machines:
        parts += ["", text.machines_table(placement), ""]
    if placement.certificate:
        parts += [text.certificate_table(placement), ""]
    if report.resilience and placement.machines and not placement.unmet:
        parts.append(text.resilience_line(report.resilience))
    parts += obstacle_lines(report.obstacles, report.failures, now, are_embedded_down=are_embedded_down)
    parts += [*explanations.price_lines(report.rules, report.limits), *explanations.conflict_lines(report.conflict)]
    refused = ((cause, count) for app, cause, count in placement.refusals if app == report.application)
    parts += [f"not considered: {count} offers, {words.CAUSES[cause]}" for cause, count in refused]
    return [*parts, *(Text(line, style="bold red") for line in problems.of_placement(placement))]
