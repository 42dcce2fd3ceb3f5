"""Why an application is placed where it is, as JSON and as text. Pure."""

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from scheduler.cli.render import as_json, explanations, text, words
from scheduler.service.explaining import ExplainReport
from state.model.units import MILLI


def report_json(report: ExplainReport) -> dict[str, Any]:
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
    }


def report_parts(report: ExplainReport) -> list[RenderableType]:
    """Return why an application is placed where it is, part by part."""
    placement = report.placement
    parts: list[RenderableType] = []
    for r in placement.replicas:
        if r.application == report.application:
            market = "spot" if r.is_spot else "reserved" if r.is_reserved else "on demand"
            parts.append(f"{r.count} x {r.milli_each / MILLI:g} in {r.region} on {r.instance_type}, {market}")
    parts += ["", text.machines_table(placement), "", text.certificate_table(placement)]
    parts.append(text.resilience_line(report.resilience))
    parts += [*explanations.price_lines(report.rules, report.limits), *explanations.conflict_lines(report.conflict)]
    refused = ((cause, count) for app, cause, count in placement.refusals if app == report.application)
    parts += [f"not considered: {count} offers, {words.CAUSES[cause]}" for cause, count in refused]
    return [*parts, *(Text(line, style="bold red") for line in words.problems(placement))]
