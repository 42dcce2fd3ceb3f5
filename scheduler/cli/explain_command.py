"""The `explain` command: why an application is placed where it is, why not elsewhere, and what a change would cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import explain_report, explanations
from scheduler.cli.render.obstacles import obstacle_lines
from scheduler.cli.session import are_embedded_clouds_down, console, opened, saved, working
from scheduler.explain.obstacles import Obstacle, are_blocking
from scheduler.explain.what_if import NoSuchFieldError
from scheduler.service.explaining import (
    NoSpecError,
    UnknownApplicationError,
    explain_application,
    explain_what_if,
    explain_why_not,
)
from scheduler.service.snapshots import take_snapshot
from state.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about an application."""

    application: str
    why_not: str | None = None
    what_if: str | None = None
    snapshot: Path | None = None
    """A file to decide on, instead of what is observed now."""


def explain(question: Question, output: Output) -> None:
    """Answer a question about an application."""
    if question.why_not is not None and question.what_if is not None:
        raise fail(Exit.BAD_INPUT, "--why-not and --what-if exclude each other: give one of them")
    snapshot = _snapshot(question.snapshot)
    try:
        if question.why_not is not None:
            _explain_why_not(snapshot, question.application, question.why_not, output)
        elif question.what_if is not None:
            _explain_what_if(snapshot, question.application, question.what_if, output)
        else:
            _explain_placement(snapshot, question.application, output)
    except NoSpecError as error:
        raise fail(Exit.NOT_NOW, "no spec is in force; `skerry apply` first") from error
    except UnknownApplicationError as error:
        known = ", ".join(error.known)
        raise fail(Exit.BAD_INPUT, f"no application {error.application}; there are {known}") from error
    except NoSuchFieldError as error:
        raise fail(Exit.BAD_INPUT, explanations.question_fault(error)) from error


def _snapshot(path: Path | None) -> Snapshot:
    if path is not None:
        return saved(path)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions"):
        return take_snapshot(ports)


def _explain_why_not(snapshot: Snapshot, application: str, place: str, output: Output) -> None:
    with working("solving"):
        answer = explain_why_not(snapshot, application, place)
    if not answer.offers and not answer.obstacles:
        raise fail(Exit.BAD_INPUT, f"no offer with GPUs begins with {place}; `skerry offers` lists them")
    if output is Output.JSON:
        answer_json(explanations.why_not_json(answer))
    else:
        _print(explanations.why_not_lines(answer, application) if answer.offers else [], answer.obstacles, snapshot)
    if are_blocking(answer.obstacles):
        raise typer.Exit(Exit.NOT_NOW)


def _explain_what_if(snapshot: Snapshot, application: str, change: str, output: Output) -> None:
    with working("solving"):
        answer = explain_what_if(snapshot, application, change)
    if output is Output.JSON:
        answer_json(explanations.what_if_json(answer))
    else:
        is_blocked = are_blocking(answer.obstacles)
        _print([] if is_blocked else explanations.what_if_lines(answer, change), answer.obstacles, snapshot)
    if are_blocking(answer.obstacles):
        raise typer.Exit(Exit.NOT_NOW)


def _print(lines: Iterable[str], obstacles: tuple[Obstacle, ...], snapshot: Snapshot) -> None:
    """Print an answer, then why nothing can be offered."""
    is_down = bool(obstacles) and are_embedded_clouds_down()
    for line in (*lines, *obstacle_lines(obstacles, (), snapshot.taken_at, are_embedded_down=is_down)):
        console().print(line)


def _explain_placement(snapshot: Snapshot, application: str, output: Output) -> None:
    with working("solving"):
        report = explain_application(snapshot, application)
    if output is Output.JSON:
        answer_json(explain_report.report_json(report))
    else:
        is_down = are_embedded_clouds_down()
        for part in explain_report.report_parts(report, snapshot.taken_at, are_embedded_down=is_down):
            console().print(part)
    if not report.is_possible:
        raise typer.Exit(Exit.NOT_NOW)
