"""explain: why an application is placed where it is, why not elsewhere, and what a change would cost."""

from dataclasses import dataclass
from pathlib import Path

import typer

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import explain_report, explanations
from scheduler.cli.session import are_embedded_clouds_down, console, opened, saved, working
from scheduler.explain.what_if import NoSuchFieldError, what_if
from scheduler.explain.why_not import why_not
from scheduler.service.explaining import current_snapshot, explain_application
from state.model.ids import ApplicationName
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
    snapshot = _snapshot(question.snapshot)
    if snapshot.wanted is None:
        raise fail(Exit.NOT_NOW, "no spec is in force; `skerry apply` first")
    application, known = question.application, snapshot.wanted.spec.applications
    if application not in known:
        raise fail(Exit.BAD_INPUT, f"no application {application}; there are {', '.join(known)}")
    if question.why_not is not None:
        _explain_why_not(snapshot, application, question.why_not, output)
    elif question.what_if is not None:
        _explain_what_if(snapshot, question.what_if, output)
    else:
        _explain_placement(snapshot, ApplicationName(application), output)


def _snapshot(path: Path | None) -> Snapshot:
    if path is not None:
        return saved(path)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions"):
        return current_snapshot(ports)


def _explain_why_not(snapshot: Snapshot, application: str, place: str, output: Output) -> None:
    with working("solving"):
        answer = why_not(snapshot, application, place)
    if not answer.offers:
        raise fail(Exit.BAD_INPUT, f"no offer with GPUs begins with {place}; `skerry offers` lists them")
    if output is Output.JSON:
        answer_json(explanations.why_not_json(answer))
        return
    for line in explanations.why_not_lines(answer, application):
        console().print(line)


def _explain_what_if(snapshot: Snapshot, change: str, output: Output) -> None:
    try:
        with working("solving"):
            answer = what_if(snapshot, change)
    except NoSuchFieldError as error:
        raise fail(Exit.BAD_INPUT, explanations.question_fault(error)) from error
    if output is Output.JSON:
        answer_json(explanations.what_if_json(answer))
        return
    for line in explanations.what_if_lines(answer, change):
        console().print(line)


def _explain_placement(snapshot: Snapshot, application: ApplicationName, output: Output) -> None:
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
