"""Azure as a provider."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import httpx

from providers.azure.api import EVERYWHERE, AzureApi
from providers.azure.catalog import machine_of, offers_of, quotas_of, reservation_of, text_of, zones_of
from providers.azure.errors import ALREADY_EXISTS, FAMILIES, LEFT_BEHIND, NOT_FOUND, translated
from providers.azure.notices import impairment_of, notice_of
from providers.azure.permissions import NEEDED, is_granted
from providers.azure.profile import PROFILE
from providers.azure.settings import AzureSettings
from providers.azure.states import View, end_of, state_of, view_of
from providers.azure.states import impairment_of as impairment_by_view
from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, LaunchOrder, Observation
from providers.context import Context
from providers.errors import DeniedError, InvalidError, ProviderError, UnreachableError
from providers.everywhere import query_all_regions, unanswered, without_repeats
from providers.exclusions import WHOLE_REGION, Exclusion, ExclusionKind
from providers.prices import LIVE_PRICES, PriceList, live_spot
from providers.reservations import Reservation, in_reservations, reserved_offers, select_reservation
from providers.throttle import PauseLog, RateLimiter
from state.clock import Clock
from state.model.catalog import NO_ZONE, Capability, Machine, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice, Role

NETWORK_API: Final = "2022-11-01"
"""The only version but one that an inline network interface may name."""
ADMIN: Final = "skerry"
CONDITIONS: Final = "impairments of machines"
POWER_STATES: Final = "power states of machines"

Item = TypeVar("Item")
Result = TypeVar("Result")


def build(settings: AzureSettings, context: Context) -> "Azure":
    """Return the provider; nothing is called yet."""
    return Azure(settings, context.prices, context.clock, context.pauses)


class Azure:
    """Virtual machines in the regions of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot

    def __init__(
        self, settings: AzureSettings, prices: Callable[[], PriceList], clock: Clock, pauses: PauseLog | None = None
    ) -> None:
        """Make the client; nothing is called yet."""
        self._settings = settings
        self._prices = prices
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds, self.name, pauses)
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
        """Return the machines of *owner* in every region, with their prices, impairments and causes of their end."""
        reserved: dict[RegionId, list[Reservation]] = {}
        seen = self._query_regions(lambda region: self._vms_in(region, owner, reserved))
        if not seen.items:
            return Observation((), seen.unreachable, not_connected=seen.not_connected)
        # Each is one call for all machines; what does not answer is missing from the machines, which are listed.
        views, no_views = self._details(POWER_STATES, lambda: [(vm.name, vm) for vm in self._api.statuses()])
        conditions, no_conditions = self._details(CONDITIONS, lambda: list(self._api.conditions()))
        by_region: dict[RegionId, list[CloudInstance]] = {}
        for region, vm in seen.items:
            shown, name = views.get(vm.name.lower()), vm.name.lower()
            view = view_of(shown.instance_view) if shown is not None else None
            by_region.setdefault(region, []).append(_instance_of(region, vm, view, conditions.get(name)))
        now = self._clock.now()
        current = {r: in_reservations(found, reserved.get(r, ()), now) for r, found in by_region.items()}
        machines = [m for found in current.values() for m in self._prices().paid(without_repeats(found))]
        degraded = no_views | no_conditions
        return Observation(tuple(machines), seen.unreachable, degraded, seen.not_connected)

    def _details(self, what: str, read: Callable[[], list[tuple[str, Item]]]) -> tuple[dict[str, Item], dict[str, str]]:
        """Return what a list names, by the VM's name in lower case, and why that could not be read."""
        try:
            return {name.lower(): item for name, item in self._read(read)}, {}
        except ProviderError as error:
            return {}, {what: str(error)}

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

    def _vms_in(
        self, region: RegionId, owner: str, reserved: dict[RegionId, list[Reservation]]
    ) -> list[tuple[RegionId, Any]]:
        """Return a region's VMs, and note its reservations where any of them is in one."""
        found = self._api.machines(region_name(region))
        ours = [vm for vm in found if (vm.tags or {}).get(OWNER_TAG) == owner]
        if any(vm.capacity_reservation for vm in ours):
            reserved[region] = self._reservations(region_name(region))
        return [(region, vm) for vm in ours]

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
                return self._adopted_by_proof(order, error)
            if isinstance(error, LEFT_BEHIND) and (there := self._left_behind(order)) is not None:
                return there
            raise
        if vm is not None:
            return _instance_of(order.key.region, vm, None, None)
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

    def _adopted_by_proof(self, order: LaunchOrder, proof: ProviderError) -> CloudInstance:
        """Return the machine that has our name, where an answer proves that there is one."""
        there = self._existing(order)
        if there is None:
            raise UnreachableError(self.name, "launch", proof.code, proof.detail) from proof  # it may just be leaving
        return there

    def _adopted(self, order: LaunchOrder) -> CloudInstance:
        try:
            vm = self._api.get(order.instance_id)
        except FAMILIES as error:
            raise translated(error, "launch") from error
        if (vm.tags or {}).get(OWNER_TAG) != order.owner:
            detail = f"{order.instance_id} belongs to another owner"
            raise InvalidError(self.name, "launch", "Exists", detail)
        return _instance_of(order.key.region, vm, view_of(vm.instance_view), None)

    def _left_behind(self, order: LaunchOrder) -> CloudInstance | None:
        """Return the machine that a refused launch found there, from an earlier one; None where there is none.

        What a failed creation left is deleted; where that fails, or it cannot be read, it is listed and ended later.
        """
        try:
            there = self._existing(order)
            if there is None or there.state is not CloudState.STOPPING:
                return there
            self._api.delete(order.instance_id)
        except (*FAMILIES, ProviderError):
            return None
        return None

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
        if key.zone != NO_ZONE:
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


def _instance_of(region: RegionId, vm: Any, view: View | None, condition: Any) -> CloudInstance:  # noqa: ANN401
    """Return a VM as a machine, from the SDK's models of it and of its status in Resource Health."""
    market = Market.SPOT if vm.priority == "Spot" else Market.ON_DEMAND
    reserved, reservation = vm.capacity_reservation, None
    if reserved is not None and reserved.capacity_reservation_group is not None:
        market, reservation = Market.RESERVED, reserved.capacity_reservation_group.id
    key = OfferKey(region, (vm.zones or [NO_ZONE])[0], text_of(vm.hardware_profile.vm_size), market)
    end = end_of(vm.provisioning_state, view, condition)
    machine = CloudInstance(
        cloud_id=vm.name,
        instance_id=InstanceId((vm.tags or {}).get(INSTANCE_TAG, vm.name)),
        key=key,
        state=state_of(vm.provisioning_state, view),
        address=None,
        launched_at=vm.time_created,
        reservation=reservation,
        reason="" if end is None else end.message,
        impairment=impairment_by_view(vm.provisioning_state, view),
        end=end,
    )
    unwell = {} if condition is None else impairment_of(condition)
    return replace(machine, **unwell)
