"""`skerry status`: what the last tick observed and decided, or what an observation finds now."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from scheduler.cli.render import as_json
from scheduler.service.status import read_status
from scheduler.simulation.world import World
from state.model.ids import ApplicationName
from state.model.snapshot import Wanted
from tests.builders import a_spec, an_offer, application
from tests.cli_process import ROOT, simulated_fleet, skerry


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


@pytest.mark.parametrize(
    ("scaling", "warned"),
    [({"autoscaling_config": {"max_replicas": 3}}, [("autoscaling_ignored", "serve.yaml", "chat")]), ({}, [])],
)
def test_status_warns_while_the_spec_in_force_asks_ray_serve_to_scale(
    scaling: dict[str, object], warned: list[tuple[str, str, str]]
) -> None:
    world = World(an_offer())
    deployment = {"name": "Chat"} | scaling
    entry = {"name": "chat", "route_prefix": "/chat", "import_path": "chat:app", "deployments": [deployment]}
    spec = a_spec(chat=application())
    world.store.want(Wanted(0, spec, ((ApplicationName("chat"), json.dumps(entry)),)), "test", world.clock.now())
    world.tick()

    report = read_status(world.store, world.clock.now())

    assert report is not None
    found = [(w["kind"], w["file"], w["application"]) for w in as_json.status_json(report)["warnings"]]
    assert found == warned
