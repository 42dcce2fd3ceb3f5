"""The command line: exit codes, what goes where, and how soon `--help` answers."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from scheduler.cli.reference import reference
from scheduler.documents.spec_forms import spec_schema
from scheduler.embedded.local import locked_home
from tests.cli_in_process import ROOT
from tests.cli_process import EXAMPLE, skerry


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
    assert (ROOT / "docs" / "reference" / "spec.md").read_text() == reference(), "`make docs` writes it"


def test_a_valid_spec_is_reported_as_valid(tmp_path: Path) -> None:
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


def test_a_wrong_spec_is_reported_with_file_and_line_and_exit_code_2(tmp_path: Path) -> None:
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


def test_wrong_settings_are_reported_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("tick_seconds: soon\n")

    ran = skerry(tmp_path, "status")

    assert ran.code == 2
    assert "settings.yaml:1: tick_seconds" in ran.err


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
    with locked_home(tmp_path):
        ran = skerry(tmp_path, "demo")

    assert ran.code == 1
    assert "another demo runs in" in ran.err


def test_local_up_does_not_overwrite_settings_for_real_clouds(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("tick_seconds: 10\n")

    ran = skerry(tmp_path, "local", "up")

    assert ran.code == 3
    assert "is for real clouds" in ran.err
    assert (tmp_path / "settings.yaml").read_text() == "tick_seconds: 10\n"
