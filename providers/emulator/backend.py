"""The one world of stock, addresses, outages and machines behind all embedded clouds."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from providers.emulator.host import Boot, Host
from providers.emulator.regions import SceneRegion, Size, load_sizes, load_spot_prices
from providers.faults import FaultBoard
from state.clock import Clock
from state.model.ids import RegionId

NOTICE: Final = {"aws": timedelta(seconds=120), "gcp": timedelta(seconds=30), "azure": timedelta(seconds=30)}
"""How long before it is taken back a spot machine is told. Source: the clouds' documentation of spot machines."""


class OutOfStockError(Exception):
    """The zone has no more machines of that type in that market."""


@dataclass(slots=True)
class Rented:
    """A machine that exists, whatever its cloud's API says of it at the moment."""

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
    """When the cloud takes it back, once it has told so."""
    maintenance_at: datetime | None = None
    """When its host is worked on, once that is announced."""
    impaired_at: datetime | None = None
    """Since when it fails its cloud's own checks."""
    reservation: str | None = None
    """The reservation that it is taken from."""


@dataclass(slots=True)
class Boots:
    """How the next machines boot."""

    fail: int = 0
    """So many never come up: they are listed as running, and nothing runs on them."""
    dead_gpus: int = 0
    """So many come up without a GPU that works."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Machines of one type in one zone, paid for already."""

    id: str
    region: RegionId
    zone: str
    size: str
    count: int
    begins: datetime | None = None
    ends: datetime | None = None


