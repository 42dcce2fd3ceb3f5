from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from inference.base import ServingCell
from inference.fake import FakeCell
from inference.ray.bootstrap import startup_script
from inference.ray.cell import RayCells
from providers.aws.profile import PROFILE as AWS
from providers.emulator.host import Boot, Host
from state.clock import ManualClock, SystemClock, draw_secret
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.plan import Launch
from state.model.settings import CellSettings
from state.model.units import Usd
from tests.builders import NOON, a_key, a_machine, a_region
from tests.conformance.serving_contract import ServingContract

CLOCK = SystemClock()
APPS = Path(__file__).parents[2] / "examples" / "chat"
ROLES = {"sk-head0000": Role.HEAD, "sk-work0001": Role.WORKER, "sk-work0002": Role.WORKER}


class Parts:
    """A cell made of nothing, and how to end it."""

    def __init__(self) -> None:
        self.alive = [
            (CloudInstance("c", InstanceId(name), a_key(), CloudState.RUNNING, f"10.0.0.{n}", NOON), role)
            for n, (name, role) in enumerate(ROLES.items())
        ]
        self.settings = CellSettings(a_region(), "10.0.0.0")
        self.cell: ServingCell = FakeCell(self.settings, lambda: self.alive, lambda _: a_machine(), ManualClock(NOON))

    def kill(self) -> None:
        self.alive.clear()


class TestFake(ServingContract):
    @pytest.fixture(scope="class")
    @classmethod
    def parts(cls) -> Parts:
        return Parts()

    @pytest.fixture
    def settings(self, parts: Parts) -> CellSettings:
        return parts.settings

    @pytest.fixture
    def cell(self, parts: Parts) -> ServingCell:
        return parts.cell

    @pytest.fixture
    def kill(self, parts: Parts) -> Callable[[], None]:
        return parts.kill

    @pytest.fixture
    def until(self) -> Callable[[Callable[[], bool]], None]:
        def until(condition: Callable[[], bool]) -> None:
            assert condition()

        return until


@dataclass
class Cluster:
    """A head and two workers, started by the same scripts as real machines."""

    host: Host
    settings: CellSettings
    cell: ServingCell


@pytest.mark.e2e
class TestRay(ServingContract):
    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls) -> Iterator[Cluster]:
        with TemporaryDirectory(prefix="sk-c-") as folder:
            token = Path(folder) / "token"
            token.write_text(draw_secret())
            settings = CellSettings(
                a_region(), "127.251.0.1", gcs_port=26_251, serve_host="127.251.0.1", serve_address="127.251.0.1:8000"
            )
            host = Host(Path(folder) / "h", (APPS,), token, CLOCK)
            for number, (name, role) in enumerate(ROLES.items(), start=1):
                gpus = 0 if role is Role.HEAD else 1
                machine = replace(a_machine(gpus=gpus), gpu="L4" if gpus else None)
                launch = Launch(InstanceId(name), a_key(), machine, role, Usd(), settings, None)
                host.boot(Boot(name, a_region(), startup_script(launch, AWS.boot), f"127.251.0.{number}", 2, gpus, 4))
            yield Cluster(host, settings, RayCells(token, CLOCK)(settings))
            host.close()

    @pytest.fixture
    def settings(self, cluster: Cluster) -> CellSettings:
        return cluster.settings

    @pytest.fixture
    def cell(self, cluster: Cluster) -> ServingCell:
        return cluster.cell

    @pytest.fixture
    def kill(self, cluster: Cluster) -> Callable[[], None]:
        def kill() -> None:
            cluster.host.kill_region(a_region())

        return kill

    @pytest.fixture
    def until(self) -> Callable[[Callable[[], bool]], None]:
        def until(condition: Callable[[], bool]) -> None:
            deadline = CLOCK.now() + timedelta(seconds=300)
            while not condition():
                assert CLOCK.now() < deadline, "not in time"
                CLOCK.sleep(timedelta(milliseconds=300))

        return until
