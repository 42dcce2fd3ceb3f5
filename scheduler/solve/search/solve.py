"""solve_by_search: a posed problem to counts that keep every hard rule, the budget and real packing included."""

from dataclasses import replace

import numpy as np

from scheduler.solve.answer import Answer, spent
from scheduler.solve.exact import head_prices
from scheduler.solve.formulate import Posed
from scheduler.solve.packing import misfit, without
from scheduler.solve.search.engine import cold, usual_work, warm
from scheduler.solve.search.insert import Bench
from scheduler.solve.search.ledger import put
from scheduler.solve.search.merge import MERGED_APPLICATIONS, merged
from state.model.spec import CapacitySpec


def solve_by_search(posed: Posed, spec: CapacitySpec, scale: float) -> tuple[Posed, Answer]:
    """Return an answer near the optimum, and the problem that it answers: pairs are dropped where packing fails."""
    while True:
        p = posed.problem
        work = usual_work(p, scale)
        if p.current.any():
            bench = warm(p, work)
        elif p.applications <= MERGED_APPLICATIONS:
            bench = merged(p, head_prices(posed), scale)
        else:
            bench = cold(p, work)
        keep_to_budget(posed, bench)
        books = bench.books
        stays = misfit(posed, spec, books.placed, books.machines)
        if stays is None:
            return posed, Answer(books.placed.copy(), books.machines.copy(), None)
        posed = replace(posed, problem=without(p, stays))


def keep_to_budget(posed: Posed, bench: Bench) -> None:
    """Take replicas off until the budget holds: those of the lowest priority first, the dearest of them first."""
    p, books = posed.problem, bench.books
    heads = head_prices(posed)

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
