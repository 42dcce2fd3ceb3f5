"""The exact program and the search against brute force, on tiny problems with every kind of rule."""

import os
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scheduler.solve.assemble import (
    ApplicationRequirements,
    Bounds,
    Floor,
    PruningLimits,
    ShapeRequirements,
    Table,
    assemble,
)
from scheduler.solve.bound import lagrangean_bound, paid_back
from scheduler.solve.highs import Unsolved, minimise
from scheduler.solve.problem import NO_DOMAIN, PPM, PROVIDER, REGION, ZONE, IntArray, Problem
from scheduler.solve.program import build
from scheduler.solve.search import engine
from scheduler.solve.solution import Solution, broken_rules, objective
from state.model.settings import SolveBudget

REGIONS = 3
EXAMPLES = int(os.environ.get("SKERRY_EXAMPLES", "120"))
NO_HEADS = np.zeros(REGIONS, np.int64)

groups = st.lists(
    st.tuples(
        st.integers(0, 4),  # zone; two of them share region 0, and two a provider
        st.integers(1, 30),  # tenths of a dollar
        st.integers(0, 3),  # stock
        st.sampled_from((1, 2, 4)),  # GPUs
        st.booleans(),  # spot
        st.sampled_from((1, 1, 2)),  # least purchase
    ),
    min_size=2,
    max_size=3,
)
requirements = st.fixed_dictionaries(
    {
        "demand": st.integers(1, 5),
        "kind": st.sampled_from((NO_DOMAIN, ZONE, REGION, PROVIDER)),
        "share": st.sampled_from((0.5, 1.0)),
        "on_demand": st.sampled_from((0, 0, 1)),
        "spot_left": st.sampled_from((0, 0, 1)),
        "max_share": st.sampled_from((PPM, PPM, 600_000)),
        "min_regions": st.sampled_from((1, 1, 2)),
        "floor": st.sampled_from((0, 0, 1)),
        "gpu_milli": st.sampled_from((500, 1000, 2000)),
        "machines": st.sampled_from((1, 1, 1, 2)),
    }
)


@dataclass(frozen=True)
class Drawn:
    sold: list[tuple[int, int, int, int, bool, int]]
    applications: list[dict[str, Any]]
    quota: int | None
    head: int

    @property
    def region(self) -> list[int]:
        return [max(0, zone - 1) % REGIONS for zone, *_ in self.sold]

    @property
    def provider(self) -> list[int]:
        return [min(1, region) for region in self.region]


drawn = st.builds(
    Drawn,
    groups,
    st.lists(requirements, min_size=1, max_size=2),
    st.sampled_from((None, None, 2, 4)),
    st.sampled_from((0, 100_000)),
)


def whole(values: list[int]) -> IntArray:
    return np.array(values, np.int64)


def problem(d: Drawn) -> Problem:
    count = len(d.sold)
    table = Table(
        gpu=whole([0] * count),
        gpus=whole([gpus * 1000 for *_, gpus, _, _ in d.sold]),
        gpu_memory=np.full(count, 24.0),
        vcpus=np.full(count, 64.0),
        memory=np.full(count, 256.0),
        price=whole([tenths * 100_000 for _, tenths, *_ in d.sold]),
        start=whole([0] * count),
        low=whole([0] * count),
        high=whole([stock for _, _, stock, *_ in d.sold]),
        existing=whole([0] * count),
        min_batch=whole([min_batch for *_, min_batch in d.sold]),
        zone=whole([zone for zone, *_ in d.sold]),
        region=whole(d.region),
        provider=whole(d.provider),
        is_spot=np.array([spot for *_, spot, _ in d.sold]),
        risk=np.zeros(count),
        is_zoneless=np.zeros(count, np.bool_),
    )
    applications = [
        ApplicationRequirements(
            shapes=(ShapeRequirements(frozenset({0}), a["gpu_milli"], 1000, machines=a["machines"]),),
            demand=a["demand"] * 1000,
            weight=1e6,
            regions=np.ones(REGIONS, np.bool_),
            spot=True,
            kind=a["kind"],
            required=0 if a["kind"] == NO_DOMAIN else round(a["demand"] * a["share"] * 1000),
            spot_left=a["spot_left"] * 1000,
            on_demand=a["on_demand"] * 1000,
            share_ppm=a["max_share"],
            min_regions=a["min_regions"],
            floors=(Floor(0, a["floor"] * 1000),) if a["floor"] else (),
        )
        for a in d.applications
    ]
    quotas = () if d.quota is None else ((d.quota, ((0, d.sold[0][3]), (1, d.sold[1][3]))),)
    places = np.zeros((1, REGIONS), np.bool_)
    places[0, 0] = True
    return assemble(table, applications, Bounds(NO_HEADS + d.head, places, 1 << 60, quotas), PruningLimits())


