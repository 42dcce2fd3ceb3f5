"""explain: why an application is placed where it is, why not elsewhere, and what if."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import as_json, text, words
from scheduler.cli.session import console, opened, saved_snapshot, working
from scheduler.explain.binding import Binding, bindings, rule_prices
from scheduler.explain.conflict import conflict
from scheduler.explain.resilience import price_of_resilience
from scheduler.explain.rules import Rule
from scheduler.explain.what_if import NoSuchFieldError, WhatIf, what_if
from scheduler.explain.why_not import WhyNot, why_not
from scheduler.observe.snapshot import observe
from scheduler.tick import decide
from state.model.snapshot import Snapshot
from state.model.units import Usd


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
        return saved_snapshot(path)
    _, ports = opened()
    with working(f"reading {len(ports.providers)} providers, {len(ports.cell_settings)} regions"):
        return observe(ports)


def _explain_why_not(snapshot: Snapshot, application: str, place: str, output: Output) -> None:
    with working("solving"):
        answer = why_not(snapshot, application, place)
    if not answer.offers:
        raise fail(Exit.BAD_INPUT, f"no offer with GPUs begins with {place}; `skerry offers` lists them")
    if output is Output.JSON:
        answer_json(why_not_json(answer))
        return
    for line in why_not_lines(answer, application):
        console().print(line)


def why_not_json(answer: WhyNot) -> dict[str, Any]:
    """Return the answer."""
    return {
        "place": answer.place,
        "used": answer.is_used,
        "offers": answer.offers,
        "refused_offers": dict(answer.causes),
        "costs_more_usd_per_hour": _dollars(answer.costs_more),
        "cheapest": None if answer.cheapest is None else str(answer.cheapest.key),
    }


def why_not_lines(answer: WhyNot, application: str) -> list[str]:
    """Return the answer in words."""
    lines = [
        f"{answer.place}: {words.CAUSES[cause]}: {count} of {answer.offers} offers" for cause, count in answer.causes
    ]
    if answer.is_used:
        return [*lines, f"{answer.place} is used by {application}."]
    if answer.cheapest is None:
        return [*lines, f"{application} may use none of them."]
    cheapest = f"the cheapest there is {answer.cheapest.key} at {answer.cheapest.price.per_hour}/h"
    if answer.costs_more is None:
        return [*lines, f"{application} cannot run there and keep every rule of the spec; {cheapest}."]
    if answer.costs_more == Usd():
        return [*lines, f"It would do as well: running one replica there costs no more; {cheapest}."]
    return [*lines, f"Running one replica there costs {answer.costs_more}/h more; {cheapest}."]


def _explain_what_if(snapshot: Snapshot, change: str, output: Output) -> None:
    try:
        with working("solving"):
            answer = what_if(snapshot, change)
    except NoSuchFieldError as error:
        raise fail(Exit.BAD_INPUT, str(error)) from error
    if output is Output.JSON:
        answer_json(what_if_json(answer))
        return
    for line in what_if_lines(answer, change):
        console().print(line)


def what_if_json(answer: WhatIf) -> dict[str, Any]:
    """Return the answer."""
    return {
        "before_usd_per_hour": _dollars(answer.before.per_hour),
        "after_usd_per_hour": _dollars(answer.after.per_hour),
        "difference_usd_per_hour": _dollars(answer.difference),
        "machines": dict(answer.moved),
        "problems": words.problems(answer.after.placement),
    }


def what_if_lines(answer: WhatIf, change: str) -> list[str]:
    """Return the answer in words."""
    difference = answer.difference
    if difference is None:
        problems = words.problems((answer.before if answer.after.is_whole else answer.after).placement)
        when = "As it is" if answer.after.is_whole else f"With {change}"
        after = f"With {change} it could, for {answer.after.per_hour}/h." if answer.after.is_whole else ""
        return [f"{when} not everything can be kept.", *problems, *([after] if after else [])]
    way = "more" if difference.micros > 0 else "less"
    how_much = "the same" if not difference.micros else f"{Usd(abs(difference.micros))}/h {way}"
    costs = f"{answer.after.per_hour}/h instead of {answer.before.per_hour}/h"
    lines = [f"With {change}: {costs}, {how_much}, bought from scratch."]
    return lines + [f"  {count:+d} {key}" for key, count in answer.moved]


def _explain_placement(snapshot: Snapshot, application: str, output: Output) -> None:
    with working("solving"):
        made = decide(snapshot)
        resilience = price_of_resilience(snapshot)
        whole = made.placement.is_whole
        rules = rule_prices(snapshot, application) if whole else ()
        limits = bindings(snapshot) if whole else ()
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
        "rules": [{"rule": rule.path, "says": rule.words, "usd_per_hour": cost.dollars} for rule, cost in rules],
        "limits": [{"limit": b.words, "more": b.more, "saves_usd_per_hour": b.saves.dollars} for b in limits],
        "conflict": as_json.conflict_json(conflicting),
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
    for line in [*price_lines(rules, limits), *text.conflict_lines(conflicting)]:
        screen.print(line)
    for cause, count in mine["refused_offers"].items():
        screen.print(f"not considered: {count} offers, {words.CAUSES[cause]}")
    for line in words.problems(made.placement):
        screen.print(line, style="bold red")


def price_lines(rules: tuple[tuple[Rule, Usd], ...], limits: tuple[Binding, ...]) -> list[str]:
    """Return what rules cost, and what more of what is used up would save."""
    lines = [f"{rule.words}: costs {cost}/h" for rule, cost in rules]
    return lines + [f"{b.words}: used up; {b.more} would save {b.saves}/h" for b in limits]


def _dollars(value: Usd | None) -> float | None:
    return None if value is None else value.dollars
