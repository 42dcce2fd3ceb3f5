"""The wire format of GCE: regions and operations of requests, and error responses."""

import json
import re
from typing import Final

from providers.emulator.middleware import Environ
from state.model.ids import RegionId, region_id

ZONE: Final = re.compile(r"/zones/([a-z]+-[a-z]+\d+)-[a-z0-9]+/")
OPERATION_OF: Final = {
    "/machineTypes": "offers",
    "/acceleratorTypes": "offers",
    "/reservations": "offers",
    "/futureReservations": "offers",
    "/skus": "prices",
    "/aggregated/operations": "ends",
    "/regions": "quotas",
}
PROJECT: Final = re.compile(r"/projects/[^/]+$")


class GceWireFormat:
    """GCE's REST API."""

    name = "gcp"

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the region of the zone in a request's path."""
        found = ZONE.search(environ["PATH_INFO"] + "/")
        return region_id("gcp", found.group(1)) if found else None

    def operation_of(self, environ: Environ) -> str:
        """Return the provider operation that uses a request's method and path; empty for none."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if "/global/networks/" in path:
            return "offers"
        known = next((operation for end, operation in OPERATION_OF.items() if path.endswith(end)), "")
        if known or PROJECT.search(path):
            return known or "quotas"
        if path.endswith("/instances"):
            return "launch" if method == "POST" else "instances"
        return "terminate" if method == "DELETE" else ""

    def error(self, environ: Environ, code: str, message: str, inner: str = "") -> tuple[str, bytes]:
        """Return an error in GCE's JSON."""
        del environ, inner
        errors = [{"domain": "global", "reason": code, "message": message}]
        return "application/json", json.dumps({"error": {"message": message, "errors": errors}}).encode()
