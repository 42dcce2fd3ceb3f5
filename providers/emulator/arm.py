"""The part of Azure Resource Manager that Skerry and common clients use.

Source of URLs and shapes: azure-mgmt-compute's models, and the Azure REST reference.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request

from providers.emulator.arm_catalog import (
    FAMILIES,
    RESERVATIONS_RESOURCE_GROUP,
    WHOLE_REGION,
    azure_regions,
    azure_reservations,
    group_body,
    reservation_body,
    retail_body,
    size_body,
    sku_body,
    usage_bodies,
    used_vcpus,
)
from providers.emulator.arm_health import HEALTH, availability
from providers.emulator.arm_identity import add_identity
from providers.emulator.arm_resources import disk_body, interface_body
from providers.emulator.arm_vms import ArmState, view_body, vm_body
from providers.emulator.backend import Backend, OutOfStockError
from providers.emulator.ends import Failure
from providers.emulator.middleware import Environ, body_of
from providers.emulator.regions import EmulatedRegion
from state.model.ids import RegionId, region_id

COMPUTE: Final = "/subscriptions/<subscription>/providers/Microsoft.Compute"
RESOURCE_GROUP: Final = "/subscriptions/<subscription>/resourceGroups/<group>/providers"
VM: Final = f"{RESOURCE_GROUP}/Microsoft.Compute/virtualMachines/<name>"
GROUP: Final = f"{RESOURCE_GROUP}/Microsoft.Compute/capacityReservationGroups/<name>"
PAGE: Final = 500
LOCATION: Final = re.compile(r"/locations/([a-z0-9]+)")
VM_PATH: Final = re.compile(r"/virtualMachines/([^/?]+)$", re.IGNORECASE)
HEAD_NIC: Final = "skerry-head-"
"""Prefix of the network interfaces that Terraform creates for heads, one per region."""


OPERATION_OF: Final = {
    "/skus": "offers",
    "/capacityReservationGroups": "offers",
    "/usages": "quotas",
    "/availabilityStatuses": "health",
    "/virtualMachines": "instances",
    "/retail/prices": "prices",
}


class Arm:
    """The embedded Azure: its HTTP application and its wire format."""

    name = "azure"

    def __init__(self, backend: Backend) -> None:
        """Start without VMs."""
        self.state = ArmState(backend)
        self.app = _create(self.state)

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the location in a request's path, or that of its VM."""
        found = LOCATION.search(environ["PATH_INFO"])
        if found:
            return region_id("azure", found.group(1))
        vm = VM_PATH.search(environ["PATH_INFO"])
        body = self.state.bodies.get(vm.group(1)) if vm else None
        if body is None and environ["REQUEST_METHOD"] == "PUT":
            body = json.loads(body_of(environ))
        return region_id("azure", body["location"]) if body else None

    def operation_of(self, environ: Environ) -> str:
        """Return the provider operation that uses a request's method and path; empty for none."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if VM_PATH.search(path):
            return {"PUT": "launch", "DELETE": "terminate"}.get(method, "")
        if "statusOnly=true" in environ.get("QUERY_STRING", ""):
            return "notices"
        return next((operation for end, operation in OPERATION_OF.items() if path.endswith(end)), "")

    def error(self, environ: Environ, code: str, message: str, inner: str = "") -> tuple[str, bytes]:
        """Return an error in Azure's JSON."""
        del environ
        nested = {"details": [{"code": inner, "message": message, "target": "HighCostGet30Min"}]} if inner else {}
        return "application/json", json.dumps({"error": {"code": code, "message": message} | nested}).encode()


