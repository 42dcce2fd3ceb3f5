"""Azure as a provider."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import httpx

from providers.azure.api import EVERYWHERE, AzureApi
from providers.azure.catalog import REGIONAL, machine_of, offers_of, quotas_of, reservation_of, text_of, zones_of
from providers.azure.errors import ALREADY_EXISTS, FAMILIES, LEFT_BEHIND, NOT_FOUND, code_of, translated
from providers.azure.notices import impairment_of, notice_of
from providers.azure.permissions import NEEDED, is_granted
from providers.azure.profile import PROFILE
from providers.azure.settings import AzureSettings
from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, LaunchOrder, Observation
from providers.context import Context
from providers.errors import DeniedError, InvalidError, ProviderError
from providers.everywhere import query_all_regions, unanswered, without_repeats
from providers.exclusions import WHOLE_REGION, Exclusion, ExclusionKind
from providers.prices import LIVE_PRICES, PriceList, live_spot
from providers.reservations import Reservation, in_reservations, reserved_offers, select_reservation
from providers.throttle import RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Machine, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice, Role

STATES: Final = {
    "Creating": CloudState.PENDING,
    "Updating": CloudState.RUNNING,
    "Succeeded": CloudState.RUNNING,
    "Deleting": CloudState.STOPPING,
    "Failed": CloudState.STOPPING,
}
"""A VM whose creation failed is still a resource, so it counts as stopping and is ended."""
NETWORK_API: Final = "2022-11-01"
"""The only version but one that an inline network interface may name."""
ADMIN: Final = "skerry"
CONDITIONS: Final = "impairments of machines"

Item = TypeVar("Item")
Result = TypeVar("Result")


def build(settings: AzureSettings, context: Context) -> "Azure":
    """Return the provider; nothing is called yet."""
    return Azure(settings, context.prices, context.clock)


class Azure:
    """Virtual machines in the regions of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot

    def __init__(self, settings: AzureSettings, prices: Callable[[], PriceList], clock: Clock) -> None:
        """Make the client; nothing is called yet."""
        self._settings = settings
        self._prices = prices
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds)
        self._api = AzureApi(settings, self._limiter)
        self._regions = tuple(region_id("azure", name) for name in settings.regions)
        self._families: dict[RegionId, set[str]] = {}

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions of the settings."""
        return self._regions

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return everything, but fixed addresses only where each region has a network interface for its head."""
        has_interfaces = set(self._settings.regions) <= set(self._settings.head_interfaces)
        return frozenset(Capability) - (frozenset() if has_interfaces else {Capability.FIXED_ADDRESS})

    def offers(self) -> Observation[Offer]:
        """Return the GPU sizes, and those for heads, of every region."""
        degraded = dict(self._prices().degraded)
        left_out: dict[RegionId, list[Exclusion]] = {}
        seen = self._query_regions(lambda region: self._offers_in(region, degraded, left_out))
        known = tuple(one for region in self.regions if region not in seen.unreachable for one in left_out[region])
        return replace(seen, degraded=degraded, left_out=known)

    def quotas(self) -> Observation[Quota]:
        """Return the quotas of the families that are offered."""
        return self._query_regions(self._quotas_in)

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner* in every region, with their prices and impairments."""
        seen = self._query_regions(lambda region: self._instances_in(region, owner))
        if not seen.items:
            return seen
        try:
            # One call for all machines; without an answer, they are listed without impairments.
            reported = self._read(lambda: list(self._api.conditions()))
        except ProviderError as error:
            return replace(seen, degraded={CONDITIONS: str(error)})
        impairments = {name: impairment_of(condition) for name, condition in reported}
        return replace(seen, items=tuple(replace(m, **impairments.get(m.cloud_id.lower(), {})) for m in seen.items))

    def _read(self, read: Callable[[], list[Item]]) -> list[Item]:
        """Return what one call for all regions lists."""
        return self._limiter.read(EVERYWHERE, read, FAMILIES, lambda error: translated(error, "read"))

    def notices(self, owner: str) -> Observation[Notice]:
        """Return the announced maintenance of every region; only the machine itself is notified of an eviction."""

        def read() -> list[Notice]:
            found = (vm for vm in self._api.statuses() if (vm.tags or {}).get(OWNER_TAG, owner) == owner)
            reported = (notice_of(region_id("azure", vm.location), vm) for vm in found)
            return [notice for notice in reported if notice is not None and notice.region in self._regions]

        try:
            seen = self._read(read)
        except ProviderError as error:
            return unanswered(self._regions, error)
        return Observation(tuple(seen))

    def _query_regions(self, read: Callable[[RegionId], list[Item]]) -> Observation[Item]:
        return query_all_regions(self._regions, read, self._limiter, FAMILIES, lambda error: translated(error, "read"))

    def _offers_in(
        self, region: RegionId, degraded: dict[str, str], left_out: dict[RegionId, list[Exclusion]]
    ) -> list[Offer]:
        """Return the offers of a region, and note what is left out of them and what could not be read."""
        prices, now, location = self._prices(), self._clock.now(), region_name(region)
        missing = left_out[region] = []
        if location not in self._settings.subnets:
            detail = "the settings name none"
            missing.append(Exclusion(ExclusionKind.NO_SUBNET, region, WHOLE_REGION, detail))
            return []
        offers: list[Offer] = []
        fit: dict[str, Machine] = {}
        for sku in self._api.skus(location):
            machine = machine_of(region, sku)
            if isinstance(machine, Exclusion):
                missing.append(machine)
            elif machine.gpus or sku.name in self._settings.head_types:
                fit[sku.name] = machine
                zones, unusable = zones_of(region, sku)
                found = offers_of(region, sku, machine, zones, prices)
                offers += found
                missing += unusable
                if zones and not found:
                    missing.append(Exclusion(ExclusionKind.NO_PRICE, region, sku.name))
        self._families[region] = {offer.machine.family for offer in offers}
        live = self._spot_prices(location, degraded) if any(o.key.market is Market.SPOT for o in offers) else {}
        offers = [live_spot(o, live.get(o.key.instance_type), "Azure retail prices", now) for o in offers]
        reservations = [reservation_of(group, found) for group, found in self._api.reservations(location)]
        return offers + reserved_offers(region, fit, reservations, now)

    def _spot_prices(self, location: str, degraded: dict[str, str]) -> dict[str, float]:
        """Return live spot prices; where the price API does not answer, none, and note why."""
        try:
            return dict(self._api.spot_prices(location))
        except (httpx.HTTPError, KeyError, ValueError) as error:
            degraded[LIVE_PRICES] = f"{type(error).__name__}: {error}"
            return {}

    def _quotas_in(self, region: RegionId) -> list[Quota]:
        return quotas_of(region, list(self._api.usages(region_name(region))), self._families.get(region, set()))

    def _instances_in(self, region: RegionId, owner: str) -> list[CloudInstance]:
        found = self._api.machines(region_name(region))
        ours = (_instance_of(region, vm) for vm in found if (vm.tags or {}).get(OWNER_TAG) == owner)
        machines = without_repeats(ours)
        if any(machine.reservation for machine in machines):
            machines = in_reservations(machines, self._reservations(region_name(region)), self._clock.now())
        return self._prices().paid(machines)

    def dry_run(self, region: RegionId) -> None:
        """Return if the credentials may do in the resource group all that a launch needs."""
        failures = (*FAMILIES, httpx.HTTPError, KeyError)
        granted = self._limiter.read(
            region_name(region),
            lambda: list(self._api.permissions()),
            failures,
            lambda error: translated(error, "dry_run"),
        )
        missing = [action for action in NEEDED if not any(is_granted(action, *grant) for grant in granted)]
        if missing:
            raise DeniedError(self.name, "dry_run", "AuthorizationFailed", f"missing {', '.join(missing)}")

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine, with its id as name; a machine of that name is adopted if it is ours."""
        try:
            body = self._body(order)
            if order.key.market is Market.RESERVED:
                # A machine that runs already may hold the last of the reservation, which is no shortage.
                if (there := self._existing(order)) is not None:
                    return there
                group = {"capacityReservationGroup": {"id": self._reservation(order)}}
                body["properties"]["capacityReservation"] = group
            vm = self._write(order.key, lambda: self._api.create(order.instance_id, body), "launch")
        except ProviderError as error:
            if error.code in ALREADY_EXISTS:
                return self._adopted(order)
            if isinstance(error, LEFT_BEHIND):
                self._clean_up(order.instance_id)
            raise
        if vm is not None:
            return _instance_of(order.key.region, vm)
        state = CloudState.PENDING
        return CloudInstance(order.instance_id, order.instance_id, order.key, state, order.private_address, None)

    def _reservations(self, location: str) -> list[Reservation]:
        return [reservation_of(group, found) for group, found in self._api.reservations(location)]

    def _reservation(self, order: LaunchOrder) -> str:
        """Return the id of the reservation group that a machine is taken from."""
        location, failures = region_name(order.key.region), FAMILIES
        translate: Callable[[Exception], ProviderError] = lambda error: translated(error, "launch")  # noqa: E731
        found = self._limiter.read(location, lambda: self._reservations(location), failures, translate)
        return select_reservation(found, order.key, self._clock.now(), order.reservation).id

    def _write(self, key: OfferKey, call: Callable[[], Result], operation: str) -> Result:
        return self._limiter.write(region_name(key.region), call, FAMILIES, lambda error: translated(error, operation))

    def _existing(self, order: LaunchOrder) -> CloudInstance | None:
        try:
            return self._adopted(order)
        except ProviderError as error:
            if error.code not in NOT_FOUND:
                raise
            return None

    def _adopted(self, order: LaunchOrder) -> CloudInstance:
        try:
            vm = self._api.get(order.instance_id)
        except FAMILIES as error:
            raise translated(error, "launch") from error
        if (vm.tags or {}).get(OWNER_TAG) != order.owner:
            detail = f"{order.instance_id} belongs to another owner"
            raise InvalidError(self.name, "launch", "Exists", detail)
        return _instance_of(order.key.region, vm)

    def _clean_up(self, name: str) -> None:
        """Delete what a failed creation left; where that fails too, it is listed as an orphan and ended later."""
        try:
            self._api.delete(name)
        except FAMILIES as error:
            if code_of(error) not in NOT_FOUND:
                return

    def _body(self, order: LaunchOrder) -> dict[str, Any]:
        settings, key = self._settings, order.key
        disk = {
            "createOption": "FromImage",
            "deleteOption": "Delete",
            "diskSizeGB": settings.disk_gib,
            "managedDisk": {"storageAccountType": "Premium_LRS"},
        }
        ssh = {"publicKeys": [{"path": f"/home/{ADMIN}/.ssh/authorized_keys", "keyData": settings.ssh_public_key}]}
        properties: dict[str, Any] = {
            "hardwareProfile": {"vmSize": key.instance_type},
            "storageProfile": {"imageReference": {"id": settings.image}, "osDisk": disk},
            "osProfile": {
                "computerName": order.instance_id,
                "adminUsername": ADMIN,
                "customData": base64.b64encode(order.startup_script.encode()).decode(),
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": ssh},
            },
            "networkProfile": self._network(order),
        }
        if key.market is Market.SPOT:
            properties |= {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
        body: dict[str, Any] = {
            "location": region_name(key.region),
            "tags": self._tags(order),
            "properties": properties,
        }
        if key.zone != REGIONAL:
            body["zones"] = [key.zone]
        if settings.identity is not None:
            body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {settings.identity: {}}}
        return body

    def _tags(self, order: LaunchOrder) -> dict[str, str]:
        """Return the tags of the VM, which Azure gives to its disk too, and of its network interface."""
        own = {OWNER_TAG: order.owner, INSTANCE_TAG: order.instance_id, ROLE_TAG: str(order.role)}
        return self._settings.tags | own

    def _network(self, order: LaunchOrder) -> dict[str, Any]:
        """Return the head's own interface, which has its address, or one made and deleted with the VM."""
        region = region_name(order.key.region)
        if order.role is Role.HEAD and region in self._settings.head_interfaces:
            interface = {"id": self._settings.head_interfaces[region], "properties": {"primary": True}}
            return {"networkInterfaces": [interface]}
        if region not in self._settings.subnets:
            raise InvalidError(self.name, "launch", "NoSubnet", f"the settings name no subnet in {region}")
        address = {"name": "ip", "properties": {"primary": True, "subnet": {"id": self._settings.subnets[region]}}}
        made = {"primary": True, "deleteOption": "Delete", "ipConfigurations": [address]}
        return {
            "networkApiVersion": NETWORK_API,
            "networkInterfaceConfigurations": [{"name": "nic", "properties": made, "tags": self._tags(order)}],
        }

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Request the end of one machine; its name is its id."""
        del cloud_id
        try:
            self._write(key, lambda: self._api.delete(instance_id), "terminate")
        except ProviderError as error:
            if error.code not in NOT_FOUND:
                raise


def _instance_of(region: RegionId, vm: Any) -> CloudInstance:  # noqa: ANN401  the SDK's model
    market = Market.SPOT if vm.priority == "Spot" else Market.ON_DEMAND
    reserved, reservation = vm.capacity_reservation, None
    if reserved is not None and reserved.capacity_reservation_group is not None:
        market, reservation = Market.RESERVED, reserved.capacity_reservation_group.id
    key = OfferKey(region, (vm.zones or [REGIONAL])[0], text_of(vm.hardware_profile.vm_size), market)
    return CloudInstance(
        cloud_id=vm.name,
        instance_id=InstanceId((vm.tags or {}).get(INSTANCE_TAG, vm.name)),
        key=key,
        state=STATES.get(vm.provisioning_state or "", CloudState.PENDING),
        address=None,
        launched_at=vm.time_created,
        reservation=reservation,
    )
