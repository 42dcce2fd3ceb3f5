"""The `plan`, `apply` and `destroy` commands."""

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import as_json, problems, text, words
from scheduler.cli.render.obstacles import failure_lines
from scheduler.cli.render.spec import warning_text
from scheduler.cli.session import (
    are_embedded_clouds_down,
    confirm,
    confirm_names,
    console,
    listed_prices,
    opened,
    saved,
    working,
)
from scheduler.documents.settings_file import load_settings
from scheduler.documents.spec_file import load_fleet
from scheduler.service.catalogue import plan_catalogue
from scheduler.service.planning import apply_spec, destroy_fleet, plan_snapshot, plan_spec
from scheduler.service.reports import PlanReport
from state.clock import SystemClock
from state.model.plan import Plan, kind_of
from state.model.settings import PROOF, TICK
from state.model.snapshot import Wanted


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan, and from what."""

    spec: Path | None
    snapshot: Path | None = None
    """A file to decide on, instead of what is observed now."""
    catalogue: bool = False
    """Whether to decide on list prices alone."""
    exact: bool = False


def plan(asked: PlanRequest, output: Output) -> None:
    """Show the plan for a spec, or for a snapshot's own."""
    fleet = None if asked.spec is None else load_fleet(asked.spec, load_settings().own_regions)
    report = _report(asked, None if fleet is None else fleet.wanted)
    if fleet is not None:
        report = replace(report, warnings=fleet.warnings)
    if output is Output.JSON:
        answer_json(as_json.report_json(report))
    else:
        print_report(report)
    if not report.is_possible:
        raise typer.Exit(Exit.NOT_NOW)


def _report(asked: PlanRequest, wanted: Wanted | None) -> PlanReport:
    """Return the plan, decided on a file, on list prices, or on what is observed now."""
    if asked.snapshot is not None and asked.catalogue:
        raise fail(Exit.BAD_INPUT, "--snapshot and --catalog exclude each other: give one of them")
    budget = PROOF if asked.exact else TICK
    if asked.snapshot is not None:
        snapshot = saved(asked.snapshot)
        snapshot = replace(snapshot, solve_budget=PROOF) if asked.exact else snapshot
        if snapshot.wanted is None and wanted is None:
            raise fail(Exit.BAD_INPUT, f"no spec was in force in {asked.snapshot}: give a capacity spec too")
        with working("solving"):
            return plan_snapshot(snapshot, wanted)
    if wanted is None:
        raise fail(Exit.BAD_INPUT, "give a capacity spec, or --snapshot FILE")
    if asked.catalogue:
        catalogue, now = listed_prices(SystemClock())
        with working("solving"):
            return plan_catalogue(catalogue, wanted, now, budget)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
        return plan_spec(ports, wanted, budget)


def print_report(report: PlanReport) -> None:
    """Print a plan and what explains it; warnings go to standard error."""
    for warning in report.warnings:
        say(warning_text(warning))
    screen = console()
    for shown in text.report_parts(report, are_embedded_down=are_embedded_clouds_down()):
        screen.print(shown)


def apply(path: Path, *, yes: bool, prune: bool, minutes: float, output: Output) -> None:
    """Put a spec in force, and wait until the fleet is stable."""
    fleet = load_fleet(path, load_settings().own_regions)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions · solving"):
        report = replace(plan_spec(ports, fleet.wanted), warnings=fleet.warnings)
    if _is_served(report, output):
        return
    if report.removes and not prune:
        _confirm_removals(report)
    confirm("Apply these changes?", yes=yes)
    with working("starting") as progress:
        timeout = timedelta(minutes=minutes)
        version, reached = apply_spec(
            ports, fleet.wanted, report.reviewed, timeout, lambda p: progress.update(_doing(p))
        )
    if output is Output.JSON:
        cost = reached.placement.per_hour.dollars if reached else None
        answer_json({"changed": True, "usd_per_hour": cost} | _applied(version, reached))
    if reached is None:
        raise fail(Exit.FAILED, f"not stable after {minutes:g} minutes; `skerry status` shows what is blocked")
    if not reached.is_converged:
        missed = "; ".join(problems.of_plan(reached))
        raise fail(Exit.NOT_NOW, f"version {version} is in force and does not serve as it asks: {missed}")
    if output is Output.TEXT:
        sys.stdout.write(f"Version {version} serves, at {reached.placement.per_hour}/h.\n")


def _is_served(report: PlanReport, output: Output) -> bool:
    """Show the plan, and return whether the spec serves already.

    Raises:
        typer.Exit: The spec cannot be served now, and is not in force or leaves nothing to do.
    """
    made, is_served, is_refused = report.plan, report.is_served, not report.may_apply
    if output is Output.JSON and (is_served or is_refused):
        decided = made if report.is_informed else None
        answer_json({"changed": False} | _applied(made.spec_version or None, decided) | {"converged": is_served})
    elif output is Output.TEXT and is_served:
        sys.stdout.write("No changes: the fleet is as the spec describes it.\n")
    elif output is Output.TEXT:
        print_report(report)
    if is_refused:
        unread = "no offers could be read: nothing was changed"
        raise fail(Exit.NOT_NOW, "; ".join(problems.of_plan(made)) if report.is_informed else unread)
    return is_served


def _applied(version: int | None, made: Plan | None) -> dict[str, Any]:
    """Return the version in force and what its plan does not serve; null while that is unknown."""
    return {
        "spec_version": version,
        "converged": made is not None and made.is_converged,
        "unmet": None if made is None else [as_json.unmet_json(u) for u in made.placement.unmet],
        "violations": None if made is None else [as_json.violation_json(v) for v in made.placement.violations],
        "left_out": None if made is None else as_json.left_out_json(made),
    }


def _confirm_removals(report: PlanReport) -> None:
    """Have each removal confirmed by name where a person can answer; refuse it otherwise."""
    names = [(str(removal.application), "remove it") for removal in report.removals]
    wanted = report.snapshot.wanted
    if report.replaces_fleet is not None and wanted is not None:
        names.insert(0, (report.replaces_fleet, f"rename the fleet {wanted.spec.fleet}"))
    agrees = "remove what the spec lacks" if report.removals else "rename it"
    confirm_names(names, refusal=f"{'; '.join(text.removal_lines(report))}: pass --prune to {agrees}")


def _doing(made: Plan) -> str:
    doing = [action.value for action in dict.fromkeys(kind_of(action) for action in made.actions)]
    return ", ".join(doing) or (words.blocked(made.blocked[0]) if made.blocked else "ready")


def destroy(*, yes: bool, minutes: float, output: Output) -> None:
    """End the fleet."""
    _, ports = opened()
    live = ports.store.load().instances
    confirm(f"End all {len(live)} machines and withdraw the spec?", yes=yes)
    with working("starting") as progress:
        report = destroy_fleet(ports, timedelta(minutes=minutes), lambda p: progress.update(_doing(p)))
    if output is Output.JSON:
        answer_json(as_json.destroy_json(report))
    else:
        sys.stdout.write(f"{report.ended} machines ended; {report.left} left, {report.leaked} leaked.\n")
    for line in failure_lines(report.unreachable):
        say(line)
    if not report.is_clean:
        raise fail(Exit.FAILED, text.destroy_failure(report))
