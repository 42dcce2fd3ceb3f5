"""`skerry status`: what the last tick observed and decided, or what an observation finds now."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.cli.render import as_json, problems, text, words
from scheduler.daemon.loop import Daemon
from scheduler.documents.spec_file import load_wanted
from scheduler.observe import observe
from scheduler.service.status import read_status
from scheduler.simulation.world import World
from state.model.ids import PlanId
from state.model.plan import Finding, PlanRule, Severity
from state.store.rows import WANTED
from tests.builders import NOON, a_spec, an_offer, application
from tests.cli_in_process import ROOT
from tests.cli_process import other_spec, simulated_fleet, skerry, store_of


def unreachable_clouds(home: Path) -> None:
    """Write settings for a cloud at an address where nothing listens."""
    home.mkdir(exist_ok=True)
    gcp = {"project": "p", "regions": ["us-central1"], "image": "i", "endpoint": "http://127.0.0.1:9"}
    cells = {"gcp/us-central1": {"head_address": "127.0.0.1"}}
    prices = str(ROOT / "providers" / "emulator" / "catalog")
    settings = {"providers": {"gcp": gcp}, "cells": cells, "price_catalog": prices}
    (home / "settings.yaml").write_text(yaml.safe_dump(settings))


def test_status_shows_the_last_tick_with_its_age_and_calls_no_cloud_unless_asked_to(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path)
    before = skerry(tmp_path, "status")
    world = simulated_fleet(tmp_path)

    last = skerry(tmp_path, "status", "--output", "json").facts()
    shown = skerry(tmp_path, "status")
    now = skerry(tmp_path, "status", "--refresh", "--output", "json").facts()

    assert before.code == 3
    assert "no tick has run yet; start `skerry daemon`, or pass --refresh to observe now" in before.err
    assert last["converged"] is True
    assert last["unreachable"] == []
    assert last["fleet"] == "chat"
    assert last["observed_at"] == (world.clock.now() - timedelta(seconds=10)).isoformat()
    assert isinstance(last["age_seconds"], float) and last["age_seconds"] > 0
    assert {cell["region"] for cell in last["cells"]} == world.routed()  # type: ignore[attr-defined]
    assert shown.code == 0
    assert "fleet chat, daemon not running, observed " in shown.out
    assert now["unreachable"] == ["gcp/us-central1"]
    assert now["age_seconds"] == 0


def test_without_settings_status_gives_the_remedy(tmp_path: Path) -> None:
    ran = skerry(tmp_path / "fresh", "status")

    assert ran.code == 2
    assert "`skerry local up`" in ran.err and "--catalog" in ran.err


def test_the_age_counts_from_the_last_tick_and_names_the_daemon() -> None:
    world = World(an_offer())
    assert read_status(world.store, world.clock.now()) is None
    world.want(a_spec(chat=application()))
    world.tick(timedelta(seconds=30))

    report = read_status(world.store, world.clock.now())

    assert report is not None
    assert (report.age, report.daemon) == (timedelta(seconds=30), "simulation")
    assert as_json.status_json(report)["age_seconds"] == 30


def shown(facts: dict[str, Any]) -> str:
    return "\n".join(str(part) for part in text.status_parts(facts))


def test_unmet_demand_is_shown_as_in_a_plan() -> None:
    world = World(an_offer())
    world.want(a_spec(1.5, chat=application()))
    world.tick()

    report = read_status(world.store, world.clock.now())

    assert report is not None
    [problem] = problems.of_placement(report.plan.placement)
    assert "chat: unmet demand " in problem
    assert problem in shown(as_json.status_json(report))


def test_a_refused_plan_is_shown_until_a_later_tick_is_committed() -> None:
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    world.converge()
    world.want(a_spec(chat=application(demand={"replicas": 3})))
    refused_at = world.clock.now()
    tight = replace(world.ports, limits=replace(world.ports.limits, actions_per_plan=0))
    assert Daemon(tight, timedelta(minutes=1), "simulation").tick_once() is None
    world.clock.sleep(timedelta(seconds=30))

    refused = read_status(world.store, world.clock.now())
    world.tick()
    later = read_status(world.store, world.clock.now())

    assert refused is not None and later is not None
    facts = as_json.status_json(refused)
    assert facts["converged"] is False, "the last committed plan was"
    assert facts["refused"]["at"] == refused_at.isoformat()
    assert [finding["rule"] for finding in facts["refused"]["findings"]] == [PlanRule.ACTIONS_PER_PLAN]
    assert f"the plan of {refused_at:%Y-%m-%d %H:%M:%S} UTC was refused" in shown(facts)
    assert words.RULES[PlanRule.ACTIONS_PER_PLAN] in shown(facts)
    assert as_json.status_json(later)["refused"] is None
    assert "was refused" not in shown(as_json.status_json(later))


def test_where_the_first_plan_was_refused_the_reason_is_given(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path)
    finding = Finding(PlanRule.BUDGET, Severity.ERROR, "")
    store_of(tmp_path).keep_refused(observe(World(an_offer()).ports), (finding,), PlanId("plan-1"), NOON)

    ran = skerry(tmp_path, "status")

    assert ran.code == 3
    assert "no tick has run" not in ran.err
    assert words.RULES[PlanRule.BUDGET] in ran.err


def test_status_and_replayed_plans_warn_of_ignored_autoscaling_with_file_and_line(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path / "home")
    spec = other_spec(tmp_path / "spec")
    serve = spec.parent / "serve.yaml"
    serve.write_text(
        serve.read_text().replace("- name: Chat", "- name: Chat\n        autoscaling_config: {max_replicas: 3}")
    )
    world = World(an_offer(), store=store_of(tmp_path / "home"))
    world.store.want(load_wanted(spec), "test", world.clock.now())
    world.tick()

    shown = skerry(tmp_path / "home", "status")
    [warning] = json.loads(skerry(tmp_path / "home", "status", "--output", "json").out)["warnings"]
    saved = skerry(tmp_path / "home", "snapshot", "save", str(tmp_path / "s.json"))
    replayed = skerry(tmp_path / "fresh", "plan", "--snapshot", str(tmp_path / "s.json"))

    assert shown.err.startswith("serve.yaml:8: warning: chat: autoscaling of deployment Chat is not used")
    assert (warning["file"], warning["line"], warning["application"]) == ("serve.yaml", 8, "chat")
    assert saved.code == 0
    assert "serve.yaml:8: warning: chat: autoscaling of deployment Chat is not used" in replayed.err


@pytest.mark.parametrize(
    ("scaling", "warned"),
    [({"autoscaling_config": {"max_replicas": 3}}, [("autoscaling_ignored", "serve.yaml", None, "chat")]), ({}, [])],
)
def test_a_stored_spec_without_lines_is_warned_of_without_one(
    scaling: dict[str, object], warned: list[tuple[str, str, None, str]]
) -> None:
    world = World(an_offer())
    deployment = {"name": "Chat"} | scaling
    entry = {"name": "chat", "route_prefix": "/chat", "import_path": "chat:app", "deployments": [deployment]}
    spec = a_spec(chat=application())
    old = {"version": 0, "spec": spec.model_dump(mode="json"), "serve_applications": [["chat", json.dumps(entry)]]}
    world.store.want(WANTED.validate_python(old), "test", world.clock.now())
    world.tick()

    report = read_status(world.store, world.clock.now())

    assert report is not None
    found = [(w["kind"], w["file"], w["line"], w["application"]) for w in as_json.status_json(report)["warnings"]]
    assert found == warned
