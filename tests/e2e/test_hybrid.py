"""Our own machines and the clouds as one fleet, with real Ray: used first, bursting, drained, and given back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import yaml

from providers.emulator.host import Boot, machine_environment
from providers.processes import SessionLog, kill_session
from scheduler.embedded.local import Local
from state.clock import SystemClock
from state.model.ids import RegionId
from tests.cli_process import EXAMPLE, environment
from tests.e2e.test_demo import Kept, skerry, until

pytestmark = pytest.mark.e2e

CLOCK = SystemClock()
OWN = "static/berlin"
NETWORK = 249
HEAD, WORKER = f"127.{NETWORK}.0.1", f"127.{NETWORK}.0.2"
SPEC = """\
apiVersion: skerry/v1
fleet: chat
budget: {{max_usd_per_hour: 25}}
providers: {{allow: [static, azure]}}
applications:
  chat:
    serve: {{config: {config}, application: chat, deployment: Chat}}
    demand: {{requests_per_second: {demand}}}
    shapes:
      - {{gpu: L4, requests_per_second: 8}}
      - {{gpu: T4, requests_per_second: 8}}
    market: {{spot: preferred}}
    survive: {{any: none}}
"""


class Site:
    """A register and two agents, each a process as it would be on a machine of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._processes: list[subprocess.Popen[bytes]] = []

    def _start(self, name: str, env: dict[str, str], *arguments: str) -> Path:
        log = self.home / f"{name}.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "scheduler.cli.main", *arguments]
            self._processes.append(subprocess.Popen(command, env=env, stdout=output, stderr=output))
        return log

    def serve(self) -> str:
        log = self._start("serve", environment(self.home), "machines", "serve", "--listen", "127.0.0.1:0")
        until(lambda: bool(log.read_text().strip()))
        return str(json.loads(log.read_text().splitlines()[0])["url"])

    def join(self, url: str, name: str, address: str, gpus: int) -> None:
        folder = self.home / name
        boot = Boot(name, RegionId(OWN), "", address, 2, gpus, 8)
        folder.mkdir()
        env = os.environ | machine_environment(boot, folder, (EXAMPLE.parent,), self.home / "ray-token")
        _, drawn = skerry(self.home, "machines", "token", "--region", "berlin")
        facts = ["--vcpus", "4", "--memory", "16", "--gpus", str(gpus), *(["--gpu", "L4"] if gpus else ["--head"])]
        where = ["--name", name, "--address", address, "--folder", str(folder)]
        env["SKERRY_JOIN_TOKEN"] = drawn["token"]
        self._start(name, env, "join", url, *where, *facts, "--ray-token-file", str(self.home / "ray-token"))

    def sessions(self) -> list[int]:
        return [sid for name in ("head", "gpu") for sid in SessionLog(self.home / name / "sessions.jsonl").sessions()]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(timeout=60)
        for sid in self.sessions():
            kill_session(sid, CLOCK)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    home = Path(mkdtemp(prefix="sk-h-"))
    monkeypatch.setenv("SKERRY_HOME", str(home))
    site = Site(home)
    try:
        assert skerry(home, "local", "up")[0] == 0
        url = site.serve()
        settings = home / "settings.yaml"
        document = yaml.safe_load(settings.read_text())
        place = {"register_url": url, "jurisdiction": "EU", "latitude": 52.5, "longitude": 13.4}
        document["providers"]["static"] = {"regions": {"berlin": place}, "token_file": str(home / "machines" / "token")}
        cell = {"head_address": HEAD, "serve_host": HEAD, "gcs_port": 26_000 + NETWORK, "proxy_location": "HeadOnly"}
        document["cells"][OWN] = cell
        settings.write_text("# embedded:\n" + yaml.safe_dump(document, sort_keys=False))
        site.join(url, "head", HEAD, 0)
        site.join(url, "gpu", WORKER, 1)
        until(lambda: [m["state"] for m in skerry(home, "machines", "list")[1]] == ["free", "free"])
        yield site
    finally:
        site.stop()
        Local(home).down()


def test_our_own_machines_serve_first_burst_to_the_clouds_and_are_drained_under_load(site: Site) -> None:
    from scheduler.documents.settings_file import load_settings

    spec = site.home / "capacity.yaml"
    kept = Kept(site.home, {}, load_settings())

    def apply(demand: int) -> set[str]:
        spec.write_text(SPEC.format(config=EXAMPLE.parent / "serve.yaml", demand=demand))
        code, answer = skerry(site.home, "apply", str(spec), "--yes")
        assert (code, answer["changed"], answer["converged"]) == (0, True, True)
        running = (i for i in kept.status()["instances"] if i["status"] == "running" and i["role"] == "worker")
        return {i["region"] for i in running}

    assert apply(8) == {OWN}
    assert kept.statuses(20) == {200}
    assert kept.status()["usd_per_hour"] == 0

    there = apply(16)
    assert len(there) == 2
    assert OWN in there
    assert kept.statuses(20) == {200}

    # Azure announces an eviction to the machine alone; the machine drains its own node, and the cell shows that.
    [evicted] = [i["instance"] for i in kept.status()["instances"] if i["offer"].endswith("/spot")]
    assert skerry(site.home, "local", "fault", "reclaim", evicted)[0] == 0
    until(lambda: "its node is being drained" in str(kept.status()["instances"]))
    assert OWN in apply(16)
    assert evicted not in kept.on_the_books()
    assert kept.statuses(20) == {200}

    assert skerry(site.home, "machines", "drain", "gpu")[0] == 0
    assert OWN not in apply(16)
    assert kept.statuses(20) == {200}
    _, machines = skerry(site.home, "machines", "list")
    assert {m["machine"]: m["runs"] for m in machines}["gpu"] is None

    code, ended = skerry(site.home, "destroy", "--yes")
    assert (code, ended["left"], ended["leaked"]) == (0, 0, 0)
    assert site.sessions() == []
