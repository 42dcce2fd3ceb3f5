"""Values to tables and lines for people. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from scheduler.cli.render import as_json, explanations, problems, words
from scheduler.cli.render.obstacles import obstacle_lines
from scheduler.drills.report import DrillReport
from scheduler.explain.resilience import ResiliencePrice
from scheduler.service.reports import DestroyReport, DrillResult, PlanReport, PriceSource
from state.model.catalog import Offer
from state.model.placement import Placement
from state.model.plan import Plan
from state.model.units import MILLI

GAP_OF_ROUNDING: Final = 1e-6
"""What a solver's arithmetic leaves of no gap."""
LEAST_SHOWN: Final = 0.0001
"""The smallest share that two decimals show."""


def table(title: str, *columns: str) -> Table:
    """Return an empty table."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column, justify="right" if column in {"$/h", "count", "rps", "GPUs", "vCPUs", "GiB"} else "left"
        )
    return made


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
            words.price_source(offer.price),
            f"{age} d",
        )
    return shown


def machines_table(placement: Placement) -> Table:
    """Return the machines of a placement."""
    shown = table(f"Machines, {placement.per_hour}/h", "count", "offer", "for", "$/h", "why")
    for machine in placement.machines:
        price = (machine.offer.price.per_hour * machine.count).dollars
        shown.add_row(
            str(machine.count), str(machine.offer.key), machine.role, f"{price:.3f}", words.choice(machine.choice)
        )
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
    return f"What resilience costs per hour, bought from scratch: {', '.join(parts)}"


def gap_line(placement: Placement) -> str:
    """Return how far from the optimum the cost can be."""
    if placement.gap is None:
        return "Found by search: how far from the optimum the cost is has not been proven (docs/explanation/solver.md)."
    if placement.gap <= GAP_OF_ROUNDING:
        return "The cost is proven to be the optimum."
    return f"The cost is proven to lie at most {max(placement.gap, LEAST_SHOWN):.2%} above the optimum."


def actions_table(plan: Plan) -> Table:
    """Return a plan's actions."""
    shown = table("Actions", "action", "target", "why")
    for action in plan.actions:
        facts = as_json.action_json(action)
        target = facts.get("offer") or facts.get("region") or ", ".join(facts.get("regions", [])) or "-"
        shown.add_row(facts["action"], str(target), words.action(action))
    return shown


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


def plan_parts(plan: Plan, resilience: tuple[ResiliencePrice, ...]) -> list[RenderableType]:
    """Return a plan, part by part."""
    placement = plan.placement
    parts = placement_parts(placement, resilience)
    parts += [Text(line, style="bold red") for line in problems.left_out(plan)]
    if plan.actions:
        parts.append(actions_table(plan))
    elif placement.machines or plan.is_stable:
        parts.append("No changes." if plan.is_stable else "Nothing can be done at the moment.")
    parts += [f"blocked: {words.blocked(blocked)}" for blocked in plan.blocked]
    return [*parts, *(f"waits: {words.pending_move(move)}" for move in plan.pending_moves)]


def placement_parts(placement: Placement, resilience: tuple[ResiliencePrice, ...]) -> list[RenderableType]:
    """Return a placement, part by part."""
    parts: list[RenderableType] = []
    if placement.machines:
        parts += [machines_table(placement), ""]
    if placement.certificate:
        parts += [certificate_table(placement), ""]
    parts += [Text(line, style="bold red") for line in problems.of_placement(placement)]
    if resilience and placement.machines and not placement.unmet:
        parts += [resilience_line(resilience), gap_line(placement), ""]
    return parts


def report_parts(report: PlanReport, *, are_embedded_down: bool) -> list[RenderableType]:
    """Return a plan and what explains it, part by part.

    Args:
        report: The plan.
        are_embedded_down: Whether the clouds of the settings are embedded ones that do not run.
    """
    if report.prices is not None:
        return [*_catalogue_parts(report, report.prices), *explanations.conflict_lines(report.conflict)]
    parts = plan_parts(report.plan, report.resilience) if not report.obstacles or report.plan.placement.machines else []
    now = report.snapshot.taken_at
    parts += obstacle_lines(report.obstacles, report.failures, now, are_embedded_down=are_embedded_down)
    parts += explanations.conflict_lines(report.conflict)
    return [*parts, *(Text(line, style="bold red") for line in removal_lines(report))]


def _catalogue_parts(report: PlanReport, prices: PriceSource) -> list[RenderableType]:
    """Return a plan on list prices: what to buy, and not how to get there."""
    parts: list[RenderableType] = [prices_line(prices), ""]
    if not report.obstacles or report.plan.placement.machines:
        parts += placement_parts(report.plan.placement, report.resilience)
    now = report.snapshot.taken_at
    return parts + obstacle_lines(report.obstacles, (), now, are_embedded_down=False, is_catalogue=True)


