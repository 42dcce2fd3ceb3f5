"""A site over TLS: agents that run real scripts, through crashes of agent and register; and the commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from providers.base import LaunchOrder
from providers.emulator.clouds import certificate
from providers.processes import SessionLog, kill_session, members
from providers.static.agent import Agent, AgentSettings, JoinError
from providers.static.machines import Static
from providers.static.register import Register
from providers.static.server import RegisterServer, create_app, load_or_create_token
from providers.static.settings import StaticRegionSettings, StaticSettings
from providers.static.wire import Hardware, NewJoinToken
from state.clock import SystemClock
from state.model.catalog import Offer
from state.model.ids import InstanceId
from state.model.inventory import CloudState, Role
from tests.cli_in_process import skerry

CLOCK = SystemClock()
OWNER = "sk-owner"
FACTS = Hardware(gpu="L4", gpus=1, gpu_memory_gib=24, vcpus=4, memory_gib=16)
SCRIPT = 'echo "$SKERRY_NODE_ADDRESS" > "{mark}"; while true; do sleep 0.2; done'


def until(condition: Callable[[], object], timeout: timedelta = timedelta(seconds=120)) -> bool:
    deadline = CLOCK.now() + timeout
    while CLOCK.now() < deadline:
        if condition():
            return True
        CLOCK.sleep(timedelta(milliseconds=20))
    return False


def free_port() -> int:
    """Return a free port: after a server on port 0 stops, another cannot bind its port at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """A register that listens with TLS, and its machines' folders."""

    folder: Path
    register: Register
    server: RegisterServer
    url: str
    provider: Static

    def settings(self, name: str = "one") -> AgentSettings:
        folder = self.folder / name
        return AgentSettings(
            self.url, folder, name, "127.0.0.1", FACTS, counts_gpus=False, ca_file=str(self.folder / "ca.pem")
        )

    def token(self) -> str:
        return self.register.issue_join_token(NewJoinToken(region="berlin"))

    @property
    def offer(self) -> Offer:
        [offer] = self.provider.offers().items
        return offer

    def launch(self, name: str = "sk-00000001") -> Path:
        mark = self.folder / f"ran-{name}"
        order = LaunchOrder(
            InstanceId(name), self.offer.key, Role.WORKER, OWNER, SCRIPT.format(mark=mark), private_address=None
        )
        self.provider.launch(order)
        return mark

    def end(self, name: str = "sk-00000001") -> None:
        self.provider.terminate(self.offer.key, InstanceId(name), None)

    def states(self) -> list[CloudState]:
        return [seen.state for seen in self.provider.instances(OWNER).items]

    def sessions(self, name: str = "one") -> tuple[int, ...]:
        return SessionLog(self.folder / name / "sessions.jsonl").sessions()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    certificate(tmp_path / "ca.pem")
    register = Register(tmp_path / "register.json", CLOCK, poll_seconds=0.05)
    token = load_or_create_token(tmp_path / "token")
    tls = (tmp_path / "ca.pem", tmp_path / "ca.key")
    server = RegisterServer(create_app(register, token), "127.0.0.1", free_port(), tls)
    url = server.start()
    place = StaticRegionSettings(register_url=url, jurisdiction="EU", latitude=52.5, longitude=13.4)
    settings = StaticSettings(
        regions={"berlin": place}, token_file=str(tmp_path / "token"), ca_file=str(tmp_path / "ca.pem")
    )
    site = Site(tmp_path, register, server, url, Static(settings, CLOCK))
    yield site
    for sid in site.sessions():
        kill_session(sid, CLOCK)
    site.server.stop()
    site.register.close()


