"""The backend that all embedded clouds share: stock, reservations, addresses, outages and machines."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from providers.emulator.ends import EndedBy, Failure
from providers.emulator.host import Boot, Host
from providers.emulator.regions import EmulatedRegion, Size, load_sizes, load_spot_prices
from providers.faults import FaultBoard
from state.clock import Clock
from state.model.ids import RegionId

NOTICE: Final = {"aws": timedelta(seconds=120), "gcp": timedelta(seconds=30), "azure": timedelta(seconds=30)}
"""How long before a reclaim the cloud announces it. Source: the clouds' documentation of spot machines."""


class OutOfStockError(Exception):
    """The zone has no machine of that type left in that market."""


@dataclass(slots=True)
class EmulatedMachine:
    """A machine as it really is; lists of its cloud may lag behind."""

    name: str
    region: RegionId
    zone: str
    size: Size
    is_spot: bool
    address: str
    started_at: datetime
    has_ended: bool = False
    ended_at: datetime | None = None
    reclaim_at: datetime | None = None
    """When the cloud reclaims it; None: not announced."""
    maintenance_at: datetime | None = None
    """When maintenance of its host begins; None: not announced."""
    impaired_at: datetime | None = None
    """Since when it fails its cloud's status checks; None: it passes them."""
    reservation: str | None = None
    """Id of the reservation it uses; None: none."""
    ended_by: EndedBy | None = None
    """What ended it; None while it runs."""
    failure: Failure | None = None
    """With which its accepted launch failed; None: it did not."""
    failed_update: str = ""
    """Code with which the last operation on the running machine failed; empty: it did not."""
    listed_state: str = ""
    """The state that lists show instead of the real one, in the cloud's spelling; empty: the real one."""


@dataclass(slots=True)
class BootFaults:
    """Faults of the next boots."""

    fail: int = 0
    """Number of machines that are listed as running, but never run their script."""
    dead_gpus: int = 0
    """Number of GPU machines that boot without a working GPU."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A capacity reservation of one machine type in one zone."""

    id: str
    region: RegionId
    zone: str
    size: str
    count: int
    begins: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpecialZone:
    """A zone of a region beside its usual ones, with prices of its own: one of EC2's Local or Wavelength Zones."""

    name: str
    region: RegionId
    kind: str
    """`local-zone` or `wavelength-zone`."""
    group: str
    sizes: tuple[str, ...]
    is_enabled: bool = True
    """Whether the account has opted in."""
    subnet: str = ""
    """Id of the default VPC's subnet there; empty: it has none, as at first."""