def keeps_rules(d: Drawn, a: dict[str, Any], counts: dict[int, int]) -> bool:
    """Whether one application's replicas, by group, keep its requirements; written from the spec's words alone."""
    total = sum(counts.values())
    by_zone: dict[int, int] = {}
    by_region: dict[int, int] = {}
    by_provider: dict[int, int] = {}
    spot: dict[int, int] = {}
    for g, n in counts.items():
        for where, key in (
            (by_zone, d.sold[g][0]), (by_region, d.region[g]), (by_provider, d.provider[g]),
        ):  # fmt: skip
            where[key] = where.get(key, 0) + n
        if d.sold[g][4]:
            spot[d.region[g]] = spot.get(d.region[g], 0) + n
    none: dict[int, int] = {}
    domains = {NO_DOMAIN: none, ZONE: by_zone, REGION: by_region, PROVIDER: by_provider}[a["kind"]]
    required = a["demand"] * a["share"] if a["kind"] != NO_DOMAIN else 0
    return (
        total >= a["demand"]
        and total >= required
        and all(total - lost >= required for lost in domains.values())
        and all(total - lost >= a["spot_left"] for lost in spot.values())
        and total - sum(spot.values()) >= a["on_demand"]
        and all(n <= a["max_share"] / PPM * total + 1 for n in by_region.values())
        and sum(n > 0 for n in by_region.values()) >= a["min_regions"]
        and by_region.get(0, 0) >= a["floor"]
    )