class AgentThread:
    """An agent in a thread of this process."""

    def __init__(self, agent: Agent) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=agent.run, args=(self._ended,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def agent_thread(site: Site) -> Iterator[AgentThread]:
    agent = Agent(site.settings(), CLOCK)
    agent.join(site.token())
    agent_thread = AgentThread(agent)
    yield agent_thread
    agent_thread.stop()


def test_a_machine_runs_its_task_and_ends_it_when_stopped(site: Site, agent_thread: AgentThread) -> None:
    mark = site.launch()

    assert until(lambda: mark.exists() and mark.read_text() == "127.0.0.1\n")
    assert until(lambda: site.states() == [CloudState.RUNNING])

    site.end()

    assert until(lambda: site.states() == [CloudState.TERMINATED])
    assert site.sessions() == ()
    assert site.offer.stock == 1


def test_an_agent_that_stops_ends_its_task(site: Site, agent_thread: AgentThread) -> None:
    mark = site.launch()
    assert until(mark.exists)

    agent_thread.stop()

    assert site.sessions() == ()


def test_a_task_keeps_running_without_the_register_and_the_restarted_register_finds_it(
    site: Site, agent_thread: AgentThread
) -> None:
    mark = site.launch()
    assert until(lambda: mark.exists() and site.states() == [CloudState.RUNNING])
    [before] = site.sessions()
    port = int(site.url.rpartition(":")[2])
    site.server.stop()
    site.register.close()
    assert site.provider.instances(OWNER).unreachable
    assert members(before)

    site.register = Register(site.folder / "register.json", CLOCK, poll_seconds=0.05)
    app = create_app(site.register, (site.folder / "token").read_text())
    tls = (site.folder / "ca.pem", site.folder / "ca.key")
    site.server = RegisterServer(app, "127.0.0.1", port, tls)
    site.server.start()

    assert until(lambda: site.states() == [CloudState.RUNNING])
    site.end()
    assert until(lambda: site.states() == [CloudState.TERMINATED])
    assert not members(before)


def agent_process(site: Site, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "scheduler.cli.main", "join", site.url, "--folder", str(site.folder / "one")]
    command += ["--gpu", "L4", "--gpus", "1", "--name", "one", "--ca-file", str(site.folder / "ca.pem"), *more]
    with (site.folder / "agent.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def test_the_next_agent_takes_over_the_task_of_a_killed_one(site: Site) -> None:
    (site.folder / "join-token").write_text(site.token())
    killed = agent_process(site, "--token-file", str(site.folder / "join-token"))
    assert until(lambda: [o.stock for o in site.provider.offers().items] == [1])
    mark = site.launch()
    assert until(lambda: site.states() == [CloudState.RUNNING])
    [before] = site.sessions()
    killed.kill()
    killed.wait()
    assert members(before)
    mark.unlink()

    successor = agent_process(site)
    try:
        assert until(lambda: "agent_joined" in (site.folder / "agent.log").read_text())
        site.end()
        assert until(lambda: site.states() == [CloudState.TERMINATED])
        assert not mark.exists(), "it was not started a second time"
        assert not members(before)
    finally:
        successor.send_signal(signal.SIGTERM)
        assert successor.wait(timeout=30) == 0


def test_a_machine_that_cannot_join_reports_why(site: Site) -> None:
    with pytest.raises(JoinError, match="unknown, expired or already used"):
        Agent(site.settings(), CLOCK).join("x" * 64)
    with pytest.raises(JoinError, match="cannot join the register"):
        Agent(replace(site.settings(), ca_file=None), CLOCK).join(site.token())
    with pytest.raises(JoinError, match="has not joined"):
        Agent(site.settings("two"), CLOCK).run(threading.Event())


def test_a_site_is_run_from_the_command_line(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    environment = os.environ | {"SKERRY_HOME": str(tmp_path)}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "scheduler.cli.main", "machines", "serve", "--listen", "127.0.0.1:0"]
        serving = subprocess.Popen(command, env=environment, stderr=output)
    try:
        assert until(lambda: log.read_text().strip())
        url = json.loads(log.read_text().splitlines()[0])["url"]
        place = {"register_url": url, "jurisdiction": "EU", "latitude": 52.5, "longitude": 13.4}
        static = {"regions": {"berlin": place}, "token_file": str(tmp_path / "machines" / "token")}
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"providers": {"static": static}}))
        machines = tmp_path / "machines.yaml"
        one = {"name": "one", "region": "berlin", "address": "10.0.0.1", "gpu": "H100", "gpus": 8}
        machines.write_text(yaml.safe_dump({"machines": [one | {"vcpus": 192, "memory_gib": 2048}]}))

        [added] = json.loads(skerry(tmp_path, "machines", "add", str(machines), "-o", "json").out)
        [listed] = json.loads(skerry(tmp_path, "machines", "list", "-o", "json").out)

        assert added["machine"] == "one"
        assert len(added["token"]) == 64
        assert (listed["type"], listed["impairment"]) == ("8xh100-192c-2000g", "no agent has joined as this machine")
        assert "8xh100-192c-2000g" in skerry(tmp_path, "machines", "list").out
        assert skerry(tmp_path, "machines", "cordon", "one").out == "one: cordoned\n"
        assert skerry(tmp_path, "machines", "drain", "one", "--in", "60").out.startswith("one: draining from 20")
        assert skerry(tmp_path, "machines", "uncordon", "one").out == "one: free\n"
        assert len(skerry(tmp_path, "machines", "token", "--region", "static/berlin").out) == 65
        refused = skerry(tmp_path, "machines", "cordon", "two")
        assert (refused.code, refused.err) == (2, "skerry: there is no machine two; `skerry machines list` shows all\n")
        assert skerry(tmp_path, "machines", "remove", "one").out == "one: removed\n"
        assert skerry(tmp_path, "machines", "token", "--region", "rome").code == 2
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0
    without = skerry(tmp_path, "machines", "list")
    assert without.code == 3
    assert "check that `skerry machines serve` runs there" in without.err


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        (["--listen", "0.0.0.0:8790"], "is not loopback: give --certificate and --key"),
        (["--listen", "here"], "is not ADDRESS:PORT"),
        (["--certificate", "x"], "give both --certificate and --key"),
        (["--certificate", "x", "--key", "y"], "x is not a file"),
    ],
)
def test_a_register_refuses_unsafe_listen_options(tmp_path: Path, listen: list[str], message: str) -> None:
    refused = skerry(tmp_path, "machines", "serve", *listen)

    assert refused.code == 2
    assert message in refused.err
