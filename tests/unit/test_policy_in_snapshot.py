"""What tunes a decision is in its snapshot: a changed figure in the file decides otherwise, and the settings set it."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import Settings
from scheduler.observe import observe
from scheduler.service.snapshots import read_snapshot, write_snapshot
from scheduler.simulation.world import World
from scheduler.solve.formulate import formulate
from scheduler.solve.problem import Problem
from scheduler.solve.supply import build_supply
from scheduler.tick import decide
from state.model.catalog import Market, Offer, Shortage, ShortageKind
from state.model.inventory import Role
from state.model.settings import CostModel, ShortagePolicy
from state.model.snapshot import Snapshot
from state.store.memory import MemoryStore
from tests.builders import AT_ONCE, NOON, a_head_offer, a_spec, an_offer, application
from tests.plans import EU, US, a_snapshot, replicas, running

HERE, THERE = an_offer(US, "1"), an_offer(US, "0.8", zone="b")
HEAD = a_head_offer(US)
HELD = (running(HEAD, "sk-h", Role.HEAD), running(HERE, "sk-1"), running(HERE, "sk-2"))
MINUTE = timedelta(minutes=1)


def changed(snapshot: Snapshot, part: str, field: str, value: Any, folder: Path) -> Snapshot:
    """Return a snapshot once it was written to a file, and one figure of the file changed."""
    path = folder / "snapshot.json"
    write_snapshot(snapshot, path)
    content = json.loads(path.read_text())
    assert field in content[part]
    content[part][field] = value
    path.write_text(json.dumps(content))
    return read_snapshot(path)


def workers(snapshot: Snapshot) -> dict[str, int]:
    """Return the machines that replicas are placed on, by zone and market."""
    found: Counter[str] = Counter()
    for machine in decide(snapshot).placement.machines:
        if machine.role is Role.WORKER:
            found[f"{machine.offer.key.zone} {machine.offer.key.market}"] += machine.count
    return dict(found)


def fleet(*offers: Offer, chat: dict[str, Any] | None = None, **facts: Any) -> Snapshot:
    return a_snapshot(HEAD, *offers, chat=chat or application(), **facts)


def ended(minutes_ago: int) -> Shortage:
    end = NOON - minutes_ago * MINUTE
    return Shortage(US, "b", "l4.1", Market.ON_DEMAND, ShortageKind.STOCK_OUT, end - 3 * MINUTE, end)


EXISTING = fleet(HERE, THERE, instances=HELD, cost_model=AT_ONCE)
PLACED = (replicas(HERE, 2, milli_each=1000),)
LOADED = fleet(HERE, THERE, chat=application(weights_gib=100), instances=HELD, placed=PLACED, cost_model=AT_ONCE)
DOUBTFUL = fleet(HERE, replace(an_offer(US, "0.9", zone="b"), stockout_probability=0.5))
SPOT = fleet(HERE, an_offer(US, "0.95", zone="b", market=Market.SPOT), chat=application(market={"spot": "allowed"}))
REPAIRED = fleet(HERE, THERE, shortages=(ended(90),))
A, B, HALF, NEITHER = {"a on_demand": 2}, {"b on_demand": 2}, {"a on_demand": 1, "b on_demand": 1}, dict[str, int]()


@pytest.mark.parametrize(
    ("snapshot", "figure", "value", "before", "after"),
    [
        (EXISTING, "cost_model.move_share", 0.5, B, A),
        (LOADED, "cost_model.payback_hours", 600, A, B),
        (LOADED, "cost_model.egress_usd_per_gib", 0.0002, A, B),
        (EXISTING, "cost_model.hold_hours", 1, B, A),
        (EXISTING, "cost_model.machine_hours_min", 1, B, A),
        (DOUBTFUL, "cost_model.stockout_share", 1.0, B, A),
        (SPOT, "cost_model.interruptions_per_hour", 0.001, A, {"b spot": 2}),
        (SPOT, "cost_model.interruption_hours", 0.1, A, {"b spot": 2}),
        (REPAIRED, "shortage_policy.half_open", "PT2H", B, HALF),
        (REPAIRED, "limits.head_vcpus", 9_999, B, NEITHER),
        (REPAIRED, "limits.head_memory_gib", 9_999, B, NEITHER),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_figure_in_a_snapshot_file_changes_the_decision(
    snapshot: Snapshot, figure: str, value: Any, before: dict[str, int], after: dict[str, int], tmp_path: Path
) -> None:
    part, field = figure.split(".")

    assert workers(snapshot) == before
    assert workers(changed(snapshot, part, field, value, tmp_path)) == after


def problem_of(snapshot: Snapshot) -> Problem:
    assert snapshot.wanted is not None
    return formulate(snapshot, snapshot.wanted.spec, build_supply(snapshot, snapshot.wanted.spec)).problem


def test_the_snapshot_sets_how_many_pairs_stay(tmp_path: Path) -> None:
    offers = [an_offer(US, str(1 + n / 10), zone=f"z{n}") for n in range(9)]
    snapshot = changed(fleet(*offers), "limits", "pairs_unpruned", 8, tmp_path)

    assert problem_of(fleet(*offers)).pairs == 9
    assert problem_of(snapshot).pairs == 3
    assert problem_of(changed(snapshot, "limits", "pairs_per_place", 5, tmp_path)).pairs == 5
    assert problem_of(changed(snapshot, "limits", "pairs_unpruned", 9, tmp_path)).pairs == 9


def test_the_snapshot_sets_what_a_priority_counts(tmp_path: Path) -> None:
    snapshot = a_snapshot(HEAD, HERE, chat=application(priority=1), code=application(priority=2))
    low, high = problem_of(snapshot).weight
    assert high == 30 * low

    low, high = problem_of(changed(snapshot, "cost_model", "priority_factor", 7, tmp_path)).weight
    assert high == 7 * low


NEW = {
    "limits": {
        "pairs_unpruned", "pairs_per_place", "pairs_per_application", "head_vcpus", "head_memory_gib",
        "rolling_update_parts",
    },
    "solve_budget": {"exact_applications", "exact_pairs", "proof_applications"},
}  # fmt: skip


def test_a_snapshot_that_was_stored_before_the_figures_were_in_it_has_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    write_snapshot(EXISTING, path)
    content = json.loads(path.read_text())
    del content["shortage_policy"], content["cost_model"]
    for part, fields in NEW.items():
        content[part] = {name: value for name, value in content[part].items() if name not in fields}
    path.write_text(json.dumps(content))

    assert read_snapshot(path) == replace(EXISTING, cost_model=CostModel())


PATIENT = ShortagePolicy(initial_backoff=20 * MINUTE, max_backoff=20 * MINUTE, jitter=0)
THRIFTY = CostModel(move_share=0.4)


def test_what_is_observed_and_done_uses_the_figures_of_the_snapshot() -> None:
    world = World(an_offer(US), an_offer(EU, "2"))
    world.ports = replace(world.ports, shortage_policy=PATIENT, cost_model=THRIFTY)
    world.want(a_spec())
    world.cloud("aws").stock = {an_offer(US).key: 0}
    world.run(timedelta(minutes=2))

    snapshot = observe(world.ports)

    assert (snapshot.shortage_policy, snapshot.cost_model) == (PATIENT, THRIFTY)
    [refused] = snapshot.shortages
    assert refused.until - refused.since == 20 * MINUTE


def settings(**content: Any) -> Settings:
    return Settings.model_validate({"home": "/nowhere", "database_url": "sqlite://"} | content)


def test_without_settings_the_figures_are_their_defaults() -> None:
    assert settings().shortage_policy == ShortagePolicy()
    assert settings().cost_model == CostModel()


def test_every_figure_can_be_set(tmp_path: Path) -> None:
    lengths = {
        "initial_backoff": 60, "max_backoff": 120, "backoff_multiplier": 3, "jitter": 0.1, "quota_min": 180,
        "reset_after": 240, "urgent_for": 30, "half_open": 300, "recommendation_max": 90, "early_end_max": 420,
        "breaker_after": 2, "breaker_for": 7200, "region_losses_max": 4, "widen_after": 5,
    }  # fmt: skip
    costs = {
        "move_share": 0.3, "stockout_share": 0.1, "urgent_stockout_share": 2, "interruption_hours": 3,
        "interruptions_per_hour": 0.1,
        "egress_usd_per_gib": 0.05, "payback_hours": 12, "priority_factor": 10,
        "hold_hours": 2, "machine_hours_min": 3, "overlap_hours": 0.5,
    }  # fmt: skip

    ports = open_ports(settings(home=str(tmp_path), shortages=lengths, costs=costs), MemoryStore())

    policy = TypeAdapter(ShortagePolicy).validate_python(lengths)
    assert (ports.shortage_policy, ports.cost_model) == (policy, CostModel(**costs))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shortages": {"initial_backoff": 600, "max_backoff": 599}},
        {"shortages": {"half_open": 86_401}},
        {"shortages": {"jitter": 0.6}},
        {"costs": {"move_share": 1.1}},
        {"costs": {"payback_hours": 0}},
        {"costs": {"hold_hours": 169}},
        {"costs": {"machine_hours_min": -1}},
        {"costs": {"overlap_hours": 25}},
        {"costs": {"priority_factor": 31}},
    ],
    ids=str,
)
def test_figures_beyond_their_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)
