"""explain: why an application stands where it stands, why not elsewhere, and what if."""

from dataclasses import dataclass
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import show
from scheduler.cli.session import console, opened, working
from scheduler.explain.binding import Binding, bindings, rule_prices
from scheduler.explain.conflict import Conflict, conflict
from scheduler.explain.counterfactual import Counterfactual
from scheduler.explain.resilience import price_of_resilience
from scheduler.explain.rules import Rule
from scheduler.explain.what_if import NoSuchFieldError, WhatIf, what_if
from scheduler.explain.why_not import WhyNot, why_not
from scheduler.observe.snapshot import observe
from scheduler.ports import Ports
from scheduler.tick import decide
from state.model.snapshot import Snapshot
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about an application."""

    application: str
    why_not: str | None = None
    what_if: str | None = None


def explain(question: Question, output: Output) -> None:
    """Answer a question about an application."""
    _, ports = opened()
    current = ports.store.wanted()
    if current is None:
        raise fail(Exit.NOT_NOW, "nothing is wanted; `skerry apply` first")
    application = question.application
    if application not in current.spec.applications:
        raise fail(Exit.BAD_INPUT, f"no application {application}; there are {', '.join(current.spec.applications)}")
    with working("looking at the clouds"):
        snapshot = observe(ports)
    if question.why_not is not None:
        _explain_why_not(snapshot, application, question.why_not, output)
    elif question.what_if is not None:
        _explain_what_if(snapshot, question.what_if, output)
    else:
        _explain_placement(snapshot, ports, application, output)


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
    lines = [f"{answer.place}: {cause}: {count} of {answer.offers} offers" for cause, count in answer.causes]
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
        "problems": show.problems_lines(answer.after.placement),
    }


def what_if_lines(answer: WhatIf, change: str) -> list[str]:
    """Return the answer in words."""
    difference = answer.difference
    if difference is None:
        problems = show.problems_lines((answer.before if answer.after.is_whole else answer.after).placement)
        when = "As it is" if answer.after.is_whole else f"With {change}"
        after = f"With {change} it could, for {answer.after.per_hour}/h." if answer.after.is_whole else ""
        return [f"{when} not everything can be kept.", *problems, *([after] if after else [])]
    way = "more" if difference.micros > 0 else "less"
    words = "the same" if not difference.micros else f"{Usd(abs(difference.micros))}/h {way}"
    lines = [f"With {change}: {answer.after.per_hour}/h instead of {answer.before.per_hour}/h, {words}, bought afresh."]
    return lines + [f"  {count:+d} {key}" for key, count in answer.moved]


def _explain_placement(snapshot: Snapshot, ports: Ports, application: str, output: Output) -> None:
    with working("solving"):
        made = decide(snapshot, ports)
        resilience = price_of_resilience(snapshot)
        whole = Counterfactual(made.placement).is_whole
        rules = rule_prices(snapshot, application) if whole else ()
        limits = bindings(snapshot) if whole else ()
        conflicting = None if whole else conflict(snapshot)
    facts = show.placement_json(made.placement)
    mine = {
        "application": application,
        "replicas": [r for r in facts["replicas"] if r["application"] == application],
        "machines": facts["machines"],
        "certificate": [line for line in facts["certificate"] if line["application"] == application],
        "refused_offers": {cause: n for app, cause, n in made.placement.refusals if app == application},
        "unmet": [u for u in facts["unmet"] if u["application"] == application],
        "violations": [text for text in facts["violations"] if text.startswith(f"{application}:")],
        "resilience_usd_per_hour": show.resilience_json(resilience),
        "rules": [{"rule": rule.path, "says": rule.words, "usd_per_hour": cost.dollars} for rule, cost in rules],
        "limits": [{"limit": b.words, "more": b.more, "saves_usd_per_hour": b.saves.dollars} for b in limits],
        "conflict": conflict_json(conflicting),
    }
    if output is Output.JSON:
        answer_json(mine)
        return
    screen = console()
    for r in mine["replicas"]:
        market = "spot" if r["spot"] else "on demand"
        screen.print(f"{r['count']} x {r['capacity_each']:g} in {r['region']} on {r['instance_type']}, {market}")
    screen.print()
    screen.print(show.machines_table(made.placement))
    screen.print()
    screen.print(show.certificate_table(made.placement))
    screen.print(show.resilience_line(resilience))
    for line in [*price_lines(rules, limits), *conflict_lines(conflicting)]:
        screen.print(line)
    for cause, count in mine["refused_offers"].items():
        screen.print(f"not considered: {count} offers, {cause}")
    for line in show.problems_lines(made.placement):
        screen.print(line, style="bold red")


def price_lines(rules: tuple[tuple[Rule, Usd], ...], limits: tuple[Binding, ...]) -> list[str]:
    """Return what rules cost, and what more of what is used up would save."""
    lines = [f"{rule.words}: costs {cost}/h" for rule, cost in rules]
    return lines + [f"{b.words}: used up; {b.more} would save {b.saves}/h" for b in limits]


def conflict_json(found: Conflict | None) -> dict[str, Any] | None:
    """Return what conflicts and the ways out; None where nothing does."""
    if found is None:
        return None
    return {
        "requirements": list(found.requirements),
        "ways_out": [{"change": way.words, "usd_per_hour": way.per_hour.dollars} for way in found.ways_out],
    }


def conflict_lines(found: Conflict | None) -> list[str]:
    """Return what conflicts and the ways out, in words."""
    if found is None:
        return []
    lines = ["These cannot be kept together:", *(f"  {words}" for words in found.requirements)]
    if not found.ways_out:
        return [*lines, "No single change would do."]
    return [*lines, "What would do, cheapest first:", *(f"  {w.words}: {w.per_hour}/h" for w in found.ways_out)]


def _dollars(value: Usd | None) -> float | None:
    return None if value is None else value.dollars
