"""explain: why an application is placed where it is, why not elsewhere, and what a change would cost."""

from dataclasses import dataclass
from pathlib import Path

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import as_json, explanations, text, words
from scheduler.cli.session import console, opened, saved, working
from scheduler.explain.binding import limits, rule_prices
from scheduler.explain.conflict import conflict
from scheduler.explain.resilience import price_of_resilience
from scheduler.explain.what_if import NoSuchFieldError, what_if
from scheduler.explain.why_not import why_not
from scheduler.observe.snapshot import observe
from scheduler.tick import decide
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
        _explain_placement(snapshot, application, output)


def _snapshot(path: Path | None) -> Snapshot:
    if path is not None:
        return saved(path)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions"):
        return observe(ports)


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


def _explain_placement(snapshot: Snapshot, application: str, output: Output) -> None:
    with working("solving"):
        made = decide(snapshot)
        resilience = price_of_resilience(snapshot)
        whole = made.placement.is_whole
        rules = rule_prices(snapshot, application) if whole else ()
        used_up = limits(snapshot) if whole else ()
        conflicting = None if whole else conflict(snapshot)
    facts = as_json.placement_json(made.placement)
    mine = {
        "application": application,
        "replicas": [r for r in facts["replicas"] if r["application"] == application],
        "machines": facts["machines"],
        "certificate": [line for line in facts["certificate"] if line["application"] == application],
        "refused_offers": {cause: n for app, cause, n in made.placement.refusals if app == application},
        "unmet": [u for u in facts["unmet"] if u["application"] == application],
        "violations": [v for v in facts["violations"] if v["application"] == application],
        "resilience_usd_per_hour": as_json.resilience_json(resilience),
        "rules": [explanations.rule_price_json(rule, cost) for rule, cost in rules],
        "limits": [explanations.limit_json(limit) for limit in used_up],
        "conflict": explanations.conflict_json(conflicting),
    }
    if output is Output.JSON:
        answer_json(mine)
        return
    screen = console()
    for r in mine["replicas"]:
        market = "spot" if r["spot"] else "on demand"
        screen.print(f"{r['count']} x {r['capacity_each']:g} in {r['region']} on {r['instance_type']}, {market}")
    screen.print()
    screen.print(text.machines_table(made.placement))
    screen.print()
    screen.print(text.certificate_table(made.placement))
    screen.print(text.resilience_line(resilience))
    for line in [*explanations.price_lines(rules, used_up), *explanations.conflict_lines(conflicting)]:
        screen.print(line)
    for cause, count in mine["refused_offers"].items():
        screen.print(f"not considered: {count} offers, {words.CAUSES[cause]}")
    for line in words.problems(made.placement):
        screen.print(line, style="bold red")
