"""AWS: moto's EC2, extended with idempotent client tokens, finite stock, quotas, and machines that boot.

Moto answers a repeated ClientToken with a second machine, and has no stock and no Service Quotas. The classes that it
dispatches to are extended here; every other answer is moto's own.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, Final

from werkzeug.test import Client

from providers.emulator.backend import NOTICE, Backend, EmulatedMachine, OutOfStockError
from providers.emulator.ec2_catalog import add_root_disk, catalog_overrides
from providers.emulator.ec2_events import SpotEvents, show_state
from providers.emulator.ec2_wire import Ec2WireFormat
from providers.emulator.ends import EndedBy
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
"""Quota name to (code, first letters of the instance families it counts, is spot)."""


class NoCapacityError(EC2ClientError):  # type: ignore[misc]
    """EC2's stock-out, which has HTTP status 500."""

    code = 500

    def __init__(self, size: str, zone: str) -> None:
        """Build EC2's own message."""
        super().__init__(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {size} capacity in the Availability Zone you requested ({zone}).",
        )


class Ec2:
    """A WSGI application of EC2 and Service Quotas on the backend, beside moto's other services."""

    _is_warm: ClassVar[bool] = False

    def __init__(self, backend: Backend) -> None:
        """Replace methods of moto's classes in this process, until `close`."""
        self._backend = backend
        self._tokens: dict[tuple[str, str], tuple[tuple[Any, ...], Any]] = {}
        """(parameters, reservation of moto) by (region, client token)."""
        self._names: dict[str, str] = {}
        """The backend's machine name by EC2 instance id."""
        self._launches_without_token = 0
        self._spot_request_tags: dict[str, dict[str, str]] = {}
        """Tags of spot requests by EC2 instance id."""
        self._reset_moto()
        aws = (region.name for region in backend.regions.values() if region.provider == "aws")
        self._events = SpotEvents(aws)
        self._moto = MotoApplication()
        overrides: dict[str, Callable[[Any], Any]] = {
            "describe_instance_status": self.instance_status,
            "describe_instances": self.instances,
            "describe_spot_instance_requests": self.spot_requests,
            **catalog_overrides(backend, self._call_moto),
            "run_instances": self.run_instances,
            "terminate_instances": self.terminate_instances,
        }
        self._originals = {name: getattr(EC2Response, name, None) for name in overrides}
        for name, method in overrides.items():
            setattr(EC2Response, name, _as_method(method))
        self._original_get_tags = TaggedEC2Resource.get_tags
        TaggedEC2Resource.get_tags = _tags_of

    def _reset_moto(self) -> None:
        """Reset moto's EC2, whose state is global to the process."""
        for region in self._backend.regions.values():
            if region.provider == "aws":
                ec2_backends[AWS_ACCOUNT][region.name].reset()

    def close(self) -> None:
        """Restore moto's own methods, and reset its state."""
        self._reset_moto()
        self._events.reset()
        TaggedEC2Resource.get_tags = self._original_get_tags
        for name, method in self._originals.items():
            if method is None:
                delattr(EC2Response, name)
            else:
                setattr(EC2Response, name, method)

    def warm_up(self) -> None:
        """Make moto load its data now, since its first responses in a process exceed clients' timeouts."""
        if Ec2._is_warm:
            return
        Ec2._is_warm = True
        for action in ("DescribeInstanceTypes", "DescribeInstances", "DescribeInstanceTypeOfferings"):
            scope = "Credential=embedded/20260101/us-east-1/ec2/aws4_request"
            form = {"Action": action, "Version": "2016-11-15"}
            form |= {"InstanceType.1": "g6.xlarge"} if action == "DescribeInstanceTypes" else {}
            Client(self).post("/", data=form, headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, Signature=0"})

    def _call_moto(self, name: str, response: Any) -> Any:
        """Return the result of moto's own method; None if it has none."""
        method = self._originals[name]
        return None if method is None else method(response)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Respond to Service Quotas, and pass all else to moto."""
        if environ.get("HTTP_X_AMZ_TARGET") == "ServiceQuotasV20190624.ListServiceQuotas":
            body = json.dumps({"Quotas": self._quotas(Ec2WireFormat().region_of(environ))}).encode()
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [body]
        self._publish_recommendations()
        return self._moto(environ, start_response)

    def _publish_recommendations(self) -> None:
        """Send the backend's rebalance recommendations to EventBridge."""
        for machine in self._backend.pop_rebalance_recommendations():
            region = machine.region.partition("/")[2]
            for cloud_id in [ec2_id for ec2_id, name in tuple(self._names.items()) if name == machine.name]:
                self._events.put_rebalance_recommendation(region, machine.zone, cloud_id, self._backend.clock.now())

    def _quotas(self, region: RegionId | None) -> list[dict[str, Any]]:
        if region not in self._backend.regions:
            return []
        return [
            {"ServiceCode": "ec2", "QuotaCode": QUOTA_CODES[name][0], "QuotaName": name, "Value": float(value)}
            for name, value in self._backend.regions[region].quotas.items()
        ]

    def run_instances(self, response: Any) -> Any:
        """Start one machine per client token, while stock and quota last."""
        response.error_on_dryrun()
        backend = self._backend
        size, zone = response._get_param("InstanceType"), response._get_param("Placement.AvailabilityZone")
        is_spot = response._get_param("InstanceMarketOptions.MarketType") == "spot"
        token = response._get_param("ClientToken") or self._unique_token()
        tags = json.dumps(response._get_param("TagSpecifications", []), sort_keys=True)
        parameters = (size, zone, is_spot, response._get_param("ImageId"), tags)
        region = region_id("aws", response.region)
        add_root_disk(backend, response)
        if zone is None:
            zone = self._any_zone(region, size, is_spot=is_spot)
            response.params["Placement"] = {"AvailabilityZone": zone}
        with backend.lock:
            if (response.region, token) in self._tokens:
                first, reservation = self._tokens[response.region, token]
                if first != parameters:
                    code = "IdempotentParameterMismatch"
                    raise EC2ClientError(code, "The client token was used with other parameters.")
                return ActionResult(reservation)
            if region not in backend.regions:
                raise NoCapacityError(size, zone)
            self._check_quota(region, size, is_spot=is_spot)
            address = response._get_param("PrivateIpAddress")
            capacity_reservation = response._get_param(
                "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"
            )
            try:
                machine = backend.allocate(
                    token, region, zone, size, is_spot=is_spot, address=address, reservation=capacity_reservation
                )
            except OutOfStockError:
                raise NoCapacityError(size, zone) from None
            result = self._call_moto("run_instances", response)
            reservation = result.result if hasattr(result, "result") else result
            instance = reservation.instances[0]
            instance.nics[0].private_ip_address = machine.address
            instance.capacity_reservation_id = capacity_reservation
            self._tokens[response.region, token] = (parameters, reservation)
            self._names[instance.id] = token
            for spec in response._get_param("TagSpecifications", []):
                if spec["ResourceType"] == "spot-instances-request":
                    self._spot_request_tags[instance.id] = {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
        machine.failure = backend.pop_failure("aws")
        if machine.failure is not None:
            backend.end(token, EndedBy.HOST)
            return result
        script = base64.b64decode(response._get_param("UserData") or "").decode()
        backend.boot(token, script)
        return result

    def _unique_token(self) -> str:
        """Return a token for a request without one."""
        with self._backend.lock:
            self._launches_without_token += 1
            return f"no-token-{self._launches_without_token}"

    def _any_zone(self, region: RegionId, size: str, *, is_spot: bool) -> str:
        """Return the zone for a request without one: the first with stock, or else the first."""
        emulated = self._backend.regions.get(region)
        zones = emulated.zones if emulated is not None else ("",)
        in_stock = (zone for zone in zones if self._backend.stock(region, zone, size, is_spot=is_spot) > 0)
        return next(in_stock, zones[0])

    def _check_quota(self, region: RegionId, size: str, *, is_spot: bool) -> None:
        backend = self._backend
        sizes = backend.sizes["aws"]
        for name, limit in backend.regions[region].quotas.items():
            _, families, for_spot = QUOTA_CODES[name]
            if for_spot != is_spot or size[0] not in families or size not in sizes:
                continue
            counted = {s for s in sizes if s[0] in families}
            used = sum(s.vcpus for s in backend.sizes_in_use(region, counted, is_spot=is_spot))
            if used + sizes[size].vcpus > limit:
                code = "MaxSpotInstanceCountExceeded" if is_spot else "VcpuLimitExceeded"
                raise EC2ClientError(code, f"You have requested more vCPU capacity than your limit of {limit} allows.")

    def terminate_instances(self, response: Any) -> Any:
        """End machines in moto and in the backend."""
        result = self._call_moto("terminate_instances", response)
        for cloud_id in response._get_param("InstanceIds", []):
            self._backend.end(self._names.get(cloud_id, ""))
        return result

    def instances(self, response: Any) -> Any:
        """List machines as moto does, but subject to the backend's lag, duplicates and page size."""
        backend = self._backend
        if backend.page is not None and not response._get_param("InstanceIds", []):
            requested = int(response._get_param("MaxResults") or backend.page)
            response.params["MaxResults"] = str(min(requested, backend.page))
        self.show_ended(region_id("aws", response.region))
        result = self._call_moto("describe_instances", response)
        listed = [r for r in result.result["Reservations"] if self._is_listed_yet(r)]
        result.result["Reservations"] = [r for r in listed for _ in range(2)] if backend.duplicates else listed
        return result

    def _is_listed_yet(self, reservation: Any) -> bool:
        machines = (self._backend.machines.get(self._names.get(i.id, "")) for i in reservation.instances)
        return all(machine is None or self._backend.is_listed_yet(machine) for machine in machines)

    def _active_machines(self, response: Any) -> list[tuple[str, EmulatedMachine]]:
        """Return (EC2 instance id, machine) of each active machine in a request's region."""
        region = region_id("aws", response.region)
        found = ((cloud_id, self._backend.machines.get(name)) for cloud_id, name in sorted(self._names.items()))
        return [(cloud_id, m) for cloud_id, m in found if m is not None and m.region == region and not m.has_ended]

    def instance_status(self, response: Any) -> Any:
        """Return scheduled events and status checks, subject to the filters that adapters use; moto has neither."""
        filters = response._filters_from_querystring()
        wanted = filters.get("event.code", [])
        is_for_impaired = "impaired" in filters.get("instance-status.status", [])
        if "impaired" in filters.get("system-status.status", []):
            return ActionResult({"InstanceStatuses": []})
        statuses = []
        for cloud_id, machine in self._active_machines(response):
            events = []
            if machine.maintenance_at is not None:
                begins = machine.maintenance_at.isoformat()
                events = [{"Code": "system-maintenance", "Description": "scheduled work", "NotBefore": begins}]
            if wanted and not any(event["Code"] in wanted for event in events):
                continue
            if is_for_impaired and machine.impaired_at is None:
                continue
            passed = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
            instance = passed
            if machine.impaired_at is not None:
                detail = {"ImpairedSince": machine.impaired_at.isoformat(), "Name": "reachability", "Status": "failed"}
                instance = {"Status": "impaired", "Details": [detail]}
            statuses.append(
                {
                    "AvailabilityZone": machine.zone,
                    "Events": events,
                    "InstanceId": cloud_id,
                    "InstanceState": {"Code": 16, "Name": "running"},
                    "InstanceStatus": instance,
                    "SystemStatus": passed,
                }
            )
        return ActionResult({"InstanceStatuses": statuses})

    def spot_requests(self, response: Any) -> Any:
        """Return one spot request per active spot machine, filtered by `status-code` and tags."""
        filters = response._filters_from_querystring()
        codes = filters.pop("status-code", [])
        found = []
        for cloud_id, machine in self._active_machines(response):
            if not machine.is_spot:
                continue
            tags = dict(self._spot_request_tags.get(cloud_id, {}))
            status = "fulfilled" if machine.reclaim_at is None else "marked-for-termination"
            matches = all(tags.get(name.removeprefix("tag:")) in values for name, values in filters.items())
            if not matches or (codes and status not in codes):
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

    def show_ended(self, region: RegionId) -> None:
        """Terminate in moto the machines that ended in the backend, with EC2's reasons."""
        moto_backend = ec2_backends[AWS_ACCOUNT][region.partition("/")[2]]
        for instance in moto_backend.all_instances():
            machine = self._backend.machines.get(self._names.get(instance.id, ""))
            if machine is not None:
                show_state(instance, machine, has_ended=self._backend.is_listed_as_ended(machine))


def _marked_at(machine: EmulatedMachine) -> datetime:
    """Return the time of a spot request's status."""
    return machine.started_at if machine.reclaim_at is None else machine.reclaim_at - NOTICE["aws"]


def _tags_of(resource: Any) -> list[dict[str, str]]:
    """Return the tags of a resource in constant time; moto's own method scans the tags of all resources."""
    return [{"key": key, "value": value} for key, value in resource.ec2_backend.tags.get(resource.id, {}).items()]


def _as_method(bound: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a plain function, which a class binds to its instances; a bound method would not receive them."""

    def method(response: Any) -> Any:
        return bound(response)

    return method
