"""A cloud in memory: finite stock, slow starts, reclaims, and failures on demand."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from providers.base import MARKET_NEEDS, LaunchOrder, Observation
from providers.errors import (
    DeniedError,
    InvalidError,
    ProviderError,
    QuotaError,
    ShortageError,
    ThrottledError,
    UnreachableError,
)
from providers.everywhere import without_repeats
from providers.faults import DONE_FIRST, Fault, FaultBoard, FaultKind
from state.clock import Clock
from state.model.boot import BootProfile
from state.model.catalog import Capability, Market, Offer, OfferKey, Quota, ReservedPlaces
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, CloudState, EndCause, EndKind, Notice, NoticeKind, Role

ERRORS: Final[dict[FaultKind, type[ProviderError]]] = {
    FaultKind.THROTTLE: ThrottledError,
    FaultKind.DENIED: DeniedError,
    FaultKind.SHORTAGE: ShortageError,
    FaultKind.QUOTA: QuotaError,
    FaultKind.INVALID: InvalidError,
}
"""The error that a fault raises; all others are uncertain."""

Item = TypeVar("Item")


@dataclass(slots=True)
class _Machine:
    seen: CloudInstance
    role: Role
    owner: str
    started_at: datetime


class FakeCloud:
    """Rents machines that exist only here; `launched` is the truth that tests compare with."""

    def __init__(self, name: str, offers: Iterable[Offer], clock: Clock, boot: timedelta = timedelta()) -> None:
        """Sell *offers*, with the stock that each states (none stated: plenty)."""
        self.name = ProviderName(name)
        self.capabilities = frozenset(Capability) - {Capability.DRY_RUN}
        self.boot_profile = BootProfile()
        self.boot = boot
        self.catalogue = tuple(offers)
        self.stock: dict[OfferKey, int] = {o.key: o.stock for o in self.catalogue if o.stock is not None}
        self.limits: tuple[Quota, ...] = ()
        self.silent: set[RegionId] = set()
        """Regions whose API does not answer."""
        self.fail_next: list[ProviderError] = []
        """Raised by the next launches, which then do not happen."""
        self.lose_answers = 0
        """How many of the next launches happen while their answers are lost."""
        self.fail_later: list[EndCause] = []
        """Ends of the next launches, which are accepted first."""
        self.reported: dict[InstanceId, CloudState] = {}
        """States that are listed instead of the real ones."""
        self.stuck: set[InstanceId] = set()
        """Machines that never start."""
        self.launched: list[InstanceId] = []
        """Every machine that was really started, in order."""
        self.announced: list[Notice] = []
        self.impaired: dict[InstanceId, tuple[str, datetime]] = {}
        """Impairments of machines, and since when."""
        self.faults = FaultBoard()
        self.lag = timedelta()
        """How long after its start a machine is not listed."""
        self.duplicates = False
        self.page: int | None = None
        """Most items that one call returns."""
        self._clock = clock
        self._machines: dict[InstanceId, _Machine] = {}
        self._lock = threading.RLock()

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions it sells in."""
        return tuple(sorted({offer.key.region for offer in self.catalogue}))

    def offers(self) -> Observation[Offer]:
        """Return the catalogue without its stock, which real clouds do not report either."""
        return self._read(
            "offers",
            lambda: [self._offered(o) for o in self.catalogue if self._sells(o.key.market)],
            lambda o: o.key.region,
        )

    def _sells(self, market: Market) -> bool:
        return MARKET_NEEDS.get(market) in {None, *self.capabilities}

    def _offered(self, offer: Offer) -> Offer:
        is_reserved = offer.key.market is Market.RESERVED
        places = tuple(replace(place, free=self._free(place)) for place in offer.places)
        stock = sum(place.free for place in places) if places else self.stock.get(offer.key)
        return replace(offer, stock=stock if is_reserved else None, places=places)

    def _free(self, place: ReservedPlaces) -> int:
        living = (m.seen for m in self._machines.values() if m.seen.state is not CloudState.TERMINATED)
        return place.free - sum(seen.reservation == place.id for seen in living)

    def end_reservation(self, key: OfferKey) -> None:
        """End the reservations of an offer: it is not sold any more, and its machines run on at list price."""
        with self._lock:
            self.catalogue = tuple(offer for offer in self.catalogue if offer.key != key)
            for machine in self._machines.values():
                if machine.seen.key == key:
                    paid = replace(key, market=Market.ON_DEMAND)
                    machine.seen = replace(machine.seen, key=paid, reservation=None, ends_at=None)

    def quotas(self) -> Observation[Quota]:
        """Return the limits with their use."""
        return self._read("quotas", lambda: [replace(q, used=self._used(q)) for q in self.limits], lambda q: q.region)

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner*."""

        def listed() -> list[CloudInstance]:
            until = self._clock.now() - self.lag
            has_tags = Capability.TAGS in self.capabilities
            ours = (m for m in self._machines.values() if m.owner == owner or not has_tags)
            found = [self._listed(m) for m in ours if m.started_at <= until]
            found = found if has_tags else [replace(seen, instance_id=InstanceId(seen.cloud_id)) for seen in found]
            return without_repeats([*found, *found] if self.duplicates else found)

        return self._read("instances", listed, lambda machine: machine.key.region)

    def notices(self, owner: str) -> Observation[Notice]:
        """Return what is announced for the machines of *owner*."""

        def announced() -> list[Notice]:
            living = (m.seen for m in self._machines.values() if m.owner == owner)
            ids = {seen.instance_id for seen in living if seen.state is not CloudState.TERMINATED}
            return [notice for notice in self.announced if notice.instance_id in ids]

        return self._read("notices", announced, lambda notice: notice.region)

    def reclaim(self, instance_id: InstanceId, notice: timedelta) -> None:
        """Announce that a machine is taken back, and take it back when the notice is over."""
        with self._lock:
            at, region = self._clock.now() + notice, self._machines[instance_id].seen.key.region
            self.announced.append(Notice(instance_id, region, NoticeKind.INTERRUPTION, at))

    def _take_back(self) -> None:
        """End the machines whose notice is over."""
        now = self._clock.now()
        for notice in self.announced:
            if notice.kind is NoticeKind.INTERRUPTION and notice.at is not None and notice.at <= now:
                self.end(notice.instance_id, "taken back", EndKind.RECLAIMED)

    def _read(
        self, operation: str, read: Callable[[], list[Item]], region_of: Callable[[Item], RegionId]
    ) -> Observation[Item]:
        with self._lock:
            self._take_back()
            unreachable = {region: "no answer" for region in self.regions if region in self.silent}
            items = read()
            for region in self.regions:
                count = sum(region_of(item) == region for item in items)
                for _ in range(max(1, -(-count // (self.page or max(count, 1))))):
                    fault = self.faults.strike(self.name, operation, region)
                    if fault is not None and fault.kind is not FaultKind.DELAY:
                        unreachable[region] = str(self._error_of(fault, operation))
            return Observation(tuple(item for item in items if region_of(item) not in unreachable), unreachable)

    def _error_of(self, fault: Fault, operation: str) -> ProviderError:
        error = ERRORS.get(fault.kind, UnreachableError)(self.name, operation, fault.code or str(fault.kind))
        if isinstance(error, ThrottledError):
            error.retry_after_s = fault.seconds or None
        return error

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start a machine, or raise what the rules in force name."""
        with self._lock:
            fault = self.faults.strike(self.name, "launch", order.key.region)
            if fault is not None and fault.kind is not FaultKind.DELAY:
                if fault.kind is FaultKind.NAME_USED and order.instance_id in self._machines:
                    return self._launch(order)
                if fault.kind in DONE_FIRST:
                    self._launch(order)
                raise self._error_of(fault, "launch")
            return self._launch(order)

    def _launch(self, order: LaunchOrder) -> CloudInstance:
        with self._lock:
            if order.key.region in self.silent:
                raise UnreachableError(self.name, "launch", "timeout")
            if order.private_address is not None and Capability.FIXED_ADDRESS not in self.capabilities:
                raise InvalidError(self.name, "launch", "Unsupported", "addresses cannot be chosen")
            if order.instance_id in self._machines and Capability.IDEMPOTENT_LAUNCH in self.capabilities:
                if self._machines[order.instance_id].owner != order.owner:
                    raise InvalidError(self.name, "launch", "Exists", "it belongs to another owner")
                return self._current(self._machines[order.instance_id])
            if self.fail_next:
                raise self.fail_next.pop(0)
            place = self._take(order)
            repeats = self.launched.count(order.instance_id)
            name = InstanceId(f"{order.instance_id}-{repeats}") if repeats else order.instance_id
            machine = _Machine(
                CloudInstance(
                    cloud_id=f"c-{name}",
                    instance_id=order.instance_id,
                    key=order.key,
                    state=CloudState.PENDING,
                    address=order.private_address or f"10.0.0.{len(self.launched) + 1}",
                    launched_at=self._clock.now(),
                    reservation=None if place is None else place.id,
                    ends_at=None if place is None else place.until,
                ),
                order.role,
                order.owner,
                self._clock.now(),
            )
            self._machines[name] = machine
            self.launched.append(order.instance_id)
            if self.fail_later:
                cause = self.fail_later.pop(0)
                self.end(name, cause.message, cause.kind)
                machine.seen = replace(machine.seen, end=cause)
            if self.lose_answers:
                self.lose_answers -= 1
                raise UnreachableError(self.name, "launch", "timeout")
            return self._current(machine)

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """End a machine; an unknown one counts as ended."""
        del cloud_id
        with self._lock:
            if key.region in self.silent:
                raise UnreachableError(self.name, "terminate", "timeout")
            fault = self.faults.strike(self.name, "terminate", key.region)
            if fault is not None and fault.kind is not FaultKind.DELAY:
                if fault.kind in DONE_FIRST:
                    self.end(instance_id, "user")
                raise self._error_of(fault, "terminate")
            self.end(instance_id, "user")

    def end(self, instance_id: InstanceId, reason: str, kind: EndKind = EndKind.BY_USER) -> None:
        """End a machine, as a reclaim does."""
        with self._lock:
            machine = self._machines.get(instance_id)
            if machine is None or machine.seen.state is CloudState.TERMINATED:
                return
            cause = EndCause(kind, "", reason, self._clock.now())
            machine.seen = replace(machine.seen, state=CloudState.TERMINATED, reason=reason, end=cause)
            if machine.seen.key in self.stock:
                self.stock[machine.seen.key] += 1

    def lose_region(self, region: RegionId) -> None:
        """End every machine of a region, and let its API answer no more."""
        with self._lock:
            for machine in list(self._machines.values()):
                if machine.seen.key.region == region:
                    self.end(machine.seen.instance_id, "region lost", EndKind.INTERNAL)
            self.silent.add(region)

    def alive(self) -> tuple[tuple[CloudInstance, Role], ...]:
        """Return the machines that exist now, listed or not."""
        with self._lock:
            self._take_back()
            living = (m for m in self._machines.values() if m.seen.state is not CloudState.TERMINATED)
            return tuple((self._current(m), m.role) for m in living)

    def _current(self, machine: _Machine) -> CloudInstance:
        booted = self._clock.now() >= machine.started_at + self.boot and machine.seen.instance_id not in self.stuck
        if machine.seen.state is CloudState.PENDING and booted:
            machine.seen = replace(machine.seen, state=CloudState.RUNNING)
        impairment, since = self.impaired.get(machine.seen.instance_id, ("", None))
        price = next((o.price.per_hour for o in self.catalogue if o.key == machine.seen.key), None)
        return replace(machine.seen, price_per_hour=price, impairment=impairment, impairment_since=since)

    def _listed(self, machine: _Machine) -> CloudInstance:
        seen = self._current(machine)
        return replace(seen, state=self.reported.get(seen.instance_id, seen.state))

    def _take(self, order: LaunchOrder) -> ReservedPlaces | None:
        """Take one from the stock, and return the reservation that it is from, if there is one."""
        offer = next((o for o in self.catalogue if o.key == order.key), None)
        if offer is None or self.stock.get(order.key, 1) < 1:
            raise ShortageError(self.name, "launch", "OutOfStock")
        for quota in self.limits:
            is_over = self._used(quota) + quota.size_of(offer.machine) > quota.limit
            if quota.counts(order.key, offer.machine) and is_over:
                error = QuotaError(self.name, "launch", "QuotaExceeded", quota.name)
                error.scope = quota.scope
                raise error
        if order.key in self.stock:
            self.stock[order.key] -= 1
        # Launches at the same time that name no reservation find the same one.
        place = next((p for p in offer.places if order.reservation in {None, p.id}), None)
        if offer.places and (place is None or self._free(place) < 1):
            raise ShortageError(self.name, "launch", "ReservationUsedUp")
        return place

    def _used(self, quota: Quota) -> int:
        machine_of = {offer.key: offer.machine for offer in self.catalogue}
        running = (m.seen.key for m in self._machines.values() if m.seen.state is not CloudState.TERMINATED)
        return sum(quota.size_of(machine_of[key]) for key in running if quota.counts(key, machine_of[key]))
