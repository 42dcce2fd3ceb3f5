"""A snapshot decides alone: another process, hash seed, day and load give the same plan, byte for byte."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scheduler.observe import observe
from scheduler.service.snapshots import SNAPSHOT
from scheduler.tick import decide
from state.model.inventory import Role
from state.model.plan import Plan
from state.model.settings import TICK, SolveBudget
from state.model.snapshot import Snapshot
from tests.builders import a_spec, an_instance, application
from tests.properties.test_world import BUDGET, EVENTS, a_world, happen
from tests.unit.test_solve_whole import a_snapshot, many, supply

ROOT: Final = Path(__file__).parents[2]
PLAN: Final = TypeAdapter(Plan)
SERVER: Final = """
import sys

from pydantic import TypeAdapter

from scheduler.daemon.solver import prepare_solver
from scheduler.service.snapshots import SNAPSHOT
from scheduler.tick import decide
from state.model.plan import Plan

CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep",
          "now", "utcnow", "today", "localtime", "gmtime", "urandom", "random", "getrandbits", "uuid4", "getenv"}
OURS = ("/scheduler/", "/state/", "/providers/", "/inference/")
calls = []


def watch(frame, event, arg):
    if event == "c_call" and arg.__name__ in CLOCKS and any(part in frame.f_code.co_filename for part in OURS):
        calls.append(f"{frame.f_code.co_filename}:{frame.f_lineno} calls {arg.__name__}")


prepare_solver()
plan_of = TypeAdapter(Plan)
for line in sys.stdin.buffer:
    snapshot = SNAPSHOT.validate_json(line)
    sys.setprofile(watch)
    plan = decide(snapshot)
    sys.setprofile(None)
    if calls:
        sys.exit("; ".join(calls))
    sys.stdout.buffer.write(plan_of.dump_json(plan) + b"\\n")
    sys.stdout.buffer.flush()
"""


class Replayer:
    """Another process that decides on snapshots, and fails where deciding reads a clock or draws a number."""

    def __init__(self) -> None:
        home = {name: value for name, value in os.environ.items() if name in {"HOME", "NUMBA_CACHE_DIR"}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd="/",
            env={**home, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4711", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def decide(self, snapshot: Snapshot) -> bytes:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(SNAPSHOT.dump_json(snapshot) + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip(b"\n")

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Replayer]:
    """The other process, with one core busy beside it."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    replayer = Replayer()
    yield replayer
    replayer.close()
    busy.kill()
    busy.wait()


def assert_same_plan(snapshot: Snapshot, elsewhere: Replayer) -> Plan:
    plan = decide(snapshot)

    assert elsewhere.decide(snapshot) == PLAN.dump_json(plan)
    return plan


@given(st.lists(EVENTS, max_size=8), st.integers(0, 3))
@settings(
    max_examples=max(5, int(os.environ.get("SKERRY_EXAMPLES", "50")) // 2),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_a_snapshot_of_any_world_gives_the_same_plan_elsewhere(
    elsewhere: Replayer, events: list[tuple[str, object]], quiet: int
) -> None:
    world = a_world()
    wanted: dict[str, object] = {"demand": {"replicas": 3}, "survive": {"any": "region"}}
    world.want(a_spec(BUDGET, chat=application(**wanted)))
    for kind, what in events:
        happen(world, kind, what, wanted)
        world.tick()
    for _ in range(quiet):
        world.tick()

    assert_same_plan(observe(world.ports), elsewhere)


def running(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The fleet of a plan, all of it running: what the search starts from then."""
    number = count()
    instances = tuple(
        replace(
            an_instance(f"sk-{next(number)}", key=m.offer.key, role=m.role),
            machine=m.offer.machine,
            price_per_hour=m.offer.price.per_hour,
        )
        for m in plan.placement.machines
        for _ in range(m.count)
    )
    return replace(snapshot, instances=instances, placed=plan.placement.replicas)


def test_the_search_gives_the_same_plan_elsewhere_from_nothing_and_from_a_fleet(elsewhere: Replayer) -> None:
    snapshot = a_snapshot(*supply(9), **many(TICK.exact_applications + 10))

    plan = assert_same_plan(snapshot, elsewhere)
    lost = next(m.offer.key.region for m in plan.placement.machines if m.role is Role.WORKER)
    fleet = running(snapshot, plan)
    without = tuple(offer for offer in fleet.offers if offer.key.region != lost)
    left = tuple(instance for instance in fleet.instances if instance.region != lost)
    assert_same_plan(replace(fleet, offers=without, instances=left), elsewhere)


@pytest.mark.parametrize("nodes", [0, 1, 40])
def test_where_nodes_end_first_the_plan_is_the_same_elsewhere(elsewhere: Replayer, nodes: int) -> None:
    sizes: list[dict[str, Any]] = [{"gpu": "L4", "count": n} for n in (3, 2, 1)]
    apps: dict[str, Any] = {
        f"app-{n}": application(demand={"replicas": 2 + 3 * n % 5}, shapes=[sizes[n % 3]], survive={"any": "region"})
        for n in range(9)
    }
    snapshot = replace(a_snapshot(*supply(5), **apps), solve_budget=SolveBudget(exact_nodes=nodes))

    assert_same_plan(snapshot, elsewhere)
