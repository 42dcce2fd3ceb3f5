"""GCP as a provider."""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar

from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, LaunchOrder, Observation
from providers.context import Context
from providers.errors import DeniedError, InvalidError, ProviderError, ThrottledError, UnreachableError
from providers.everywhere import unanswered, without_repeats
from providers.exclusions import WHOLE_REGION, Exclusion, ExclusionKind
from providers.gcp.api import EVERYWHERE, GcpApi
from providers.gcp.catalog import (
    attached_of,
    future_reservation_of,
    is_usual_zone,
    machine_of,
    offers_of,
    parts_of,
    price_locations,
    project_quota_of,
    quota_of,
    region_of_zone,
    reservation_of,
    type_of,
    unpriced,
)
from providers.gcp.errors import ALREADY_EXISTS, FAMILIES, NOT_FOUND, refusal, translated
from providers.gcp.gpus import split_attached
from providers.gcp.notices import end_of_run, notice_of
from providers.gcp.profile import PROFILE
from providers.gcp.settings import GcpSettings
from providers.gcp.spot import CachedRates
from providers.gcp.states import KINDS, Ended, end_of, ended_of, gone, impairment_of, latest, state_of
from providers.prices import LIVE_PRICES, PriceList, live_spot
from providers.reservations import Reservation, in_reservations, reserved_offers, select_reservation
from providers.throttle import PauseLog, RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Machine, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice, Role

OPERATIONS_MAX_AGE: Final = timedelta(hours=1)
"""How far back operations are read: longer than any tick's distance to the one before."""
ENDS: Final = "causes of ended machines"
NEEDED: Final = (
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.disks.create",
    "compute.disks.setLabels",
    "compute.subnetworks.use",
    "compute.zoneOperations.get",
)
"""Source: Compute Engine documentation, "Compute Engine IAM roles and permissions"."""
NEEDED_FOR_TAGS: Final = ("compute.instances.createTagBinding", "compute.disks.createTagBinding")
"""Needed as well where the settings have resource manager tags. Source: as above."""
SPECIFIC: Final = "SPECIFIC_RESERVATION"

Item = TypeVar("Item")
Result = TypeVar("Result")


def build(settings: GcpSettings, context: Context) -> "Gcp":
    """Return the provider; nothing is called yet."""
    return Gcp(settings, context.prices, context.clock, context.pauses)


