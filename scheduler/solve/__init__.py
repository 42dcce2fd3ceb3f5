"""solve(snapshot): how many replicas and machines go where, at least cost. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from providers.regions import known_regions
from scheduler.solve.certificate import ReplacementStock, certificate, violations
from scheduler.solve.exact import solve_exactly
from scheduler.solve.formulate import Formulation, formulate
from scheduler.solve.placement import empty_placement, placement_of
from scheduler.solve.solution import Solution, objective
from scheduler.solve.supply import Supply, build_supply
from state.model.catalog import OfferKey
from state.model.placement import Placement
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec


@dataclass(frozen=True, slots=True)
class Solved:
    """A placement, and the solution that it is made from."""

    placement: Placement
    formulation: Formulation
    solution: Solution | None
    """None where nothing can be placed."""


def solve(snapshot: Snapshot) -> Placement:
    """Return the cheapest placement that keeps every rule of the spec.

    Where no placement does, the one that serves most, by priority; unmet demand is returned
    with its causes counted. The cost lies at most `gap` above the optimum, where that is known.
    """
    return Placement() if snapshot.wanted is None else solved(snapshot).placement


def solved(snapshot: Snapshot, keep: Mapping[OfferKey, int] | None = None) -> Solved:
    """Return the cheapest placement with its solution, for a snapshot in which something is wanted.

    Args:
        snapshot: What is known.
        keep: How many of the machines that exist stay at least, by offer.
    """
    if snapshot.wanted is None:
        msg = "nothing is wanted"
        raise AssertionError(msg)
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, _keeping(build_supply(snapshot, spec), keep or {}))
    found = _solution(formulation, spec, snapshot.solve_budget)
    if found is None:
        placement = empty_placement(spec, formulation)
    else:
        placement = placement_of(snapshot, spec, *found)
        formulation = found[0]
    stock = ReplacementStock.of(snapshot, placement, formulation)
    placement = replace(placement, certificate=certificate(spec, placement, stock))
    placement = replace(placement, violations=violations(spec, placement, known_regions(snapshot.own_regions)))
    return Solved(placement, formulation, None if found is None else found[1])


def _keeping(supply: Supply, keep: Mapping[OfferKey, int]) -> Supply:
    """Return the supply with more machines that have to stay."""
    kept = ((g, sum(keep.get(offer.key, 0) for offer in g.offers)) for g in supply.groups)
    return replace(supply, groups=tuple(replace(g, low=max(g.low, min(n, g.existing))) for g, n in kept))


def _solution(formulation: Formulation, spec: CapacitySpec, budget: SolveBudget) -> tuple[Formulation, Solution] | None:
    p = formulation.problem
    if p.applications <= budget.exact_applications and p.pairs <= budget.exact_pairs:
        exact = solve_exactly(formulation, spec, budget)
        if exact is not None and exact[1].gap is not None and exact[1].gap <= 2 * budget.gap:
            return exact
        return _better(exact, _searched(formulation, spec, budget))
    found = _searched(formulation, spec, budget)
    if budget.exact_beyond_small and p.applications <= budget.proof_applications and found is not None:
        return _better(solve_exactly(found[0], spec, budget, found[1]), found)
    return found


def _searched(formulation: Formulation, spec: CapacitySpec, budget: SolveBudget) -> tuple[Formulation, Solution] | None:
    # Small fleets never pay for loading the compiler.
    from scheduler.solve.search.solve import solve_by_search  # noqa: PLC0415

    return solve_by_search(formulation, spec, budget.search_scale)


def _better(
    one: tuple[Formulation, Solution] | None, other: tuple[Formulation, Solution] | None
) -> tuple[Formulation, Solution] | None:
    """Return the cheaper of two solutions; the first where they are equal, or where the second serves less."""
    if one is None or other is None:
        return one or other
    if _served(*other) < _served(*one):
        return one
    if _served(*other) > _served(*one):
        return other
    return one if objective(one[0].problem, one[1]) <= objective(other[0].problem, other[1]) else other


def _served(formulation: Formulation, solution: Solution) -> float:
    """Return what demand is served, each application's at its weight."""
    p = formulation.problem
    carried = solution.replicas * p.capacity_per_replica
    served = 0.0
    for a in range(p.applications):
        here = int(carried[int(p.first[a]) : int(p.first[a + 1])].sum())
        served += float(p.weight[a]) * min(here, int(p.demand[a]))
    return served
