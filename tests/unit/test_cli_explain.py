"""`skerry explain`, `offers` and other questions about a fleet, and the faults of the embedded clouds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.documents.spec_file import load_wanted
from tests.builders import NOON
from tests.cli_process import EXAMPLE, embedded_home, home_beside, skerry, store_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with embedded_home(folder):
        yield folder


@pytest.mark.clouds
def test_explanations_answer_from_what_is_wanted_and_refuse_wrong_questions(home: Path, tmp_path: Path) -> None:
    mine = home_beside(home, tmp_path / "home")
    assert skerry(mine, "explain", "chat").code == 3
    store_of(mine).want(load_wanted(EXAMPLE), "test", NOON)

    whole = skerry(mine, "explain", "chat", "--output", "json").json()
    change = "applications.chat.survive.any=none"
    what_if = skerry(mine, "explain", "chat", "--what-if", change, "--output", "json").json()
    why_not = skerry(mine, "explain", "chat", "--why-not", "gcp/us-central1")

    assert isinstance(whole, dict) and isinstance(what_if, dict)
    costs = {rule["path"]: rule["usd_per_hour"] for rule in whole["rules"]}
    assert costs["applications.chat.survive"] > 0
    assert what_if["difference_usd_per_hour"] == pytest.approx(-costs["applications.chat.survive"])
    assert why_not.code == 0 and "gcp/us-central1" in why_not.out
    assert skerry(mine, "explain", "chat", "--what-if", "applications.chat.market.spott=never").code == 2
    assert skerry(mine, "explain", "chat", "--why-not", "moon/sea-1").code == 2
    assert skerry(mine, "explain", "missing").code == 2


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
def test_commands_about_a_fleet_that_is_not_there_say_so(home: Path) -> None:
    assert skerry(home, "explain", "chat").code == 3
    assert skerry(home, "events", "--output", "json").json() == []
    assert skerry(home, "drill", "list", "--output", "json").json() == []
    assert skerry(home, "drill", "show", "drill-x").code == 2
    assert skerry(home, "drill", "region", "aws/us-east-1").code == 3
    assert skerry(home, "drill", "region", "aws/nowhere").code == 2
    assert skerry(home, "drill", "region", "aws/us-east-1", "--mode", "wild").code == 2


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
    assert "unknown zone nowhere; known are" in wrong.err
    assert "start them with `skerry local up`" in nothing.err
