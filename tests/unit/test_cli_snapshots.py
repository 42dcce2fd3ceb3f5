"""`skerry snapshot`, and decisions replayed from a file without settings and credentials."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.observe import observe
from scheduler.service.snapshots import SNAPSHOT, read_snapshot, write_snapshot
from scheduler.tick import decide
from state.model.settings import SolveBudget
from state.store import SNAPSHOTS_KEPT
from tests.cli_process import EXAMPLE, other_spec, simulated_fleet, skerry


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the chat example has run, and that has no settings."""
    folder = tmp_path_factory.mktemp("home")
    simulated_fleet(folder)
    return folder


def test_kept_snapshots_are_listed_shown_and_saved(home: Path, tmp_path: Path) -> None:
    listed = json.loads(skerry(home, "snapshot", "list", "--output", "json").out)
    first = listed[-1]["snapshot"]
    shown = skerry(home, "snapshot", "show", first)
    saved = skerry(home, "snapshot", "save", str(tmp_path / "s.json"), "--id", first, "--output", "json")

    assert {kept["kind"] for kept in listed} == {"acted"}
    assert [kept["taken_at"] for kept in listed] == sorted((kept["taken_at"] for kept in listed), reverse=True)
    assert "fleet: chat" in shown.out and "instances: 0" in shown.out
    assert saved.facts()["bytes"] == (tmp_path / "s.json").stat().st_size
    assert read_snapshot(tmp_path / "s.json").taken_at.isoformat() == listed[-1]["taken_at"]
    assert SNAPSHOTS_KEPT == 200


def test_what_is_not_there_is_refused(home: Path, tmp_path: Path) -> None:
    unknown = skerry(home, "snapshot", "show", "plan-x")
    unwritable = skerry(home, "snapshot", "save", str(tmp_path / "nowhere" / "s.json"))
    never = skerry(tmp_path / "fresh", "snapshot", "save", str(tmp_path / "s.json"))

    assert (unknown.code, unwritable.code, never.code) == (2, 2, 3)
    assert "`skerry snapshot list` names them" in unknown.err
    assert "cannot be written: No such file or directory" in unwritable.err
    assert "no tick has run yet; pass --refresh to observe now" in never.err


