"""Putting a spec in force: nothing but what was reviewed, and success only where everything serves."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler.cli import plan_commands
from scheduler.daemon.converge import tick_until_stable
from scheduler.documents.spec_file import load_wanted
from scheduler.service.planning import NotReviewedError, apply_spec, plan_spec
from scheduler.service.reports import Reviewed
from scheduler.simulation.world import World, wanted
from state.model.ids import ApplicationName
from state.model.snapshot import Wanted
from state.model.spec import CapacitySpec
from state.store import ConflictError
from state.store.memory import MemoryStore
from tests.builders import REGIONS, a_spec, an_offer, application
from tests.cli_in_process import Ran, skerry
from tests.cli_process import EXAMPLE, other_spec

TIMEOUT = timedelta(minutes=30)


def of(*names: str) -> CapacitySpec:
    return a_spec(1000, **{name: application() for name in names})


def a_fleet(*names: str, store: MemoryStore | None = None) -> World:
    world = World(an_offer(), store=store)
    world.want(of(*names))
    tick_until_stable(world.ports, TIMEOUT)
    return world


def names_in_force(world: World) -> set[str]:
    found = world.store.wanted()
    return set() if found is None else set(found.spec.applications)


def test_what_was_reviewed_is_put_in_force() -> None:
    world = a_fleet("chat", "talk")
    reviewed = plan_spec(world.ports, wanted(of("talk"))).reviewed

    version, reached = apply_spec(world.ports, wanted(of("talk"), version=0), reviewed, TIMEOUT)

    assert reviewed == Reviewed(version=1, removals=frozenset({ApplicationName("chat")}))
    assert (version, names_in_force(world)) == (2, {"talk"})
    assert reached is not None and reached.is_converged


def test_a_version_that_came_into_force_since_the_review_is_not_replaced() -> None:
    world = a_fleet("chat")
    report = plan_spec(world.ports, wanted(of("chat", "code")))
    assert not report.removes
    world.want(of("chat", "extra"))

    with pytest.raises(NotReviewedError, match="version 2 is in force, and the plan was made on version 1"):
        apply_spec(world.ports, wanted(of("chat", "code"), version=0), report.reviewed, TIMEOUT)

    assert names_in_force(world) == {"chat", "extra"}


def test_a_file_that_was_only_formatted_anew_is_the_spec_in_force() -> None:
    world = a_fleet("chat")
    moved = replace(wanted(of("chat"), version=0), autoscaling_lines=((ApplicationName("chat"), 9),))
    report = plan_spec(world.ports, moved)

    version, _ = apply_spec(world.ports, moved, report.reviewed, TIMEOUT)

    assert report.is_same_spec
    assert version == 1


def test_a_fleet_that_was_destroyed_since_the_review_does_not_come_back() -> None:
    world = a_fleet("chat")
    reviewed = plan_spec(world.ports, wanted(of("chat", "code"))).reviewed
    world.store.withdraw("test", world.clock.now())

    with pytest.raises(NotReviewedError, match="no spec is in force"):
        apply_spec(world.ports, wanted(of("chat", "code"), version=0), reviewed, TIMEOUT)

    assert world.store.wanted() is None


def test_a_removal_or_a_new_name_that_was_not_agreed_to_is_refused() -> None:
    world = a_fleet("chat", "talk")
    same = wanted(of("chat", "talk"), version=0)
    renamed = replace(same, spec=same.spec.model_copy(update={"fleet": "other"}))

    with pytest.raises(NotReviewedError, match="the removal of chat was not agreed to"):
        apply_spec(world.ports, wanted(of("talk"), version=0), Reviewed(version=1), TIMEOUT)
    with pytest.raises(NotReviewedError, match="another name for fleet test was not agreed to"):
        apply_spec(world.ports, renamed, Reviewed(version=1), TIMEOUT)

    assert names_in_force(world) == {"chat", "talk"}
    assert apply_spec(world.ports, renamed, plan_spec(world.ports, renamed).reviewed, TIMEOUT)[0] == 2


class OvertakenStore(MemoryStore):
    """Another process puts its spec in force right before ours."""

    other: Wanted | None = None

    def want(self, wanted: Wanted, actor: str, now: datetime, *, replaces: int | None = None) -> int:
        other, self.other = self.other, None
        if other is not None:
            super().want(other, "another", now)
        return super().want(wanted, actor, now, replaces=replaces)


def test_a_version_that_comes_into_force_right_before_the_write_is_not_replaced() -> None:
    store = OvertakenStore()
    world = a_fleet("chat", store=store)
    store.other = wanted(of("chat", "extra"))

    with pytest.raises(ConflictError):
        apply_spec(world.ports, wanted(of("chat", "code"), version=0), Reviewed(version=1), TIMEOUT)

    assert names_in_force(world) == {"chat", "extra"}


def test_a_version_that_another_one_replaces_meanwhile_is_not_reported_to_serve() -> None:
    world = a_fleet("chat")
    others = [of("chat", "extra")]

    def overtake(_: object) -> None:
        if others:
            world.want(others.pop())

    with pytest.raises(ConflictError, match="version 2 is no longer in force: version 3 is in force"):
        apply_spec(world.ports, wanted(of("chat", "code"), version=0), Reviewed(version=1), TIMEOUT, overtake)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Clouds that `apply` finds instead of those of its settings."""
    made = World(*(an_offer(region, stock=1) for region in REGIONS))
    monkeypatch.setattr(plan_commands, "opened", lambda: (None, made.ports))
    return made


