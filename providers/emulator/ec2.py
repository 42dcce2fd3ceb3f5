"""AWS: moto's EC2, with what it lacks: client tokens that hold, finite stock, quotas, machines that boot.

moto answers a repeated ClientToken with a second machine, has no stock and no Service Quotas; the classes
that it dispatches to are extended here, so that all else is moto's own.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from providers.emulator.middleware import Application, Environ, StartResponse
from providers.emulator.world import CloudWorld, OutOfStockError
from state.model.ids import RegionId, region_id

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

ACCOUNT: Final = "123456789012"
"""The account that moto answers for."""
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

    def __init__(self, world: CloudWorld) -> None:
        """Extend moto's classes, in this process."""
        self._world = world
        self._tokens: dict[tuple[str, str], tuple[tuple[Any, ...], Any]] = {}
        self._names: dict[str, str] = {}
        self._forget()
        self._moto: Application = DomainDispatcherApplication(create_backend_app)
        self._run, self._terminate = EC2Response.run_instances, EC2Response.terminate_instances
        self._offerings = EC2Response.describe_instance_type_offerings
        EC2Response.describe_instance_type_offerings = _as_method(self.offerings)
        EC2Response.run_instances = _as_method(self.run_instances)
        EC2Response.terminate_instances = _as_method(self.terminate_instances)

    def _forget(self) -> None:
        """Let moto forget what an earlier world did in this process."""
        for region in self._world.scene.values():
            if region.provider == "aws":
                ec2_backends[ACCOUNT][region.name].reset()

    def close(self) -> None:
        """Give moto its own methods back, and let it forget."""
        self._forget()
        EC2Response.describe_instance_type_offerings = self._offerings
        EC2Response.run_instances, EC2Response.terminate_instances = self._run, self._terminate

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer Service Quotas here, and all else by moto."""
        if environ.get("HTTP_X_AMZ_TARGET") == "ServiceQuotasV20190624.ListServiceQuotas":
            body = json.dumps({"Quotas": self._quotas(region_of(environ))}).encode()
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [body]
        return self._moto(environ, start_response)

    def _quotas(self, region: RegionId | None) -> list[dict[str, Any]]:
        if region not in self._world.scene:
            return []
        return [
            {"ServiceCode": "ec2", "QuotaCode": QUOTA_CODES[name][0], "QuotaName": name, "Value": float(value)}
            for name, value in self._world.scene[region].quotas.items()
        ]

    def run_instances(self, response: Any) -> Any:
        """Start one machine: once per token, while stock and quota last."""
        world = self._world
        size, zone = response._get_param("InstanceType"), response._get_param("Placement.AvailabilityZone")
        is_spot = response._get_param("InstanceMarketOptions.MarketType") == "spot"
        token = response._get_param("ClientToken") or ""
        asked = (size, zone, is_spot, response._get_param("ImageId"))
        region = region_id("aws", response.region)
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
            try:
                machine = world.rent(token, region, zone, size, is_spot=is_spot, address=address)
            except OutOfStockError:
                raise NoCapacityError(size, zone) from None
            result = self._run(response)
            reservation = result.result if hasattr(result, "result") else result
            instance = reservation.instances[0]
            instance.nics[0].private_ip_address = machine.address
            self._tokens[response.region, token] = (asked, reservation)
            self._names[instance.id] = token
        script = base64.b64decode(response._get_param("UserData") or "").decode()
        world.boot(token, script)
        return result

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
        result = self._offerings(response)
        if scene is not None:
            listed = result.result["InstanceTypeOfferings"]
            sold = {(size, zone) for size, _ in scene.stock for zone in scene.zones}
            result.result["InstanceTypeOfferings"] = [o for o in listed if (o["InstanceType"], o["Location"]) in sold]
        return result

    def terminate_instances(self, response: Any) -> Any:
        """End machines, on the host too."""
        result = self._terminate(response)
        for cloud_id in response._get_param("InstanceIds", []):
            self._world.end(self._names.get(cloud_id, ""))
        return result

    def show_ended(self, region: RegionId) -> None:
        """Let moto list as terminated what has ended without it."""
        backend = ec2_backends[ACCOUNT][region.partition("/")[2]]
        for instance in backend.all_instances():
            machine = self._world.rented.get(self._names.get(instance.id, ""))
            if machine is not None and machine.has_ended and instance.state != "terminated":
                instance.terminate()


def _as_method(bound: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that a class can hold as a method: a bound method would not be given the instance."""

    def method(response: Any) -> Any:
        return bound(response)

    return method


def region_of(environ: Environ) -> RegionId | None:
    """Return the region that a request is signed for."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
    return region_id("aws", scope[2]) if len(scope) > 2 else None  # noqa: PLR2004  id/date/REGION/service/end
