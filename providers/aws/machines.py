"""AWS as a provider."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import boto3

from providers.aws.api import AwsApi
from providers.aws.catalog import held_of, machine_of, newest_spot_prices, offers_of, quotas_of
from providers.aws.errors import FAMILIES, GONE, code_of, translated
from providers.aws.notices import (
    ADVICE_MAX_AGE,
    EVENTS,
    INTERRUPTIONS,
    advice_of,
    impairment_of,
    interruption_of,
    is_over,
    maintenance_of,
    recommendation_of,
)
from providers.aws.profile import PROFILE
from providers.aws.settings import AwsSettings
from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, LaunchOrder, Observation
from providers.errors import ProviderError
from providers.everywhere import query_all_regions, without_repeats
from providers.prices import PriceList, live_spot
from providers.reservations import reserved_offers, taken
from providers.throttle import RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Machine, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice, Role

STATES: Final = {
    "pending": CloudState.PENDING,
    "running": CloudState.RUNNING,
    "shutting-down": CloudState.STOPPING,
    "stopping": CloudState.STOPPING,
    "stopped": CloudState.STOPPING,
    "terminated": CloudState.TERMINATED,
}
"""A stopped machine still costs its disk, so it counts as one to be ended."""

BLOCK: Final = "capacity-block"

Item = TypeVar("Item")


class Aws:
    """EC2 in the regions of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot
    capabilities = frozenset(Capability)

    def __init__(
        self, settings: AwsSettings, prices: Callable[[], PriceList], owner: Callable[[], str], clock: Clock
    ) -> None:
        """Make clients; nothing is called yet."""
        self._settings = settings
        self._prices = prices
        self._owner = owner
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds)
        session = boto3.session.Session()
        self._apis = {
            region_id("aws", name): AwsApi(session, settings, name, self._limiter) for name in settings.regions
        }
        self._machines: dict[RegionId, dict[str, Machine]] = {}
        self._advised: dict[RegionId, dict[str, datetime]] = {}
        """Recommendations that were read, by EC2's id, and when they were told."""

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions of the settings."""
        return tuple(self._apis)

    def offers(self) -> Observation[Offer]:
        """Return the GPU types, and those for heads, of every region."""
        seen = self._everywhere(self._offers_in)
        return replace(seen, degraded=self._prices().degraded)

    def quotas(self) -> Observation[Quota]:
        """Return the vCPU quotas of every region."""
        return self._everywhere(self._quotas_in)

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner* in every region, with what they cost and what EC2 finds wrong with them."""

        def look(region: RegionId) -> list[CloudInstance]:
            found = self._instances_in(region, owner)
            impairments = {cloud_id: impairment_of(s) for cloud_id, s in self._apis[region].impaired()} if found else {}
            found = [replace(m, **impairments[m.cloud_id]) if m.cloud_id in impairments else m for m in found]
            return self._prices().paid(found)

        return self._everywhere(look)

    def notices(self, owner: str) -> Observation[Notice]:
        """Return interruptions of spot machines, scheduled events and recommendations to leave, of every region.

        A queue that cannot be read leaves its region blind; what else was heard of that region stands.
        """
        heard = self._everywhere(lambda region: self._notices_in(region, owner))
        queues = {region_id("aws", name): url for name, url in self._settings.rebalance_queues.items()}
        readable = tuple(region for region in self.regions if region in queues and region not in heard.unreachable)
        if not readable:
            return heard
        read = self._everywhere(lambda region: self._advised_in(region, queues[region], owner), readable)
        return Observation(heard.items + read.items, heard.unreachable | read.unreachable)

    def _advised_in(self, region: RegionId, queue: str, owner: str) -> list[Notice]:
        api, now = self._apis[region], self._clock.now()
        read = dict(found for message in api.messages(queue) if (found := advice_of(message, now)) is not None)
        # What another reader has just read is hidden from us for a moment; what we know is known as long as it counts.
        kept = {name: at for name, at in self._advised.get(region, {}).items() if now - at < ADVICE_MAX_AGE}
        told = self._advised[region] = kept | read
        if not told:
            return []
        ours = [seen for seen in self._instances_in(region, owner) if seen.state is not CloudState.TERMINATED]
        return [recommendation_of(region, s.instance_id, told[s.cloud_id]) for s in ours if s.cloud_id in told]

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

    def _everywhere(
        self, look: Callable[[RegionId], list[Item]], regions: tuple[RegionId, ...] | None = None
    ) -> Observation[Item]:
        return query_all_regions(
            regions or self.regions, look, self._limiter, FAMILIES, lambda error: translated(error, "look")
        )

    def _offers_in(self, region: RegionId) -> list[Offer]:
        api, prices, now = self._apis[region], self._prices(), self._clock.now()
        offerings, holdings = list(api.offerings()), [held_of(found) for found in api.reservations()]
        priced = {t for t, _ in offerings if self._is_of_use(t) and self._has_price(prices, region, t)}
        described = api.instance_types(sorted(priced | {held.instance_type for held in holdings}))
        machines = {d["InstanceType"]: machine for d in described if (machine := machine_of(d)) is not None}
        fit = {t: m for t, m in machines.items() if m.gpus or t in self._settings.head_types}
        self._machines[region] = fit
        offers = offers_of(region, fit, offerings, prices)
        spot = sorted({o.key.instance_type for o in offers if o.key.market is Market.SPOT})
        live = newest_spot_prices(api.spot_prices(spot, now)) if spot else {}
        source = "AWS DescribeSpotPriceHistory"
        offers = [live_spot(o, live.get((o.key.zone, o.key.instance_type)), source, now) for o in offers]
        return offers + reserved_offers(region, fit, holdings, now)

    def _is_of_use(self, instance_type: str) -> bool:
        return instance_type[0] in "gp" or instance_type in self._settings.head_types

    def _has_price(self, prices: PriceList, region: RegionId, instance_type: str) -> bool:
        return any(prices.price("aws", (region_name(region),), instance_type, market) for market in Market)

    def _quotas_in(self, region: RegionId) -> list[Quota]:
        limits = list(self._apis[region].quotas())
        sizes = self._machines.get(region, {})
        return quotas_of(region, limits, [_load_of(found, sizes) for found in self._apis[region].running()])

    def _instances_in(self, region: RegionId, owner: str) -> list[CloudInstance]:
        return without_repeats(_seen(region, found) for found in self._apis[region].instances(OWNER_TAG, owner))

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine, under its id as client token."""
        region = order.key.region

        api, act, name = self._apis[region], self._limiter.act, region_name(region)

        def run() -> dict[str, Any]:
            if order.key.market is not Market.RESERVED:
                return api.run(self._request(order))
            # One that runs already may have used the reservation up: it must not be told as a shortage.
            there = (one for one in api.instances(INSTANCE_TAG, order.instance_id) if _is_owned_by(one, order.owner))
            return next(there, None) or api.run(self._request(order) | self._reservation(order.key))

        return _seen(region, act(name, run, FAMILIES, lambda error: translated(error, "launch")))

    def _reservation(self, key: OfferKey) -> dict[str, Any]:
        """Return what a request says to be taken from a reservation."""
        api, now = self._apis[key.region], self._clock.now()
        found = list(api.reservations())
        held = taken((held_of(one) for one in found), key, now)
        block = any(one["CapacityReservationId"] == held.id and one.get("ReservationType") == BLOCK for one in found)
        target = {"CapacityReservationTarget": {"CapacityReservationId": held.id}}
        options = {"InstanceMarketOptions": {"MarketType": BLOCK}} if block else {}
        return {"CapacityReservationSpecification": target, **options}

    def dry_run(self, region: RegionId) -> None:
        """Ask EC2 whether a launch would be allowed: DryRun checks permissions and settings, and starts nothing."""
        api, name = self._apis[region], region_name(region)
        translate: Callable[[Exception], ProviderError] = lambda error: translated(error, "rehearse")  # noqa: E731
        zones = self._limiter.look(name, lambda: sorted({z for _, z in api.offerings()}), FAMILIES, translate)
        key = OfferKey(region, zones[0] if zones else "", self._settings.head_types[0], Market.ON_DEMAND)
        order = LaunchOrder(InstanceId("sk-rehearsal"), key, Role.WORKER, self._owner(), "true", None)
        self._limiter.act(name, lambda: api.dry_run(self._request(order)), FAMILIES, translate)

    def _request(self, order: LaunchOrder) -> dict[str, Any]:
        settings, key = self._settings, order.key
        tags = {
            OWNER_TAG: order.owner,
            INSTANCE_TAG: order.instance_id,
            ROLE_TAG: order.role,
            "Name": order.instance_id,
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
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {
                        "VolumeSize": settings.disk_gib,
                        "VolumeType": "gp3",
                        "Encrypted": True,
                        "DeleteOnTermination": True,
                    },
                }
            ],
        }
        request |= self._network(order)
        if settings.instance_profile is not None:
            request["IamInstanceProfile"] = {"Name": settings.instance_profile}
        if key.market is Market.SPOT:
            # One-time, ended when interrupted: a stopped machine would come back unasked.
            spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            request["TagSpecifications"].append({"ResourceType": "spot-instances-request", "Tags": tag_list})
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
        return request

    def _network(self, order: LaunchOrder) -> dict[str, Any]:
        """Return where a machine stands; a subnet may give public addresses unasked, so it is told not to."""
        settings, zone = self._settings, order.key.zone
        address = {} if order.private_address is None else {"PrivateIpAddress": order.private_address}
        groups = list(settings.security_groups.get(region_name(order.key.region), ()))
        if zone not in settings.subnets:
            return address | ({"SecurityGroupIds": groups} if groups else {})
        interface: dict[str, Any] = {
            "DeviceIndex": 0,
            "SubnetId": settings.subnets[zone],
            "AssociatePublicIpAddress": settings.public_address,
            "DeleteOnTermination": True,
        }
        return {"NetworkInterfaces": [interface | address | ({"Groups": groups} if groups else {})]}

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Ask for the end of one machine, found by its tag where its launch never told its id."""
        api = self._apis[key.region]

        def end() -> None:
            try:
                known = [cloud_id] if cloud_id else [d["InstanceId"] for d in api.instances(INSTANCE_TAG, instance_id)]
                for found in known:
                    api.terminate(found)
            except FAMILIES as error:
                if code_of(error) not in GONE:
                    raise

        self._limiter.act(region_name(key.region), end, FAMILIES, lambda error: translated(error, "terminate"))


