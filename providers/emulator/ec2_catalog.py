"""What the embedded EC2 offers: instance types per zone, zones, images, spot prices and capacity reservations."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidAMIIdError
from moto.ec2.models import ec2_backends

from providers.emulator.backend import Backend, Reservation, SpecialZone
from providers.emulator.regions import AWS_ACCOUNT
from state.model.ids import region_id

DEFAULT_ROOT: Final = "/dev/sda1"
"""The root device of images of which nothing else is known."""
ROOT_GIB: Final = 8
"""The size of every image's snapshot."""

CREATED: Final = datetime(2026, 1, 21, tzinfo=UTC)
"""When every image was made."""


def catalog_overrides(backend: Backend, call_moto: Callable[[str, Any], Any]) -> dict[str, Callable[[Any], Any]]:
    """Return the methods that replace moto's, by name; *call_moto* calls one of moto's own."""
    catalog = _Catalog(backend, call_moto)
    return {
        "describe_availability_zones": catalog.zones,
        "describe_capacity_reservations": catalog.capacity_reservations,
        "describe_images": catalog.images,
        "describe_instance_type_offerings": catalog.offerings,
        "describe_spot_price_history": catalog.spot_prices,
        "describe_subnets": catalog.subnets,
    }


def add_root_disk(backend: Backend, response: Any) -> None:
    """Add the image's own root disk to a launch that does not map its device, as EC2 does: small and not encrypted."""
    root = backend.image_roots.get(response._get_param("ImageId"), DEFAULT_ROOT)
    mappings = response._get_param("BlockDeviceMappings", [])
    if mappings and not any(mapping["DeviceName"] == root for mapping in mappings):
        ebs = {"VolumeSize": ROOT_GIB, "DeleteOnTermination": True, "Encrypted": False}
        response.params["BlockDeviceMappings"] = [*mappings, {"DeviceName": root, "Ebs": ebs}]


class _Catalog:
    def __init__(self, backend: Backend, call_moto: Callable[[str, Any], Any]) -> None:
        self._backend, self._call_moto = backend, call_moto

    def zones(self, response: Any) -> Any:
        """Return moto's Availability Zones, and the Local and Wavelength Zones that were added to the region."""
        region = region_id("aws", response.region)
        result = self._call_moto("describe_availability_zones", response)
        usual = result.result["AvailabilityZones"]
        result.result["AvailabilityZones"] = [
            *usual,
            *(
                self._special_zone(zone, response.region)
                for zone in self._backend.special_zones
                if zone.region == region
            ),
        ]
        return result

    def _special_zone(self, zone: SpecialZone, region: str) -> dict[str, Any]:
        return {
            "ZoneName": zone.name,
            "RegionName": region,
            "ZoneType": zone.kind,
            "GroupName": zone.group,
            "NetworkBorderGroup": zone.group,
            "OptInStatus": "opted-in" if zone.is_enabled else "not-opted-in",
            "State": "available",
        }

    def subnets(self, response: Any) -> Any:
        """Return moto's subnets, and those in special zones, which are no zone's default."""
        result = self._call_moto("describe_subnets", response)
        asked = response._filters_from_querystring().get("subnet-id", [])
        there = [zone for zone in self._backend.special_zones if zone.subnet in asked]
        if there:
            vpc = ec2_backends[AWS_ACCOUNT][response.region].get_default_vpc().id
            found = [{"AvailabilityZone": z.name, "SubnetId": z.subnet, "VpcId": vpc} for z in there]
            result.result["Subnets"] = [*result.result["Subnets"], *found]
        return result

    def images(self, response: Any) -> Any:
        """Return the images that are asked for: every one exists whose id looks like one."""
        asked = response._get_param("ImageIds", [])
        if not asked:
            return self._call_moto("describe_images", response)
        if unknown := [name for name in asked if not name.startswith("ami-")]:
            raise InvalidAMIIdError(unknown)
        return ActionResult({"Images": [self._image(name) for name in asked]})

    def _image(self, name: str) -> dict[str, Any]:
        root = self._backend.image_roots.get(name, DEFAULT_ROOT)
        ebs = {"DeleteOnTermination": True, "Encrypted": False, "VolumeSize": ROOT_GIB, "VolumeType": "gp2"}
        return {
            "Architecture": "x86_64",
            "CreationDate": CREATED,
            "BlockDeviceMappings": [{"DeviceName": root, "Ebs": ebs | {"SnapshotId": "snap-00000000000000000"}}],
            "ImageId": name,
            "RootDeviceName": root,
            "RootDeviceType": "ebs",
            "State": "available",
        }

    def offerings(self, response: Any) -> Any:
        """Return the offerings that the emulated region has stock entries for; moto lists all of AWS's."""
        region = region_id("aws", response.region)
        emulated = self._backend.regions.get(region)
        result = self._call_moto("describe_instance_type_offerings", response)
        if emulated is None:
            return result
        listed = result.result["InstanceTypeOfferings"]
        sold = {(size, zone) for size, _ in emulated.stock for zone in emulated.zones}
        found = [o for o in listed if (o["InstanceType"], o["Location"]) in sold]
        for zone in self._backend.special_zones:
            if zone.region == region:
                kind = {"Location": zone.name, "LocationType": "availability-zone"}
                found += [kind | {"InstanceType": size} for size in zone.sizes]
        result.result["InstanceTypeOfferings"] = found
        return result

    def spot_prices(self, response: Any) -> Any:
        """Return the current spot prices of the requested types, or all."""
        backend, region = self._backend, region_id("aws", response.region)
        emulated = backend.regions.get(region)
        requested = set(response._get_param("InstanceTypes", []))
        history = []
        for size, is_spot in emulated.stock if emulated is not None else ():
            usd = backend.spot_price(region, size)
            if not is_spot or usd is None or (requested and size not in requested):
                continue
            history += [
                {
                    "AvailabilityZone": zone,
                    "InstanceType": size,
                    "ProductDescription": "Linux/UNIX",
                    "SpotPrice": f"{usd:.6f}",
                    "Timestamp": backend.clock.now(),
                }
                for zone in (emulated.zones if emulated is not None else ())
            ]
        return ActionResult({"SpotPriceHistory": history, "NextToken": ""})

    def capacity_reservations(self, response: Any) -> Any:
        """Return the reservations of a region; moto has none."""
        region = region_id("aws", response.region)
        found = (r for r in self._backend.reservations.values() if r.region == region)
        return ActionResult({"CapacityReservations": [self._capacity_reservation(r) for r in found]})

    def _capacity_reservation(self, reservation: Reservation) -> dict[str, Any]:
        now = self._backend.clock.now()
        begins = reservation.begins or now - timedelta(days=1)
        arn = f"arn:aws:ec2:{reservation.region}:{AWS_ACCOUNT}:capacity-reservation/{reservation.id}"
        return {
            "AvailabilityZone": reservation.zone,
            "AvailableInstanceCount": reservation.count - self._backend.count_in_use(reservation.id),
            "CapacityReservationArn": arn,
            "CapacityReservationId": reservation.id,
            "EndDate": reservation.ends,
            "EndDateType": "limited" if reservation.ends else "unlimited",
            "InstanceMatchCriteria": "targeted",
            "InstancePlatform": "Linux/UNIX",
            "InstanceType": reservation.size,
            "OwnerId": AWS_ACCOUNT,
            "ReservationType": "default",
            "StartDate": begins,
            "State": "active" if begins <= now else "scheduled",
            "Tenancy": "default",
            "TotalInstanceCount": reservation.count,
        }
