"""The product with real Ray, real HAProxy, the real daemon and the real SDKs: a region is lost and survived."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import pytest

from providers.processes import SessionLog, kill_session, members
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import Settings, load_settings
from scheduler.embedded.demo import start_daemon
from scheduler.embedded.local import Control, Local
from state.clock import SystemClock
from state.model.inventory import CloudState
from tests.cli_in_process import ROOT
from tests.cli_process import EXAMPLE, command, environment

pytestmark = pytest.mark.e2e

CLOCK = SystemClock()
EXIT_INTERRUPTED = 130


def skerry(home: Path, *arguments: str, timeout: float = 400) -> tuple[int, Any]:
    ran = subprocess.run(
        command(*arguments, "--output", "json"),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def until(condition: Callable[[], bool], patience: float = 300) -> None:
    deadline = CLOCK.now() + timedelta(seconds=patience)
    while not condition():
        assert CLOCK.now() < deadline, "not in time"
        CLOCK.sleep(timedelta(milliseconds=300))


@dataclass
class Kept:
    """What the demo left running."""

    home: Path
    report: dict[str, Any]
    settings: Settings

    @property
    def url(self) -> str:
        return f"http://{self.settings.gateway.listen}/chat"

    def statuses(self, count: int) -> set[int]:
        def ask(_: int) -> int:
            return httpx.get(self.url, timeout=10, trust_env=False).status_code

        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(ask, range(count)))

    def status(self, *options: str) -> dict[str, Any]:
        """What an observation of this moment finds, or what other options ask for."""
        code, status = skerry(self.home, "status", *(options or ("--refresh",)))
        assert code == 0
        return dict(status)

    def stays_where_it_is(self) -> None:
        """Let no region recover under the next daemon, or the fleet would move back to the lost one meanwhile."""
        settings = self.home / "settings.yaml"
        text = settings.read_text()
        assert "recover_after: 60.0" in text
        settings.write_text(text.replace("recover_after: 60.0", "recover_after: 36000.0"))

    def last_tick(self) -> dict[str, Any]:
        """What the daemon's last tick observed and decided."""
        return self.status("--output", "json")

    def in_the_clouds(self) -> list[str]:
        """Ids of our machines as the clouds list them, through each SDK."""
        ports = open_ports(self.settings)
        owner = ports.store.installation()
        seen = [s for provider in ports.providers.values() for s in provider.instances(owner).items]
        ports.store.close()
        return sorted(s.instance_id for s in seen if s.state in {CloudState.PENDING, CloudState.RUNNING})

    def on_the_books(self) -> list[str]:
        return sorted(i["instance"] for i in self.status()["instances"] if i["status"] in {"requested", "running"})


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    home = Path(mkdtemp(prefix="sk-e2e-"))
    try:
        code, report = skerry(home, "demo", str(EXAMPLE), "--keep")
        assert code == 0, report
        os.environ["SKERRY_HOME"] = str(home)
        yield Kept(home, report, load_settings())
    finally:
        os.environ.pop("SKERRY_HOME", None)
        Local(home).down()


def test_a_lost_region_is_survived_and_every_request_after_recovery_is_answered(kept: Kept) -> None:
    report = kept.report

    assert report["recovered"] is True
    assert report["requests"]["sent"] > 50
    assert report["requests"]["failed_after_recovery"] == 0
    assert len({region.split("/")[0] for region in report["regions"]["before"]}) == 3
    assert report["instances_leaked"] == 0
    assert len(set(report["regions"]["before"]) - set(report["regions"]["after"])) == 1
    seconds = report["seconds"]
    assert 0 < seconds["detect"] < seconds["decide"] <= seconds["acquire"] <= seconds["ready"]
    assert 0 < report["peak_memory_mib"] < 10 * 1024


def test_the_clouds_have_what_is_on_the_books_and_nothing_else(kept: Kept) -> None:
    until(lambda: bool(kept.status()["converged"]))

    there = kept.in_the_clouds()
    assert there
    assert there == kept.on_the_books()
    last = kept.last_tick()
    assert last["age_seconds"] < 60
    assert [i["instance"] for i in last["instances"]] == [i["instance"] for i in kept.status()["instances"]]


def test_applying_the_same_spec_again_changes_nothing(kept: Kept) -> None:
    before = kept.in_the_clouds()

    code, answer = skerry(kept.home, "apply", str(EXAMPLE), "--yes")

    assert (code, answer["changed"]) == (0, False)
    assert kept.in_the_clouds() == before