class Backend:
    """Allocates machines from stock or reservations, boots them on the host, and ends them."""

    def __init__(self, regions: tuple[EmulatedRegion, ...], host: Host, clock: Clock) -> None:
        """Start with the stock of *regions* and no machines."""
        self.regions = {region.id: region for region in regions}
        self.sizes = {provider: load_sizes(provider) for provider in {region.provider for region in regions}}
        self.unreachable: set[RegionId] = set()
        """Regions whose API does not respond."""
        self.failed_zones: set[str] = set()
        """Zones in outage: nothing runs there, and every launch is out of stock."""
        self.faults = FaultBoard()
        self.lag = timedelta()
        """How long lists take to show a machine's start or end."""
        self.page: int | None = None
        """Maximal number of items per page, whatever the request's own limit; None: no such maximum."""
        self.duplicates = False
        """Whether lists contain each machine twice, as real lists may while pages shift."""
        self.boot_faults = BootFaults()
        self.spot_price_factor: dict[tuple[RegionId, str], float] = {}
        """Factor on the catalogue's spot price, by region and instance type."""
        self.reservations: dict[str, Reservation] = {}
        self.special_zones: list[SpecialZone] = []
        self.image_roots: dict[str, str] = {}
        """Root devices of EC2's images that have another than the usual one, by image id."""
        self.zoneless_sizes: set[tuple[RegionId, str]] = set()
        """Azure's sizes that a region has, but none of its zones; their stock is that of zone `-`."""
        self.sku_restrictions: dict[tuple[RegionId, str], list[dict[str, Any]]] = {}
        """Restrictions of Azure's sizes, as its SKUs have them."""
        self.edge_sizes: dict[tuple[RegionId, str], str] = {}
        """Azure's sizes that only an edge zone of the region has, to that zone."""
        self.regions_without_subnetwork: set[RegionId] = set()
        """GCP's regions in which no network has a subnetwork."""
        self.token_lifetime_s = 3599
        """Lifetime of Entra's tokens, in seconds."""
        self.tokens_issued = 0
        self.missing_permissions: set[str] = set()
        """Permissions of GCP and Azure that the credentials lack."""
        self.unregistered_namespaces: set[str] = set()
        """Azure resource providers for which the subscription is not registered."""
        self.unfinished_polls = 0
        """Number of the next polls of GCE and Azure operations that find them unfinished, without `Retry-After`."""
        self.holds_operations = False
        """Whether GCE and Azure operations stay unfinished, so that a launch is accepted with its outcome unknown."""
        self.project_quotas: dict[str, int] = {"CPUS_ALL_REGIONS": 4096, "GPUS_ALL_REGIONS": 1024}
        """Limits of GCP's quotas of the whole project, by metric."""
        self._failures, self.closed = dict[str, Failure](), threading.Event()
        self.host = host
        self.clock = clock
        self.machines: dict[str, EmulatedMachine] = {}
        self.lock = threading.RLock()
        self._rebalance_recommendations: list[EmulatedMachine] = []
        self._spot_prices = load_spot_prices()
        self._stock = {
            (region.id, zone, *kind): count
            for region in regions
            for zone in region.zones
            for kind, count in region.stock.items()
        }

    def find_region(self, provider: str, name: str) -> EmulatedRegion | None:
        """Return a region by its name in its cloud; None if it does not exist."""
        return next((r for r in self.regions.values() if (r.provider, r.name) == (provider, name)), None)

    def stock(self, region: RegionId, zone: str, size: str, *, is_spot: bool) -> int:
        """Return how many machines of a type and market a zone has left."""
        return self._stock.get((region, zone, size, is_spot), 0)

    def set_stock(self, region: RegionId, zone: str, size: str, count: int, *, is_spot: bool) -> None:
        """Set how many machines of a type and market a zone has left."""
        with self.lock:
            self._stock[region, zone, size, is_spot] = count

    def allocate(  # noqa: PLR0913  the parameters of a launch
        self,
        name: str,
        region: RegionId,
        zone: str,
        size: str,
        *,
        is_spot: bool,
        address: str | None,
        reservation: str | None = None,
    ) -> EmulatedMachine:
        """Return a new machine from stock or a reservation, not booted yet; a known name returns the first machine.

        Args:
            name: The machine's name, unique among all clouds.
            region: The region.
            zone: The zone.
            size: The instance type.
            is_spot: The market.
            address: The private address; None: the next free one.
            reservation: The reservation to use; None: stock.

        Raises:
            OutOfStockError: None is left, or the zone is in outage.
        """
        with self.lock:
            if name in self.machines:
                return self.machines[name]
            provider = self.regions[region].provider
            if size not in self.sizes[provider] or zone in self.failed_zones:
                raise OutOfStockError
            if reservation is not None:
                self._take_reserved(reservation, zone, size)
            else:
                self._take(region, zone, size, is_spot=is_spot)
            machine = EmulatedMachine(
                name=name,
                region=region,
                zone=zone,
                size=self.sizes[provider][size],
                is_spot=is_spot,
                address=address or self._next_address(region),
                started_at=self.clock.now(),
                reservation=reservation,
            )
            self.machines[name] = machine
            return machine

    def _take(self, region: RegionId, zone: str, size: str, *, is_spot: bool) -> None:
        if self.stock(region, zone, size, is_spot=is_spot) < 1:
            raise OutOfStockError
        self._stock[region, zone, size, is_spot] -= 1

    def _take_reserved(self, reservation: str, zone: str, size: str) -> None:
        found, now = self.reservations.get(reservation), self.clock.now()
        if found is None or (found.zone, found.size) != (zone, size) or self.count_in_use(reservation) >= found.count:
            raise OutOfStockError
        if (found.begins is not None and now < found.begins) or (found.ends is not None and now >= found.ends):
            raise OutOfStockError

    def count_in_use(self, reservation: str) -> int:
        """Return how many machines use a reservation."""
        return sum(m.reservation == reservation and not m.has_ended for m in self.machines.values())

    def spot_price(self, region: RegionId, size: str) -> float | None:
        """Return the current spot price of a type in US dollars per hour; None if it has none."""
        listed = self._spot_prices.get((region, size))
        return None if listed is None else listed * self.spot_price_factor.get((region, size), 1.0)

    def boot(self, name: str, script: str) -> None:
        """Run an allocated machine's start-up script, subject to the boot faults in force."""
        machine = self.machines[name]
        size = machine.size
        with self.lock:
            if self.boot_faults.fail > 0:
                self.boot_faults.fail -= 1
                return
            if size.gpus and self.boot_faults.dead_gpus > 0:
                self.boot_faults.dead_gpus -= 1
                size = replace(size, gpus=0)
        self.host.boot(Boot(name, machine.region, script, machine.address, size.vcpus, size.gpus, size.memory_gib))

    def fail_next_launch(self, provider: str, failure: Failure) -> None:
        """Let the next launch of a cloud fail once it is accepted."""
        with self.lock:
            self._failures[provider] = failure

    def pop_failure(self, provider: str) -> Failure | None:
        """Return the error with which a launch of a cloud is to fail; None for none."""
        with self.lock:
            return self._failures.pop(provider, None)

    def end(self, name: str, by: EndedBy = EndedBy.USER) -> None:
        """End a machine and return it to stock. An unknown name is success."""
        with self.lock:
            machine = self.machines.get(name)
            if machine is None or machine.has_ended:
                return
            machine.has_ended, machine.ended_at, machine.ended_by = True, self.clock.now(), by
            if machine.reservation is None:
                self._stock[machine.region, machine.zone, machine.size.name, machine.is_spot] += 1
        self.host.end(name)

    def lose(self, region: RegionId) -> tuple[str, ...]:
        """Make a region's API unreachable, kill its machines' processes, and return the names of those lost."""
        with self.lock:
            self.unreachable.add(region)
            for machine in self.machines.values():
                if machine.region == region and not machine.has_ended:
                    machine.has_ended, machine.ended_at, machine.ended_by = True, self.clock.now(), EndedBy.HOST
        return self.host.kill_region(region)

    def restore(self, region: RegionId) -> None:
        """Make a region's API respond again; its lost machines stay ended."""
        with self.lock:
            self.unreachable.discard(region)

    def lose_zone(self, zone: str) -> tuple[str, ...]:
        """Put a zone in outage: end its machines, refuse launches, and return the names of those lost."""
        with self.lock:
            self.failed_zones.add(zone)
            lost = tuple(m.name for m in self.machines.values() if m.zone == zone and not m.has_ended)
        for name in lost:
            self.end(name, EndedBy.HOST)
        return lost

    def reclaim(self, name: str) -> datetime | None:
        """Announce the reclaim of a spot machine, and return its time; None if no such machine is active."""
        with self.lock:
            machine = self._active(name)
            if machine is None or not machine.is_spot:
                return None
            machine.reclaim_at = self.clock.now() + NOTICE[self.regions[machine.region].provider]
            return machine.reclaim_at

    def announce_maintenance(self, name: str, after: timedelta) -> datetime | None:
        """Announce maintenance of a machine's host, and return its time; None if no such machine is active."""
        with self.lock:
            machine = self._active(name)
            if machine is None:
                return None
            machine.maintenance_at = self.clock.now() + after
            return machine.maintenance_at

    def impair(self, name: str) -> datetime | None:
        """Make a machine fail its cloud's status checks, and return since when; None if no such machine is active."""
        with self.lock:
            machine = self._active(name)
            if machine is None:
                return None
            machine.impaired_at = self.clock.now()
            return machine.impaired_at

    def recommend_rebalance(self, name: str) -> bool:
        """Recommend a rebalance of an EC2 spot machine; return whether such a machine is active."""
        with self.lock:
            machine = self._active(name)
            if machine is None or not machine.is_spot or not machine.region.startswith("aws/"):
                return False
            self._rebalance_recommendations.append(machine)
            return True

    def _active(self, name: str) -> EmulatedMachine | None:
        machine = self.machines.get(name)
        return None if machine is None or machine.has_ended else machine

    def pop_rebalance_recommendations(self) -> list[EmulatedMachine]:
        """Return the machines with a rebalance recommendation since the last call."""
        with self.lock:
            found, self._rebalance_recommendations = self._rebalance_recommendations, []
            return found

    def advance(self) -> None:
        """End the machines whose reclaim time has passed."""
        now = self.clock.now()
        with self.lock:
            due = [
                m.name
                for m in self.machines.values()
                if not m.has_ended and m.reclaim_at is not None and m.reclaim_at <= now
            ]
        for name in due:
            self.end(name, EndedBy.RECLAIM)

    def is_listed_yet(self, machine: EmulatedMachine) -> bool:
        """Return whether lists show a machine, given the lag."""
        return self.clock.now() >= machine.started_at + self.lag

    def is_listed_as_ended(self, machine: EmulatedMachine) -> bool:
        """Return whether lists show a machine as ended, given the lag."""
        return machine.has_ended and (machine.ended_at is None or self.clock.now() >= machine.ended_at + self.lag)

    def listed(self, provider: str) -> list[EmulatedMachine]:
        """Return a provider's machines as its lists show them, by name: late, and twice with `duplicates`."""
        with self.lock:
            found = [
                m
                for m in sorted(self.machines.values(), key=lambda m: m.name)
                if self.regions[m.region].provider == provider and self.is_listed_yet(m)
            ]
        return [m for m in found for _ in range(2)] if self.duplicates else found

    def sizes_in_use(self, region: RegionId, sizes: set[str], *, is_spot: bool) -> list[Size]:
        """Return one size per active machine of the given types in a region and market."""
        with self.lock:
            return [
                m.size
                for m in self.machines.values()
                if m.region == region and m.size.name in sizes and m.is_spot == is_spot and not m.has_ended
            ]

    def active_machines(self) -> tuple[EmulatedMachine, ...]:
        """Return the machines that have not ended, in every region."""
        with self.lock:
            return tuple(m for m in self.machines.values() if not m.has_ended)

    def _next_address(self, region: RegionId) -> str:
        network = self.regions[region].network
        in_use = {m.address for m in self.machines.values() if m.region == region and not m.has_ended}
        addresses = (f"127.{network}.{n // 250}.{n % 250 + 1}" for n in range(1, 60_000))
        return next(address for address in addresses if address not in in_use)
