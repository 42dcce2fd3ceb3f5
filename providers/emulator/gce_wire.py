"""How GCE's REST is told apart: region, operation, errors."""

import json
import re
from typing import Final

from providers.emulator.middleware import Environ
from state.model.ids import RegionId, region_id

ZONE: Final = re.compile(r"/zones/([a-z]+-[a-z]+\d+)-[a-z]/")


class GceDialect:
    """GCE's REST."""

    name = "gcp"

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the region of a request to one zone."""
        found = ZONE.search(environ["PATH_INFO"] + "/")
        return region_id("gcp", found.group(1)) if found else None

    def operation_of(self, environ: Environ) -> str:
        """Return the operation of a method and path."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.endswith(("/machineTypes", "/acceleratorTypes", "/reservations", "/futureReservations")):
            return "offers"
        if path.endswith("/skus"):
            return "prices"
        if path.endswith("/regions"):
            return "quotas"
        if path.endswith("/instances"):
            return "launch" if method == "POST" else "instances"
        return "terminate" if method == "DELETE" else ""

    def error(self, environ: Environ, code: str, message: str) -> tuple[str, bytes]:
        """Return an error in JSON."""
        del environ
        errors = [{"domain": "global", "reason": code, "message": message}]
        return "application/json", json.dumps({"error": {"message": message, "errors": errors}}).encode()
