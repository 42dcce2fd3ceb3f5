"""Azure Resource Manager, as far as Skerry and common clients use it.

Source of URLs and shapes: azure-mgmt-compute's models, and the Azure REST reference.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request

from providers.emulator.arm_catalog import (
    FAMILIES,
    GROUP_OF,
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
from providers.emulator.arm_health import HEALTH, availability, instance_view
from providers.emulator.arm_identity import add_entrance
from providers.emulator.arm_resources import disk_body, interface_body, interface_id
from providers.emulator.backend import CloudWorld, OutOfStockError, Rented
from providers.emulator.middleware import Environ, body_of
from providers.emulator.regions import SceneRegion
from state.model.ids import RegionId, region_id

COMPUTE: Final = "/subscriptions/<subscription>/providers/Microsoft.Compute"
RESOURCE_GROUP: Final = "/subscriptions/<subscription>/resourceGroups/<group>/providers"
VM: Final = f"{RESOURCE_GROUP}/Microsoft.Compute/virtualMachines/<name>"
GROUP: Final = f"{RESOURCE_GROUP}/Microsoft.Compute/capacityReservationGroups/<name>"
PAGE: Final = 500
LOCATION: Final = re.compile(r"/locations/([a-z0-9]+)")
VM_PATH: Final = re.compile(r"/virtualMachines/([^/?]+)$", re.IGNORECASE)
HEAD_NIC: Final = "skerry-head-"
"""Name of the network interface that Terraform makes for a region's head."""


@dataclass(slots=True)
class _State:
    world: CloudWorld
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    """Machines whose creation failed: they are listed until they are deleted."""
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: int = 0

    def is_listed(self, name: str) -> bool:
        """Return whether a VM resource exists."""
        if name in self.failed:
            return True
        machine = self.world.rented.get(name)
        if machine is None or name not in self.bodies:
            return False
        is_over = self.world.host.has_ended(name) and self.world.seems_ended(machine)
        return not (self.bodies[name].get("deleted") and is_over)


OPERATION_OF: Final = {
    "/skus": "offers",
    "/capacityReservationGroups": "offers",
    "/usages": "quotas",
    "/availabilityStatuses": "health",
    "/virtualMachines": "instances",
    "/retail/prices": "prices",
}