class Gcp:
    """Compute Engine in the regions of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot
    capabilities = frozenset(Capability)

    def __init__(
        self, settings: GcpSettings, prices: Callable[[], PriceList], clock: Clock, pauses: PauseLog | None = None
    ) -> None:
        """Make clients; nothing is called yet."""
        self._settings = settings
        self._prices = prices
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds, self.name, pauses)
        self._api = GcpApi(settings, self._limiter)
        self._rates = CachedRates(self._api, clock)
        self._regions = tuple(region_id("gcp", name) for name in settings.regions)

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions of the settings."""
        return self._regions

    def offers(self) -> Observation[Offer]:
        """Return the GPU types, and those for heads, of every zone."""
        return self._read(self._offers)

    def _offers(self) -> Observation[Offer]:
        """Return the offers of every zone, and what is left out of them."""
        unreachable: dict[RegionId, str] = {}
        prices, sold = self._prices(), set(self._api.accelerator_types())
        rates, why_none = self._rates()
        reservations = [reservation_of(zone, reservation) for zone, reservation in self._api.reservations()]
        coming = (future_reservation_of(zone, reservation) for zone, reservation in self._api.future_reservations())
        reservations += [reservation for reservation in coming if reservation is not None]
        offers, left_out = list[Offer](), self._without_subnetwork()
        unusable = {exclusion.region for exclusion in left_out}
        for zone, types, answered in self._api.machine_types():
            region = region_of_zone(zone)
            if self._is_skipped(zone, answered, unreachable) or region in unusable:
                continue
            by_name = {described.name: described for described in types}
            fit, unfit = self._fit(zone, by_name, sold, prices)
            found = [offer for name, machine in fit.items() for offer in offers_of(zone, name, machine, prices)]
            left_out += [*unfit, *unpriced(zone, fit, found)]
            for offer in found if is_usual_zone(zone) else ():
                name, machine = offer.key.instance_type, offer.machine
                parts = parts_of(by_name[split_attached(name)[0]], name, machine)
                usd = rates.price(region_name(region), parts) if machine.gpus else None
                offers.append(live_spot(offer, usd, "GCP billing catalogue", rates.as_of))
            offers += () if is_usual_zone(zone) else found
            here = [reservation for reservation in reservations if reservation.zone == zone]
            offers += reserved_offers(region, fit, here, self._clock.now())
        known = tuple(offer for offer in offers if offer.key.region not in unreachable)
        causes = dict.fromkeys(one for one in left_out if one.region not in unreachable)
        degraded = prices.degraded | ({LIVE_PRICES: why_none} if why_none else {})
        return Observation(known, unreachable, degraded, left_out=tuple(causes))

    def _without_subnetwork(self) -> list[Exclusion]:
        """Return the regions in which no machine can be started, for lack of a subnetwork."""
        subnetworks, network = self._settings.subnetworks, self._settings.network
        known = set(subnetworks) or self._api.subnetwork_regions(network)
        why = "the settings name none" if subnetworks else f"{network.rpartition('/')[2]} has none"
        missing = (region for region in self._regions if region_name(region) not in known)
        return [Exclusion(ExclusionKind.NO_SUBNET, region, WHOLE_REGION, why) for region in missing]

    def _fit(
        self, zone: str, types: dict[str, Any], sold: set[tuple[str, str]], prices: PriceList
    ) -> tuple[dict[str, Machine], list[Exclusion]]:
        """Return the machine types of a zone that are of use, and those that no shape can use."""
        read = {name: machine_of(one) for name, one in types.items() if self._is_of_use(one, zone, sold)}
        fit = {name: machine for name, machine in read.items() if isinstance(machine, Machine)}
        fit |= self._attached(zone, types, sold, prices.names(self.name).get(zone, set()))
        return fit, [found for found in read.values() if isinstance(found, Exclusion)]

    def _attached(
        self, zone: str, types: dict[str, Any], sold: set[tuple[str, str]], priced: set[str]
    ) -> dict[str, Machine]:
        """Return the N1 machine types with GPUs attached that have a price and are sold in a zone."""
        fit: dict[str, Machine] = {}
        for name in sorted(priced):
            plain, accelerator, _ = split_attached(name)
            if (zone, accelerator) in sold and plain in types:
                machine = attached_of(types[plain], name)
                fit |= {} if machine is None else {name: machine}
        return fit

    def _read(self, read: Callable[[], Observation[Item]]) -> Observation[Item]:
        """Return what one call for every zone lists; if it fails, every region is unreachable."""
        try:
            return self._limiter.read(EVERYWHERE, read, FAMILIES, lambda error: translated(error, "read"))
        except ProviderError as error:
            return unanswered(self._regions, error)

    def _is_of_use(self, described: Any, zone: str, sold: set[tuple[str, str]]) -> bool:  # noqa: ANN401
        """Return whether a machine type is of use: its GPUs are sold in the zone, or it is fit for a head."""
        accelerators = [a.guest_accelerator_type for a in described.accelerators]
        if accelerators:
            return all((zone, kind) in sold for kind in accelerators)
        return described.name in self._settings.head_types

    def quotas(self) -> Observation[Quota]:
        """Return the GPU quotas of every region, and those of the whole project."""
        return self._read(self._quotas)

    def _quotas(self) -> Observation[Quota]:
        regional = [quota_of(*quota) for quota in self._api.region_quotas()]
        wide = [project_quota_of(*quota) for quota in self._api.project_quotas()]
        used = [quota for quota in regional if quota is not None and quota.region in self._regions]
        return Observation((*used, *(quota for quota in wide if quota is not None)))

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner* in every zone, and the launches of the last hour that failed later on.

        Compute Engine deletes what fails or is preempted, and the operation alone is left. It names no owner, so failed
        launches of other installations in the project are among these, under their own ids.
        """
        return self._read(lambda: self._machines(owner))

    def _machines(self, owner: str) -> Observation[CloudInstance]:
        ended, degraded = self._ended()
        seen: list[CloudInstance] = []
        unreachable: dict[RegionId, str] = {}
        for zone, instances, answered in self._api.instances(OWNER_TAG, owner):
            if not self._is_skipped(zone, answered, unreachable):
                seen += [_instance_of(zone, described, ended.get((zone, described.name))) for described in instances]
        listed = {(machine.key.zone, machine.cloud_id) for machine in seen}
        known = [m for m in without_repeats(seen) if m.key.region not in unreachable]
        if any(machine.reservation for machine in known):
            known = in_reservations(known, self._reservations(), self._clock.now())
        left = [m for m in gone(ended, listed) if m.key.region in set(self._regions) - set(unreachable)]
        return Observation((*self._prices().paid(known, price_locations), *left), unreachable, degraded)

    def _ended(self) -> tuple[dict[tuple[str, str], Ended], dict[str, str]]:
        """Return what operations report of ends, by (zone, name), and why that could not be read."""
        since = self._clock.now() - OPERATIONS_MAX_AGE
        try:
            found = [ended_of(zone, operation) for zone, operation in self._api.operations(KINDS, since)]
        except FAMILIES as error:
            ours = translated(error, "read")
            if isinstance(ours, ThrottledError):
                raise  # the pause that it asks for holds for every list
            return {}, {ENDS: str(ours)}
        return latest([one for one in found if one is not None]), {}

    def notices(self, owner: str) -> Observation[Notice]:
        """Return the preemptions and maintenance of every zone.

        Only the machine itself is notified of a preemption ahead of time; here it shows as the machine stopping.
        """

        def read() -> Observation[Notice]:
            found: list[Notice] = []
            unreachable: dict[RegionId, str] = {}
            for zone, instances, answered in self._api.instances(OWNER_TAG, owner):
                if not self._is_skipped(zone, answered, unreachable):
                    found += [n for described in instances if (n := notice_of(zone, described)) is not None]
            return Observation(tuple(n for n in found if n.region not in unreachable), unreachable)

        return self._read(read)

    def _is_skipped(self, zone: str, answered: bool, unreachable: dict[RegionId, str]) -> bool:  # noqa: FBT001
        """Return whether to skip a zone: its region is not used, or did not answer whole, which is noted."""
        region = region_of_zone(zone)
        if region not in self._regions:
            return True
        if not answered:
            unreachable[region] = f"{zone} did not answer"
        return not answered

    def dry_run(self, region: RegionId) -> None:
        """Return if the credentials may do in the project all that a launch needs."""
        del region  # permissions are the project's
        failures, translate = FAMILIES, lambda error: translated(error, "dry_run")
        needed = NEEDED + (NEEDED_FOR_TAGS if self._settings.resource_manager_tags else ())
        missing = self._limiter.read(EVERYWHERE, lambda: self._api.missing(needed), failures, translate)
        if missing:
            raise DeniedError(self.name, "dry_run", "IAM_PERMISSION_DENIED", f"missing {', '.join(missing)}")

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine, with its id as name and in its request id."""
        key = order.key
        try:
            body = self._body(order)
            if key.market is Market.RESERVED:
                # A machine that runs already may hold the last of the reservation, which is no shortage.
                if (there := self._existing(order)) is not None:
                    return there
                body["reservation_affinity"] = self._reservation(order)
            fault = self._write(key, lambda: self._api.insert(key.zone, body), "launch")
        except ProviderError as error:
            if error.code in ALREADY_EXISTS:
                return self._adopted_by_proof(order, error)
            raise
        if fault is not None:
            code, message, status = fault
            # An operation that is done and has failed is certain, whatever its status.
            refused = refusal(code, message, "launch", status or HTTPStatus.BAD_REQUEST)
            if code in ALREADY_EXISTS:
                return self._adopted_by_proof(order, refused)
            raise refused
        return CloudInstance(order.instance_id, order.instance_id, key, CloudState.PENDING, order.private_address, None)

    def _reservations(self) -> list[Reservation]:
        return [reservation_of(zone, found) for zone, found in self._api.reservations()]

    def _reservation(self, order: LaunchOrder) -> dict[str, Any]:
        """Return the part of a request that takes the machine from a reservation."""
        translate: Callable[[Exception], ProviderError] = lambda error: translated(error, "launch")  # noqa: E731
        found = self._limiter.read(EVERYWHERE, self._reservations, FAMILIES, translate)
        reservation = select_reservation(found, order.key, self._clock.now(), order.reservation)
        name = "compute.googleapis.com/reservation-name"
        return {"consume_reservation_type": SPECIFIC, "key": name, "values": [reservation.id]}

    def _write(self, key: OfferKey, call: Callable[[], Result], operation: str) -> Result:
        return self._limiter.write(region_name(key.region), call, FAMILIES, lambda error: translated(error, operation))

    def _existing(self, order: LaunchOrder) -> CloudInstance | None:
        try:
            return self._adopted(order)
        except ProviderError as error:
            if error.code != NOT_FOUND:
                raise
            return None

    def _adopted_by_proof(self, order: LaunchOrder, proof: ProviderError) -> CloudInstance:
        """Return the machine that has our name, where an answer proves that there is one."""
        there = self._existing(order)
        if there is None:
            raise UnreachableError(self.name, "launch", proof.code, proof.detail) from proof  # it may just be leaving
        return there

    def _adopted(self, order: LaunchOrder) -> CloudInstance:
        """Return the machine that has our name already, if it is ours."""
        try:
            found = self._api.get(order.key.zone, order.instance_id)
        except FAMILIES as error:
            raise translated(error, "launch") from error
        if dict(found.labels).get(OWNER_TAG) != order.owner:
            detail = f"{order.instance_id} belongs to another owner"
            raise InvalidError(self.name, "launch", "alreadyExists", detail)
        return _instance_of(order.key.zone, found, None)

    def _body(self, order: LaunchOrder) -> dict[str, Any]:
        settings, key = self._settings, order.key
        is_spot = key.market is Market.SPOT
        scheduling: dict[str, Any] = {
            "provisioning_model": "SPOT" if is_spot else "STANDARD",
            "on_host_maintenance": "TERMINATE",  # machines with GPUs cannot be moved
            "automatic_restart": not is_spot,
        }
        if settings.max_run_hours is not None and order.role is Role.WORKER:
            scheduling["max_run_duration"] = {"seconds": round(settings.max_run_hours * 3600)}
        if is_spot or "max_run_duration" in scheduling:
            scheduling["instance_termination_action"] = "DELETE"
        interface: dict[str, Any] = {"network": settings.network}
        if subnetwork := settings.subnetworks.get(region_name(key.region)):
            interface["subnetwork"] = subnetwork
        if order.private_address is not None:
            interface["network_i_p"] = order.private_address
        own = {OWNER_TAG: order.owner, INSTANCE_TAG: order.instance_id, ROLE_TAG: str(order.role)}
        labels = settings.labels | own
        disk: dict[str, Any] = {
            "boot": True,
            "auto_delete": True,
            "initialize_params": {"source_image": settings.image, "disk_size_gb": settings.disk_gib, "labels": labels},
        }
        plain, accelerator, count = split_attached(key.instance_type)
        body: dict[str, Any] = {
            "name": order.instance_id,
            "machine_type": f"zones/{key.zone}/machineTypes/{plain}",
            "scheduling": scheduling,
            "labels": labels,
            "metadata": {"items": [{"key": "startup-script", "value": order.startup_script}]},
            "network_interfaces": [interface],
            "disks": [disk],
        }
        if tags := settings.resource_manager_tags:
            disk["initialize_params"]["resource_manager_tags"] = tags
            body["params"] = {"resource_manager_tags": tags}
        if count:
            kind = f"projects/{settings.project}/zones/{key.zone}/acceleratorTypes/{accelerator}"
            body["guest_accelerators"] = [{"accelerator_type": kind, "accelerator_count": count}]
        if settings.service_account is not None:
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            body["service_accounts"] = [{"email": settings.service_account, "scopes": scopes}]
        return body

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Request the end of one machine; its name is its id."""
        del cloud_id
        try:
            self._write(key, lambda: self._api.delete(key.zone, instance_id), "terminate")
        except ProviderError as error:
            if error.code != NOT_FOUND:
                raise


def _instance_of(zone: str, described: Any, ended: Ended | None) -> CloudInstance:  # noqa: ANN401  the SDK's message
    labels = dict(described.labels)
    is_spot = described.scheduling.provisioning_model == "SPOT"
    market = Market.SPOT if is_spot else Market.ON_DEMAND
    reservation = None
    if described.reservation_affinity.consume_reservation_type == SPECIFIC:
        market, reservation = Market.RESERVED, next(iter(described.reservation_affinity.values), None)
    instance_type = type_of(described.machine_type, described.guest_accelerators)
    interfaces = list(described.network_interfaces)
    created = described.creation_timestamp
    return CloudInstance(
        cloud_id=described.name,
        instance_id=InstanceId(labels.get(INSTANCE_TAG, described.name)),
        key=OfferKey(region_of_zone(zone), zone, instance_type, market),
        state=state_of(described.status),
        address=interfaces[0].network_i_p if interfaces else None,
        launched_at=datetime.fromisoformat(created) if created else None,
        reason=described.status_message,
        impairment=impairment_of(described.status),
        end=end_of(described, ended),
        reservation=reservation,
        ends_at=end_of_run(described),
    )
