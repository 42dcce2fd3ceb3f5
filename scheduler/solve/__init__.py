"""solve(snapshot): how many replicas and machines are to stand where, at least cost. Pure."""

from dataclasses import replace
from typing import Final

from providers.regions import known_regions
from scheduler.solve.answer import Answer, objective
from scheduler.solve.certificate import ReplacementStock, certificate, violations
from scheduler.solve.exact import solve_exactly
from scheduler.solve.formulate import Formulation, formulate
from scheduler.solve.highs import Work
from scheduler.solve.read import nothing, read_placement
from scheduler.solve.supply import build_supply
from state.model.placement import Placement
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec

EXACT_APPLICATIONS: Final = 25
EXACT_PAIRS: Final = 600
"""Up to these sizes the exact program is solved at once; beyond them the search comes first."""
HOPEFUL: Final = 15
"""Up to so many applications it is worth asking for a proof at all."""


def solve(snapshot: Snapshot) -> Placement:
    """Return the cheapest placement that keeps every rule of the spec.

    Where no placement does, the one that serves most, by priority; what found no place is returned
    with the causes counted. The cost lies at most `gap` above the optimum, where that is known.
    """
    if snapshot.wanted is None:
        return Placement()
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    found = _answered(formulation, spec, snapshot.solve_budget)
    if found is None:
        placement = nothing(spec, formulation)
    else:
        placement = read_placement(snapshot, spec, *found)
        formulation = found[0]
    stock = ReplacementStock.of(snapshot, placement, formulation)
    placement = replace(placement, certificate=certificate(spec, placement, stock))
    return replace(placement, violations=violations(spec, placement, known_regions(snapshot.own_regions)))


def _answered(formulation: Formulation, spec: CapacitySpec, budget: SolveBudget) -> tuple[Formulation, Answer] | None:
    p = formulation.problem
    work = Work(budget.gap, nodes=budget.exact_nodes)
    if p.applications <= EXACT_APPLICATIONS and p.pairs <= EXACT_PAIRS:
        exact = solve_exactly(formulation, spec, work)
        if exact is not None and (exact[1].gap or 0.0) <= 2 * budget.gap:
            return exact
        return _better(exact, _searched(formulation, spec, budget))
    found = _searched(formulation, spec, budget)
    if budget.exact_beyond_small and p.applications <= HOPEFUL and found is not None:
        return _better(solve_exactly(found[0], spec, work, found[1]), found)
    return found


def _searched(formulation: Formulation, spec: CapacitySpec, budget: SolveBudget) -> tuple[Formulation, Answer] | None:
    # Small fleets never pay for loading the compiler.
    from scheduler.solve.search.solve import solve_by_search  # noqa: PLC0415

    return solve_by_search(formulation, spec, budget.search_scale)


def _better(
    one: tuple[Formulation, Answer] | None, other: tuple[Formulation, Answer] | None
) -> tuple[Formulation, Answer] | None:
    """Return the cheaper of two answers; the first where they are equal, or where the second serves less."""
    if one is None or other is None:
        return one or other
    if _served(*other) < _served(*one):
        return one
    if _served(*other) > _served(*one):
        return other
    return one if objective(one[0].problem, one[1]) <= objective(other[0].problem, other[1]) else other


def _served(formulation: Formulation, answer: Answer) -> float:
    """Return what demand is served, each application's at its weight."""
    p = formulation.problem
    carried = answer.replicas * p.each
    served = 0.0
    for a in range(p.applications):
        here = int(carried[int(p.first[a]) : int(p.first[a + 1])].sum())
        served += float(p.weight[a]) * min(here, int(p.demand[a]))
    return served
