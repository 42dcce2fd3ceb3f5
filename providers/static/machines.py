"""Machines of one's own as a provider: what registers keep and agents hold ready."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from providers.base import LaunchOrder, Sighting
from providers.everywhere import look_everywhere
from providers.settings import StaticSettings
from providers.static.api import RegisterApi
from providers.static.catalog import notices_of, offers_of
from providers.static.errors import FAMILIES, translated
from providers.static.wire import NewOrder, Order, OrderState
from providers.throttle import Governor
from state.clock import Clock
from state.model.catalog import Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, ProviderName, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice
from state.model.units import Usd

STATES: Final = {
    OrderState.PENDING: CloudState.PENDING,
    OrderState.RUNNING: CloudState.RUNNING,
    OrderState.STOPPING: CloudState.STOPPING,
    OrderState.ENDED: CloudState.TERMINATED,
}

Item = TypeVar("Item")
Result = TypeVar("Result")


class Static:
    """The sites of the settings."""

    name = ProviderName("static")

    def __init__(self, settings: StaticSettings, clock: Clock) -> None:
        """Prepare; nothing is called yet."""
        self._clock = clock
        self._governor = Governor(settings.pace, clock, settings.timeout_seconds)
        self._registers = {
            region_id("static", name): RegisterApi(
                place.register_url, Path(settings.token_file), settings.ca_file, settings.timeout_seconds
            )
            for name, place in sorted(settings.regions.items())
        }

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the sites."""
        return tuple(self._registers)

    def offers(self) -> Sighting[Offer]:
        """Return the machines that are free, by type, and those kept for heads."""
        return self._look(
            lambda region: offers_of(
                region, self._registers[region].machines(region_name(region), self._governor), self._clock.now()
            ),
            "offers",
        )

    def quotas(self) -> Sighting[Quota]:
        """Return none: nobody limits the use of one's own machines."""
        return Sighting()

    def instances(self, owner: str) -> Sighting[CloudInstance]:
        """Return what runs on the sites' machines for *owner*."""
        return self._look(lambda region: [_seen(region, order) for order in self._orders(region, owner)], "instances")

    def notices(self, owner: str) -> Sighting[Notice]:
        """Return which machines are to be drained."""

        def look(region: RegionId) -> list[Notice]:
            orders = {o.instance_id: o.machine for o in self._orders(region, owner) if o.state is not OrderState.ENDED}
            if not orders:
                return []
            return notices_of(region, self._registers[region].machines(region_name(region), self._governor), orders)

        return self._look(look, "notices")

    def _orders(self, region: RegionId, owner: str) -> list[Order]:
        return self._registers[region].orders(region_name(region), owner, self._governor)

    def _look(self, look: Callable[[RegionId], list[Item]], operation: str) -> Sighting[Item]:
        return look_everywhere(self.regions, look, self._governor, FAMILIES, lambda error: translated(error, operation))

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Give a machine something to run, under an id that does it once."""
        key = order.key
        asked = NewOrder(
            instance_id=order.instance_id,
            region=region_name(key.region),
            zone=key.zone,
            type=key.instance_type,
            role=order.role,
            owner=order.owner,
            address=order.private_address,
            script=order.startup_script,
        )
        return _seen(key.region, self._act(key.region, lambda register: register.order(asked), "launch"))

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Let a machine end what it runs; the machine itself stays."""
        del cloud_id
        self._act(key.region, lambda register: register.stop(region_name(key.region), instance_id), "terminate")

    def _act(self, region: RegionId, act: Callable[[RegisterApi], Result], operation: str) -> Result:
        register = self._registers[region]
        self._governor.admit(region, is_write=True)
        return self._governor.act(region, lambda: act(register), FAMILIES, lambda error: translated(error, operation))


def _seen(region: RegionId, order: Order) -> CloudInstance:
    return CloudInstance(
        cloud_id=f"{order.machine}/{order.instance_id}",
        instance_id=InstanceId(order.instance_id),
        key=OfferKey(region, order.zone, order.type, Market.RESERVED),
        state=STATES[order.state],
        address=order.machine_address,
        launched_at=order.ordered_at,
        reason=order.reason,
        price_per_hour=Usd(0),
        trouble=order.trouble,
        trouble_since=order.trouble_since,
    )
