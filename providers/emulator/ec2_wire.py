"""The wire format of EC2, Service Quotas and SQS: regions and operations of requests, and error responses."""

import json
from typing import Final

from providers.emulator.middleware import Environ, form_of
from state.model.ids import RegionId, region_id

OPERATION_OF: Final = {
    "DescribeAvailabilityZones": "offers",
    "DescribeCapacityReservations": "offers",
    "DescribeImages": "offers",
    "DescribeInstanceStatus": "notices",
    "DescribeInstanceTypeOfferings": "offers",
    "DescribeInstanceTypes": "offers",
    "DescribeInstances": "instances",
    "DescribeSecurityGroups": "offers",
    "DescribeSpotInstanceRequests": "notices",
    "DescribeSpotPriceHistory": "prices",
    "DescribeSubnets": "offers",
    "RunInstances": "launch",
    "TerminateInstances": "terminate",
}
REQUEST_ID: Final = "00000000-0000-4000-8000-000000000000"


class Ec2WireFormat:
    """AWS's query protocol for EC2, and its JSON protocol for Service Quotas and SQS."""

    name = "aws"

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the region in the scope of a request's signature."""
        scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
        return region_id("aws", scope[2]) if len(scope) > 2 else None  # noqa: PLR2004  id/date/REGION/service/end

    def operation_of(self, environ: Environ) -> str:
        """Return the provider operation that uses a request's action; empty for none."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("ServiceQuotas"):
            return "quotas"
        if target == "AmazonSQS.ReceiveMessage":
            return "notices"
        return OPERATION_OF.get(form_of(environ).get("Action", ""), "")

    def error(self, environ: Environ, code: str, message: str, inner: str = "") -> tuple[str, bytes]:
        """Return an error in the protocol of the request's service."""
        del inner
        if "HTTP_X_AMZ_TARGET" in environ:
            return "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}).encode()
        inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        return "text/xml", f"<Response>{inner}<RequestID>{REQUEST_ID}</RequestID></Response>".encode()
