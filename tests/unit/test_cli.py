"""The command line: exit codes, what goes where, and how soon `--help` answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml

from scheduler.cli.reference import reference
from scheduler.documents.spec_file import load_wanted
from scheduler.documents.spec_forms import spec_schema
from scheduler.embedded.local import Pace, alone_in, provider_settings
from state.store.sql import SqlStore
from tests.builders import NOON
from tests.conformance.clouds import embedded_clouds

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "chat" / "capacity.yaml"


@dataclass
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> object:
        return json.loads(self.out)


def skerry(home: Path, *arguments: str) -> Ran:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_")} | {"SKERRY_HOME": str(home)}
    command = [sys.executable, "-m", "scheduler.cli.main", *arguments]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose clouds answer, and whose machines only pretend to run."""
    folder = tmp_path_factory.mktemp("home")
    with embedded_clouds(folder / "clouds", "sk-any") as clouds:
        scene = tuple(clouds.embedded.world.scene.values())
        settings = {
            "providers": provider_settings(clouds.addresses, scene, Pace().cloud_timeout),
            "cells": {region.id: {"head_address": region.head_address} for region in scene},
            "price_catalog": str(ROOT / "providers" / "emulator" / "catalog"),
            "embedded": {
                "control": clouds.addresses["control"],
                "control_token_file": clouds.addresses["control_token_file"],
                "host_folder": str(folder / "host"),
            },
        }
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
        yield folder