class CloudWorld:
    """Hands machines out while stock lasts, boots them on the host, and takes them back."""

    def __init__(self, scene: tuple[SceneRegion, ...], host: Host, clock: Clock) -> None:
        """Start with the scene's stock and no machines."""
        self.scene = {region.id: region for region in scene}
        self.sizes = {provider: load_sizes(provider) for provider in {region.provider for region in scene}}
        self.silent: set[RegionId] = set()
        """Regions whose API does not answer."""
        self.dark_zones: set[str] = set()
        """Zones that start nothing, and in which nothing runs."""
        self.faults = FaultBoard()
        self.lag = timedelta()
        """How long after a machine starts or ends lists still say otherwise."""
        self.page: int | None = None
        """Most items of a page, whatever is asked for."""
        self.duplicates = False
        """Whether lists name machines twice, as they may while pages shift."""
        self.boots = Boots()
        self.spot_factor: dict[tuple[RegionId, str], float] = {}
        """By region and instance type, what the spot price is a multiple of the catalogue's."""
        self.reservations: dict[str, Reservation] = {}
        self.token_seconds = 3599
        """How long a token of Entra's lasts."""
        self.tokens_drawn = 0
        self.not_granted: set[str] = set()
        """Permissions of GCP's and Azure's that our credentials lack."""
        self.unregistered: set[str] = set()
        """Azure's resource providers that the subscription may not use yet."""
        self.unfinished_polls = 0
        """So many of the next polls of GCE's and Azure's operations find them unfinished, none told when to ask."""
        self.closed = threading.Event()
        self.host = host
        self.clock = clock
        self.rented: dict[str, Rented] = {}
        self.lock = threading.RLock()
        self._recommended: list[Rented] = []
        self._spot_prices = load_spot_prices()
        self._stock = {
            (region.id, zone, *kind): count
            for region in scene
            for zone in region.zones
            for kind, count in region.stock.items()
        }

    def region(self, provider: str, name: str) -> SceneRegion | None:
        """Return a region of the scene by its cloud's name, or None."""
        return next((r for r in self.scene.values() if (r.provider, r.name) == (provider, name)), None)

    def stock(self, region: RegionId, zone: str, size: str, *, is_spot: bool) -> int:
        """Return how many machines of a kind a zone has left."""
        return self._stock.get((region, zone, size, is_spot), 0)

    def set_stock(self, region: RegionId, zone: str, size: str, count: int, *, is_spot: bool) -> None:
        """Change how many machines of a kind a zone has left."""
        with self.lock:
            self._stock[region, zone, size, is_spot] = count

    def rent(  # noqa: PLR0913  what is asked of a cloud
        self,
        name: str,
        region: RegionId,
        zone: str,
        size: str,
        *,
        is_spot: bool,
        address: str | None,
        reservation: str | None = None,
    ) -> Rented:
        """Take a machine out of stock, or out of a reservation; it exists from now on, and runs once it is booted.

        Raises:
            OutOfStockError: None is left.
        """
        with self.lock:
            if name in self.rented:
                return self.rented[name]
            provider = self.scene[region].provider
            if size not in self.sizes[provider] or zone in self.dark_zones:
                raise OutOfStockError
            if reservation is not None:
                self._take_reserved(reservation, zone, size)
            else:
                self._take(region, zone, size, is_spot=is_spot)
            machine = Rented(
                name=name,
                region=region,
                zone=zone,
                size=self.sizes[provider][size],
                is_spot=is_spot,
                address=address or self._next_address(region),
                started_at=self.clock.now(),
                reservation=reservation,
            )
            self.rented[name] = machine
            return machine

    def _take(self, region: RegionId, zone: str, size: str, *, is_spot: bool) -> None:
        if self.stock(region, zone, size, is_spot=is_spot) < 1:
            raise OutOfStockError
        self._stock[region, zone, size, is_spot] -= 1

    def _take_reserved(self, reservation: str, zone: str, size: str) -> None:
        held, now = self.reservations.get(reservation), self.clock.now()
        if held is None or (held.zone, held.size) != (zone, size) or self.used_of(reservation) >= held.count:
            raise OutOfStockError
        if (held.begins is not None and now < held.begins) or (held.ends is not None and now >= held.ends):
            raise OutOfStockError

    def used_of(self, reservation: str) -> int:
        """Return how many machines of a reservation run."""
        return sum(m.reservation == reservation and not m.has_ended for m in self.rented.values())

    def spot_price(self, region: RegionId, size: str) -> float | None:
        """Return the spot price of a type now, in US dollars per hour; None where it is not sold so."""
        listed = self._spot_prices.get((region, size))
        return None if listed is None else listed * self.spot_factor.get((region, size), 1.0)

    def boot(self, name: str, script: str) -> None:
        """Run a rented machine's start-up script."""
        machine = self.rented[name]
        size = machine.size
        with self.lock:
            if self.boots.fail > 0:
                self.boots.fail -= 1
                return
            if size.gpus and self.boots.dead_gpus > 0:
                self.boots.dead_gpus -= 1
                size = replace(size, gpus=0)
        self.host.boot(Boot(name, machine.region, script, machine.address, size.vcpus, size.gpus, size.memory_gib))

    def end(self, name: str) -> None:
        """End a machine; its stock comes back. Unknown names are gone already."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended:
                return
            machine.has_ended, machine.ended_at = True, self.clock.now()
            if machine.reservation is None:
                self._stock[machine.region, machine.zone, machine.size.name, machine.is_spot] += 1
        self.host.end(name)

    def lose(self, region: RegionId) -> tuple[str, ...]:
        """Let a region die: its API falls silent and its machines' processes are killed."""
        with self.lock:
            self.silent.add(region)
            for machine in self.rented.values():
                if machine.region == region and not machine.has_ended:
                    machine.has_ended, machine.ended_at = True, self.clock.now()
        return self.host.kill_region(region)

    def restore(self, region: RegionId) -> None:
        """Let a region's API answer again; what died stays dead."""
        with self.lock:
            self.silent.discard(region)

    def lose_zone(self, zone: str) -> tuple[str, ...]:
        """Let a zone go dark: its machines end, and it starts none until it is lit again."""
        with self.lock:
            self.dark_zones.add(zone)
            lost = tuple(m.name for m in self.rented.values() if m.zone == zone and not m.has_ended)
        for name in lost:
            self.end(name)
        return lost

    def reclaim(self, name: str) -> datetime | None:
        """Tell a spot machine that it is taken back, and return when; None where there is no such machine."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended or not machine.is_spot:
                return None
            machine.reclaim_at = self.clock.now() + NOTICE[self.scene[machine.region].provider]
            return machine.reclaim_at

    def announce_maintenance(self, name: str, after: timedelta) -> datetime | None:
        """Announce that a machine's host is worked on, and return when; None where there is no such machine."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended:
                return None
            machine.maintenance_at = self.clock.now() + after
            return machine.maintenance_at

    def impair(self, name: str) -> datetime | None:
        """Let a machine fail its cloud's own checks, and return since when; None where there is no such machine."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended:
                return None
            machine.impaired_at = self.clock.now()
            return machine.impaired_at

    def recommend(self, name: str) -> bool:
        """Recommend to leave a spot machine, as EC2 alone does; return whether there is such a machine."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended or not machine.is_spot or not machine.region.startswith("aws/"):
                return False
            self._recommended.append(machine)
            return True

    def take_recommended(self) -> list[Rented]:
        """Return the machines that are newly recommended to be left."""
        with self.lock:
            found, self._recommended = self._recommended, []
            return found

    def advance(self) -> None:
        """Do what is due: machines whose notice has run out end."""
        now = self.clock.now()
        with self.lock:
            due = [
                m.name
                for m in self.rented.values()
                if not m.has_ended and m.reclaim_at is not None and m.reclaim_at <= now
            ]
        for name in due:
            self.end(name)

    def is_listed_yet(self, machine: Rented) -> bool:
        """Return whether lists show a machine that was just started."""
        return self.clock.now() >= machine.started_at + self.lag

    def seems_ended(self, machine: Rented) -> bool:
        """Return whether lists say that a machine has ended."""
        return machine.has_ended and (machine.ended_at is None or self.clock.now() >= machine.ended_at + self.lag)

    def listed(self, provider: str) -> list[Rented]:
        """Return the machines of a provider that lists show, by name; twice where lists are as bad as that."""
        with self.lock:
            found = [
                m
                for m in sorted(self.rented.values(), key=lambda m: m.name)
                if self.scene[m.region].provider == provider and self.is_listed_yet(m)
            ]
        return [m for m in found for _ in range(2)] if self.duplicates else found

    def used(self, region: RegionId, sizes: set[str], *, is_spot: bool) -> list[Size]:
        """Return the sizes of the machines of some types that run in a region."""
        with self.lock:
            return [
                m.size
                for m in self.rented.values()
                if m.region == region and m.size.name in sizes and m.is_spot == is_spot and not m.has_ended
            ]

    def alive(self) -> tuple[Rented, ...]:
        """Return the machines that have not ended, in every region."""
        with self.lock:
            return tuple(m for m in self.rented.values() if not m.has_ended)

    def _next_address(self, region: RegionId) -> str:
        network = self.scene[region].network
        taken = {m.address for m in self.rented.values() if m.region == region and not m.has_ended}
        every = (f"127.{network}.{n // 250}.{n % 250 + 1}" for n in range(1, 60_000))
        return next(address for address in every if address not in taken)