@pytest.fixture
def apply(world: World, tmp_path: Path) -> Callable[..., Ran]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.yaml").write_text("{}")

    def run(spec: Path, *options: str) -> Ran:
        return skerry(home, "apply", str(spec), "--yes", *options)

    return run


def test_apply_succeeds_only_while_everything_serves(world: World, apply: Callable[..., Ran]) -> None:
    served = json.loads(apply(EXAMPLE, "--output", "json").out)
    world.lose(REGIONS[0])
    world.lose(REGIONS[1])
    lost, again = apply(EXAMPLE), apply(EXAMPLE)
    facts = json.loads(apply(EXAMPLE, "--output", "json").out)

    assert (served["changed"], served["converged"], served["unmet"], served["violations"]) == (True, True, [], [])
    for ran in (lost, again):
        assert ran.code == 3
        assert "chat: unmet demand 8 of 16 requests/s" in ran.err
        assert "serves, at" not in ran.out and "No changes: " not in ran.out
    assert REGIONS[2] in world.routed(), "a spec in force is worked on as far as possible"
    assert "version 1 is in force and does not serve as it asks" in lost.err
    assert "is in force and" not in again.err, "nothing was left to do"
    assert (facts["changed"], facts["converged"], facts["spec_version"]) == (False, False, 1)
    assert [(u["application"], u["missing"]) for u in facts["unmet"]] == [("chat", 8)]


def test_a_spec_in_force_that_no_cloud_serves_is_not_reported_as_unchanged(
    world: World, apply: Callable[..., Ran]
) -> None:
    world.store.want(load_wanted(EXAMPLE), "test", world.clock.now())
    for region in REGIONS:
        world.lose(region)

    ran = apply(EXAMPLE)
    facts = json.loads(apply(EXAMPLE, "--output", "json").out)

    assert ran.code == 3
    assert "No changes" not in ran.out
    assert ran.err.splitlines()[-1] == "skerry: no offers could be read: nothing was changed"
    assert (facts["changed"], facts["converged"]) == (False, False)


@pytest.mark.parametrize("output", [(), ("--output", "json")])
def test_a_spec_with_a_rule_that_cannot_be_kept_is_not_put_in_force(
    world: World, apply: Callable[..., Ran], tmp_path: Path, output: tuple[str, ...]
) -> None:
    spec = other_spec(tmp_path / "other", ("min: 2", "min: 4"))

    ran = apply(spec, *output)

    assert ran.code == 3
    assert "chat: violates regions.min: 3 of 4 regions" in ran.err
    assert world.store.wanted() is None
    if output:
        facts = json.loads(ran.out)
        assert (facts["changed"], facts["converged"], facts["spec_version"]) == (False, False, None)
        assert [v["rule"] for v in facts["violations"]] == ["regions.min"]