def test_the_examples_validate_against_the_printed_schema(tmp_path: Path) -> None:
    schema = skerry(tmp_path, "schema").json()

    assert schema == json.loads(json.dumps(spec_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
    documents = [d for path in (ROOT / "examples").rglob("*.yaml") for d in yaml.safe_load_all(path.read_text())]
    kinds = [document.get("kind") for document in documents if "apiVersion" in document]
    assert {None, "Fleet", "Application"} <= set(kinds)
    for document in documents:
        is_valid = jsonschema.Draft202012Validator(schema).is_valid(document)  # type: ignore[arg-type]
        assert is_valid is ("apiVersion" in document)


def test_the_reference_is_what_the_models_say() -> None:
    assert (ROOT / "docs" / "spec.md").read_text() == reference(), "`make docs` writes it"


def test_a_valid_spec_is_said_to_be(tmp_path: Path) -> None:
    ran = skerry(tmp_path, "validate", str(EXAMPLE), "--output", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json() == {"valid": True, "fleet": "chat", "applications": ["chat"], "warnings": []}


def test_a_folder_is_shown_resolved_with_where_each_value_comes_from(tmp_path: Path) -> None:
    folder = EXAMPLE.parents[1] / "fleet"

    text = skerry(tmp_path, "validate", str(folder), "--show")
    answer = skerry(tmp_path, "validate", str(folder), "--show", "--output", "json").json()

    assert (text.code, text.err) == (0, "")
    shown = yaml.safe_load(text.out)
    assert list(shown["applications"]) == ["assistant", "search"]
    assert isinstance(answer, dict)
    assert answer["resolved"] == shown
    assert answer["origins"]["applications.search.survive.any"]["from"] == "defaults"


def test_what_has_no_effect_is_warned_of_on_standard_error_and_in_json(tmp_path: Path) -> None:
    scaled = "      - name: Chat\n        autoscaling_config: {max_replicas: 3}"
    serve = (EXAMPLE.parent / "serve.yaml").read_text().replace("      - name: Chat", scaled)
    (tmp_path / "serve.yaml").write_text(serve)
    (tmp_path / "capacity.yaml").write_text(EXAMPLE.read_text())

    text = skerry(tmp_path, "validate", str(tmp_path / "capacity.yaml"))
    answer = skerry(tmp_path, "validate", str(tmp_path / "capacity.yaml"), "--output", "json").json()

    assert text.code == 0
    assert f"{tmp_path}/serve.yaml:8: warning: chat: autoscaling of deployment Chat is not used" in text.err
    assert isinstance(answer, dict)
    [warning] = answer["warnings"]
    assert (warning["kind"], warning["line"], warning["subject"]) == ("autoscaling_ignored", 8, "Chat")


def test_a_wrong_spec_is_told_with_file_and_line_and_exit_code_2(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("replicas", "replica").replace("fleet: chat", "flet: chat"))

    ran = skerry(tmp_path, "validate", str(wrong))

    assert ran.code == 2
    assert ran.out == ""
    assert f"{wrong}:3: flet: is not a field of this document; did you mean fleet?" in ran.err


def test_without_a_cloud_commands_say_what_to_do(tmp_path: Path) -> None:
    ran = skerry(tmp_path, "plan", str(EXAMPLE))

    assert ran.code == 2
    assert "skerry local up" in ran.err


def test_wrong_settings_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("tick_seconds: soon\n")

    ran = skerry(tmp_path, "status")

    assert ran.code == 2
    assert "settings.yaml:1: tick_seconds" in ran.err


@pytest.mark.clouds
def test_a_plan_is_priced_explained_and_certified(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE), "--output", "json")

    assert ran.code == 0, ran.err
    plan = json.loads(ran.out)
    assert len({m["offer"].split("/")[0] for m in plan["placement"]["machines"]}) == 3
    assert all(m["reason"] for m in plan["placement"]["machines"])
    assert all(line["holds"] for line in plan["placement"]["certificate"])
    costs = plan["resilience_usd_per_hour"]
    assert costs["none"] < costs["region"] <= costs["provider"]
    assert plan["changes"] is True
    assert plan["converged"] is False


@pytest.mark.clouds
def test_a_plan_for_people_says_the_same(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE))

    assert ran.code == 0
    for text in ("Machines, $", "Survivability certificate", "What resilience costs per hour", "rank 1 of"):
        assert text in ran.out


@pytest.mark.clouds
def test_a_plan_that_is_not_possible_now_exits_with_3(home: Path, tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text((EXAMPLE.parent / "serve.yaml").read_text())
    (tmp_path / "c.yaml").write_text(EXAMPLE.read_text().replace("max_usd_per_hour: 25", "max_usd_per_hour: 0.5"))

    ran = skerry(home, "plan", str(tmp_path / "c.yaml"))

    assert ran.code == 3
    assert "NO PLACE for" in ran.out
    assert "These cannot be kept together:" in ran.out
    assert "raise the budget to $" in ran.out


@pytest.mark.clouds
def test_an_exact_plan_says_what_is_proven(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE), "--exact", "--output", "json")

    assert json.loads(ran.out)["placement"]["gap"] <= 0.01
    assert json.loads(ran.out)["conflict"] is None


@pytest.mark.clouds
def test_explanations_answer_from_what_is_wanted_and_refuse_wrong_questions(home: Path, tmp_path: Path) -> None:
    mine = tmp_path / "home"
    mine.mkdir()
    (mine / "settings.yaml").write_text((home / "settings.yaml").read_text())
    assert skerry(mine, "explain", "chat").code == 3
    SqlStore(f"sqlite:///{mine}/skerry.db").want(load_wanted(EXAMPLE), "test", NOON)

    whole = skerry(mine, "explain", "chat", "--output", "json").json()
    change = "applications.chat.survive.any=none"
    what_if = skerry(mine, "explain", "chat", "--what-if", change, "--output", "json").json()
    why_not = skerry(mine, "explain", "chat", "--why-not", "gcp/us-central1")

    assert isinstance(whole, dict) and isinstance(what_if, dict)
    costs = {rule["rule"]: rule["usd_per_hour"] for rule in whole["rules"]}
    assert costs["applications.chat.survive"] > 0
    assert what_if["difference_usd_per_hour"] == pytest.approx(-costs["applications.chat.survive"])
    assert why_not.code == 0 and "gcp/us-central1" in why_not.out
    assert skerry(mine, "explain", "chat", "--what-if", "applications.chat.market.spott=never").code == 2
    assert skerry(mine, "explain", "chat", "--why-not", "moon/sea-1").code == 2
    assert skerry(mine, "explain", "nobody").code == 2


@pytest.mark.clouds
def test_offers_are_filtered_and_sorted(home: Path) -> None:
    ran = skerry(home, "offers", "--gpu", "a100", "--market", "on_demand", "--sort", "price", "--output", "json")

    offers = json.loads(ran.out)
    assert ran.code == 0
    assert {o["gpu"] for o in offers} == {"A100-80GB"}
    prices = [o["usd_per_hour"] for o in offers]
    assert prices == sorted(prices)
    assert all(o["price_source"] and o["price_age_days"] >= 0 for o in offers)
    assert skerry(home, "offers", "--sort", "luck").code == 2
    assert skerry(home, "offers", "--market", "black").code == 2


@pytest.mark.clouds
def test_apply_does_nothing_unless_told_to(home: Path) -> None:
    ran = skerry(home, "apply", str(EXAMPLE))

    assert ran.code == 2
    assert "say --yes" in ran.err
    assert json.loads(skerry(home, "status", "--output", "json").out)["instances"] == []


@pytest.mark.clouds
def test_commands_about_a_fleet_that_is_not_there_say_so(home: Path) -> None:
    assert skerry(home, "explain", "chat").code == 3
    assert skerry(home, "events", "--output", "json").json() == []
    assert skerry(home, "drill", "list", "--output", "json").json() == []
    assert skerry(home, "drill", "show", "drill-x").code == 2
    assert skerry(home, "drill", "region", "aws/us-east-1").code == 3
    assert skerry(home, "drill", "region", "aws/nowhere").code == 2
    assert skerry(home, "drill", "region", "aws/us-east-1", "--mode", "wild").code == 2


def test_help_loads_no_sdk_no_ray_and_no_solver() -> None:
    code = (
        "import sys; import scheduler.cli.main; "
        "bad = {'boto3', 'google.cloud.compute_v1', 'azure.mgmt.compute', 'ray', 'highspy', 'gpuhunt', 'sqlmodel'}; "
        "sys.exit(len(bad & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "command", ["demo", "plan", "apply", "status", "explain", "daemon", "drill", "local", "destroy"]
)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    ran = skerry(tmp_path, command, "--help")

    assert ran.code == 0
    assert "Usage:" in ran.out


def test_local_down_with_nothing_running_is_done(tmp_path: Path) -> None:
    assert skerry(tmp_path, "local", "down").code == 0
    assert json.loads(skerry(tmp_path, "local", "status", "--output", "json").out)["running"] is False


def test_a_second_demo_in_the_same_home_does_not_end_the_first(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        ran = skerry(tmp_path, "demo")

    assert ran.code == 1
    assert "another demo runs in" in ran.err


def test_local_up_does_not_overwrite_settings_for_real_clouds(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("tick_seconds: 10\n")

    ran = skerry(tmp_path, "local", "up")

    assert ran.code == 3
    assert "is for real clouds" in ran.err
    assert (tmp_path / "settings.yaml").read_text() == "tick_seconds: 10\n"


def test_faults_are_put_in_force_listed_and_ended(home: Path) -> None:
    put = skerry(home, "local", "fault", "call", "throttle", "--region", "aws/us-east-1", "--times", "2")
    listed = skerry(home, "local", "fault", "list", "-o", "json").json()
    ended = skerry(home, "local", "fault", "clear", "-o", "json").json()

    assert put.code == 0
    assert isinstance(listed, dict)
    assert [(rule["kind"], rule["cloud"], rule["times"]) for rule in listed["faults"]] == [("throttle", "aws", 2)]
    assert ended == {"cleared": 1}


def test_a_fault_that_makes_no_sense_is_refused(home: Path, tmp_path: Path) -> None:
    wrong = skerry(home, "local", "fault", "stock", "aws/us-east-1", "nowhere", "g6.xlarge", "0")
    nothing = skerry(tmp_path, "local", "fault", "lists", "--lag", "5")

    assert (wrong.code, nothing.code) == (2, 3)
    assert "there is no zone nowhere" in wrong.err
    assert "`skerry local up` starts them" in nothing.err
