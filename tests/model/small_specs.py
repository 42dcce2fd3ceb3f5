"""Small specs and markets, at random: everything that a decision may have to keep, and much that cannot be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from state.model.catalog import Market, Offer, Quota
from state.model.ids import RegionId
from state.model.settings import SolveBudget
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_machine, a_spec, an_offer, application, cells, wanted, with_heads

REGIONS = ("aws/us-east-1", "aws/eu-west-1", "azure/eastus", "gcp/us-central1", "gcp/europe-west4")
PLACES = ("US", "EU", "aws", "gcp", "aws/us-east-1", "azure/eastus")
PROOF = SolveBudget(exact_nodes=100_000, gap=1e-7)
SEARCH = SolveBudget(exact_applications=0)


T = TypeVar("T")


class Draw:
    """Random choices that a seed repeats."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed)

    def random(self) -> float:
        return float(self._numbers.random())

    def randint(self, low: int, high: int) -> int:
        return int(self._numbers.integers(low, high + 1))

    def uniform(self, low: float, high: float) -> float:
        return float(self._numbers.uniform(low, high))

    def choice(self, values: Sequence[T]) -> T:
        return values[self.randint(0, len(values) - 1)]

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        return [values[int(n)] for n in self._numbers.permutation(len(values))[:count]]


@dataclass(frozen=True)
class Case:
    """A snapshot of nothing yet, and the seed that it came from."""

    seed: int
    snapshot: Snapshot


def a_case(seed: int, budget: SolveBudget = PROOF) -> Case:
    """Return a market and a spec of one to four applications."""
    draw = Draw(seed)
    regions = sorted(draw.sample(REGIONS, draw.randint(2, 5)))
    offers = tuple(offer for region in regions for offer in _offers(draw, region))
    spec = a_spec(
        draw.choice((1000, 1000, 1000, 30, 12, 6)),
        **{f"app-{n}": _application(draw) for n in range(draw.choice((1, 1, 2, 2, 3, 4)))},
    )
    quotas = tuple(
        Quota(RegionId(region), "gpu", draw.choice((Market.ON_DEMAND, Market.SPOT)), draw.randint(2, 12), 0, "gpus")
        for region in regions
        if draw.random() < 0.2
    )
    snapshot = Snapshot(
        NOON,
        wanted(spec),
        offers=with_heads(*offers),
        quotas=quotas,
        cell_settings=cells(*regions),
        solve_budget=budget,
    )
    return Case(seed, snapshot)


def _offers(draw: Draw, region: str) -> list[Offer]:
    found = []
    price = round(draw.uniform(0.5, 2), 2)
    for gpus in draw.sample((1, 2, 4, 8, 3, 6), draw.choice((1, 1, 2))):
        stock = draw.choice((None, 1, 2, 3, 5, 9))
        base = an_offer(region, str(round(price * gpus, 2)), gpus=gpus, stock=stock)
        machine = replace(a_machine("L4", gpus, 8 * gpus, 32 * gpus))
        found.append(replace(base, machine=machine))
        if draw.random() < 0.4:
            spot = an_offer(region, str(round(0.4 * price * gpus, 2)), gpus=gpus, market=Market.SPOT, stock=stock)
            found.append(replace(spot, machine=machine))
        if draw.random() < 0.15:
            held = an_offer(region, "0.05", gpus=gpus, market=Market.RESERVED, stock=draw.randint(1, 3))
            found.append(replace(held, machine=machine))
    return found


def _application(draw: Draw) -> dict[str, Any]:
    by_rate = draw.random() < 0.3
    shapes = [_shape(draw, by_rate=by_rate) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    demand: dict[str, Any] = {"replicas": draw.randint(1, 8)}
    if by_rate:
        demand = {"requests_per_second": draw.choice((5, 12, 20.5, 33))}
    changes: dict[str, Any] = {"demand": demand, "shapes": shapes, "priority": draw.choice((100, 100, 100, 50))}
    changes["survive"] = {
        "any": draw.choice(("none", "none", "region", "region", "provider", "zone")),
        "share": draw.choice((1, 1, 0.5, 0.67, 0.55, round(draw.randint(1, 100) / 100, 2))),
        "replacement_credit": draw.choice((0, 0, 0, 0.3, 0.5, 1)),
    }
    changes["market"] = {
        "spot": draw.choice(("never", "never", "allowed", "preferred")),
        "on_demand_floor": draw.choice((0, 0, 0, 0.3, 0.5)),
        "survive_spot_loss": draw.choice((0, 0, 0, 0.5)),
    }
    changes["regions"] = {
        "min": draw.choice((1, 1, 1, 1, 2, 3)),
        "max_share": draw.choice((1, 1, 1, 0.5, 0.67)),
        "floors": {draw.choice(PLACES): draw.randint(1, 3)} if draw.random() < 0.15 else {},
        "shares": {draw.choice(PLACES): draw.choice(({"min": 0.3}, {"max": 0.4}))} if draw.random() < 0.2 else {},
    }
    return application(**changes)


def _shape(draw: Draw, *, by_rate: bool) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "gpu": "L4",
        "count": draw.choice((1, 1, 1, 2, 4, 0.5, 0.25, 0.6, 0.3, 0.2)),
        "cpus": draw.choice((1, 1, 1, 2, 3, 9)),
        "memory_gib": draw.choice((0, 0, 0, 10, 24)),
    }
    if draw.random() < 0.08:
        shape["machines"] = 2
    if by_rate:
        shape["requests_per_second"] = draw.choice((2.5, 4, 7))
    return shape
