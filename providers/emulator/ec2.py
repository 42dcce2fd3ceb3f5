"""AWS: moto's EC2, with what it lacks: client tokens that hold, finite stock, quotas, machines that boot.

moto answers a repeated ClientToken with a second machine, has no stock and no Service Quotas; the classes
that it dispatches to are extended here, so that all else is moto's own.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from werkzeug.test import Client

from providers.emulator.backend import NOTICE, CloudWorld, OutOfStockError, Rented, Reservation
from providers.emulator.ec2_events import SpotEvents
from providers.emulator.ec2_wire import Ec2Dialect
from providers.emulator.middleware import Environ, StartResponse
from providers.emulator.moto_application import MotoApplication
from providers.emulator.regions import AWS_ACCOUNT
from state.model.ids import RegionId, region_id

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.responses import EC2Response

QUOTA_CODES: Final = {
    "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances": ("L-1216C47A", "acdhimrtz", False),
    "Running On-Demand G and VT instances": ("L-DB2E81BA", "g", False),
    "Running On-Demand P instances": ("L-417A185B", "p", False),
    "All G and VT Spot Instance Requests": ("L-3819A6DF", "g", True),
}
"""Quota name to its code, the instance families it counts, and whether it is for spot."""


class NoCapacityError(EC2ClientError):  # type: ignore[misc]
    """EC2 says this with HTTP 500."""

    code = 500

    def __init__(self, size: str, zone: str) -> None:
        """Use EC2's own words."""
        super().__init__(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {size} capacity in the Availability Zone you requested ({zone}).",
        )