class Arm:
    """Azure, on one world."""

    name = "azure"

    def __init__(self, world: CloudWorld) -> None:
        """Start without machines."""
        self.state = _State(world)
        self.app = _create(self.state)

    def region_of(self, environ: Environ) -> RegionId | None:
        """Return the location that a request concerns: named in it, or the VM's own."""
        found = LOCATION.search(environ["PATH_INFO"])
        if found:
            return region_id("azure", found.group(1))
        vm = VM_PATH.search(environ["PATH_INFO"])
        body = self.state.bodies.get(vm.group(1)) if vm else None
        if body is None and environ["REQUEST_METHOD"] == "PUT":
            body = json.loads(body_of(environ))
        return region_id("azure", body["location"]) if body else None

    def operation_of(self, environ: Environ) -> str:
        """Return the operation of a method and path."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if VM_PATH.search(path):
            return {"PUT": "launch", "DELETE": "terminate"}.get(method, "")
        if "statusOnly=true" in environ.get("QUERY_STRING", ""):
            return "notices"
        return next((operation for end, operation in OPERATION_OF.items() if path.endswith(end)), "")

    def error(self, environ: Environ, code: str, message: str) -> tuple[str, bytes]:
        """Return an error in JSON."""
        del environ
        return "application/json", json.dumps({"error": {"code": code, "message": message}}).encode()


def _create(state: _State) -> Flask:
    app = Flask("arm")

    add_entrance(app, state.world)
    _add_reads(app, state)
    _add_older_reads(app, state.world)
    _add_machines(app, state)
    _add_condition(app, state)
    _add_resources(app, state)

    @app.after_request
    def identified(response: Response) -> Response:
        state.requests += 1
        response.headers["x-ms-request-id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, str(state.requests)))
        asked = request.headers.get("x-ms-client-request-id")
        if asked:
            response.headers["x-ms-client-request-id"] = asked
        return response

    return app


def _add_reads(app: Flask, state: _State) -> None:
    world = state.world

    @app.get(f"{COMPUTE}/skus")
    def skus(subscription: str) -> Response:  # noqa: ARG001
        location = re.search(r"location eq '(\w+)'", request.args.get("$filter", ""))
        regions = [r for r in azure_regions(world) if location is None or r.name == location.group(1)]
        return jsonify(value=[sku_body(world.sizes["azure"][n], r) for r in regions for n, spot in r.stock if not spot])

    @app.get(f"{COMPUTE}/locations/<location>/usages")
    def usages(subscription: str, location: str) -> Response:  # noqa: ARG001
        region = world.region("azure", location)
        return jsonify(value=[] if region is None else usage_bodies(world, region))

    @app.get(f"{COMPUTE}/locations/<location>/virtualMachines")
    def by_location(subscription: str, location: str) -> Response:
        names = [n for n in _listed(state) if state.bodies[n]["location"] == location]
        return _paged(world, [_vm(state, subscription, name) for name in names])

    @app.get(f"{COMPUTE}/virtualMachines")
    @app.get(VM.rpartition("/")[0], endpoint="of_group")
    def everywhere(subscription: str, group: str = "") -> Response:  # noqa: ARG001  all are in one
        return _paged(world, [_vm(state, subscription, name) for name in _listed(state)])

    @app.get(f"{COMPUTE}/capacityReservationGroups")
    def groups(subscription: str) -> Response:
        return _paged(world, [group_body(world, subscription, held) for held in azure_reservations(world)])

    @app.get(GROUP + "/capacityReservations")
    def reservations(subscription: str, group: str, name: str) -> Response:
        held = [one for one in azure_reservations(world) if (one.id, GROUP_OF) == (name, group)]
        return _paged(world, [reservation_body(world, subscription, one) for one in held])

    @app.get("/api/retail/prices")
    def prices() -> Response:
        region = re.search(r"armRegionName eq '(\w+)'", request.args.get("$filter", ""))
        return jsonify(retail_body(world, region.group(1) if region else None))

    @app.get(f"{COMPUTE}/locations/<location>/operations/<operation>")
    def operation(subscription: str, location: str, operation: str) -> Response:  # noqa: ARG001
        if world.unfinished_polls > 0:
            world.unfinished_polls -= 1
            return jsonify(name=operation, status="InProgress")
        return jsonify(state.operations.get(operation, {"name": operation, "status": "Succeeded"}))


def _add_older_reads(app: Flask, world: CloudWorld) -> None:
    """Add what clients older than our SDK ask for."""

    @app.get(COMPUTE)
    def provider(subscription: str) -> Response:
        locations = [region.name for region in azure_regions(world)]
        types = [{"resourceType": "virtualMachines", "locations": locations, "apiVersions": ["2026-04-01"]}]
        name = "Microsoft.Compute"
        return jsonify(id=f"/subscriptions/{subscription}/providers/{name}", namespace=name, resourceTypes=types)

    @app.get(f"{RESOURCE_GROUP}/Microsoft.Authorization/permissions")
    def permissions(subscription: str, group: str) -> Response:  # noqa: ARG001
        return jsonify(value=[{"actions": ["*"], "notActions": sorted(world.not_granted)}])

    @app.get(f"{COMPUTE}/locations/<location>/vmSizes")
    def sizes(subscription: str, location: str) -> Response:  # noqa: ARG001
        region = world.region("azure", location)
        return jsonify(value=[] if region is None else [size_body(world.sizes["azure"][n]) for n, _ in region.stock])


def _add_machines(app: Flask, state: _State) -> None:
    world = state.world

    @app.route(VM, methods=["PUT"])
    def put(subscription: str, group: str, name: str) -> Any:
        return _put(state, subscription, group, name)

    @app.get(VM)
    def get(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return _error(404, "ResourceNotFound", f"The Resource '{name}' was not found.")
        return jsonify(_vm(state, subscription, name))

    @app.delete(VM)
    def delete(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return "", 204
        state.bodies[name]["deleted"] = True
        state.failed.pop(name, None)
        world.end(name)
        location = state.bodies[name]["location"]
        return _accepted(state, subscription, location, {}, 202)


def _add_condition(app: Flask, state: _State) -> None:
    world = state.world

    @app.get(f"{VM}/instanceView")
    def view(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if not state.is_listed(name):
            return _error(404, "ResourceNotFound", f"The Resource '{name}' was not found.")
        return jsonify(instance_view(world.rented.get(name), has_failed=name in state.failed))

    @app.post(f"{VM}/simulateEviction")
    def evict(subscription: str, group: str, name: str) -> Any:  # noqa: ARG001
        if world.reclaim(name) is None:
            return _error(409, "OperationNotAllowed", f"'{name}' is no spot machine that runs.")
        return "", 204

    @app.get(f"{RESOURCE_GROUP}/{HEALTH}")
    def health(subscription: str, group: str) -> Response:
        now = world.clock.now().isoformat()
        machines = [(_vm(state, subscription, name), world.rented.get(name)) for name in _listed(state)]
        here = [(vm, m) for vm, m in machines if m is not None and state.bodies[m.name]["group"] == group]
        return _paged(world, [availability(vm["id"], vm["location"], machine, now) for vm, machine in here])


def _add_resources(app: Flask, state: _State) -> None:
    """Add the lists of what is made beside VMs."""

    def beside(subscription: str, body: Callable[..., dict[str, Any] | None]) -> Response:
        sent = sorted(state.bodies.items())
        found = [body(subscription, asked, name, is_attached=state.is_listed(name)) for name, asked in sent]
        return _paged(state.world, [one for one in found if one is not None])

    @app.get(f"{COMPUTE}/disks")
    @app.get(f"{RESOURCE_GROUP}/Microsoft.Compute/disks", endpoint="disks_of_group")
    def disks(subscription: str, group: str = "") -> Response:  # noqa: ARG001  all are in one
        return beside(subscription, disk_body)

    @app.get("/subscriptions/<subscription>/providers/Microsoft.Network/networkInterfaces")
    @app.get(f"{RESOURCE_GROUP}/Microsoft.Network/networkInterfaces", endpoint="interfaces_of_group")
    def interfaces(subscription: str, group: str = "") -> Response:  # noqa: ARG001  as above
        return beside(subscription, interface_body)


def _listed(state: _State) -> list[str]:
    """Return the names of the VMs that lists show: late, and twice, where the world says so."""
    shown = []
    for name in sorted(state.bodies):
        machine = state.world.rented.get(name)
        if state.is_listed(name) and (machine is None or state.world.is_listed_yet(machine)):
            shown += [name, name] if state.world.duplicates else [name]
    return shown


def _paged(world: CloudWorld, items: list[dict[str, Any]]) -> Response:
    """Return one page, with an absolute link to the next that keeps everything asked for."""
    start, size = int(request.args.get("$skiptoken") or 0), world.page or PAGE
    body: dict[str, Any] = {"value": items[start : start + size]}
    if start + size < len(items):
        asked = {**request.args.to_dict(), "$skiptoken": str(start + size)}
        body["nextLink"] = f"{request.base_url}?{urlencode(asked)}"
    return jsonify(body)


def _put(state: _State, subscription: str, group: str, name: str) -> Any:
    body, world = request.get_json(), state.world
    properties = body["properties"]
    with world.lock:
        if state.is_listed(name):
            if request.headers.get("If-None-Match") == "*":
                return _error(412, "PreconditionFailed", f"The resource '{name}' already exists.")
            return jsonify(_vm(state, subscription, name))
        region = world.region("azure", body["location"])
        if region is None:
            return _error(400, "LocationNotAvailableForResourceType", f"'{body['location']}' is not available.")
        size, zone = properties["hardwareProfile"]["vmSize"], body["zones"][0]
        is_spot = properties.get("priority") == "Spot"
        refused = _refusal(world, region, size, is_spot=is_spot)
        if refused is not None:
            return _error(409, *refused)
        state.bodies[name] = body | {"group": group}
        try:
            group_id = properties.get("capacityReservation", {}).get("capacityReservationGroup", {}).get("id")
            held = group_id.rpartition("/")[2] if group_id else None
            address = _address(properties, region)
            world.rent(name, region.id, zone, size, is_spot=is_spot, address=address, reservation=held)
        except OutOfStockError:
            message = f"Allocation failed. There is not enough capacity for {size} in zone {zone}."
            state.failed[name] = {"code": "ZonalAllocationFailed", "message": message}
            return _accepted(state, subscription, region.name, _vm(state, subscription, name), 201, state.failed[name])
    script = base64.b64decode(properties["osProfile"].get("customData", "")).decode()
    world.boot(name, script)
    return _accepted(state, subscription, region.name, _vm(state, subscription, name), 201)


def _refusal(world: CloudWorld, region: SceneRegion, size: str, *, is_spot: bool) -> tuple[str, str] | None:
    if (size, is_spot) not in region.stock:
        message = f"The requested VM size '{size}' is currently not available in location '{region.name}'."
        return "SkuNotAvailable", message
    family = FAMILIES[size]
    used, needed = used_vcpus(world, region, family), world.sizes["azure"][size].vcpus
    if not is_spot and used + needed > region.quotas.get(family, 0):
        message = f"Operation could not be completed as it results in exceeding approved {family} Cores quota."
        return "OperationNotAllowed", message
    return None


def _address(properties: dict[str, Any], region: SceneRegion) -> str | None:
    """Return the address of the network interface that the VM is given, where that is the head's."""
    for interface in properties["networkProfile"].get("networkInterfaces", []):
        if interface["id"].rpartition("/")[2].startswith(HEAD_NIC):
            return region.head_address
    return None


