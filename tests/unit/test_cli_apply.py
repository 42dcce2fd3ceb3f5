"""`skerry apply`: nothing is changed or removed unless it is asked for."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.cli.render import as_json, text
from scheduler.documents.spec_file import load_wanted
from scheduler.service.planning import plan_spec
from scheduler.simulation.world import World, wanted
from tests.builders import NOON, a_spec, an_offer, application
from tests.cli_process import EXAMPLE, at_a_terminal, embedded_home, home_beside, other_spec, skerry, store_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with embedded_home(folder):
        yield folder


@pytest.fixture
def serving(home: Path, tmp_path: Path) -> Path:
    """A home in which the chat example is in force; nothing runs for it."""
    mine = home_beside(home, tmp_path / "serving")
    store_of(mine).want(load_wanted(EXAMPLE), "test", NOON)
    return mine


def version_in_force(home: Path) -> int:
    found = store_of(home).wanted()
    assert found is not None
    return found.version


@pytest.mark.clouds
def test_apply_does_nothing_without_a_terminal_unless_confirmed(home: Path, tmp_path: Path) -> None:
    mine = home_beside(home, tmp_path / "mine")

    ran = skerry(mine, "apply", str(EXAMPLE))

    assert ran.code == 2
    assert "not a terminal: pass --yes to apply" in ran.err
    assert store_of(mine).wanted() is None
    assert json.loads(skerry(mine, "status", "--refresh", "--output", "json").out)["instances"] == []


@pytest.mark.clouds
def test_a_spec_that_lacks_an_application_is_refused_without_a_terminal_even_with_yes(
    serving: Path, tmp_path: Path
) -> None:
    other = other_spec(tmp_path, ("\n  chat:\n", "\n  talk:\n"))

    ran = skerry(serving, "apply", str(other), "--yes")

    assert ran.code == 2
    assert "chat: 0 replicas removed" in ran.out
    assert "chat: 0 replicas removed: pass --prune to remove what the spec lacks" in ran.err
    assert version_in_force(serving) == 1


@pytest.mark.clouds
def test_prune_agrees_to_removals_and_to_nothing_else(serving: Path, tmp_path: Path) -> None:
    renamed = other_spec(tmp_path, ("fleet: chat", "fleet: talk"))

    refused = skerry(serving, "apply", str(renamed), "--yes", "--output", "json")
    pruned = skerry(serving, "apply", str(renamed), "--prune")

    assert (refused.code, refused.out) == (2, "")
    assert "fleet chat is renamed talk, and no application is removed: pass --prune to rename it" in refused.err
    assert pruned.code == 2
    assert "pass --prune" not in pruned.err
    assert "not a terminal: pass --yes to apply" in pruned.err
    assert version_in_force(serving) == 1


@pytest.mark.clouds
def test_at_a_terminal_each_removal_is_asked_for_by_name(serving: Path, tmp_path: Path) -> None:
    other = other_spec(tmp_path, ("\n  chat:\n", "\n  talk:\n"))
    by_name = "Type chat to remove it"

    wrong = at_a_terminal(serving, {by_name: "talk"}, "apply", str(other), "--yes")
    right = at_a_terminal(serving, {by_name: "chat", "Apply these changes?": "n"}, "apply", str(other))

    assert wrong.code == 1
    assert by_name in wrong.out
    assert "nothing was changed" in wrong.out
    assert "Apply these changes?" not in wrong.out
    assert right.code == 1
    assert "Apply these changes?" in right.out
    assert version_in_force(serving) == 1


@pytest.mark.clouds
def test_at_a_terminal_a_new_name_of_the_fleet_is_asked_for_as_what_it_is(serving: Path, tmp_path: Path) -> None:
    renamed = other_spec(tmp_path, ("fleet: chat", "fleet: talk"))
    question = "Type chat to rename the fleet talk"

    ran = at_a_terminal(serving, {question: "chat", "Apply these changes?": "n"}, "apply", str(renamed))

    assert question in ran.out
    assert "Apply these changes?" in ran.out
    assert "to remove" not in ran.out
    assert version_in_force(serving) == 1


def a_fleet() -> World:
    world = World(an_offer())
    world.want(a_spec(chat=application(demand={"replicas": 4}), talk=application(demand={"replicas": 1})))
    world.converge()
    return world


def test_each_removal_names_its_replicas_and_its_route() -> None:
    world = a_fleet()

    report = plan_spec(world.ports, wanted(a_spec(talk=application(demand={"replicas": 1}))))

    assert report.removes
    assert text.removal_lines(report) == ["chat: 4 replicas removed, its route closes"]
    [removal] = as_json.report_json(report)["removals"]
    assert removal == {"application": "chat", "replicas": 4, "routed": True}


def test_another_name_of_the_fleet_is_shown_and_removes_nothing() -> None:
    world = a_fleet()
    same = wanted(a_spec(chat=application(demand={"replicas": 4}), talk=application(demand={"replicas": 1})))
    renamed = replace(same, spec=same.spec.model_copy(update={"fleet": "other"}))

    report = plan_spec(world.ports, renamed)

    assert report.removes
    assert report.removals == ()
    assert text.removal_lines(report) == ["fleet test is renamed other, and no application is removed"]
    assert as_json.report_json(report)["replaces_fleet"] == "test"


def test_a_spec_that_adds_or_resizes_removes_nothing() -> None:
    world = a_fleet()
    larger = a_spec(chat=application(), talk=application(demand={"replicas": 3}), more=application())

    report = plan_spec(world.ports, wanted(larger))

    assert not report.removes
    assert text.removal_lines(report) == []
