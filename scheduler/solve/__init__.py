"""solve(snapshot): how many replicas and machines go where, at least cost. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scheduler.solve.exact import solve_exactly
from scheduler.solve.formulate import Formulation, formulate
from scheduler.solve.placement import placement_of
from scheduler.solve.solution import Solution, better
from scheduler.solve.supply import Supply, build_supply
from state.model.catalog import OfferKey
from state.model.placement import Placement
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Solved:
    """A placement, and the solution that it is made from."""

    placement: Placement
    formulation: Formulation
    solution: Solution


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
    found = _solution(formulation, snapshot.solve_budget)
    return Solved(placement_of(snapshot, spec, formulation, found), formulation, found)


def _keeping(supply: Supply, keep: Mapping[OfferKey, int]) -> Supply:
    """Return the supply with more machines that have to stay."""
    kept = ((g, sum(keep.get(offer.key, 0) for offer in g.offers)) for g in supply.groups)
    return replace(supply, groups=tuple(replace(g, low=max(g.low, min(n, g.existing))) for g, n in kept))


def _solution(formulation: Formulation, budget: SolveBudget) -> Solution:
    p = formulation.problem
    if p.applications <= budget.exact_applications and p.pairs <= budget.exact_pairs:
        exact = solve_exactly(formulation, budget)
        if exact is not None and exact.gap is not None and exact.gap <= 2 * budget.gap:
            return exact
        found = _searched(formulation, budget)
        return found if exact is None else better(p, exact, found)
    found = _searched(formulation, budget)
    if budget.exact_beyond_small and p.applications <= budget.proof_applications:
        exact = solve_exactly(formulation, budget, found)
        return found if exact is None else better(p, exact, found)
    return found


def _searched(formulation: Formulation, budget: SolveBudget) -> Solution:
    # Small fleets never pay for loading the compiler.
    from scheduler.solve.search.solve import solve_by_search  # noqa: PLC0415

    return solve_by_search(formulation, budget.search_scale)