def _create(state: ArmState) -> Flask:
    app = Flask("arm")

    add_identity(app, state.backend)
    _add_reads(app, state)
    _add_older_reads(app, state.backend)
    _add_machines(app, state)
    _add_health(app, state)
    _add_resources(app, state)

    @app.after_request
    def identified(response: Response) -> Response:
        state.requests += 1
        response.headers["x-ms-request-id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, str(state.requests)))
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id:
            response.headers["x-ms-client-request-id"] = client_id
        return response

    return app


def _add_reads(app: Flask, state: ArmState) -> None:
    backend = state.backend

    @app.get(f"{COMPUTE}/skus")
    def skus(subscription: str) -> Response:  # noqa: ARG001
        location = re.search(r"location eq '(\w+)'", request.args.get("$filter", ""))
        regions = [r for r in azure_regions(backend) if location is None or r.name == location.group(1)]
        return jsonify(
            value=[sku_body(backend, backend.sizes["azure"][n], r) for r in regions for n, spot in r.stock if not spot]
        )

    @app.get(f"{COMPUTE}/locations/<location>/usages")
    def usages(subscription: str, location: str) -> Response:  # noqa: ARG001
        region = backend.find_region("azure", location)
        return jsonify(value=[] if region is None else usage_bodies(backend, region))

    @app.get(f"{COMPUTE}/locations/<location>/virtualMachines")
    def by_location(subscription: str, location: str) -> Response:
        names = [n for n in _listed(state) if state.bodies[n]["location"] == location]
        return _paged(backend, [vm_body(state, subscription, name) for name in names])

    @app.get(f"{COMPUTE}/virtualMachines")
    @app.get(VM.rpartition("/")[0], endpoint="of_group")
    def all_vms(subscription: str, group: str = "") -> Response:  # noqa: ARG001  all are in one group
        return _paged(backend, [vm_body(state, subscription, name) for name in _listed(state)])

    @app.get(f"{COMPUTE}/capacityReservationGroups")
    def groups(subscription: str) -> Response:
        return _paged(backend, [group_body(backend, subscription, r) for r in azure_reservations(backend)])

    @app.get(GROUP + "/capacityReservations")
    def reservations(subscription: str, group: str, name: str) -> Response:
        found = [r for r in azure_reservations(backend) if (r.id, RESERVATIONS_RESOURCE_GROUP) == (name, group)]
        return _paged(backend, [reservation_body(backend, subscription, r) for r in found])

    @app.get("/api/retail/prices")
    def prices() -> Response:
        region = re.search(r"armRegionName eq '(\w+)'", request.args.get("$filter", ""))
        return jsonify(retail_body(backend, region.group(1) if region else None))

    @app.get(f"{COMPUTE}/locations/<location>/operations/<operation>")
    def operation(subscription: str, location: str, operation: str) -> Response:  # noqa: ARG001
        if backend.unfinished_polls > 0 or backend.holds_operations:
            backend.unfinished_polls = max(0, backend.unfinished_polls - 1)
            return jsonify(name=operation, status="InProgress")
        return jsonify(state.operations.get(operation, {"name": operation, "status": "Succeeded"}))


def _add_older_reads(app: Flask, backend: Backend) -> None:
    """Add the routes that only older clients use."""

    @app.get(COMPUTE)
    def provider(subscription: str) -> Response:
        locations = [region.name for region in azure_regions(backend)]
        types = [{"resourceType": "virtualMachines", "locations": locations, "apiVersions": ["2026-04-01"]}]
        name = "Microsoft.Compute"
        return jsonify(id=f"/subscriptions/{subscription}/providers/{name}", namespace=name, resourceTypes=types)

    @app.get(f"{RESOURCE_GROUP}/Microsoft.Authorization/permissions")
    def permissions(subscription: str, group: str) -> Response:  # noqa: ARG001
        return jsonify(value=[{"actions": ["*"], "notActions": sorted(backend.missing_permissions)}])

    @app.get(f"{COMPUTE}/locations/<location>/vmSizes")
    def sizes(subscription: str, location: str) -> Response:  # noqa: ARG001
        region = backend.find_region("azure", location)
        return jsonify(value=[] if region is None else [size_body(backend.sizes["azure"][n]) for n, _ in region.stock])


def _add_machines(app: Flask, state: ArmState) -> None:
    backend = state.backend

    @app.route(VM, methods=["PUT"])
    def put(subscription: str, group: str, name: str) -> Any:
        return _put(state, subscription, group, name)

    @app.get(VM)
    def get(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return _error(404, "ResourceNotFound", f"The Resource '{name}' was not found.")
        return jsonify(vm_body(state, subscription, name))

    @app.delete(VM)
    def delete(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return "", 204
        state.bodies[name]["deleted"] = True
        state.failed.pop(name, None)
        backend.end(name)
        location = state.bodies[name]["location"]
        return _accepted(state, subscription, location, {}, 202)


def _add_health(app: Flask, state: ArmState) -> None:
    backend = state.backend

    @app.get(f"{VM}/instanceView")
    def view(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return _error(404, "ResourceNotFound", f"The Resource '{name}' was not found.")
        return jsonify(view_body(state, name))

    @app.post(f"{VM}/simulateEviction")
    def evict(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if backend.reclaim(name) is None:
            return _error(409, "OperationNotAllowed", f"'{name}' is not a running Spot virtual machine.")
        return "", 204

    @app.get(f"{RESOURCE_GROUP}/{HEALTH}")
    def health(subscription: str, group: str) -> Response:
        now = backend.clock.now().isoformat()
        machines = [(vm_body(state, subscription, name), backend.machines.get(name)) for name in _listed(state)]
        here = [(vm, m) for vm, m in machines if m is not None and state.bodies[m.name]["group"] == group]
        return _paged(backend, [availability(vm["id"], vm["location"], machine, now) for vm, machine in here])


def _add_resources(app: Flask, state: ArmState) -> None:
    """Add the lists of disks and network interfaces."""

    def of_vms(subscription: str, body: Callable[..., dict[str, Any] | None]) -> Response:
        vms = sorted(state.bodies.items())
        found = [body(subscription, sent, name, is_attached=state.is_listed(name)) for name, sent in vms]
        return _paged(state.backend, [resource for resource in found if resource is not None])

    @app.get(f"{COMPUTE}/disks")
    @app.get(f"{RESOURCE_GROUP}/Microsoft.Compute/disks", endpoint="disks_of_group")
    def disks(subscription: str, group: str = "") -> Response:  # noqa: ARG001  all are in one group
        return of_vms(subscription, disk_body)

    @app.get("/subscriptions/<subscription>/providers/Microsoft.Network/networkInterfaces")
    @app.get(f"{RESOURCE_GROUP}/Microsoft.Network/networkInterfaces", endpoint="interfaces_of_group")
    def interfaces(subscription: str, group: str = "") -> Response:  # noqa: ARG001  as above
        return of_vms(subscription, interface_body)


def _listed(state: ArmState) -> list[str]:
    """Return the names of the VMs in lists, subject to the backend's lag and duplicates."""
    listed = []
    for name in sorted(state.bodies):
        machine = state.backend.machines.get(name)
        if state.is_listed(name) and (machine is None or state.backend.is_listed_yet(machine)):
            listed += [name, name] if state.backend.duplicates else [name]
    return listed


def _paged(backend: Backend, items: list[dict[str, Any]]) -> Response:
    """Return the requested page, with an absolute link to the next that keeps the request's parameters."""
    start, size = int(request.args.get("$skiptoken") or 0), backend.page or PAGE
    body: dict[str, Any] = {"value": items[start : start + size]}
    if start + size < len(items):
        query = {**request.args.to_dict(), "$skiptoken": str(start + size)}
        body["nextLink"] = f"{request.base_url}?{urlencode(query)}"
    return jsonify(body)


def _put(state: ArmState, subscription: str, group: str, name: str) -> Any:
    body, backend = request.get_json(), state.backend
    properties = body["properties"]
    with backend.lock:
        if state.is_listed(name):
            if request.headers.get("If-None-Match") == "*":
                return _error(412, "PreconditionFailed", f"The resource '{name}' already exists.")
            return jsonify(vm_body(state, subscription, name))
        region = backend.find_region("azure", body["location"])
        if region is None:
            return _error(400, "LocationNotAvailableForResourceType", f"'{body['location']}' is not available.")
        size, zone = properties["hardwareProfile"]["vmSize"], (body.get("zones") or ["-"])[0]
        is_spot = properties.get("priority") == "Spot"
        refusal = _refusal(backend, region, size, zone, is_spot=is_spot)
        if refusal is not None:
            return _error(409, *refusal)
        state.bodies[name] = body | {"group": group}
        failure = backend.pop_failure("azure") or _allocate(backend, body, name, region)
        if failure is not None:
            return _fail(state, subscription, name, failure)
    script = base64.b64decode(properties["osProfile"].get("customData", "")).decode()
    backend.boot(name, script)
    return _accepted(state, subscription, region.name, vm_body(state, subscription, name), 201)


def _allocate(backend: Backend, body: dict[str, Any], name: str, region: EmulatedRegion) -> Failure | None:
    """Allocate the machine of an accepted request; return the error with which that fails, if it does."""
    properties, zone = body["properties"], (body.get("zones") or ["-"])[0]
    size, is_spot = properties["hardwareProfile"]["vmSize"], properties.get("priority") == "Spot"
    group_id = properties.get("capacityReservation", {}).get("capacityReservationGroup", {}).get("id")
    reservation = group_id.rpartition("/")[2] if group_id else None
    address = _address(properties, region)
    try:
        backend.allocate(name, region.id, zone, size, is_spot=is_spot, address=address, reservation=reservation)
    except OutOfStockError:
        message = f"Allocation failed. There is not enough capacity for {size} in zone {zone}."
        return Failure("ZonalAllocationFailed", message)
    return None


def _fail(state: ArmState, subscription: str, name: str, failure: Failure) -> Any:
    """Accept a creation that fails later on, and leaves the VM behind."""
    state.failed[name] = asdict(failure)
    location = state.bodies[name]["location"]
    return _accepted(state, subscription, location, vm_body(state, subscription, name), 201, state.failed[name])


def _refusal(
    backend: Backend, region: EmulatedRegion, size: str, zone: str, *, is_spot: bool
) -> tuple[str, str] | None:
    if zone != "-" and (region.id, size) in backend.zoneless_sizes:
        return "AvailabilityZoneNotSupported", f"The zone(s) '{zone}' for resource '{size}' is not supported."
    if (size, is_spot) not in region.stock:
        message = f"The requested VM size '{size}' is currently not available in location '{region.name}'."
        return "SkuNotAvailable", message
    limits = {FAMILIES[size]: region.quotas.get(FAMILIES[size], 0)} if not is_spot else {}
    limits |= {
        name: region.quotas[name] for name, spot in WHOLE_REGION.items() if name in region.quotas and spot is is_spot
    }
    needed = backend.sizes["azure"][size].vcpus
    for name, limit in limits.items():
        if used_vcpus(backend, region, name) + needed > limit:
            what = {"cores": "Total Regional", "lowPriorityCores": "LowPriority"}.get(name, name)
            return (
                "OperationNotAllowed",
                f"Operation could not be completed as it results in exceeding approved {what} Cores quota.",
            )
    return None


def _address(properties: dict[str, Any], region: EmulatedRegion) -> str | None:
    """Return the head's address if the VM uses the head's network interface; None otherwise."""
    for interface in properties["networkProfile"].get("networkInterfaces", []):
        if interface["id"].rpartition("/")[2].startswith(HEAD_NIC):
            return region.head_address
    return None


def _accepted(
    state: ArmState,
    subscription: str,
    location: str,
    body: dict[str, Any],
    status: int,
    fault: dict[str, str] | None = None,
) -> Any:
    number = f"op-{len(state.operations) + 1}"
    state.operations[number] = {"name": number, "status": "Failed" if fault else "Succeeded"}
    if fault:
        state.operations[number]["error"] = fault
    base = f"{request.url_root}subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}"
    headers = {"Azure-AsyncOperation": f"{base}/operations/{number}?api-version=2026-04-01"}
    if not state.backend.unfinished_polls:
        headers["Retry-After"] = "1"
    return jsonify(body), status, headers


def _error(status: int, code: str, message: str) -> tuple[Response, int]:
    return jsonify(error={"code": code, "message": message}), status