def test_the_other_commands_show_what_happened(kept: Kept) -> None:
    code, explained = skerry(kept.home, "explain", "chat")
    assert code == 0
    assert {line["holds"] for line in explained["certificate"]} == {True}
    _, drills = skerry(kept.home, "drill", "list")
    assert [d["state"] for d in drills] == ["succeeded"]
    _, shown = skerry(kept.home, "drill", "show", drills[0]["drill"])
    assert shown["report"]["recovered"] is True
    _, events = skerry(kept.home, "events", "--limit", "1000")
    assert {"spec_applied", "plan_committed", "health_changed", "drill_changed"} <= {e["kind"] for e in events}
    code, simulated = skerry(kept.home, "drill", "region", explained["replicas"][0]["region"])
    assert (code, simulated["report"]["survivors_carry"]["chat"] >= 1) == (0, True)


def test_with_the_daemon_killed_requests_are_answered_and_a_restart_launches_nothing_twice(kept: Kept) -> None:
    until(lambda: bool(kept.status()["converged"]))
    daemon = kept.last_tick()["daemon"]
    os.kill(int(daemon.removeprefix("daemon-")), signal.SIGKILL)
    before = kept.in_the_clouds()

    assert kept.statuses(40) == {200}
    kept.stays_where_it_is()
    pid = start_daemon(Local(kept.home))
    until(lambda: kept.last_tick()["daemon"] == f"daemon-{pid}")
    until(lambda: bool(kept.status()["converged"]))

    assert kept.in_the_clouds() == before == kept.on_the_books()


def test_a_fleet_shrinks_by_draining_and_no_request_fails(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text((EXAMPLE.parent / "serve.yaml").read_text())
    smaller = EXAMPLE.read_text().replace("requests_per_second: 16", "requests_per_second: 5")
    (tmp_path / "capacity.yaml").write_text(smaller)
    machines = len(kept.in_the_clouds())

    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(skerry, kept.home, "apply", str(tmp_path / "capacity.yaml"), "--yes", "--timeout", "4")
        statuses: set[int] = set()
        while not applied.done():
            statuses |= kept.statuses(8)

    code, answer = applied.result()
    assert (code, answer["converged"]) == (0, True)
    assert statuses == {200}
    assert len(kept.in_the_clouds()) < machines
    assert kept.in_the_clouds() == kept.on_the_books()


def test_what_is_destroyed_is_gone(kept: Kept) -> None:
    code, answer = skerry(kept.home, "destroy", "--yes", "--timeout", "4")

    assert (code, answer["left"], answer["leaked"]) == (0, 0, 0)
    assert kept.in_the_clouds() == []
    assert kept.settings.embedded is not None
    assert Control(kept.settings.embedded).status()["machines"] == []


def test_nothing_runs_once_the_clouds_are_down(kept: Kept) -> None:
    local = Local(kept.home)
    sessions = local.sessions()
    assert sessions

    assert local.down() == ()

    assert [pid for sid in sessions for pid in members(sid)] == []
    assert local.processes() == 0
    assert '"daemon_stopped"' in (kept.home / "daemon.log").read_text().splitlines()[-1]


Moment = Callable[[Path], bool]
MOMENTS: dict[str, Moment] = {
    "the command begins": lambda home: (home / "demo.lock").exists(),
    "the clouds start": lambda home: len(Local(home).sessions()) >= 1,
    "machines boot": lambda home: len(Local(home).sessions()) > MACHINES_BOOT,
}
MACHINES_BOOT = 3
"""The clouds, the gateway and the daemon each have a session; every other one is a machine's."""


def started_demo(home: Path, moment: Moment) -> subprocess.Popen[bytes]:
    """Start a demo, and return its process at a moment of it."""
    handled = signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a job in the background ignore it
    try:
        process = subprocess.Popen(
            command("demo", str(EXAMPLE)),
            cwd=ROOT,
            env=environment(home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, handled)
    until(lambda: moment(home) or process.poll() is not None)
    assert process.poll() is None
    return process


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_leaves_nothing(moment: str) -> None:
    home = Path(mkdtemp(prefix="sk-e2e-"))
    process = started_demo(home, MOMENTS[moment])

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=300) == EXIT_INTERRUPTED
    assert Local(home).sessions() == ()


def test_what_a_crashed_run_left_is_found_and_ended() -> None:
    home = Path(mkdtemp(prefix="sk-e2e-"))
    process = started_demo(home, MOMENTS["machines boot"])
    process.kill()
    process.wait()
    local = Local(home)
    left = local.sessions()
    assert len(left) > MACHINES_BOOT, "the clouds, the gateway, the daemon and machines run on"

    try:
        code, answer = skerry(home, "local", "down")

        assert (code, answer) == (0, {"sessions_left": []})
        assert [pid for sid in left for pid in members(sid)] == []
        assert SessionLog(home / "sessions.jsonl").sessions() == ()
    finally:
        for sid in left:
            kill_session(sid, CLOCK)
