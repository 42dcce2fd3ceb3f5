"""`skerry plan`: what it shows, and its answer where nothing can be offered."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.errors import DeniedError, ShortageError
from scheduler.cli.render import as_json, text, words
from scheduler.cli.render.explain_report import report_parts
from scheduler.cli.render.obstacles import EMBEDDED_DOWN
from scheduler.explain.obstacles import ObstacleKind
from scheduler.observe import observe
from scheduler.service.explaining import explain_application, explain_what_if, explain_why_not
from scheduler.service.planning import plan_snapshot, plan_spec
from scheduler.service.reports import PlanReport
from scheduler.service.snapshots import write_snapshot
from scheduler.simulation.world import World, wanted
from state.model.catalog import ShortageKind
from state.model.ids import ApplicationName, provider_of
from state.model.placement import RefusalCause
from tests.builders import a_spec, an_offer, application
from tests.cli_process import EXAMPLE, embedded_home, other_spec, skerry


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with embedded_home(folder):
        yield folder


@pytest.mark.clouds
def test_a_plan_is_priced_explained_and_certified(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE), "--output", "json")

    assert ran.code == 0, ran.err
    plan = json.loads(ran.out)
    assert len({m["offer"].split("/")[0] for m in plan["placement"]["machines"]}) == 3
    assert all(m["message"] for m in plan["placement"]["machines"])
    assert all(line["holds"] for line in plan["placement"]["certificate"])
    costs = plan["resilience_usd_per_hour"]
    assert costs["none"] < costs["region"] <= costs["provider"]
    assert plan["changes"] is True
    assert plan["converged"] is False


@pytest.mark.clouds
def test_a_plan_as_text_shows_the_same(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE))

    assert ran.code == 0
    for part in ("Machines, $", "Survivability certificate", "What resilience costs per hour", "rank 1 of"):
        assert part in ran.out


@pytest.mark.clouds
def test_a_plan_that_is_not_possible_now_exits_with_3(home: Path, tmp_path: Path) -> None:
    ran = skerry(home, "plan", str(other_spec(tmp_path, ("max_usd_per_hour: 25", "max_usd_per_hour: 0.5"))))

    assert ran.code == 3
    assert "chat: unmet demand 16 of 16 requests/s: " in ran.out
    assert "chat: violates regions.min: 0 of 2 regions" in ran.out
    assert "These cannot be kept together:" in ran.out
    assert "raise the budget to $" in ran.out


@pytest.mark.clouds
def test_an_exact_plan_states_what_is_proven(home: Path) -> None:
    ran = skerry(home, "plan", str(EXAMPLE), "--exact", "--output", "json")

    assert json.loads(ran.out)["placement"]["gap"] <= 0.01
    assert json.loads(ran.out)["conflict"] is None


@pytest.mark.clouds
def test_autoscaling_that_a_plan_ignores_is_warned_of_with_file_and_line(home: Path, tmp_path: Path) -> None:
    spec = other_spec(tmp_path)
    serve = spec.parent / "serve.yaml"
    serve.write_text(
        serve.read_text().replace("- name: Chat", "- name: Chat\n        autoscaling_config: {max_replicas: 3}")
    )

    shown = skerry(home, "plan", str(spec))
    [warning] = json.loads(skerry(home, "plan", str(spec), "--output", "json").out)["warnings"]

    assert shown.code == 0
    assert f"{serve}:8: warning: chat: autoscaling of deployment Chat is not used" in shown.err
    assert (warning["file"], warning["line"], warning["application"]) == (str(serve), 8, "chat")


@pytest.mark.clouds
def test_after_the_embedded_clouds_stopped_a_plan_reports_that_they_do_not_run(tmp_path: Path) -> None:
    assert skerry(tmp_path, "local", "up").code == 0
    assert skerry(tmp_path, "local", "down").code == 0

    shown = skerry(tmp_path, "plan", str(EXAMPLE))
    answer = json.loads(skerry(tmp_path, "plan", str(EXAMPLE), "--output", "json").out)

    assert shown.code == 3
    assert "no provider answered:" in shown.out
    reason = (
        r"aws/eu-central-1, aws/us-east-1: offers and machines could not be read: 127.0.0.1:\d+ refuses the connection"
    )
    assert len(re.findall(f"^  {reason}$", shown.out, re.MULTILINE)) == 1
    assert "the embedded clouds do not run; `skerry local up` starts them" in shown.out
    for misleading in ("Machines", "optimum", "No single change", "cannot be kept together", "violates"):
        assert misleading not in shown.out
    assert [line for line in shown.err.splitlines() if not line.startswith("reading ")] == []
    [obstacle] = answer["obstacles"]
    assert obstacle["kind"] == "no_provider_answered"
    assert {"region": "gcp/us-central1", "read": "offers"}.items() <= obstacle["failures"][-1].items()
    assert answer["conflict"] is None
    applied = skerry(tmp_path, "apply", str(EXAMPLE), "--yes", "--output", "json")
    done = json.loads(applied.out)
    assert (applied.code, done["changed"], done["converged"]) == (3, False, False)
    assert "no offers could be read: nothing was changed" in applied.err
    listed = skerry(tmp_path, "offers", "--output", "json")
    assert (listed.code, listed.json()) == (3, [])
    assert "no provider answered: the embedded clouds do not run; `skerry local up` starts them" in listed.err


def shown(report: PlanReport) -> str:
    return "\n".join(str(part) for part in text.report_parts(report, are_embedded_down=False))


def test_a_model_that_nothing_has_is_named_with_those_that_are_sold() -> None:
    world = World(an_offer(gpu="A100-80GB"), an_offer(gpu="L4"))

    report = plan_spec(world.ports, wanted(a_spec(chat=application(shapes=[{"gpu": "A100-8GB"}]))))

    [obstacle] = report.obstacles
    assert obstacle.kind is ObstacleKind.GPU_NOT_SOLD
    assert as_json.report_json(report)["converged"] is False
    assert (
        shown(report)
        == "chat: no provider offers A100-8GB (did you mean A100-80GB?); `skerry offers` lists what is sold"
    )


def test_one_application_without_offers_hides_no_other_ones_machines() -> None:
    world = World(an_offer(gpu="L4"))
    both = a_spec(chat=application(), other=application(shapes=[{"gpu": "H200"}]))

    report = plan_spec(world.ports, wanted(both))

    assert [obstacle.application for obstacle in report.obstacles] == ["other"]
    assert "other: no provider offers H200; " in shown(report)
    assert any("Table" in type(part).__name__ for part in text.report_parts(report, are_embedded_down=False))


def test_offers_that_are_all_short_are_named_with_reason_and_time() -> None:
    world = World(an_offer())
    world.want(a_spec(chat=application()))
    world.fail_next("aws", *(ShortageError("aws", "launch", "InsufficientInstanceCapacity") for _ in range(3)))
    world.tick()

    report = plan_snapshot(observe(world.ports))

    [obstacle] = report.obstacles
    assert obstacle.kind is ObstacleKind.EVERYTHING_SHORT
    assert {shortage.kind for shortage in obstacle.shortages} == {ShortageKind.STOCK_OUT}
    assert "chat: every offer that fits is short:" in shown(report)
    stock_out = (
        r"aws/us-east-1/a/l4.1/on_demand: out of stock \(.*InsufficientInstanceCapacity\), for [234] minutes more"
    )
    assert re.search(stock_out, shown(report))


def test_a_missing_permission_shows_as_such_and_not_as_a_missing_head() -> None:
    world = World(an_offer("aws/us-east-1"), an_offer("gcp/us-central1", "2"))
    world.want(a_spec(chat=application(regions={"min": 2})))
    world.fail_next("aws", *(DeniedError("aws", "launch", "UnauthorizedOperation") for _ in range(3)))
    world.tick()

    report = plan_snapshot(observe(world.ports))

    refused = {cause: count for _, cause, count in report.plan.placement.refusals}
    assert refused == {RefusalCause.DENIED: 1}
    [region] = {shortage.region for shortage in report.snapshot.shortages}
    assert region == "aws/us-east-1"
    assert words.CAUSES[RefusalCause.DENIED] == "permission denied"


def test_where_only_one_cloud_denies_a_plan_goes_on_and_names_the_regions_it_does_without() -> None:
    world = World(an_offer("aws/us-east-1"), an_offer("gcp/us-central1", "2"))
    world.want(a_spec(chat=application()))
    world.cloud("aws").lose_region(world.settings[0].region)

    report = plan_snapshot(observe(world.ports))

    assert report.obstacles == ()
    assert {failure.region for failure in report.failures} == {"aws/us-east-1"}
    assert "aws/us-east-1: offers and machines could not be read: " in shown(report)
    assert {f["region"] for f in as_json.report_json(report)["failures"]} == {"aws/us-east-1"}
    assert not report.plan.placement.unmet


def silenced(*clouds: str) -> World:
    """Return a world whose fleet stands on L4 at two clouds, of which some answer no more."""
    world = World(an_offer("aws/us-east-1", gpu="L40S"), an_offer("gcp/us-central1", "2", gpu="L4"))
    world.want(a_spec(chat=application()))
    world.converge()
    for settings in world.settings:
        if provider_of(settings.region) in clouds:
            world.cloud(provider_of(settings.region)).silent.add(settings.region)
    return world


def test_where_no_provider_answers_a_standing_fleet_is_not_called_proven() -> None:
    report = plan_snapshot(observe(silenced("aws", "gcp").ports))

    [obstacle] = report.obstacles
    assert obstacle.kind is ObstacleKind.NO_PROVIDER_ANSWERED
    assert report.plan.placement.machines and not report.is_possible
    answer = as_json.report_json(report)
    assert (answer["converged"], report.is_informed) == (False, False)
    assert "no provider answered:" in shown(report)
    assert "optimum" not in shown(report) and "resilience" not in shown(report)


def test_an_explanation_of_a_standing_fleet_reports_that_no_provider_answers() -> None:
    snapshot = observe(silenced("aws", "gcp").ports)

    report = explain_application(snapshot, ApplicationName("chat"))
    lines = [str(part) for part in report_parts(report, snapshot.taken_at, are_embedded_down=True)]

    assert [obstacle.kind for obstacle in report.obstacles] == [ObstacleKind.NO_PROVIDER_ANSWERED]
    assert "no provider answered:" in lines and EMBEDDED_DOWN in lines
    assert not report.is_possible and not any("resilience" in line for line in lines)


def test_questions_about_a_fleet_that_no_provider_answers_for_report_that_first(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    write_snapshot(observe(silenced("aws", "gcp").ports), file)

    why_not = skerry(tmp_path, "explain", "chat", "--snapshot", str(file), "--why-not", "aws/us-east-1")
    what_if = skerry(tmp_path, "explain", "chat", "--snapshot", str(file), "--what-if", "budget.max_usd_per_hour=500")
    both = skerry(tmp_path, "explain", "chat", "--snapshot", str(file), "--what-if", "a=1", "--why-not", "aws")

    assert (why_not.code, what_if.code, both.code) == (3, 3, 2)
    assert "no provider answered:" in why_not.out and "no provider answered:" in what_if.out
    assert "costs" not in why_not.out and "bought from scratch" not in what_if.out
    assert "exclude each other" in both.err


def test_questions_about_a_model_that_nothing_sells_name_it() -> None:
    world = World(an_offer(gpu="L4"))
    world.want(a_spec(chat=application(shapes=[{"gpu": "H200"}])))
    snapshot = observe(world.ports)

    why_not = explain_why_not(snapshot, "chat", "aws/us-east-1")
    what_if = explain_what_if(snapshot, "chat", "budget.max_usd_per_hour=500")

    assert [obstacle.kind for obstacle in why_not.obstacles] == [ObstacleKind.GPU_NOT_SOLD]
    assert what_if.obstacles == why_not.obstacles
    assert not explain_what_if(snapshot, "chat", "applications.chat.shapes.0.gpu=L4").obstacles


def test_a_model_counts_as_not_sold_only_by_providers_that_answered() -> None:
    world = silenced("gcp")
    both = a_spec(chat=application(), other=application(shapes=[{"gpu": "H200"}]))

    report = plan_snapshot(observe(world.ports), wanted(both))

    expected = "other: no provider that answered offers H200; these did not answer: gcp/us-central1 (no answer)"
    assert expected in shown(report)
    assert "no provider answered" not in shown(report)


def test_a_plan_that_leaves_demand_unmet_is_not_called_proven() -> None:
    world = World(an_offer())
    report = plan_spec(world.ports, wanted(a_spec(0.5, chat=application())))

    assert report.plan.placement.unmet and not report.obstacles
    assert "optimum" not in shown(report) and "resilience" not in shown(report)