class Ec2:
    """Moto, on one world."""

    _is_warm: ClassVar[bool] = False

    def __init__(self, world: CloudWorld) -> None:
        """Extend moto's classes, in this process."""
        self._world = world
        self._tokens: dict[tuple[str, str], tuple[tuple[Any, ...], Any]] = {}
        self._names: dict[str, str] = {}
        self._untold = 0
        self._tags: dict[str, dict[str, str]] = {}
        """Of spot requests, by the id of their machine."""
        self._forget()
        aws = (region.name for region in world.scene.values() if region.provider == "aws")
        self._events = SpotEvents(aws)
        self._moto = MotoApplication()
        ours: dict[str, Callable[[Any], Any]] = {
            "describe_capacity_reservations": self.capacity_reservations,
            "describe_instance_status": self.instance_status,
            "describe_instance_type_offerings": self.offerings,
            "describe_instances": self.instances,
            "describe_spot_instance_requests": self.spot_requests,
            "describe_spot_price_history": self.spot_prices,
            "run_instances": self.run_instances,
            "terminate_instances": self.terminate_instances,
        }
        self._motos = {name: getattr(EC2Response, name, None) for name in ours}
        for name, method in ours.items():
            setattr(EC2Response, name, _as_method(method))
        self._motos_tags = TaggedEC2Resource.get_tags
        TaggedEC2Resource.get_tags = _tags_of

    def _forget(self) -> None:
        """Let moto forget what an earlier world did in this process."""
        for region in self._world.scene.values():
            if region.provider == "aws":
                ec2_backends[AWS_ACCOUNT][region.name].reset()

    def close(self) -> None:
        """Give moto its own methods back, and let it forget."""
        self._forget()
        self._events.forget()
        TaggedEC2Resource.get_tags = self._motos_tags
        for name, method in self._motos.items():
            if method is None:
                delattr(EC2Response, name)
            else:
                setattr(EC2Response, name, method)

    def warm_up(self) -> None:
        """Let moto load its data now: its first answers in a process would take longer than clients wait."""
        if Ec2._is_warm:
            return
        Ec2._is_warm = True
        for action in ("DescribeInstanceTypes", "DescribeInstances", "DescribeInstanceTypeOfferings"):
            scope = "Credential=embedded/20260101/us-east-1/ec2/aws4_request"
            form = {"Action": action, "Version": "2016-11-15"}
            form |= {"InstanceType.1": "g6.xlarge"} if action == "DescribeInstanceTypes" else {}
            Client(self).post("/", data=form, headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, Signature=0"})

    def _moto_does(self, name: str, response: Any) -> Any:
        """Return what moto alone would answer."""
        method = self._motos[name]
        return None if method is None else method(response)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer Service Quotas here, and all else by moto."""
        if environ.get("HTTP_X_AMZ_TARGET") == "ServiceQuotasV20190624.ListServiceQuotas":
            body = json.dumps({"Quotas": self._quotas(Ec2Dialect().region_of(environ))}).encode()
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [body]
        self._tell_recommendations()
        return self._moto(environ, start_response)

    def _tell_recommendations(self) -> None:
        """Tell EventBridge what the world recommends."""
        for machine in self._world.take_recommended():
            region = machine.region.partition("/")[2]
            for cloud_id in [known for known, name in tuple(self._names.items()) if name == machine.name]:
                self._events.recommend(region, machine.zone, cloud_id, self._world.clock.now())

    def _quotas(self, region: RegionId | None) -> list[dict[str, Any]]:
        if region not in self._world.scene:
            return []
        return [
            {"ServiceCode": "ec2", "QuotaCode": QUOTA_CODES[name][0], "QuotaName": name, "Value": float(value)}
            for name, value in self._world.scene[region].quotas.items()
        ]

    def run_instances(self, response: Any) -> Any:
        """Start one machine: once per token, while stock and quota last."""
        response.error_on_dryrun()
        world = self._world
        size, zone = response._get_param("InstanceType"), response._get_param("Placement.AvailabilityZone")
        is_spot = response._get_param("InstanceMarketOptions.MarketType") == "spot"
        token = response._get_param("ClientToken") or self._untold_token()
        tags = json.dumps(response._get_param("TagSpecifications", []), sort_keys=True)
        asked = (size, zone, is_spot, response._get_param("ImageId"), tags)
        region = region_id("aws", response.region)
        if zone is None:
            zone = self._any_zone(region, size, is_spot=is_spot)
            response.params["Placement"] = {"AvailabilityZone": zone}
        with world.lock:
            if (response.region, token) in self._tokens:
                before, reservation = self._tokens[response.region, token]
                if before != asked:
                    code = "IdempotentParameterMismatch"
                    raise EC2ClientError(code, "The client token was used with other parameters.")
                return ActionResult(reservation)
            if region not in world.scene:
                raise NoCapacityError(size, zone)
            self._check_quota(region, size, is_spot=is_spot)
            address = response._get_param("PrivateIpAddress")
            held = response._get_param(
                "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"
            )
            try:
                machine = world.rent(token, region, zone, size, is_spot=is_spot, address=address, reservation=held)
            except OutOfStockError:
                raise NoCapacityError(size, zone) from None
            result = self._moto_does("run_instances", response)
            reservation = result.result if hasattr(result, "result") else result
            instance = reservation.instances[0]
            instance.nics[0].private_ip_address = machine.address
            instance.capacity_reservation_id = held
            self._tokens[response.region, token] = (asked, reservation)
            self._names[instance.id] = token
            for spec in response._get_param("TagSpecifications", []):
                if spec["ResourceType"] == "spot-instances-request":
                    self._tags[instance.id] = {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
        script = base64.b64decode(response._get_param("UserData") or "").decode()
        world.boot(token, script)
        return result

    def _untold_token(self) -> str:
        """Return a token for a request without one, which is never the same as another."""
        with self._world.lock:
            self._untold += 1
            return f"untold-{self._untold}"

    def _any_zone(self, region: RegionId, size: str, *, is_spot: bool) -> str:
        """Return the zone that EC2 picks where none is asked for: one that has the machine, if any."""
        scene = self._world.scene.get(region)
        zones = scene.zones if scene is not None else ("",)
        has_some = (zone for zone in zones if self._world.stock(region, zone, size, is_spot=is_spot) > 0)
        return next(has_some, zones[0])

    def _check_quota(self, region: RegionId, size: str, *, is_spot: bool) -> None:
        world = self._world
        sizes = world.sizes["aws"]
        for name, limit in world.scene[region].quotas.items():
            _, families, for_spot = QUOTA_CODES[name]
            if for_spot != is_spot or size[0] not in families or size not in sizes:
                continue
            counted = {s for s in sizes if s[0] in families}
            used = sum(s.vcpus for s in world.used(region, counted, is_spot=is_spot))
            if used + sizes[size].vcpus > limit:
                code = "MaxSpotInstanceCountExceeded" if is_spot else "VcpuLimitExceeded"
                raise EC2ClientError(code, f"You have requested more vCPU capacity than your limit of {limit} allows.")

    def offerings(self, response: Any) -> Any:
        """Return what is sold where in the scene: moto knows all that AWS has."""
        scene = self._world.scene.get(region_id("aws", response.region))
        result = self._moto_does("describe_instance_type_offerings", response)
        if scene is not None:
            listed = result.result["InstanceTypeOfferings"]
            sold = {(size, zone) for size, _ in scene.stock for zone in scene.zones}
            result.result["InstanceTypeOfferings"] = [o for o in listed if (o["InstanceType"], o["Location"]) in sold]
        return result

    def terminate_instances(self, response: Any) -> Any:
        """End machines, on the host too."""
        result = self._moto_does("terminate_instances", response)
        for cloud_id in response._get_param("InstanceIds", []):
            self._world.end(self._names.get(cloud_id, ""))
        return result

    def instances(self, response: Any) -> Any:
        """List machines as moto does, but late, twice or on short pages where the world says so."""
        world = self._world
        if world.page is not None and not response._get_param("InstanceIds", []):
            asked = int(response._get_param("MaxResults") or world.page)
            response.params["MaxResults"] = str(min(asked, world.page))
        self.show_ended(region_id("aws", response.region))
        result = self._moto_does("describe_instances", response)
        shown = [r for r in result.result["Reservations"] if self._is_shown(r)]
        result.result["Reservations"] = [r for r in shown for _ in range(2)] if world.duplicates else shown
        return result

    def _is_shown(self, reservation: Any) -> bool:
        machines = (self._world.rented.get(self._names.get(i.id, "")) for i in reservation.instances)
        return all(machine is None or self._world.is_listed_yet(machine) for machine in machines)

    def _told(self, response: Any) -> list[tuple[str, Rented]]:
        """Return (EC2's id, machine) of what runs in a request's region."""
        region = region_id("aws", response.region)
        found = ((cloud_id, self._world.rented.get(name)) for cloud_id, name in sorted(self._names.items()))
        return [(cloud_id, m) for cloud_id, m in found if m is not None and m.region == region and not m.has_ended]

    def instance_status(self, response: Any) -> Any:
        """Return scheduled events and failing checks, by those where that is asked for; moto has none."""
        filters = response._filters_from_querystring()
        wanted = filters.get("event.code", [])
        is_for_impaired = "impaired" in filters.get("instance-status.status", [])
        if "impaired" in filters.get("system-status.status", []):
            return ActionResult({"InstanceStatuses": []})
        statuses = []
        for cloud_id, machine in self._told(response):
            events = []
            if machine.maintenance_at is not None:
                begins = machine.maintenance_at.isoformat()
                events = [{"Code": "system-maintenance", "Description": "scheduled work", "NotBefore": begins}]
            if wanted and not any(event["Code"] in wanted for event in events):
                continue
            if is_for_impaired and machine.impaired_at is None:
                continue
            fine = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
            own = fine
            if machine.impaired_at is not None:
                detail = {"ImpairedSince": machine.impaired_at.isoformat(), "Name": "reachability", "Status": "failed"}
                own = {"Status": "impaired", "Details": [detail]}
            statuses.append(
                {
                    "AvailabilityZone": machine.zone,
                    "Events": events,
                    "InstanceId": cloud_id,
                    "InstanceState": {"Code": 16, "Name": "running"},
                    "InstanceStatus": own,
                    "SystemStatus": fine,
                }
            )
        return ActionResult({"InstanceStatuses": statuses})

    def spot_requests(self, response: Any) -> Any:
        """Return one spot request for each spot machine, by `status-code` and tags where that is asked for."""
        filters = response._filters_from_querystring()
        codes = filters.pop("status-code", [])
        found = []
        for cloud_id, machine in self._told(response):
            if not machine.is_spot:
                continue
            tags = dict(self._tags.get(cloud_id, {}))
            status = "fulfilled" if machine.reclaim_at is None else "marked-for-termination"
            is_meant = all(tags.get(name.removeprefix("tag:")) in values for name, values in filters.items())
            if not is_meant or (codes and status not in codes):
                continue
            found.append(
                {
                    "InstanceId": cloud_id,
                    "SpotInstanceRequestId": f"sir-{cloud_id[-8:]}",
                    "State": "active",
                    "Status": {"Code": status, "Message": "", "UpdateTime": _marked_at(machine)},
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                    "Type": "one-time",
                }
            )
        return ActionResult({"SpotInstanceRequests": found})

    def spot_prices(self, response: Any) -> Any:
        """Return the catalogue's spot prices, times what the world says, of the types that are asked for."""
        world, region = self._world, region_id("aws", response.region)
        scene = world.scene.get(region)
        asked = set(response._get_param("InstanceTypes", []))
        history = []
        for size, is_spot in scene.stock if scene is not None else ():
            usd = world.spot_price(region, size)
            if not is_spot or usd is None or (asked and size not in asked):
                continue
            history += [
                {
                    "AvailabilityZone": zone,
                    "InstanceType": size,
                    "ProductDescription": "Linux/UNIX",
                    "SpotPrice": f"{usd:.6f}",
                    "Timestamp": world.clock.now(),
                }
                for zone in (scene.zones if scene is not None else ())
            ]
        return ActionResult({"SpotPriceHistory": history, "NextToken": ""})

    def capacity_reservations(self, response: Any) -> Any:
        """Return the reservations of a region; moto has none."""
        region = region_id("aws", response.region)
        held = [r for r in self._world.reservations.values() if r.region == region]
        return ActionResult({"CapacityReservations": [self._reservation(held_one) for held_one in held]})

    def _reservation(self, held: Reservation) -> dict[str, Any]:
        now = self._world.clock.now()
        begins = held.begins or now - timedelta(days=1)
        return {
            "AvailabilityZone": held.zone,
            "AvailableInstanceCount": held.count - self._world.used_of(held.id),
            "CapacityReservationArn": f"arn:aws:ec2:{held.region}:{AWS_ACCOUNT}:capacity-reservation/{held.id}",
            "CapacityReservationId": held.id,
            "EndDate": held.ends,
            "EndDateType": "limited" if held.ends else "unlimited",
            "InstanceMatchCriteria": "targeted",
            "InstancePlatform": "Linux/UNIX",
            "InstanceType": held.size,
            "OwnerId": AWS_ACCOUNT,
            "ReservationType": "default",
            "StartDate": begins,
            "State": "active" if begins <= now else "scheduled",
            "Tenancy": "default",
            "TotalInstanceCount": held.count,
        }

    def show_ended(self, region: RegionId) -> None:
        """Let moto list as terminated what has ended without it."""
        backend = ec2_backends[AWS_ACCOUNT][region.partition("/")[2]]
        for instance in backend.all_instances():
            machine = self._world.rented.get(self._names.get(instance.id, ""))
            if machine is not None and self._world.seems_ended(machine) and instance.state != "terminated":
                instance.terminate()


def _marked_at(machine: Rented) -> datetime:
    """Return when a spot request got its status."""
    return machine.started_at if machine.reclaim_at is None else machine.reclaim_at - NOTICE["aws"]


def _tags_of(resource: Any) -> list[dict[str, str]]:
    """Return the tags of a resource; moto looks through those of every other, so that lists take the square of them."""
    return [{"key": key, "value": value} for key, value in resource.ec2_backend.tags.get(resource.id, {}).items()]


def _as_method(bound: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that a class can hold as a method: a bound method would not be given the instance."""

    def method(response: Any) -> Any:
        return bound(response)

    return method
