"""What commands report where no cloud can be read, and small answers that need none."""

from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.cli.fault_commands import named_values
from scheduler.cli.render import as_json, text, words
from scheduler.service.offers import OfferQuery, list_offers
from scheduler.service.planning import destroy_fleet
from scheduler.service.reports import UnknownGpu
from scheduler.simulation.world import World
from state.model.ids import ApplicationName, RegionId
from state.model.placement import Placement
from state.model.plan import Blocked, BlockedReason
from tests.builders import a_spec, an_offer, application
from tests.cli_in_process import skerry
from tests.cli_process import EXAMPLE
from tests.unit.test_cli_status import unreachable_clouds

REGION = "aws/us-east-1"
MINUTES = timedelta(minutes=5)


def test_destroy_is_not_clean_where_no_cloud_can_be_read(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path)

    shown = skerry(tmp_path, "destroy", "--yes")
    answer = skerry(tmp_path, "destroy", "--yes", "--output", "json")

    assert (shown.code, answer.code) == (1, 1)
    assert answer.facts() == {"ended": 0, "left": 0, "leaked": 0, "unreachable": ["gcp/us-central1"]}
    assert "gcp/us-central1: machines could not be read: " in shown.err
    assert "whether machines are left in gcp/us-central1 is unknown; run `skerry destroy` again" in shown.err


def test_a_fleet_is_ended_for_certain_only_where_every_region_was_read() -> None:
    world = World(an_offer(), an_offer("gcp/europe-west4"))
    world.want(a_spec(chat=application()))
    world.converge()
    world.cloud("gcp").silent.add(RegionId("gcp/europe-west4"))

    partly = destroy_fleet(world.ports, MINUTES)
    world.cloud("gcp").silent.clear()
    wholly = destroy_fleet(world.ports, MINUTES)

    assert [failure.region for failure in partly.unreachable] == ["gcp/europe-west4"]
    assert not partly.is_clean
    assert wholly.is_clean and as_json.destroy_json(wholly)["unreachable"] == []


def test_apply_without_any_offers_reports_that_alone(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path)

    shown = skerry(tmp_path, "apply", str(EXAMPLE), "--yes")
    answer = skerry(tmp_path, "apply", str(EXAMPLE), "--yes", "--output", "json")

    assert (shown.code, answer.code) == (3, 3)
    assert shown.err.splitlines()[-1] == "skerry: no offers could be read: nothing was changed"
    nothing = {"changed": False, "spec_version": None, "converged": False, "unmet": None, "violations": None} | {
        "left_out": None
    }
    assert answer.facts() == nothing


def test_a_drill_without_a_spec_in_force_is_refused_for_that(tmp_path: Path) -> None:
    unreachable_clouds(tmp_path)

    ran = skerry(tmp_path, "drill", "region", "gcp/us-central1")

    assert ran.code == 3
    assert "skerry: no spec is in force, so nothing is placed in gcp/us-central1; `skerry apply` first" in ran.err


@pytest.mark.parametrize(
    ("gpu", "unknown"),
    [
        ("a100-8gb", UnknownGpu("a100-8gb", ("A100-80GB",))),
        ("zzz", UnknownGpu("zzz", ())),
        ("a100", None),
        (None, None),
    ],
)
def test_a_gpu_that_nothing_has_is_named_with_similar_ones(gpu: str | None, unknown: UnknownGpu | None) -> None:
    world = World(an_offer(gpu="A100-80GB"), an_offer(gpu="L4"))

    assert list_offers(world.ports, OfferQuery(gpu=gpu, max_price=0.0)).unknown_gpu == unknown


def test_offers_suggest_names_as_a_plan_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUHUNT_CATALOG_URL", "http://127.0.0.1:9")

    ran = skerry(tmp_path, "offers", "--catalog", "--gpu", "H10O")

    assert ran.code == 0
    assert "no provider offers H10O (did you mean H100" in ran.err
    assert "`skerry offers --catalog` lists what is sold" in ran.err


def test_faults_are_listed_in_words() -> None:
    rule = {"kind": "delay", "cloud": "*", "region": None, "times": 2, "is_dated": True, "code": "", "skip": 0}

    assert named_values(rule) == "kind delay, cloud *, times 2, is dated yes"


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert skerry(tmp_path, "--version").out == "skerry 0.1.0\n"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("validate", "{PATH}"),
        ("plan", "[PATH]"),
        ("apply", "{PATH}"),
        ("plan", "--snapshot FILE"),
        ("explain", "{APP}"),
        ("explain", "--what-if FIELD=VALUE"),
        ("offers", "--limit N"),
    ],
)
def test_help_names_arguments_as_the_documents_do(tmp_path: Path, command: str, shown: str) -> None:
    assert shown in skerry(tmp_path, command, "--help").out


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (0.0, "The cost is proven to be the optimum."),
        (1e-5, "The cost is proven to lie at most 0.01% above the optimum."),
        (0.004, "The cost is proven to lie at most 0.40% above the optimum."),
    ],
)
def test_a_cost_without_a_gap_is_the_optimum(gap: float, line: str) -> None:
    assert text.gap_line(Placement(gap=gap)) == line


@pytest.mark.parametrize(("ready", "counted"), [(1, "1 replica"), (2, "2 replicas")])
def test_replicas_above_their_target_are_counted(ready: int, counted: str) -> None:
    value = Blocked(
        BlockedReason.REPLICAS_ABOVE_TARGET,
        region=RegionId(REGION),
        application=ApplicationName("chat"),
        ready=ready,
        target=0,
    )

    assert words.blocked(value) == f"{REGION}: chat has {counted} in its cell, and 0 are planned"


def test_a_fleet_that_did_not_become_stable_is_reported_as_such() -> None:
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    world.converge()

    report = destroy_fleet(world.ports, timedelta())

    assert not report.is_clean
    assert text.destroy_failure(report) == "machines are left; `skerry status --refresh` shows which"