def _load_of(described: dict[str, Any], sizes: Mapping[str, Machine]) -> tuple[str, Market, int]:
    """Return (instance type, market, vCPUs) of a machine that counts against the account's quotas."""
    market = Market.SPOT if described.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND
    options, known = described.get("CpuOptions", {}), sizes.get(described["InstanceType"])
    told = int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 0))
    return described["InstanceType"], market, known.vcpus if known is not None else told


def _is_owned_by(described: dict[str, Any], owner: str) -> bool:
    return any((tag["Key"], tag["Value"]) == (OWNER_TAG, owner) for tag in described.get("Tags", []))


def _seen(region: RegionId, described: dict[str, Any]) -> CloudInstance:
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    market = Market.SPOT if described.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND
    if described.get("CapacityReservationId"):
        market = Market.RESERVED
    key = OfferKey(region, described["Placement"]["AvailabilityZone"], described["InstanceType"], market)
    return CloudInstance(
        cloud_id=described["InstanceId"],
        instance_id=InstanceId(tags.get(INSTANCE_TAG, described["InstanceId"])),
        key=key,
        state=STATES.get(described["State"]["Name"], CloudState.PENDING),
        address=described.get("PrivateIpAddress"),
        launched_at=described.get("LaunchTime"),
        reason=described.get("StateReason", {}).get("Message", ""),
    )
