"""A simulated world: clouds, cells, a gateway, a store and a clock in memory, and the real tick over them."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from inference.fake import FakeCell, FakeGateway
from providers.errors import ProviderError
from providers.fake import FakeCloud
from scheduler.ports import Ports
from scheduler.tick import tick
from state.clock import ManualClock
from state.model.catalog import Machine, Market, Offer, OfferKey, Price
from state.model.ids import ApplicationName, ProviderName, RegionId
from state.model.inventory import CloudInstance, Role
from state.model.plan import Plan
from state.model.settings import CellSettings, CostModel, Limits, ShortagePolicy, Thresholds
from state.model.snapshot import Wanted
from state.model.spec import CapacitySpec
from state.model.units import Usd
from state.store import Store
from state.store.memory import MemoryStore

START: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""Simulated time begins here."""
TICK: Final = timedelta(seconds=10)
HOLDER: Final = "simulation"


class NotConvergedError(AssertionError):
    """A simulated fleet still acts or waits after as many ticks as it was given."""


class World:
    """The whole system over fakes; nothing in it depends on real time."""

    def __init__(self, *offers: Offer, store: Store | None = None, boot: timedelta = timedelta(seconds=20)) -> None:
        """Build clouds that sell *offers*, and a head machine in each of their regions.

        Args:
            offers: What the clouds sell; each region gets an offer for its cell's head beside them.
            store: Where state is kept; in memory if none is given.
            boot: Time from an accepted launch until the machine runs.
        """
        every = with_heads(*offers)
        self.clock = ManualClock(START)
        names = sorted({offer.key.provider for offer in every})
        self.clouds = {n: FakeCloud(n, [o for o in every if o.key.provider == n], self.clock, boot) for n in names}
        self.settings = cells(*sorted({offer.key.region for offer in every}))
        machines = {offer.key.instance_type: offer.machine for offer in every}
        self.cells = {s.region: FakeCell(s, self._alive, machines.__getitem__, self.clock) for s in self.settings}
        self.gateway = FakeGateway()
        self.store: Store = store or MemoryStore()
        self.ports = Ports(
            store=self.store,
            providers={ProviderName(name): cloud for name, cloud in self.clouds.items()},
            cell=self._cell,
            gateway=self.gateway,
            clock=self.clock,
            cell_settings=self.settings,
            thresholds=Thresholds(),
            limits=Limits(),
            shortage_policy=ShortagePolicy(),
            cost_model=CostModel(),
        )

    def _cell(self, settings: CellSettings) -> FakeCell:
        return self.cells[settings.region]

    def _alive(self) -> list[tuple[CloudInstance, Role]]:
        return [pair for cloud in self.clouds.values() for pair in cloud.alive()]

    def cloud(self, name: str) -> FakeCloud:
        """Return one of the clouds."""
        return self.clouds[ProviderName(name)]

    def want(self, spec: CapacitySpec) -> None:
        """Put *spec* in force, as `skerry apply` does."""
        self.store.want(wanted(spec), "test", self.clock.now())

    def tick(self, every: timedelta = TICK) -> Plan:
        """Tick once, then let *every* pass.

        Raises:
            StoreError: Another holder has the lease.
        """
        fence = self.store.acquire_lease(HOLDER, timedelta(minutes=1), self.clock.now())
        if fence is None:
            raise NotConvergedError(HOLDER)
        plan = self.act(fence)
        self.clock.sleep(every)
        return plan

    def act(self, fence: int) -> Plan:
        """Tick once as the holder of the lease *fence*; no time passes.

        Raises:
            StoreError: The lease was lost.
        """
        return tick(self.ports, fence)

    def converge(self, ticks_max: int = 60) -> Plan:
        """Tick until nothing is left to do or to wait for, and return the last plan.

        Raises:
            NotConvergedError: That took more than *ticks_max* ticks.
        """
        for _ in range(ticks_max):
            plan = self.tick()
            if plan.is_stable:
                return plan
        msg = f"after {ticks_max} ticks: {plan.actions} {plan.blocked}"
        raise NotConvergedError(msg)

    def run(self, duration: timedelta, every: timedelta = TICK) -> None:
        """Tick for *duration*."""
        for _ in range(int(duration / every)):
            self.tick(every)

    def fail_next(self, cloud: str, *errors: ProviderError) -> None:
        """Make the next calls of a cloud fail, one error each."""
        self.clouds[ProviderName(cloud)].fail_next += errors

    def running(self, role: Role = Role.WORKER) -> dict[str, int]:
        """Return how many machines exist in the clouds, by offer, whatever the store holds."""
        return dict(Counter(str(seen.key) for c in self.clouds.values() for seen, r in c.alive() if r is role))

    def launches(self) -> int:
        """Return how many machines were ever launched."""
        return sum(len(cloud.launched) for cloud in self.clouds.values())

    def lose(self, region: str) -> None:
        """Lose a region: its machines end and its API stops answering."""
        for cloud in self.clouds.values():
            if RegionId(region) in cloud.regions:
                cloud.lose_region(RegionId(region))

    def routed(self) -> set[str]:
        """Return the regions that the gateway sends requests to."""
        table = self.gateway.table()
        return set() if table is None else set(table.regions())


def a_head_offer(region: str, price: str = "0.1", *, zone: str = "a") -> Offer:
    """Return an offer of a machine without GPUs that is large enough for a cell's head."""
    key = OfferKey(RegionId(region), zone, "cpu.4", Market.ON_DEMAND)
    return Offer(key, Machine(None, 0, 24, 4, 16, "cpu"), Price(Usd.of(price), "simulated", START))


def with_heads(*offers: Offer) -> tuple[Offer, ...]:
    """Return *offers* and one for the head of each of their regions."""
    regions = sorted({offer.key.region for offer in offers})
    return (*offers, *(a_head_offer(region) for region in regions))


def cells(*regions: str) -> tuple[CellSettings, ...]:
    """Return settings of one cell per region."""
    return tuple(CellSettings(RegionId(r), f"10.{n}.0.1") for n, r in enumerate(sorted(regions)))


def wanted(spec: CapacitySpec, version: int = 1) -> Wanted:
    """Return a spec with a plain Serve application for each of its applications."""
    return Wanted(version, spec, tuple(_serve_applications(name for name, _ in spec.named())))


def _serve_applications(names: Iterable[ApplicationName]) -> Iterable[tuple[ApplicationName, str]]:
    for name in names:
        entry = {"name": name, "route_prefix": f"/{name}", "import_path": "chat:app", "deployments": [{"name": "Chat"}]}
        yield name, json.dumps(entry, sort_keys=True)
