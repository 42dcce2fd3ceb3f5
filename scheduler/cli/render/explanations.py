"""Explanations to sentences and JSON. Pure."""

from collections.abc import Iterable
from typing import Any, Final, assert_never

from scheduler.cli.render import obstacles, problems, words
from scheduler.explain.binding import Limit, LimitKind
from scheduler.explain.conflict import Conflict, WayOut, WayOutKind
from scheduler.explain.rules import Requirement, RequirementKind
from scheduler.explain.what_if import NoSuchFieldError, QuestionFault, WhatIf
from scheduler.explain.why_not import WhyNot
from state.model.catalog import Quota, QuotaScope
from state.model.ids import provider_of
from state.model.units import Usd

_K = RequirementKind
REQUIREMENTS: Final[dict[RequirementKind, str]] = {
    _K.BUDGET: "the budget of ${amount:g}/h",
    _K.PROVIDERS: "providers limited to or without {names}",
    _K.REGIONS: "regions limited to or without {names}",
    _K.DEMAND: "the demand of {amount:g} {unit}",
    _K.SURVIVE: "{amount:.0%} of the demand carried after the loss of any {names}",
    _K.JURISDICTIONS: "only in {names}",
    _K.LATENCY: "at most {amount:g} ms from its clients",
    _K.MAX_SHARE: "at most {amount:.0%} in one region",
    _K.REGIONS_MIN: "in at least {amount:g} regions",
    _K.FLOORS: "floors in {names}",
    _K.SHARES: "shares of {names}",
    _K.ON_DEMAND_FLOOR: "{amount:.0%} not on spot",
    _K.SURVIVE_SPOT_LOSS: "{amount:.0%} carried after the loss of a region's spot machines",
    _K.SPOT: "never on spot",
}
FAULTS: Final[dict[QuestionFault, str]] = {
    QuestionFault.NO_ASSIGNMENT: "{path}: write a field and a value, such as applications.chat.market.spot=never",
    QuestionFault.UNKNOWN_FIELD: "{path}: the spec has nothing named {detail}; `skerry schema` lists the fields",
    QuestionFault.BAD_VALUE: "{path}={value}: {detail}",
    QuestionFault.NOT_YAML: "{path}: {value!r} is not a YAML value",
}


def requirement(value: Requirement) -> str:
    """Return a requirement of the spec: `chat: only in EU`."""
    text = REQUIREMENTS[value.kind].format(amount=value.amount, names=", ".join(value.names), unit=value.unit)
    return text if value.application is None else f"{value.application}: {text}"


def way_out(value: WayOut) -> str:
    """Return a change that resolves a conflict."""
    match value.kind:
        case WayOutKind.GIVE_UP:
            return f"give up {' and '.join(map(requirement, value.requirements))}"
        case WayOutKind.RAISE_BUDGET:
            return f"raise the budget to {value.per_hour}/h"
        case WayOutKind.LOWER:
            return f"lower to {'; '.join(map(requirement, value.requirements))}"
        case _:
            assert_never(value.kind)


def limit(value: Limit) -> str:
    """Return a quota or stock that is used up, and what one machine more saves."""
    match value.kind, value.quota:
        case LimitKind.QUOTA, quota if quota is not None:
            subject = f"quota {_quota_name(quota)}: {quota.limit} {quota.unit}"
            more = f"one more {value.gpu} machine of quota"
        case _:
            subject, more = f"stock of {value.offer}: {value.limit}", "one more machine"
    return f"{subject}: used up; {more} saves {value.saves}/h"


def _quota_name(quota: Quota) -> str:
    """Return what a quota is of: `of gpu (spot) in a region`; a wide one by its cloud's own name."""
    what = f"of {quota.family}" if quota.family is not None else quota.name or "of everything"
    market = "" if quota.market is None else f" ({quota.market})"
    place = f"{provider_of(quota.region)}'s account" if quota.scope is QuotaScope.ACCOUNT else quota.region
    zone = "" if quota.zone is None else f"/{quota.zone}"
    return f"{what}{market} in {place}{zone}"


def price_lines(rules: Iterable[tuple[Requirement, Usd]], limits: Iterable[Limit]) -> list[str]:
    """Return what requirements cost, and what more of what is used up saves."""
    return [f"{requirement(rule)}: costs {cost}/h" for rule, cost in rules] + [limit(found) for found in limits]