def prices_line(prices: PriceSource) -> str:
    """Return where list prices come from, how old they are, and what they leave unknown."""
    oldest, newest = prices.oldest.date(), prices.newest.date()
    dates = f"{oldest}" if oldest == newest else f"{oldest} to {newest}"
    cut = f"{prices.considered} of {prices.listed} offers considered. " if prices.considered < prices.listed else ""
    source = words.PRICE_SOURCES[prices.source]
    return f"List prices of {dates}, from {source}.\n{cut}Stock, quotas and zones are unknown."


def removal_lines(report: PlanReport) -> list[str]:
    """Return what applying a spec removes or renames, a line each."""
    wanted = report.snapshot.wanted
    lines = []
    if report.replaces_fleet is not None and wanted is not None:
        kept = "" if report.removals else ", and no application is removed"
        lines.append(f"fleet {report.replaces_fleet} is renamed {wanted.spec.fleet}{kept}")
    for removal in report.removals:
        route = ", its route closes" if removal.is_routed else ""
        lines.append(f"{removal.application}: {words.counted(removal.replicas, 'replica')} removed{route}")
    return lines


def destroy_failure(report: DestroyReport) -> str:
    """Return why it is not certain that nothing is left of a fleet, and what to do."""
    if report.left or report.leaked:
        return "machines are left; `skerry status --refresh` shows which"
    if report.unreachable:
        regions = ", ".join(failure.region for failure in report.unreachable)
        return f"whether machines are left in {regions} is unknown; run `skerry destroy` again once they answer"
    return "the fleet was not stable in time; run `skerry destroy` again"


def status_parts(facts: dict[str, Any]) -> list[RenderableType]:
    """Return a status, part by part."""
    fleet, daemon = facts["fleet"] or "(none applied)", facts["daemon"] or "not running"
    parts: list[RenderableType] = [f"fleet {fleet}, daemon {daemon}, observed {facts['age_seconds']:.0f} s ago"]
    if facts["refused"]:
        parts.append(Text(f"since then, {facts['refused']['message']}", style="bold red"))
    for shown in status_tables(facts):
        parts += [shown, ""]
    parts += [f"{region}: its cloud does not answer" for region in facts["unreachable"]]
    left_out = (f"{found['application']}: left as it stands: {found['message']}" for found in facts["left_out"])
    parts += [Text(line, style="bold red") for line in left_out]
    missed = [*facts["violations"], *facts["unmet"]]
    parts += [Text(line["message"], style="bold red") for line in missed]
    return [*parts, *(f"blocked: {blocked['message']}" for blocked in facts["blocked"])]


def snapshot_lines(facts: dict[str, Any]) -> list[str]:
    """Return what a snapshot has."""
    return [f"{name.replace('_', ' ')}: {', '.join(v) if isinstance(v, list) else v}" for name, v in facts.items()]


def drill_line(result: DrillResult) -> str:
    """Return a drill in one line."""
    drill = result.drill
    return (
        ""
        if drill is None
        else f"{drill.id}  {drill.started_at:%Y-%m-%d %H:%M}  {drill.region}  {drill.mode}  {drill.state}"
    )


def drill_lines(report: DrillReport) -> list[str]:
    """Return a drill report."""
    lines = [f"Drill of {report.region} ({report.mode}): {'recovered' if report.recovered else 'NOT recovered'}"]
    seconds = {name: value for name, value in report.seconds.items() if value is not None}
    if seconds:
        lines.append(f"  seconds after the loss: {figures(seconds)}")
    if report.requests["sent"]:
        lines.append(f"  requests: {figures(report.requests)}")
    carried = ", ".join(f"{name} {share:.0%}" for name, share in report.survivors_carry.items())
    if carried:
        lines.append(f"  demand carried by the others at the moment of the loss: {carried}")
    lines.append("  cost: " + ", ".join(f"{name} ${value:.2f}/h" for name, value in report.usd_per_hour.items()))
    lines += [f"  regions {when}: {', '.join(regions)}" for when, regions in report.regions.items()]
    lines.append(f"  machines launched {report.instances_launched}, leaked {report.instances_leaked}")
    if report.unreachable:
        lines.append(f"  machines not read, so not counted as leaked: {', '.join(report.unreachable)}")
    missed = (*map(problems.violation, report.violations), *map(problems.unmet, report.unmet))
    return lines + [f"  {problem}" for problem in missed]


def figures(values: Mapping[str, float]) -> str:
    """Return named figures in one line; seconds with a decimal."""
    return ", ".join(
        f"{n.replace('_', ' ')} {v:.1f}" if isinstance(v, float) else f"{n.replace('_', ' ')} {v}"
        for n, v in values.items()
    )
