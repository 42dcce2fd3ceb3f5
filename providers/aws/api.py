"""The few calls of AWS that we use, typed, per region.

SDK retries are off: EC2 answers a stock-out with HTTP 500, which boto3 would repeat five times. The rate limiter
admits every call, pages included.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from providers.aws.settings import AwsSettings
from providers.throttle import RateLimiter

POOL: Final = 32
HIDDEN_S: Final = 2
"""How long a message is hidden from other readers: about as long as reading them all takes."""
MESSAGE_PAGES_MAX: Final = 20
WRITES: Final = frozenset({"RunInstances", "TerminateInstances"})


class AwsApi:
    """One region's EC2, Service Quotas, and queue."""

    def __init__(
        self, session: boto3.session.Session, settings: AwsSettings, region: str, limiter: RateLimiter
    ) -> None:
        """Make clients; nothing is called yet. One session for all regions reads the SDK's models once."""

        def admit(model: Any, **_: Any) -> None:  # noqa: ANN401  botocore's own
            limiter.admit(region, is_write=model.name in WRITES)

        timeouts: dict[str, Any] = {
            "connect_timeout": min(3.0, settings.timeout_seconds),
            "read_timeout": settings.timeout_seconds,
            "max_pool_connections": POOL,
        }
        once: Config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, **timeouts)
        common: dict[str, Any] = {"region_name": region, "endpoint_url": settings.endpoint_url, "config": once}
        self._ec2: Any = session.client("ec2", **common)
        self._quotas: Any = session.client("service-quotas", **common)
        self._sqs: Any = session.client("sqs", **common)
        for client in (self._ec2, self._quotas, self._sqs):
            client.meta.events.register("before-call", admit)  # every page is a call

    def instance_types(self, names: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the descriptions of instance types, a hundred at most a call."""
        for start in range(0, len(names), 100):
            page = self._ec2.describe_instance_types(InstanceTypes=names[start : start + 100])
            yield from page["InstanceTypes"]

    def offerings(self) -> Iterator[tuple[str, str]]:
        """Yield (instance type, zone) of everything that the region sells."""
        pages = self._ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone")
        for page in pages:
            for item in page["InstanceTypeOfferings"]:
                yield item["InstanceType"], item["Location"]

    def zones(self) -> Iterator[dict[str, Any]]:
        """Yield the region's zones that the account has, Local and Wavelength Zones included."""
        yield from self._ec2.describe_availability_zones()["AvailabilityZones"]

    def subnets(self, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Yield those of some subnets that exist; of none, the default VPC's, one per zone."""
        chosen = {"Name": "subnet-id", "Values": ids} if ids else {"Name": "default-for-az", "Values": ["true"]}
        for page in self._ec2.get_paginator("describe_subnets").paginate(Filters=[chosen]):
            yield from page["Subnets"]

    def security_groups(self, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Yield those of some security groups that exist."""
        chosen = [{"Name": "group-id", "Values": ids}]
        for page in self._ec2.get_paginator("describe_security_groups").paginate(Filters=chosen):
            yield from page["SecurityGroups"]

    def image(self, image_id: str) -> dict[str, Any]:
        """Return the description of an AMI; one that does not exist is an error of EC2's."""
        found: dict[str, Any] = self._ec2.describe_images(ImageIds=[image_id])["Images"][0]
        return found

    def instances(self, tag: str, value: str) -> Iterator[dict[str, Any]]:
        """Yield the instances with a tag, ended ones too while EC2 lists them."""
        return self._instances(f"tag:{tag}", [value])

    def running(self) -> Iterator[dict[str, Any]]:
        """Yield what counts against the account's quotas, under any owner."""
        return self._instances("instance-state-name", ["pending", "running"])

    def _instances(self, name: str, values: list[str]) -> Iterator[dict[str, Any]]:
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": name, "Values": values}], PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            for reservation in page["Reservations"]:
                yield from reservation["Instances"]

    def spot_requests(self, tag: str, value: str, codes: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the spot requests with a tag whose status is among *codes*."""
        filters = [{"Name": f"tag:{tag}", "Values": [value]}, {"Name": "status-code", "Values": codes}]
        pages = self._ec2.get_paginator("describe_spot_instance_requests").paginate(Filters=filters)
        for page in pages:
            yield from page["SpotInstanceRequests"]

    def scheduled_events(self, codes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (instance id, event) of scheduled events whose code is among *codes*."""
        for status in self._statuses("event.code", codes):
            for event in status.get("Events", []):
                yield status["InstanceId"], event

    def impaired(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (instance id, status) of running instances that fail one of EC2's own checks; twice if both."""
        for check in ("instance-status.status", "system-status.status"):
            for status in self._statuses(check, ["impaired"]):
                yield status["InstanceId"], status

    def _statuses(self, name: str, values: list[str]) -> Iterator[dict[str, Any]]:
        pages = self._ec2.get_paginator("describe_instance_status").paginate(Filters=[{"Name": name, "Values": values}])
        for page in pages:
            yield from page["InstanceStatuses"]

    def messages(self, queue_url: str) -> Iterator[str]:
        """Yield the messages of a queue, and leave them there: it has other readers, and its retention empties it.

        A message that was read is hidden for a moment, so that the next call gets others.
        """
        request = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": HIDDEN_S}
        for _ in range(MESSAGE_PAGES_MAX):
            page = self._sqs.receive_message(**request).get("Messages", [])
            if not page:
                return
            yield from (message["Body"] for message in page)

    def spot_prices(self, instance_types: list[str], now: datetime) -> Iterator[dict[str, Any]]:
        """Yield the current spot prices of some types, by zone."""
        pages = self._ec2.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=instance_types, ProductDescriptions=["Linux/UNIX"], StartTime=now
        )
        for page in pages:
            yield from page["SpotPriceHistory"]

    def reservations(self) -> Iterator[dict[str, Any]]:
        """Yield the capacity reservations and Capacity Blocks that are or will be in force."""
        pages = self._ec2.get_paginator("describe_capacity_reservations").paginate(
            Filters=[{"Name": "state", "Values": ["active", "scheduled"]}]
        )
        for page in pages:
            yield from page["CapacityReservations"]

    def quotas(self) -> Iterator[tuple[str, float]]:
        """Yield (name, limit) of EC2's quotas."""
        for page in self._quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2"):
            for item in page["Quotas"]:
                yield item["QuotaName"], item["Value"]

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start one instance, and return its description."""
        instance: dict[str, Any] = self._ec2.run_instances(**request, MinCount=1, MaxCount=1)["Instances"][0]
        return instance

    def dry_run(self, request: dict[str, Any]) -> None:
        """Return if a start would be allowed; start nothing."""
        try:
            self._ec2.run_instances(**request, MinCount=1, MaxCount=1, DryRun=True)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "DryRunOperation":
                raise

    def terminate(self, cloud_id: str) -> None:
        """Request the end of an instance."""
        self._ec2.terminate_instances(InstanceIds=[cloud_id])
