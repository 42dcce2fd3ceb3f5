"""solve_by_search: a posed problem to counts that keep every hard rule, the budget and real packing included."""

from dataclasses import replace

import numpy as np

from scheduler.solve.answer import Answer, spent
from scheduler.solve.exact import head_prices
from scheduler.solve.formulate import Formulation
from scheduler.solve.packing import misfit, without
from scheduler.solve.search.engine import cold, usual_work, warm
from scheduler.solve.search.insert import SearchState
from scheduler.solve.search.ledger import put
from scheduler.solve.search.merge import MERGED_APPLICATIONS, merged
from state.model.spec import CapacitySpec


def solve_by_search(formulation: Formulation, spec: CapacitySpec, scale: float) -> tuple[Formulation, Answer]:
    """Return an answer near the optimum, and the problem that it answers: pairs are dropped where packing fails."""
    while True:
        p = formulation.problem
        work = usual_work(p, scale)
        if p.current.any():
            bench = warm(p, work)
        elif p.applications <= MERGED_APPLICATIONS:
            bench = merged(p, head_prices(formulation), scale)
        else:
            bench = cold(p, work)
        keep_to_budget(formulation, bench)
        books = bench.books
        stays = misfit(formulation, spec, books.placed, books.machines)
        if stays is None:
            return formulation, Answer(books.placed.copy(), books.machines.copy(), None)
        formulation = replace(formulation, problem=without(p, stays))


def keep_to_budget(formulation: Formulation, bench: SearchState) -> None:
    """Take replicas off until the budget holds: those of the lowest priority first, the dearest of them first."""
    p, books = formulation.problem, bench.books
    heads = head_prices(formulation)

    def over() -> bool:
        return spent(p, Answer(books.placed, books.machines, None), heads) > p.budget

    if not over():
        return
    unit = p.price[p.group] * p.size / p.each
    for a in np.argsort(p.weight, kind="stable"):
        pairs = np.arange(p.first[a], p.first[a + 1])
        for j in sorted(pairs[books.placed[pairs] > 0], key=lambda j: -unit[j]):
            had = int(books.placed[j])
            put(p, books, int(a), int(j), -had)
            if over():
                continue
            for _ in range(had):  # as many of these as the budget allows
                put(p, books, int(a), int(j), 1)
                if over():
                    put(p, books, int(a), int(j), -1)
                    break
            return
