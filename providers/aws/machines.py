"""AWS as a provider."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import boto3

from providers.aws.api import AwsApi
from providers.aws.catalog import (
    BLOCK,
    machine_of,
    newest_spot_prices,
    offers_of,
    quotas_of,
    reservation_of,
    unfit,
    unpriced,
)
from providers.aws.errors import FAMILIES, GONE, TOKEN_USED, code_of, translated
from providers.aws.images import Image, disks_of, image_of
from providers.aws.notices import (
    EVENTS,
    INTERRUPTIONS,
    RECOMMENDATION_MAX_AGE,
    impairment_of,
    interruption_of,
    is_over,
    maintenance_of,
    read_recommendation,
    recommendation_of,
)
from providers.aws.profile import PROFILE
from providers.aws.settings import NAME_TAG, AwsSettings
from providers.aws.states import end_of, state_of
from providers.aws.zones import Network, Zones, price_locations, subnets_in, zones_of
from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, LaunchOrder, Observation
from providers.context import Context
from providers.errors import InvalidError, ProviderError, ThrottledError, UnreachableError
from providers.everywhere import query_all_regions, without_repeats
from providers.exclusions import Exclusion
from providers.prices import LIVE_PRICES, PriceList, live_spot
from providers.reservations import in_reservations, reserved_offers, select_reservation
from providers.throttle import PauseLog, RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Machine, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice, Role

Item = TypeVar("Item")


def build(settings: AwsSettings, context: Context) -> "Aws":
    """Return the provider; nothing is called yet."""
    return Aws(settings, context.prices, context.owner, context.clock, context.pauses)


class Aws:
    """EC2 in the regions of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot
    capabilities = frozenset(Capability)

    def __init__(
        self,
        settings: AwsSettings,
        prices: Callable[[], PriceList],
        owner: Callable[[], str],
        clock: Clock,
        pauses: PauseLog | None = None,
    ) -> None:
        """Make clients; nothing is called yet."""
        self._settings = settings
        self._prices = prices
        self._owner = owner
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds, self.name, pauses)
        session = boto3.session.Session()
        self._apis = {
            region_id("aws", name): AwsApi(session, settings, name, self._limiter) for name in settings.regions
        }
        self._machines: dict[RegionId, dict[str, Machine]] = {}
        self._locations: dict[RegionId, dict[str, str]] = {}
        """Where each zone's prices are listed, as far as it was read."""
        self._images: dict[RegionId, Image] = {}
        """Images that were read; an AMI never changes."""
        self._recommended: dict[RegionId, dict[str, datetime]] = {}
        """Recommendations that were read, by EC2's id, and when each was made."""

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions of the settings."""
        return tuple(self._apis)

    def offers(self) -> Observation[Offer]:
        """Return the GPU types, and those for heads, of every region."""
        left_out: dict[RegionId, list[Exclusion]] = {}
        degraded = dict(self._prices().degraded)
        seen = self._query_regions(lambda region: self._offers_in(region, degraded, left_out))
        known = tuple(one for region in self.regions if region not in seen.unreachable for one in left_out[region])
        return replace(seen, degraded=degraded, left_out=known)

    def quotas(self) -> Observation[Quota]:
        """Return the vCPU quotas of every region."""
        return self._query_regions(self._quotas_in)

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner* in every region, with their prices and impairments."""

        def read(region: RegionId) -> list[CloudInstance]:
            found = self._instances_in(region, owner)
            impairments = {cloud_id: impairment_of(s) for cloud_id, s in self._apis[region].impaired()} if found else {}
            found = [replace(m, **impairments[m.cloud_id]) if m.cloud_id in impairments else m for m in found]
            known = self._locations.get(region, {})
            return self._prices().paid(found, lambda key: price_locations(key, known))

        return self._query_regions(read)

    def notices(self, owner: str) -> Observation[Notice]:
        """Return interruptions of spot machines, scheduled events and rebalance recommendations, of every region.

        A queue that cannot be read makes its region unreachable; the region's other notices are kept.
        """
        observed = self._query_regions(lambda region: self._notices_in(region, owner))
        queues = {region_id("aws", name): url for name, url in self._settings.rebalance_queues.items()}
        readable = tuple(region for region in self.regions if region in queues and region not in observed.unreachable)
        if not readable:
            return observed
        read = self._query_regions(lambda region: self._recommended_in(region, queues[region], owner), readable)
        return Observation(
            observed.items + read.items,
            observed.unreachable | read.unreachable,
            not_connected=observed.not_connected | read.not_connected,
        )

    def _recommended_in(self, region: RegionId, queue: str, owner: str) -> list[Notice]:
        api, now = self._apis[region], self._clock.now()
        read = dict(
            found for message in api.messages(queue) if (found := read_recommendation(message, now)) is not None
        )
        # Messages that another reader has just received are hidden for a moment, so what was read before is kept.
        kept = {name: at for name, at in self._recommended.get(region, {}).items() if now - at < RECOMMENDATION_MAX_AGE}
        made_at = self._recommended[region] = kept | read
        if not made_at:
            return []
        ours = [seen for seen in self._instances_in(region, owner) if seen.state is not CloudState.TERMINATED]
        return [recommendation_of(region, s.instance_id, made_at[s.cloud_id]) for s in ours if s.cloud_id in made_at]

    def _notices_in(self, region: RegionId, owner: str) -> list[Notice]:
        api = self._apis[region]
        found = [
            interruption_of(region, request) for request in api.spot_requests(OWNER_TAG, owner, sorted(INTERRUPTIONS))
        ]
        events = [(cloud_id, event) for cloud_id, event in api.scheduled_events(sorted(EVENTS)) if not is_over(event)]
        if events:
            ours = {seen.cloud_id: seen.instance_id for seen in self._instances_in(region, owner)}
            found += [maintenance_of(region, ours[c], event) for c, event in events if c in ours]
        return found

    def _query_regions(
        self, read: Callable[[RegionId], list[Item]], regions: tuple[RegionId, ...] | None = None
    ) -> Observation[Item]:
        return query_all_regions(
            regions or self.regions, read, self._limiter, FAMILIES, lambda error: translated(error, "read")
        )

    def _offers_in(
        self, region: RegionId, degraded: dict[str, str], left_out: dict[RegionId, list[Exclusion]]
    ) -> list[Offer]:
        """Return the offers of a region, and note what is left out of them."""
        api, prices, now = self._apis[region], self._prices(), self._clock.now()
        zones, image = self._zones_in(region), self._image(region)
        offerings = [(name, zone) for name, zone in api.offerings() if self._is_of_use(name)]
        reservations = [r for r in map(reservation_of, api.reservations()) if r.zone in zones.locations]
        names = {name for name, _ in offerings} | {reservation.instance_type for reservation in reservations}
        described = {found["InstanceType"]: found for found in api.instance_types(sorted(names))}
        unusable = {n: cause for n, d in described.items() if (cause := unfit(region, d, image.architecture))}
        machines = {name: machine_of(found) for name, found in described.items() if name not in unusable}
        fit = {name: m for name, m in machines.items() if m.gpus or name in self._settings.head_types}
        usable = [(name, zone) for name, zone in offerings if name in fit]
        offers = offers_of(region, fit, usable, zones.locations, prices)
        skipped = {zone for _, zone in usable} & set(zones.left_out)
        left_out[region] = [*(zones.left_out[zone] for zone in sorted(skipped)), *unusable.values()]
        left_out[region] += unpriced(region, usable, zones.locations, offers)
        self._machines[region], self._locations[region] = fit, zones.locations
        spot = sorted({o.key.instance_type for o in offers if o.key.market is Market.SPOT})
        live = self._spot_prices(api, spot, degraded) if spot else {}
        source = "AWS DescribeSpotPriceHistory"
        offers = [live_spot(o, live.get((o.key.zone, o.key.instance_type)), source, now) for o in offers]
        return offers + reserved_offers(region, fit, reservations, now)

    def _zones_in(self, region: RegionId) -> Zones:
        """Return a region's zones, apart by whether a machine can be started there."""
        api, wanted = self._apis[region], subnets_in(region, self._settings.subnets)
        groups = self._settings.security_groups.get(region_name(region), ())
        described = tuple(api.security_groups(list(groups))) if groups else ()
        network = Network(tuple(api.subnets(sorted(wanted.values()))), described)
        return zones_of(region, api.zones(), wanted, network)

    def _image(self, region: RegionId) -> Image:
        """Return the image of a region, read once."""
        if region not in self._images:
            image_id = self._settings.images[region_name(region)]
            self._images[region] = image_of(self._apis[region].image(image_id))
        return self._images[region]

    def _spot_prices(self, api: AwsApi, types: list[str], degraded: dict[str, str]) -> dict[tuple[str, str], float]:
        """Return live spot prices; where EC2 refuses them alone, none, and note why."""
        try:
            return newest_spot_prices(api.spot_prices(types, self._clock.now()))
        except FAMILIES as error:
            reason = translated(error, "read")
            if isinstance(reason, ThrottledError):
                raise  # the limiter waits, and repeats the read
            degraded[LIVE_PRICES] = str(reason)
            return {}

    def _is_of_use(self, instance_type: str) -> bool:
        return instance_type[0] in "gp" or instance_type in self._settings.head_types

    def _quotas_in(self, region: RegionId) -> list[Quota]:
        limits = list(self._apis[region].quotas())
        sizes = self._machines.get(region, {})
        return quotas_of(region, limits, [_load_of(found, sizes) for found in self._apis[region].running()])

    def _instances_in(self, region: RegionId, owner: str) -> list[CloudInstance]:
        api = self._apis[region]
        found = without_repeats(_instance_of(region, described) for described in api.instances(OWNER_TAG, owner))
        if not any(machine.reservation for machine in found):
            return found
        return in_reservations(found, map(reservation_of, api.reservations()), self._clock.now())

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine, with its id as client token; a machine that has the token already is adopted."""
        region = order.key.region

        api, write, name = self._apis[region], self._limiter.write, region_name(region)

        def run() -> dict[str, Any]:
            request = self._request(order, self._image(region))
            if order.key.market is not Market.RESERVED:
                return api.run(request)
            # A machine that runs already may hold the last of the reservation, which is no shortage.
            there = (one for one in api.instances(INSTANCE_TAG, order.instance_id) if _is_owned_by(one, order.owner))
            return next(there, None) or api.run(request | self._reservation(order))

        try:
            return _instance_of(region, write(name, run, FAMILIES, lambda error: translated(error, "launch")))
        except ProviderError as error:
            if error.code in TOKEN_USED:
                return self._adopted(order, error)
            raise

    def _adopted(self, order: LaunchOrder, proof: ProviderError) -> CloudInstance:
        """Return the machine that was started with our token, if it is ours; *proof* is the answer that shows it."""
        region = order.key.region

        def read() -> list[dict[str, Any]]:
            return list(self._apis[region].instances(INSTANCE_TAG, order.instance_id))

        found = self._limiter.read(region, read, FAMILIES, lambda error: translated(error, "launch"))
        ours = [one for one in found if _is_owned_by(one, order.owner)]
        if ours:
            return _instance_of(region, ours[0])
        if found:
            raise InvalidError(self.name, "launch", proof.code, f"{order.instance_id} belongs to another owner")
        raise UnreachableError(self.name, "launch", proof.code, proof.detail) from proof  # it is not listed yet

    def _reservation(self, order: LaunchOrder) -> dict[str, Any]:
        """Return the part of a request that takes the machine from a reservation."""
        api, now = self._apis[order.key.region], self._clock.now()
        found = list(api.reservations())
        reservation = select_reservation((reservation_of(one) for one in found), order.key, now, order.reservation)
        block = any(
            one["CapacityReservationId"] == reservation.id and one.get("ReservationType") == BLOCK for one in found
        )
        target = {"CapacityReservationTarget": {"CapacityReservationId": reservation.id}}
        options = {"InstanceMarketOptions": {"MarketType": BLOCK}} if block else {}
        return {"CapacityReservationSpecification": target, **options}

    def dry_run(self, region: RegionId) -> None:
        """Return if EC2 would allow a launch: DryRun checks permissions and settings, and starts nothing."""
        api, name = self._apis[region], region_name(region)
        translate: Callable[[Exception], ProviderError] = lambda error: translated(error, "dry_run")  # noqa: E731

        def read() -> tuple[dict[str, str], Image]:
            return self._zones_in(region).locations, self._image(region)

        zones, image = self._limiter.read(name, read, FAMILIES, translate)
        if not zones:
            raise InvalidError(self.name, "dry_run", "NoSubnet", "no zone has a subnet that fits")
        zone = min(zones, key=lambda zone: (zones[zone] != name, zone))  # Local Zones lack many types
        key = OfferKey(region, zone, self._settings.head_types[0], Market.ON_DEMAND)
        order = LaunchOrder(InstanceId("sk-dry-run"), key, Role.WORKER, self._owner(), "true", None)
        self._limiter.write(name, lambda: api.dry_run(self._request(order, image)), FAMILIES, translate)

    def _request(self, order: LaunchOrder, image: Image) -> dict[str, Any]:
        settings, key = self._settings, order.key
        tags = settings.tags | {
            OWNER_TAG: order.owner,
            INSTANCE_TAG: order.instance_id,
            ROLE_TAG: order.role,
            NAME_TAG: order.instance_id,
        }
        tag_list = [{"Key": name, "Value": value} for name, value in tags.items()]
        request: dict[str, Any] = {
            "ClientToken": order.instance_id,
            "ImageId": settings.images[region_name(key.region)],
            "InstanceType": key.instance_type,
            "Placement": {"AvailabilityZone": key.zone},
            "UserData": order.startup_script,
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": tag_list},
                {"ResourceType": "volume", "Tags": tag_list},
                {"ResourceType": "network-interface", "Tags": tag_list},
            ],
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "BlockDeviceMappings": disks_of(image, settings.disk_gib),
        }
        request |= self._network(order)
        if settings.instance_profile is not None:
            request["IamInstanceProfile"] = {"Name": settings.instance_profile}
        if key.market is Market.SPOT:
            # One-time, ended when interrupted: a stopped machine would start again by itself.
            spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            request["TagSpecifications"].append({"ResourceType": "spot-instances-request", "Tags": tag_list})
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
        return request

    def _network(self, order: LaunchOrder) -> dict[str, Any]:
        """Return the network part of a request, public addresses included: a subnet may assign them by default."""
        settings, zone = self._settings, order.key.zone
        address = {} if order.private_address is None else {"PrivateIpAddress": order.private_address}
        groups = list(settings.security_groups.get(region_name(order.key.region), ()))
        if zone not in settings.subnets:
            if subnets_in(order.key.region, settings.subnets):
                # Else the machine would start in the default VPC, beside none of the others.
                raise InvalidError(self.name, "launch", "NoSubnet", f"the settings name no subnet in {zone}")
            return address | ({"SecurityGroupIds": groups} if groups else {})
        interface: dict[str, Any] = {
            "DeviceIndex": 0,
            "SubnetId": settings.subnets[zone],
            "AssociatePublicIpAddress": settings.public_address,
            "DeleteOnTermination": True,
        }
        return {"NetworkInterfaces": [interface | address | ({"Groups": groups} if groups else {})]}

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Request the end of one machine, found by its tag where its launch reported no id."""
        api = self._apis[key.region]

        def end() -> None:
            try:
                known = [cloud_id] if cloud_id else [d["InstanceId"] for d in api.instances(INSTANCE_TAG, instance_id)]
                for found in known:
                    api.terminate(found)
            except FAMILIES as error:
                if code_of(error) not in GONE:
                    raise

        self._limiter.write(region_name(key.region), end, FAMILIES, lambda error: translated(error, "terminate"))


