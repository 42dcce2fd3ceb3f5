"""solve(snapshot): how many replicas and machines are to stand where, at least cost. Pure."""

from dataclasses import replace

from scheduler.solve.certificate import breaches, certificate
from scheduler.solve.feasible import Candidates, candidates
from scheduler.solve.highs import Answer, Program, minimise
from scheduler.solve.packing import misfit
from scheduler.solve.program import Columns, build
from scheduler.solve.read import read_placement
from state.model.plan import Placement, Snapshot, Unplaced
from state.model.spec import CapacitySpec
from state.model.units import MILLI


def solve(snapshot: Snapshot) -> Placement:
    """Return the cheapest placement that keeps every rule of the spec.

    Where no placement does, the one that serves most, by priority; what found no place is returned
    with the causes counted. The cost lies at most `gap` above the optimum.
    """
    if snapshot.wanted is None:
        return Placement()
    spec = snapshot.wanted.spec
    chosen = candidates(snapshot, spec)
    while True:
        program, columns = build(snapshot, spec, chosen)
        answer = _cheapest(spec, program, columns)
        if answer is None:
            return _nothing(spec, chosen)
        bad = misfit(spec, chosen, columns, answer)
        if bad is None:
            break
        chosen = replace(chosen, pairs=tuple(pair for n, pair in enumerate(chosen.pairs) if n not in bad))
    placement = read_placement(snapshot, spec, chosen, columns, answer)
    return replace(placement, certificate=certificate(spec, placement), breaches=breaches(spec, placement))


def _cheapest(spec: CapacitySpec, program: Program, columns: Columns) -> Answer | None:
    """Return the optimum; where the rules cannot all be kept, that of the least breach, by priority.

    First as much demand as possible is served, application by priority class, then as little as
    possible is left exposed; only then is cost looked at.
    """
    answer = minimise(program)
    if answer is not None:
        return answer
    demand = {name: application.demand.milli for name, application in spec.named()}
    for name, short in columns.short.items():
        program.upper[short] = float(demand[name])
        for column in columns.exposed[name]:
            program.upper[column] = float(max(demand[name], MILLI))
    by_priority: dict[int, list[str]] = {}
    for name, application in spec.named():
        by_priority.setdefault(application.priority, []).append(name)
    for priority in sorted(by_priority, reverse=True):
        names = [name for name, _ in spec.named() if name in by_priority[priority]]
        for group in ([columns.short[n] for n in names], [c for n in names for c in columns.exposed[n]]):
            answer = _fixed_at_least(program, group)
            if answer is None:
                return None
    return minimise(program)


def _fixed_at_least(program: Program, breaches: list[int]) -> Answer | None:
    """Make the sum of *breaches* as small as it can be, and keep it there."""
    cost = [0.0] * len(program.cost)
    for column in breaches:
        cost[column] = 1.0
    answer = minimise(program, cost)
    if answer is not None and breaches:
        least = sum(answer.values[column] for column in breaches)
        program.row(dict.fromkeys(breaches, 1.0), at_most=max(0.0, least) * (1 + 1e-9) + 1e-6)
    return answer


def _nothing(spec: CapacitySpec, chosen: Candidates) -> Placement:
    """Return the placement of nothing, with the reasons."""
    unplaced = tuple(
        Unplaced(
            name,
            application.demand.milli,
            application.demand.milli,
            tuple((cause, count) for app, cause, count in chosen.refusals if app == name),
        )
        for name, application in spec.named()
    )
    placement = Placement(unplaced=unplaced, refusals=chosen.refusals)
    return replace(placement, certificate=certificate(spec, placement), breaches=breaches(spec, placement))
