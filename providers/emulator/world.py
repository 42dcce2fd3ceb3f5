"""The one world of stock, addresses, outages and machines behind all embedded clouds."""

import threading
from dataclasses import dataclass
from datetime import datetime

from providers.emulator.host import Boot, Host
from providers.emulator.scene import SceneRegion, Size, load_sizes
from state.clock import Clock
from state.model.ids import RegionId


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


class CloudWorld:
    """Hands machines out while stock lasts, boots them on the host, and takes them back."""

    def __init__(self, scene: tuple[SceneRegion, ...], host: Host, clock: Clock) -> None:
        """Start with the scene's stock and no machines."""
        self.scene = {region.id: region for region in scene}
        self.sizes = {provider: load_sizes(provider) for provider in {region.provider for region in scene}}
        self.silent: set[RegionId] = set()
        """Regions whose API does not answer."""
        self.host = host
        self.clock = clock
        self.rented: dict[str, Rented] = {}
        self.lock = threading.RLock()
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

    def rent(self, name: str, region: RegionId, zone: str, size: str, *, is_spot: bool, address: str | None) -> Rented:
        """Take a machine out of stock; it exists from now on, and runs once it is booted.

        Raises:
            OutOfStockError: None is left.
        """
        with self.lock:
            if name in self.rented:
                return self.rented[name]
            provider = self.scene[region].provider
            if self.stock(region, zone, size, is_spot=is_spot) < 1 or size not in self.sizes[provider]:
                raise OutOfStockError
            self._stock[region, zone, size, is_spot] -= 1
            machine = Rented(
                name=name,
                region=region,
                zone=zone,
                size=self.sizes[provider][size],
                is_spot=is_spot,
                address=address or self._next_address(region),
                started_at=self.clock.now(),
            )
            self.rented[name] = machine
            return machine

    def boot(self, name: str, script: str) -> None:
        """Run a rented machine's start-up script."""
        machine = self.rented[name]
        size = machine.size
        self.host.boot(Boot(name, machine.region, script, machine.address, size.vcpus, size.gpus, size.memory_gib))

    def end(self, name: str) -> None:
        """End a machine; its stock comes back. Unknown names are gone already."""
        with self.lock:
            machine = self.rented.get(name)
            if machine is None or machine.has_ended:
                return
            machine.has_ended = True
            self._stock[machine.region, machine.zone, machine.size.name, machine.is_spot] += 1
        self.host.end(name)

    def lose(self, region: RegionId) -> tuple[str, ...]:
        """Let a region die: its API falls silent and its machines' processes are killed."""
        with self.lock:
            self.silent.add(region)
            for machine in self.rented.values():
                if machine.region == region:
                    machine.has_ended = True
        return self.host.kill_region(region)

    def restore(self, region: RegionId) -> None:
        """Let a region's API answer again; what died stays dead."""
        with self.lock:
            self.silent.discard(region)

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
        return next(a for n in range(2, 250) if (a := f"127.{network}.0.{n}") not in taken)
