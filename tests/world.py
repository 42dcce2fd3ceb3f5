"""A whole world in memory: clouds, cells, a gateway, a clock, and the real tick over them."""

from collections import Counter
from datetime import timedelta

from inference.fake import FakeCell, FakeGateway
from providers.errors import ProviderError
from providers.fake import FakeCloud
from scheduler.outside import Outside
from scheduler.tick import tick
from state.clock import ManualClock
from state.model.catalog import Offer
from state.model.health import HealthKnobs
from state.model.ids import ProviderName, RegionId
from state.model.inventory import CloudInstance, Role
from state.model.plan import CellSettings, Limits, Plan
from state.model.spec import CapacitySpec
from state.store import Store
from state.store.memory import MemoryStore
from tests.builders import NOON, cells, wanted, with_heads

TICK = timedelta(seconds=10)
HOLDER = "test"


class World:
    """What a test acts on and looks at."""

    def __init__(self, *offers: Offer, store: Store | None = None, boot: timedelta = timedelta(seconds=20)) -> None:
        every = with_heads(*offers)
        self.clock = ManualClock(NOON)
        names = sorted({offer.key.provider for offer in every})
        self.clouds = {n: FakeCloud(n, [o for o in every if o.key.provider == n], self.clock, boot) for n in names}
        self.settings = cells(*sorted({offer.key.region for offer in every}))
        machines = {offer.key.instance_type: offer.machine for offer in every}
        self.cells = {s.region: FakeCell(s, self._alive, machines.__getitem__) for s in self.settings}
        self.gateway = FakeGateway()
        self.store: Store = store or MemoryStore()
        self.outside = Outside(
            store=self.store,
            providers={ProviderName(name): cloud for name, cloud in self.clouds.items()},
            cell=self._cell,
            gateway=self.gateway,
            clock=self.clock,
            cell_settings=self.settings,
            knobs=HealthKnobs(),
            limits=Limits(),
        )

    def _cell(self, settings: CellSettings) -> FakeCell:
        return self.cells[settings.region]

    def _alive(self) -> list[tuple[CloudInstance, Role]]:
        return [pair for cloud in self.clouds.values() for pair in cloud.alive()]

    def cloud(self, name: str) -> FakeCloud:
        return self.clouds[ProviderName(name)]

    def want(self, spec: CapacitySpec) -> None:
        self.store.want(wanted(spec), "test", self.clock.now())

    def tick(self, every: timedelta = TICK) -> Plan:
        fence = self.store.acquire_lease(HOLDER, timedelta(minutes=1), self.clock.now())
        assert fence is not None
        plan = tick(self.outside, fence)
        self.clock.sleep(every)
        return plan

    def settle(self, most: int = 60) -> Plan:
        """Tick until nothing is left to do or to wait for."""
        for _ in range(most):
            plan = self.tick()
            if plan.is_settled:
                return plan
        raise AssertionError(f"not settled after {most} ticks: {plan.actions} {plan.waiting}")

    def run(self, duration: timedelta, every: timedelta = TICK) -> None:
        for _ in range(int(duration / every)):
            self.tick(every)

    def fail_next(self, cloud: str, *errors: ProviderError) -> None:
        self.clouds[ProviderName(cloud)].fail_next += errors

    def running(self, role: Role = Role.WORKER) -> dict[str, int]:
        """Machines that truly exist, by offer."""
        return dict(Counter(str(seen.key) for c in self.clouds.values() for seen, r in c.alive() if r is role))

    def launches(self) -> int:
        return sum(len(cloud.launched) for cloud in self.clouds.values())

    def lose(self, region: str) -> None:
        for cloud in self.clouds.values():
            if RegionId(region) in cloud.regions:
                cloud.lose_region(RegionId(region))

    def routed(self) -> set[str]:
        table = self.gateway.table()
        return set() if table is None else set(table.regions())