@pytest.fixture(scope="module")
def file(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last tick's snapshot, as a file."""
    path = tmp_path_factory.mktemp("file") / "s.json"
    assert skerry(home, "snapshot", "save", str(path)).code == 0
    return path


def test_a_saved_decision_is_made_again_in_a_fresh_home(file: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"

    again = skerry(fresh, "plan", "--snapshot", str(file), "--output", "json")
    shown = skerry(fresh, "plan", "--snapshot", str(file))

    expected = decide(read_snapshot(file))
    assert again.code == shown.code == 0
    assert again.facts()["plan"] == expected.id
    assert again.facts()["converged"] is True
    assert shown.out.startswith("Machines, $") and "No changes." in shown.out
    assert not fresh.exists(), "a replay keeps nothing"


def test_a_replay_keeps_the_budget_of_its_snapshot_unless_a_proof_is_asked_for(file: Path, tmp_path: Path) -> None:
    """Explanations of the same file are decided with the same budget."""
    unproven = tmp_path / "s.json"
    write_snapshot(replace(read_snapshot(file), solve_budget=SolveBudget(exact_nodes=0)), unproven)

    quick = skerry(tmp_path / "fresh", "plan", str(EXAMPLE), "--snapshot", str(unproven), "--output", "json").facts()
    exact = skerry(tmp_path / "fresh", "plan", "--exact", "--snapshot", str(unproven), "--output", "json").facts()

    assert quick["placement"]["gap"] != exact["placement"]["gap"]  # type: ignore[index]


def test_another_spec_is_planned_in_a_saved_snapshot(file: Path, tmp_path: Path) -> None:
    larger = other_spec(tmp_path, ("requests_per_second: 16", "requests_per_second: 32"))

    planned = skerry(tmp_path / "fresh", "plan", str(larger), "--snapshot", str(file), "--output", "json").facts()

    assert {action["action"] for action in planned["actions"]} >= {"launch"}  # type: ignore[attr-defined]


def test_explanations_and_computed_drills_are_replayed_in_a_fresh_home(file: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"

    why = skerry(fresh, "explain", "chat", "--snapshot", str(file), "--output", "json").facts()
    region = why["replicas"][0]["region"]  # type: ignore[index]
    drill = skerry(fresh, "drill", "region", region, "--snapshot", str(file), "--output", "json")
    live = skerry(fresh, "drill", "region", region, "--snapshot", str(file), "--mode", "live", "--yes")
    elsewhere = skerry(fresh, "drill", "region", "aws/eu-west-1", "--snapshot", str(file))

    assert all(line["holds"] for line in why["certificate"])  # type: ignore[attr-defined]
    assert drill.code == 0
    assert drill.facts()["recovered"] is True and drill.facts()["mode"] == "simulate"
    assert (live.code, elsewhere.code) == (2, 3)
    assert "--snapshot needs --mode simulate" in live.err
    assert not fresh.exists(), "a replay keeps nothing"


def test_a_file_that_is_no_snapshot_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"taken_at": "yesterday"}')

    wrong = skerry(tmp_path, "plan", "--snapshot", str(tmp_path / "s.json"))
    missing = skerry(tmp_path, "plan", str(EXAMPLE), "--snapshot", str(tmp_path / "none.json"))

    assert (wrong.code, missing.code) == (2, 2)
    assert f"{tmp_path / 's.json'}:1: taken_at: is no snapshot: " in wrong.err
    assert f"{tmp_path / 'none.json'}" in missing.err


def test_a_time_without_a_zone_is_refused_with_its_place(file: Path, tmp_path: Path) -> None:
    content = json.loads(file.read_text())
    at = content["instances"][0]["requested_at"]
    taken = json.dumps({**content, "taken_at": content["taken_at"].removesuffix("Z")})
    for text, place in ((taken, "taken_at"), (file.read_text().replace(at, at[:-1]), "].requested_at")):
        (tmp_path / "s.json").write_text(text)

        found = skerry(tmp_path, "plan", "--snapshot", str(tmp_path / "s.json"))

        assert found.code == 2
        assert f"{place}: is no snapshot: '20" in found.err and "has no time zone; write it with" in found.err
        assert "Traceback" not in found.err


def test_no_time_of_a_snapshot_may_lack_its_zone() -> None:
    times = list(times_of(SNAPSHOT.core_schema))

    assert len(times) > 10
    assert all(time.get("tz_constraint") == "aware" for time in times)


def times_of(schema: object) -> Iterator[dict[str, object]]:
    """Return the parts of pydantic's schema that read a time."""
    parts: Iterable[object] = ()
    if isinstance(schema, dict):
        if schema.get("type") == "datetime":
            yield schema
        parts = [value for name, value in schema.items() if name not in {"metadata", "cls"}]
    elif isinstance(schema, list | tuple):
        parts = schema
    for part in parts:
        yield from times_of(part)


def test_a_snapshot_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    world = simulated_fleet(tmp_path)
    snapshot = observe(world.ports)

    write_snapshot(snapshot, tmp_path / "s.json")

    assert read_snapshot(tmp_path / "s.json") == snapshot


def test_lines_of_the_files_reach_a_file_byte_for_byte_and_no_decision(tmp_path: Path) -> None:
    snapshot = observe(simulated_fleet(tmp_path).ports)
    assert snapshot.wanted is not None
    lines = tuple((name, 7) for name, _ in snapshot.wanted.spec.named())
    marked = replace(snapshot, wanted=replace(snapshot.wanted, autoscaling_lines=lines))

    write_snapshot(marked, tmp_path / "s.json")
    found = read_snapshot(tmp_path / "s.json")

    assert SNAPSHOT.dump_json(found) == (tmp_path / "s.json").read_bytes()
    assert found.wanted is not None and found.wanted.autoscaling_lines == lines
    assert decide(found) == decide(snapshot)
