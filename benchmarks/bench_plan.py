"""How long a decision takes, by size of the fleet: solve, plan and check apart, from the same snapshots.

Prints milliseconds of CPU time of this process, the best of several runs, since machines are noisy. The floor
is HiGHS itself on the same program, measured in the same run; the rest is ours.
"""

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scheduler.check import check_plan
from scheduler.daemon.solver import prepare_solver
from scheduler.plan import make_plan
from scheduler.solve import solve
from scheduler.solve.exact import head_prices
from scheduler.solve.formulate import formulate
from scheduler.solve.highs import minimise
from scheduler.solve.program import build
from scheduler.solve.supply import build_supply
from state.model.settings import TICK
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_spec, an_offer, application, cells, wanted, with_heads

REGIONS = (
    "aws/eu-central-1",
    "aws/us-east-1",
    "azure/eastus",
    "azure/westeurope",
    "gcp/europe-west4",
    "gcp/us-central1",
)
GPUS = ("L4", "T4", "A100", "H100", "L40S")
SIZES = ((1, 2), (1, 5), (3, 3), (5, 2), (10, 3), (20, 3))
RUNS = 3


def a_snapshot(applications: int, gpus: int) -> Snapshot:
    """Return a fleet of *applications* over six regions, each selling *gpus* models in two zones."""
    offers = with_heads(
        *(
            an_offer(region, str(1 + 0.37 * g + 0.05 * r), gpu=gpu, zone=zone)
            for (r, region), (g, gpu), zone in itertools.product(enumerate(REGIONS), enumerate(GPUS[:gpus]), "ab")
        )
    )
    apps = {
        f"app-{n}": application(
            demand={"replicas": 3 + n % 5}, shapes=[{"gpu": gpu} for gpu in GPUS[:gpus]], survive={"any": "region"}
        )
        for n in range(applications)
    }
    return Snapshot(NOON, wanted(a_spec(100_000, **apps)), offers=offers, cell_settings=cells(*REGIONS))


def best_ms(work: Callable[[], object]) -> float:
    """Return the least CPU time of a few runs, in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1000)
    return min(times)


def measure(applications: int, gpus: int) -> str:
    """Return one row of the table."""
    snapshot = a_snapshot(applications, gpus)
    assert snapshot.wanted is not None  # noqa: S101  a_snapshot has a spec
    spec = snapshot.wanted.spec
    formulation = formulate(snapshot, spec, build_supply(snapshot, spec))
    program, _ = build(formulation.problem, head_prices(formulation))
    placement = solve(snapshot)
    plan = make_plan(placement, snapshot)
    floor = best_ms(lambda: minimise(program, TICK))
    solved = best_ms(lambda: solve(snapshot))
    planned = best_ms(lambda: make_plan(placement, snapshot))
    checked = best_ms(lambda: check_plan(plan, snapshot))
    row = f"{applications:>12} {len(snapshot.offers):>7} {floor:>9.1f} {solved:>9.1f} {solved / floor:>6.2f}"
    return f"{row} {planned:>8.1f} {checked:>9.1f} {(placement.gap or 0.0) * 100:>6.2f}"


def main() -> None:
    """Print the table."""
    prepare_solver()
    print("applications  offers  HiGHS ms  solve ms  ratio  plan ms  check ms  gap %")
    for applications, gpus in SIZES:
        print(measure(applications, gpus), flush=True)


if __name__ == "__main__":
    main()
