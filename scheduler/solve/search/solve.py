"""solve_by_search: a posed problem to counts that keep every hard rule, the budget and real packing included."""

from dataclasses import replace

import numpy as np

from scheduler.solve.exact import head_prices
from scheduler.solve.formulate import Formulation
from scheduler.solve.packing import misfit, without
from scheduler.solve.search.engine import cold, schedule_for, warm
from scheduler.solve.search.insert import SearchState
from scheduler.solve.search.merge import MERGED_APPLICATIONS, merged
from scheduler.solve.search.solution_state import apply_delta
from scheduler.solve.solution import Solution, spent
from state.model.spec import CapacitySpec


def solve_by_search(formulation: Formulation, spec: CapacitySpec, scale: float) -> tuple[Formulation, Solution]:
    """Return an answer near the optimum, and the problem that it answers: pairs are dropped where packing fails."""
    while True:
        p = formulation.problem
        schedule = schedule_for(p, scale)
        if p.current.any():
            search = warm(p, schedule)
        elif p.applications <= MERGED_APPLICATIONS:
            search = merged(p, head_prices(formulation), scale)
        else:
            search = cold(p, schedule)
        keep_to_budget(formulation, search)
        solution = search.solution
        stays = misfit(formulation, spec, solution.placed, solution.machines)
        if stays is None:
            return formulation, Solution(solution.placed.copy(), solution.machines.copy(), None)
        formulation = replace(formulation, problem=without(p, stays))


def keep_to_budget(formulation: Formulation, search: SearchState) -> None:
    """Take replicas off until the budget holds: those of the lowest priority first, the dearest of them first."""
    p, solution = formulation.problem, search.solution
    heads = head_prices(formulation)

    def over() -> bool:
        return spent(p, Solution(solution.placed, solution.machines, None), heads) > p.budget

    if not over():
        return
    unit = p.price[p.group] * p.size / p.capacity_per_replica
    for a in np.argsort(p.weight, kind="stable"):
        pairs = np.arange(p.first[a], p.first[a + 1])
        for j in sorted(pairs[solution.placed[pairs] > 0], key=lambda j: -unit[j]):
            had = int(solution.placed[j])
            apply_delta(p, solution, int(a), int(j), -had)
            if over():
                continue
            for _ in range(had):  # as many of these as the budget allows
                apply_delta(p, solution, int(a), int(j), 1)
                if over():
                    apply_delta(p, solution, int(a), int(j), -1)
                    break
            return
