"""Where a spec cannot be kept: the smallest set of requirements that conflict, and the cheapest ways out. Pure.

A set conflicts if it cannot be kept even with every other requirement given up. Sets are tried by size, so the first
that conflicts is a smallest one; beyond a number of questions the rest is found by leaving requirements out one after
the other (a deletion filter; Chinneck, Feasibility and Infeasibility in Optimization, 2008), which is minimal too.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, islice

from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.rules import Requirement, RequirementKind, changed, requirements, without
from state.model.placement import Placement, Unit
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec
from state.model.units import MILLI, Usd

QUESTIONS_MAX = 120


class WayOutKind(StrEnum):
    """How a spec is changed so that it can be kept."""

    GIVE_UP = "give_up"
    """Without the requirements."""
    RAISE_BUDGET = "raise_budget"
    """With the budget of the requirement."""
    LOWER = "lower"
    """With the demands and shares of the requirements."""


@dataclass(frozen=True, slots=True)
class WayOut:
    """A change of the spec that resolves a conflict, and what the fleet costs then."""

    kind: WayOutKind
    requirements: tuple[Requirement, ...]
    per_hour: Usd


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why not everything can be kept, given what is sold, in stock and within quota."""

    requirements: tuple[Requirement, ...]
    """A smallest set, the demands that are not met last; only those where demand exceeds supply."""
    ways_out: tuple[WayOut, ...]
    """Cheapest first."""


def conflict(snapshot: Snapshot) -> Conflict | None:
    """Return what conflicts, or None where everything can be kept."""
    base = from_scratch(snapshot)
    if snapshot.wanted is None or base.is_whole:
        return None
    spec = snapshot.wanted.spec
    known = requirements(spec)
    demands = tuple(
        Requirement(RequirementKind.DEMAND, u.application, u.demand_milli / MILLI, unit=u.unit)
        for u in base.placement.unmet
    )
    return Conflict((*_smallest(snapshot, spec, known), *demands), _ways_out(snapshot, spec, known, base.placement))


def _smallest(snapshot: Snapshot, spec: CapacitySpec, known: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    sets = (chosen for size in range(len(known) + 1) for chosen in combinations(known, size))
    for chosen in islice(sets, QUESTIONS_MAX):
        if not _holds(snapshot, spec, known, chosen):
            return chosen
    kept = known
    for requirement in known:
        fewer = tuple(r for r in kept if r is not requirement)
        if not _holds(snapshot, spec, known, fewer):
            kept = fewer
    return kept


def _holds(
    snapshot: Snapshot, spec: CapacitySpec, known: tuple[Requirement, ...], chosen: tuple[Requirement, ...]
) -> bool:
    """Return whether everything can be kept with only some of the requirements."""
    for requirement in known:
        if requirement not in chosen:
            spec = without(requirement, spec)
    return from_scratch(snapshot, spec).is_whole


def _ways_out(
    snapshot: Snapshot, spec: CapacitySpec, known: tuple[Requirement, ...], placement: Placement
) -> tuple[WayOut, ...]:
    found = []
    for requirement in known:
        cost = from_scratch(snapshot, without(requirement, spec)).per_hour
        if cost is None:
            continue
        if requirement.kind is RequirementKind.BUDGET:
            raised = Requirement(RequirementKind.BUDGET, amount=cost.dollars)
            found.append(WayOut(WayOutKind.RAISE_BUDGET, (raised,), cost))
        else:
            found.append(WayOut(WayOutKind.GIVE_UP, (requirement,), cost))
    lowered = _lowered(snapshot, spec, placement)
    found += [] if lowered is None else [lowered]
    if not found:
        for pair in islice(combinations(known, 2), QUESTIONS_MAX):
            cost = from_scratch(snapshot, without(pair[1], without(pair[0], spec))).per_hour
            if cost is not None:
                found.append(WayOut(WayOutKind.GIVE_UP, pair, cost))
    return tuple(sorted(found, key=lambda way: (way.per_hour, way.kind, [r.path for r in way.requirements])))


def _lowered(snapshot: Snapshot, spec: CapacitySpec, placement: Placement) -> WayOut | None:
    """Return how far demands, or shares that must survive, must be lowered, all else kept; None where that fails."""
    lower: dict[str, Requirement] = {}
    for short in placement.unmet:
        left = (short.demand_milli - short.missing_milli) / MILLI
        left = int(left) if short.unit is Unit.REPLICAS else left
        lower[f"applications.{short.application}.demand.{_FIELDS[short.unit]}"] = Requirement(
            RequirementKind.DEMAND, short.application, left, unit=short.unit
        )
    for line in placement.certificate:
        if not line.holds:
            path = f"applications.{line.application}.survive.share"
            demand = spec.applications[line.application].demand.milli
            share = int(1000 * line.remaining_milli / demand) / 1000
            if path not in lower or share < (lower[path].amount or 0.0):
                lower[path] = Requirement(RequirementKind.SURVIVE, line.application, share, (line.kind,))
    if not lower or any(not requirement.amount for requirement in lower.values()):
        return None
    for path, requirement in lower.items():
        spec = changed(spec, path, requirement.amount)
    cost = from_scratch(snapshot, spec).per_hour
    return None if cost is None else WayOut(WayOutKind.LOWER, tuple(lower.values()), cost)


_FIELDS = {Unit.REPLICAS: "replicas", Unit.REQUESTS_PER_SECOND: "requests_per_second"}
