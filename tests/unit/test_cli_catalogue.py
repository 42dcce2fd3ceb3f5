"""`skerry plan --catalog`: a priced, survivable plan without account, settings, network or cloud."""

import json
from pathlib import Path

from providers.catalogue.source import packaged_catalogue
from scheduler.cli.render import text
from scheduler.documents.spec_file import load_wanted
from scheduler.explain.obstacles import ObstacleKind
from scheduler.service.catalogue import plan_catalogue
from state.model.ids import provider_of
from tests.builders import NOON
from tests.cli_process import EXAMPLE, other_spec, skerry

OFFLINE = {"GPUHUNT_CATALOG_URL": "http://127.0.0.1:9"}


def test_a_newcomer_gets_a_priced_survivable_plan_in_a_fresh_home(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"

    ran = skerry(fresh, "plan", str(EXAMPLE), "--catalog", HOME=str(tmp_path), **OFFLINE)

    assert ran.code == 0, ran.err
    assert ran.out.startswith("List prices of 2025-03-02 to 2026-08-03, from the dated catalogue of this package")
    for part in ("Stock, quotas and zones are unknown.", "Machines, $", "Survivability certificate", "yes"):
        assert part in ran.out
    assert ran.err.splitlines() == ["reading the price catalogue", "solving"]
    assert not fresh.exists(), "nothing is kept"


def test_its_json_names_the_catalogue_and_its_age(tmp_path: Path) -> None:
    answer = skerry(tmp_path, "plan", str(EXAMPLE), "--catalog", "--output", "json", **OFFLINE).facts()

    catalogue = answer["catalogue"]
    assert isinstance(catalogue, dict)
    expected = {"source": "packaged", "as_of": "2025-03-02", "newest": "2026-08-03"}
    assert expected.items() <= catalogue.items()
    assert 0 < catalogue["offers_considered"] < catalogue["offers_listed"]
    placement = answer["placement"]
    assert isinstance(placement, dict)
    assert placement["usd_per_hour"] > 0 and not placement["unmet"]
    assert placement["certificate"] and all(line["holds"] for line in placement["certificate"])


def test_offers_are_listed_from_the_catalogue_too(tmp_path: Path) -> None:
    ran = skerry(tmp_path, "offers", "--catalog", "--gpu", "H100", "--market", "spot", "--output", "json", **OFFLINE)

    assert ran.code == 0, ran.err
    assert {offer["provider"] for offer in json.loads(ran.out)} == {"gcp"}, "spot prices are those that were observed"
    assert "Stock, quotas and zones are unknown." in ran.err


def test_a_file_and_the_catalogue_exclude_each_other(tmp_path: Path) -> None:
    ran = skerry(tmp_path, "plan", str(EXAMPLE), "--catalog", "--snapshot", "s.json")

    assert ran.code == 2
    assert "--snapshot and --catalog exclude each other" in ran.err


def test_the_specs_providers_and_regions_are_respected(tmp_path: Path) -> None:
    where = "fleet: chat\nproviders: {deny: [gcp]}\nregions: {deny: [aws/us-east-1]}"

    report = plan_catalogue(packaged_catalogue(NOON), load_wanted(other_spec(tmp_path, ("fleet: chat", where))), NOON)

    regions = {machine.offer.key.region for machine in report.plan.placement.machines}
    assert {provider_of(region) for region in regions} <= {"aws", "azure"}
    assert "aws/us-east-1" not in regions
    assert report.plan.placement.is_whole


def test_a_model_that_the_catalogue_lacks_has_its_reason_and_no_misleading_figures(tmp_path: Path) -> None:
    other = other_spec(tmp_path, ("gpu: L4", "gpu: P100"), ("gpu: T4", "gpu: P100"), ("gpu: A100-80GB", "gpu: P100"))

    report = plan_catalogue(packaged_catalogue(NOON), load_wanted(other), NOON)
    shown = "\n".join(str(part) for part in text.report_parts(report, are_embedded_down=False))

    assert [obstacle.kind for obstacle in report.obstacles] == [ObstacleKind.GPU_NOT_SOLD]
    assert "chat: no provider offers P100" in shown
    assert "`skerry offers --catalog` lists what is sold" in shown
    assert "violates" not in shown and "optimum" not in shown