def machines(d: Drawn, g: int, placed: list[tuple[dict[str, Any], int]]) -> int:
    """How many machines of a group carry replicas: gangs take theirs whole, and parts are powers of two."""
    gpus = d.sold[g][3]
    whole = sum(a["machines"] * n for a, n in placed if a["machines"] > 1)
    milli = sum(a["gpu_milli"] * n for a, n in placed if a["machines"] == 1)
    needed = whole + -(-milli // (gpus * 1000))
    return max(needed, d.sold[g][5]) if needed else 0


def choices(d: Drawn) -> list[tuple[int, int, int]]:
    """(application, group, most replicas)"""
    found = []
    for n, a in enumerate(d.applications):
        for g, (_, _, stock, gpus, _, _) in enumerate(d.sold):
            replicas_max = stock // a["machines"] if a["machines"] > 1 else stock * gpus * 1000 // a["gpu_milli"]
            if a["gpu_milli"] <= gpus * 1000 and replicas_max:
                found.append((n, g, min(replicas_max, 2 * a["demand"] + 1)))
    return found


def brute_force(d: Drawn) -> int | None:
    """The least cost in micro-dollars over all counts, or None where no counts will do."""
    best: int | None = None
    options = choices(d)
    if np.prod([replicas_max + 1 for *_, replicas_max in options], initial=1) > 30_000:
        return -1
    for counts in product(*(range(replicas_max + 1) for *_, replicas_max in options)):
        placed: dict[int, dict[int, int]] = {n: {} for n in range(len(d.applications))}
        for (n, g, _), count in zip(options, counts, strict=True):
            if count:
                placed[n][g] = count
        if not all(keeps_rules(d, a, placed[n]) for n, a in enumerate(d.applications)):
            continue
        y = [
            machines(d, g, [(a, placed[n].get(g, 0)) for n, a in enumerate(d.applications)]) for g in range(len(d.sold))
        ]
        if any(count > d.sold[g][2] for g, count in enumerate(y)):
            continue
        if d.quota is not None and y[0] * d.sold[0][3] + y[1] * d.sold[1][3] > d.quota:
            continue
        cost = sum(count * d.sold[g][1] * 100_000 for g, count in enumerate(y))
        cost += d.head * len({d.region[g] for g, count in enumerate(y) if count})
        best = cost if best is None else min(best, cost)
    return best


@given(drawn)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_exact_program_is_as_good_as_brute_force(d: Drawn) -> None:
    best = brute_force(d)
    assume(best != -1)
    p = problem(d)
    program, columns = build(p, NO_HEADS)

    point = minimise(program, SolveBudget(gap=1e-6))

    assert (point is Unsolved.INFEASIBLE) == (best is None)
    assert point is not Unsolved.UNDECIDED
    if not isinstance(point, Unsolved) and best is not None:
        answer = Solution(
            np.array([point.count(c) for c in columns.replicas], np.int64),
            np.array([point.count(c) for c in columns.machines], np.int64),
            0.0,
        )
        assert broken_rules(p, answer) == []
        assert objective(p, answer) == best


@given(drawn)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_search_keeps_every_rule_and_reports_what_is_short(d: Drawn) -> None:
    best = brute_force(d)
    assume(best != -1)
    p = problem(d)

    solution = engine.cold(p, engine.Schedule(20, 1, 0, 60)).solution

    assert broken_rules(p, Solution(solution.placed, solution.machines, None)) == []
    is_whole = bool((solution.short == 0).all())
    for n, a in enumerate(d.applications):
        mine = {
            int(p.group[j]): int(solution.placed[j]) for j in range(p.first[n], p.first[n + 1]) if solution.placed[j]
        }
        assert keeps_rules(d, a, mine) == (solution.short[n] == 0)
    if best is None:
        assert not is_whole
    elif is_whole:
        assert objective(p, Solution(solution.placed, solution.machines, None)) >= best


@given(drawn)
@settings(max_examples=max(EXAMPLES // 10, 5), deadline=None)
def test_equal_problems_have_equal_answers(d: Drawn) -> None:
    one, other = (engine.cold(problem(d), engine.Schedule(20, 1, 0, 60)).solution for _ in range(2))

    assert (one.placed == other.placed).all() and (one.machines == other.machines).all()


@given(drawn)
@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_the_lagrangean_bound_lies_below_every_placement(d: Drawn) -> None:
    best = brute_force(replace(d, head=0))
    assume(best not in {None, -1})
    assert best is not None
    p = problem(replace(d, head=0))
    search = engine.cold(p, engine.Schedule(20, 1, 0, 1))

    paid, _ = lagrangean_bound(p, search.prices, range(p.applications))

    assert paid - paid_back(p, search.prices) <= best * (1 + 1e-6) + 1


@given(drawn, st.integers(0, REGIONS - 1))
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_after_a_loss_without_effect_nothing_moves_that_moving_does_not_pay(d: Drawn, dead: int) -> None:
    p = problem(d)
    before = engine.cold(p, engine.Schedule(20, 1, 0, 60)).solution
    left = np.where(p.region[p.group] == dead, 0, before.placed)
    machines_left = np.where(p.region == dead, 0, before.machines)
    after = p._replace(
        current=left, high=np.where(p.region == dead, 0, p.high), existing=machines_left,
        start_replica=np.full(p.applications, 100_000_000, np.int64),
    )  # fmt: skip

    again = engine.keep_existing_and_repair(after, 40).solution

    assert broken_rules(after, Solution(again.placed, again.machines, None)) == []
    assert (again.placed[p.region[p.group] == dead] == 0).all()
    missed = bool(before.short.any())
    for n, a in enumerate(d.applications):
        pairs = range(int(p.first[n]), int(p.first[n + 1]))
        missed = missed or not keeps_rules(d, a, {int(p.group[j]): int(left[j]) for j in pairs if left[j]})
    if not missed:
        assert (again.placed <= left).all()
