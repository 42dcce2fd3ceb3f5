"""solve(snapshot): how many replicas and machines go where, at least cost. Pure."""

from dataclasses import replace

from providers.regions import known_regions
from scheduler.solve.certificate import certificate, violations
from scheduler.solve.exact import solve_exactly
from scheduler.solve.formulate import Formulation, formulate
from scheduler.solve.placement import placement_of
from scheduler.solve.solution import Solution, better
from scheduler.solve.supply import build_supply
from state.model.placement import Placement
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot


def solve(snapshot: Snapshot) -> Placement:
    """Return the cheapest placement that keeps every rule of the spec.

    Where no placement does, the one that serves most, by priority; unmet demand is returned
    with its causes counted. The cost lies at most `gap` above the optimum, where that is known.
    """
    if snapshot.wanted is None:
        return Placement()
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    found = _solution(formulation, snapshot.solve_budget)
    placement = placement_of(snapshot, spec, formulation, found)
    placement = replace(placement, certificate=certificate(spec, placement, formulation))
    return replace(placement, violations=violations(spec, placement, known_regions(snapshot.own_regions)))


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
