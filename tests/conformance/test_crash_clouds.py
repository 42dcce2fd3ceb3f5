"""A daemon killed between any two actions, with the real SDKs: the clouds end with exactly the wanted machines.

The clouds are the embedded ones on a dry host; no cell responds, so a tick consists of launches.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from inference.fake import FakeGateway
from inference.ray.cell import RayCells
from scheduler.documents.spec_file import load_wanted
from scheduler.ports import Ports
from scheduler.tick import tick
from state.clock import SystemClock
from state.model.ids import ProviderName
from state.model.inventory import CloudState
from state.model.lifecycle import InstanceStatus
from state.model.settings import CellSettings, CostModel, Limits, ShortagePolicy, Thresholds
from state.store.sql import SqlStore
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.crashes import DiedError, Mortal

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat" / "capacity.yaml"
CLOCK = SystemClock()
WANTED = 7  # three heads and four workers
TTL = timedelta(seconds=60)


def ports_of(clouds: Clouds, store: SqlStore, folder: Path) -> Ports:
    regions = clouds.embedded.backend.regions.values()
    return Ports(
        store=store,
        providers={ProviderName(name): provider for name, provider in clouds.providers.items()},
        cell=RayCells(folder / "token", CLOCK),
        gateway=FakeGateway(),
        clock=CLOCK,
        cell_settings=tuple(CellSettings(region.id, region.head_address) for region in regions),
        thresholds=Thresholds(),
        limits=Limits(),
        shortage_policy=ShortagePolicy(),
        cost_model=CostModel(),
    )


def tick_once(ports: Ports, holder: str) -> None:
    fence = ports.store.acquire_lease(holder, TTL, CLOCK.now())
    assert fence is not None
    tick(ports, fence)


@pytest.mark.clouds
def tick_twice(ports: Ports, holder: str) -> None:
    """Tick until heads are launched too: they follow their first workers."""
    for _ in range(2):
        tick_once(ports, holder)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 5, 8, 9, 14, 15])
def test_a_daemon_killed_anywhere_launches_nothing_twice_and_leaks_nothing(
    at: int,
    after: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/skerry.db")
    owner = store.installation()
    with embedded_clouds(tmp_path, owner) as clouds:
        ports = ports_of(clouds, store, tmp_path)
        store.want(load_wanted(EXAMPLE), "test", CLOCK.now())
        mortal = Mortal(at, after=after)
        guarded = [(store, "commit"), (store, "record"), *((p, "launch") for p in clouds.providers.values())]
        for target, name in guarded:
            setattr(target, name, mortal.guard(getattr(target, name)))

        with pytest.raises(DiedError):
            tick_twice(ports, "one")
        for target, name in guarded:
            delattr(target, name)
        store.release_lease("one")
        for _ in range(3):
            tick_once(ports, "other")

        seen = [s for provider in clouds.providers.values() for s in provider.instances(owner).items]
        running = Counter(s.instance_id for s in seen if s.state in {CloudState.PENDING, CloudState.RUNNING})
        held = {i.id for i in store.load().instances if i.status is InstanceStatus.RUNNING}
        assert len(running) == WANTED
        assert set(running.values()) == {1}
        assert set(running) == held
        assert len(clouds.embedded.backend.machines) == WANTED, "every started machine is in use"
    store.close()
