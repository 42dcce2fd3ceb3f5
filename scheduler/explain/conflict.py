"""Where a spec cannot be kept: the smallest set of requirements that conflict, and the cheapest way out.

A set conflicts if it cannot be kept even with every other requirement given up. Sets are tried by size, so the first
that conflicts is a smallest one; beyond a number of questions the rest is found by leaving requirements out one after
the other (a deletion filter; Chinneck, Feasibility and Infeasibility in Optimization, 2008), which is minimal too.
"""

from dataclasses import dataclass
from itertools import combinations, islice

from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.rules import Rule, changed, rules_of
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec
from state.model.units import MILLI, Usd

QUESTIONS_MAX = 120


@dataclass(frozen=True, slots=True)
class WayOut:
    """A change that would do."""

    words: str
    per_hour: Usd


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why not everything can be kept."""

    requirements: tuple[str, ...]
    """A smallest set, in words; with the supply alone where the demand is simply more than there is."""
    ways_out: tuple[WayOut, ...]
    """Cheapest first."""


def conflict(snapshot: Snapshot) -> Conflict | None:
    """Return what conflicts, or None where everything can be kept."""
    base = from_scratch(snapshot)
    if snapshot.wanted is None or base.is_whole:
        return None
    spec = snapshot.wanted.spec
    rules = rules_of(spec)
    demands = tuple(f"{u.application}: the demand of {u.demand_milli / MILLI:g}" for u in base.placement.unmet)
    found = _smallest(snapshot, spec, rules)
    words = tuple(rule.words for rule in found)
    return Conflict(
        (*words, *demands, "what is sold, in stock and within quota"), _ways_out(snapshot, spec, rules, base.placement)
    )


def _smallest(snapshot: Snapshot, spec: CapacitySpec, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    sets = (chosen for size in range(len(rules) + 1) for chosen in combinations(rules, size))
    for chosen in islice(sets, QUESTIONS_MAX):
        if not _holds(snapshot, spec, rules, chosen):
            return chosen
    kept = rules
    for rule in rules:
        fewer = tuple(r for r in kept if r is not rule)
        if not _holds(snapshot, spec, rules, fewer):
            kept = fewer
    return kept


def _holds(snapshot: Snapshot, spec: CapacitySpec, rules: tuple[Rule, ...], chosen: tuple[Rule, ...]) -> bool:
    """Return whether everything can be kept with only some of the requirements."""
    for rule in rules:
        if rule not in chosen:
            spec = rule.without(spec)
    return from_scratch(snapshot, spec).is_whole


def _ways_out(
    snapshot: Snapshot, spec: CapacitySpec, rules: tuple[Rule, ...], placement: Placement
) -> tuple[WayOut, ...]:
    found = []
    for rule in rules:
        without = from_scratch(snapshot, rule.without(spec)).per_hour
        if without is None:
            continue
        if rule.path == "budget":
            found.append(WayOut(f"raise the budget to {without}/h", without))
        else:
            found.append(WayOut(f"give up: {rule.words}", without))
    found += _less(snapshot, spec, placement)
    if not found:
        for one, other in islice(combinations(rules, 2), QUESTIONS_MAX):
            without = from_scratch(snapshot, other.without(one.without(spec))).per_hour
            if without is not None:
                found.append(WayOut(f"give up both: {one.words}; {other.words}", without))
    return tuple(sorted(found, key=lambda way: (way.per_hour, way.words)))


def _less(snapshot: Snapshot, spec: CapacitySpec, placement: Placement) -> list[WayOut]:
    """Return how far demands, or shares that must survive, would have to be lowered, all else kept."""
    found = []
    lowered = spec
    words = []
    for short in placement.unmet:
        application = spec.applications[short.application]
        left = (short.demand_milli - short.missing_milli) / MILLI
        if left <= 0:
            return []
        unit = "replicas" if application.demand.replicas is not None else "requests_per_second"
        value = int(left) if unit == "replicas" else left
        if value <= 0:
            return []
        lowered = changed(lowered, f"applications.{short.application}.demand.{unit}", value)
        words.append(f"lower the demand of {short.application} to {value:g}")
    for line in placement.certificate:
        if not line.holds:
            share = int(1000 * line.remaining_milli / spec.applications[line.application].demand.milli) / 1000
            if share <= 0:
                return []
            lowered = changed(lowered, f"applications.{line.application}.survive.share", share)
            words.append(f"let {share:.1%} of {line.application} be what a loss must leave")
    cost = from_scratch(snapshot, lowered).per_hour if words else None
    if cost is not None:
        found.append(WayOut("; ".join(dict.fromkeys(words)), cost))
    return found