def _load_of(described: dict[str, Any], sizes: Mapping[str, Machine]) -> tuple[str, Market, int]:
    """Return (instance type, market, vCPUs) of a machine that counts against the account's quotas."""
    market = Market.SPOT if described.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND
    options, known = described.get("CpuOptions", {}), sizes.get(described["InstanceType"])
    reported = int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 0))
    return described["InstanceType"], market, known.vcpus if known is not None else reported


def _is_owned_by(described: dict[str, Any], owner: str) -> bool:
    return any((tag["Key"], tag["Value"]) == (OWNER_TAG, owner) for tag in described.get("Tags", []))


def _instance_of(region: RegionId, described: dict[str, Any]) -> CloudInstance:
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    market = Market.SPOT if described.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND
    if described.get("CapacityReservationId"):
        market = Market.RESERVED
    key = OfferKey(region, described["Placement"]["AvailabilityZone"], described["InstanceType"], market)
    return CloudInstance(
        cloud_id=described["InstanceId"],
        instance_id=InstanceId(tags.get(INSTANCE_TAG, described["InstanceId"])),
        key=key,
        state=state_of(described),
        address=described.get("PrivateIpAddress"),
        launched_at=described.get("LaunchTime"),
        reason=described.get("StateReason", {}).get("Message", ""),
        reservation=described.get("CapacityReservationId") or None,
        end=end_of(described),
    )