def _accepted(
    state: _State,
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
    if not state.world.unfinished_polls:
        headers["Retry-After"] = "1"
    return jsonify(body), status, headers


def _vm(state: _State, subscription: str, name: str) -> dict[str, Any]:
    sent = state.bodies[name]
    machine: Rented | None = state.world.rented.get(name)
    if name in state.failed:
        provisioning = "Failed"
    elif machine is not None and state.world.seems_ended(machine):
        provisioning = "Deleting" if sent.get("deleted") else "Failed"
    else:
        provisioning = "Succeeded"
    path = f"/subscriptions/{subscription}/resourceGroups/{sent['group']}/providers/Microsoft.Compute/virtualMachines/"
    # What the API never gives back: passwords, keys' private parts, and custom data.
    properties = {k: v for k, v in sent["properties"].items() if k != "osProfile"}
    properties |= {"provisioningState": provisioning, "vmId": name}
    asked = properties.pop("networkProfile", {}).get("networkInterfaces")
    own = interface_id(subscription, sent, name)
    made = [{"id": own, "properties": {"primary": True, "deleteOption": "Delete"}}]
    properties["networkProfile"] = {"networkInterfaces": asked or made}
    if machine is not None:
        properties["timeCreated"] = machine.started_at.isoformat()
    if request.args.get("statusOnly") == "true" or request.args.get("$expand") == "instanceView":
        properties["instanceView"] = instance_view(machine, has_failed=provisioning == "Failed")
    return {
        "id": path + name,
        "name": name,
        "type": "Microsoft.Compute/virtualMachines",
        "location": sent["location"],
        "zones": sent.get("zones", []),
        "etag": '"1"',
        "tags": sent.get("tags", {}),
        "properties": properties,
    }


def _error(status: int, code: str, message: str) -> tuple[Response, int]:
    return jsonify(error={"code": code, "message": message}), status