def conflict_lines(found: Conflict | None) -> list[str]:
    """Return what conflicts and the ways out."""
    if found is None:
        return []
    lines = ["These cannot be kept together:", *(f"  {requirement(value)}" for value in found.requirements)]
    lines.append("  what is sold, in stock and within quota")
    if not found.ways_out:
        return [*lines, "No single change resolves it."]
    ways = (f"  {way_out(way)}: {way.per_hour}/h" for way in found.ways_out)
    return [*lines, "Changes that resolve it, cheapest first:", *ways]


def why_not_lines(answer: WhyNot, application: str) -> list[str]:
    """Return why an application does not use a place."""
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
        return [*lines, f"Running one replica there costs no more; {cheapest}."]
    return [*lines, f"Running one replica there costs {answer.costs_more}/h more; {cheapest}."]


def what_if_lines(answer: WhatIf, change: str) -> list[str]:
    """Return what a change of the spec would change."""
    difference = answer.difference
    if difference is None:
        missed = problems.of_placement((answer.before if answer.after.is_whole else answer.after).placement)
        when = "As it is" if answer.after.is_whole else f"With {change}"
        after = f"With {change} it could, for {answer.after.per_hour}/h." if answer.after.is_whole else ""
        return [f"{when} not everything can be kept.", *missed, *([after] if after else [])]
    way = "more" if difference.micros > 0 else "less"
    how_much = "the same" if not difference.micros else f"{Usd(abs(difference.micros))}/h {way}"
    costs = f"{answer.after.per_hour}/h instead of {answer.before.per_hour}/h"
    lines = [f"With {change}: {costs}, {how_much}, bought from scratch."]
    return lines + [f"  {count:+d} {key}" for key, count in answer.moved]


def question_fault(error: NoSuchFieldError) -> str:
    """Return what is wrong with a question, and what to write."""
    return FAULTS[error.fault].format(path=error.path, value=error.value, detail=error.detail)


def requirement_json(value: Requirement) -> dict[str, Any]:
    """Return a requirement, with the fields that apply."""
    facts = {"application": value.application, "amount": value.amount, "unit": value.unit}
    known = {name: fact for name, fact in facts.items() if fact is not None}
    names = {"names": list(value.names)} if value.names else {}
    return {"kind": value.kind, "path": value.path, **known, **names, "message": requirement(value)}


def rule_price_json(rule: Requirement, cost: Usd) -> dict[str, Any]:
    """Return a requirement with what it costs."""
    return requirement_json(rule) | {"usd_per_hour": cost.dollars}


def limit_json(value: Limit) -> dict[str, Any]:
    """Return a limit that is used up."""
    quota = None
    if value.quota is not None:
        found = value.quota
        quota = {
            "scope": found.scope,
            "region": found.region,
            "zone": found.zone,
            "family": found.family,
            "market": found.market,
            "unit": found.unit,
            "name": found.name,
        }
    return {
        "kind": value.kind,
        "offer": str(value.offer),
        "limit": value.limit,
        "quota": quota,
        "saves_usd_per_hour": value.saves.dollars,
        "message": limit(value),
    }


def conflict_json(found: Conflict | None) -> dict[str, Any] | None:
    """Return what conflicts and the ways out; None where nothing does."""
    if found is None:
        return None
    ways_out = [
        {
            "kind": way.kind,
            "requirements": [requirement_json(value) for value in way.requirements],
            "usd_per_hour": way.per_hour.dollars,
            "message": way_out(way),
        }
        for way in found.ways_out
    ]
    return {"requirements": [requirement_json(value) for value in found.requirements], "ways_out": ways_out}


def why_not_json(answer: WhyNot) -> dict[str, Any]:
    """Return why an application does not use a place."""
    return {
        "place": answer.place,
        "used": answer.is_used,
        "offers": answer.offers,
        "refused_offers": dict(answer.causes),
        "costs_more_usd_per_hour": _dollars(answer.costs_more),
        "cheapest": None if answer.cheapest is None else str(answer.cheapest.key),
        "obstacles": [obstacles.obstacle_json(obstacle) for obstacle in answer.obstacles],
    }


def what_if_json(answer: WhatIf) -> dict[str, Any]:
    """Return what a change of the spec would change."""
    return {
        "before_usd_per_hour": _dollars(answer.before.per_hour),
        "after_usd_per_hour": _dollars(answer.after.per_hour),
        "difference_usd_per_hour": _dollars(answer.difference),
        "machines": dict(answer.moved),
        "problems": problems.of_placement(answer.after.placement),
        "obstacles": [obstacles.obstacle_json(obstacle) for obstacle in answer.obstacles],
    }


def _dollars(value: Usd | None) -> float | None:
    return None if value is None else value.dollars
