"""GCE's REST API, as far as Skerry and common clients use it: machine types, instances, operations, regions.

Source of URLs and shapes: the Compute Engine v1 discovery document.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any, Final

from flask import Flask, Response, jsonify, request

from providers.emulator.gce_billing import add_billing
from providers.emulator.gce_catalog import (
    METRICS,
    ROOT,
    accelerator_bodies,
    future_reservation_body,
    held_in,
    machine_type_body,
    region_body,
    reservation_body,
    zone_body,
)
from providers.emulator.scene import SceneRegion, Size
from providers.emulator.world import CloudWorld, OutOfStockError, Rented
from providers.gcp.gpus import split_attached, with_attached
from state.model.ids import derive_id

BASE: Final = "/compute/v1/projects/<project>"
PAGE: Final = 500
MAINTENANCE: Final = timedelta(hours=1)


@dataclass(slots=True)
class _State:
    world: CloudWorld
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was sent to create each machine."""
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    """Operation by requestId: the same request is done once."""


def create_gce(world: CloudWorld) -> Flask:
    """Return the application."""
    app, state = Flask("gce"), _State(world)

    @app.get(f"{BASE}/regions")
    def regions(project: str) -> Response:
        items = [region_body(world, project, r) for r in _scene(world) if r.id not in world.silent]
        return jsonify(kind="compute#regionList", id="regions", items=items)

    @app.get(f"{BASE}/aggregated/machineTypes")
    def machine_types(project: str) -> Response:
        def sold(region: SceneRegion, zone: str) -> list[dict[str, Any]]:
            return [machine_type_body(project, zone, size) for size in _sizes(world, region)]

        return _aggregated(world, "machineTypes", sold)

    @app.get(f"{BASE}/zones/<zone>/machineTypes")
    def machine_types_of(project: str, zone: str) -> Response:
        found = [s for r in _scene(world) if zone in r.zones for s in _sizes(world, r)]
        items = [machine_type_body(project, zone, size) for size in found]
        return jsonify(kind="compute#machineTypeList", id="machineTypes", items=items)

    @app.get(f"{BASE}/aggregated/acceleratorTypes")
    def accelerator_types(project: str) -> Response:
        return _aggregated(world, "acceleratorTypes", lambda r, z: accelerator_bodies(project, z, _sizes(world, r)))

    @app.get(f"{BASE}/aggregated/instances")
    def instances(project: str) -> Response:
        wanted = dict(re.findall(r'labels\.([\w-]+)\s*=\s*"?([\w.-]+)"?', request.args.get("filter", "")))
        everything = [m for m in world.listed("gcp") if m.name in state.bodies and not _is_deleted(state, m)]
        start, size = int(request.args.get("pageToken") or 0), int(request.args.get("maxResults") or PAGE)
        size = min(size, world.page or size)
        found = [
            m for m in everything if all(state.bodies[m.name].get("labels", {}).get(k) == v for k, v in wanted.items())
        ]
        page = found[start : start + size]
        more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
        return _aggregated(
            world, "instances", lambda _, z: [_instance(state, project, m) for m in page if m.zone == z], more
        )

    @app.errorhandler(404)
    def unknown(error: Exception) -> Any:
        return _error(404, "notFound", str(error))

    @app.after_request
    def tagged(response: Response) -> Response:
        # Whoever shows the tag of what it has already is told that nothing changed.
        if request.method == "GET" and response.status_code == 200:  # noqa: PLR2004  the HTTP status
            response.add_etag()
            response.make_conditional(request)
        return response

    _add_holdings(app, state)
    _add_machines(app, state)
    add_billing(app, world)
    return app


def _add_holdings(app: Flask, state: _State) -> None:
    world = state.world

    @app.get(f"{BASE}/aggregated/reservations")
    def reservations(project: str) -> Response:
        def held(_: SceneRegion, zone: str) -> list[dict[str, Any]]:
            return [reservation_body(world, project, one) for one in held_in(world, zone, has_begun=True)]

        return _aggregated(world, "reservations", held)

    @app.get(f"{BASE}/aggregated/disks")
    def disks(project: str) -> Response:
        return _aggregated(world, "disks", lambda _, zone: _disks(state, project, zone))

    @app.post("/v1/projects/<project>:testIamPermissions")
    def permissions(project: str) -> Response:  # noqa: ARG001  the resource manager's
        asked = request.get_json()["permissions"]
        return jsonify(permissions=[one for one in asked if one not in world.not_granted])

    @app.get(f"{BASE}/zones")
    def zones(project: str) -> Response:
        items = [zone_body(project, region, zone) for region in _scene(world) for zone in region.zones]
        return jsonify(kind="compute#zoneList", id="zones", items=items)

    @app.get(f"{BASE}/aggregated/futureReservations")
    def future_reservations(project: str) -> Response:
        def coming(_: SceneRegion, zone: str) -> list[dict[str, Any]]:
            return [future_reservation_body(project, one) for one in held_in(world, zone, has_begun=False)]

        return _aggregated(world, "futureReservations", coming)


def _add_machines(app: Flask, state: _State) -> None:
    world = state.world

    @app.post(f"{BASE}/zones/<zone>/instances")
    def insert(project: str, zone: str) -> Any:
        return _insert(state, project, zone)

    @app.get(f"{BASE}/zones/<zone>/instances/<name>")
    def get(project: str, zone: str, name: str) -> Any:
        machine = world.rented.get(name)
        if machine is None or machine.zone != zone or _is_deleted(state, machine):
            return _error(404, "notFound", f"The resource '{name}' was not found")
        return jsonify(_instance(state, project, machine))

    @app.delete(f"{BASE}/zones/<zone>/instances/<name>")
    def delete(project: str, zone: str, name: str) -> Any:
        machine = world.rented.get(name)
        if machine is None or machine.zone != zone or _is_deleted(state, machine):
            return _error(404, "notFound", f"The resource '{name}' was not found")
        world.end(name)
        state.bodies[name]["deleted"] = True
        return jsonify(_begun(_operation(state, project, zone, "delete", name, None)))

    @app.get(f"{BASE}/zones/<zone>/operations/<name>")
    @app.post(f"{BASE}/zones/<zone>/operations/<name>/wait")
    def operation(project: str, zone: str, name: str) -> Any:  # noqa: ARG001  the route's names
        if name not in state.operations:
            return _error(404, "notFound", f"The resource '{name}' was not found")
        if world.unfinished_polls > 0:
            world.unfinished_polls -= 1
            return jsonify(_begun(state.operations[name]))
        return jsonify(state.operations[name])


def _scene(world: CloudWorld) -> list[SceneRegion]:
    return [region for region in world.scene.values() if region.provider == "gcp"]


def _sizes(world: CloudWorld, region: SceneRegion) -> list[Size]:
    return [world.sizes["gcp"][name] for name, is_spot in region.stock if not is_spot]


def _is_deleted(state: _State, machine: Rented) -> bool:
    """Return whether a machine is listed no more: it was deleted, and nothing of it runs."""
    is_deleted = bool(state.bodies[machine.name].get("deleted"))
    return is_deleted and state.world.host.has_ended(machine.name) and state.world.seems_ended(machine)


def _aggregated(world: CloudWorld, kind: str, items: Any, more: dict[str, str] | None = None) -> Response:
    """Return a list by zone; zones of silent regions are named as unreachable, as GCE does."""
    scopes: dict[str, Any] = {}
    silent: list[str] = []
    for region in _scene(world):
        for zone in region.zones:
            found = [] if region.id in world.silent else items(region, zone)
            if region.id in world.silent:
                silent.append(f"zones/{zone}")
                scopes[f"zones/{zone}"] = {"warning": {"code": "UNREACHABLE", "message": "did not answer"}}
            elif found:
                scopes[f"zones/{zone}"] = {kind: found}
            else:
                scopes[f"zones/{zone}"] = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "no results"}}
    body = {"kind": f"compute#{kind}AggregatedList", "id": kind, "items": scopes, **(more or {})}
    if silent:
        body["unreachables"] = silent
    return jsonify(body)


def _disks(state: _State, project: str, zone: str) -> list[dict[str, Any]]:
    """Return the boot disks in a zone; one that is not to end with its machine outlives it, and costs."""
    url = f"{ROOT}/projects/{project}/zones/{zone}"
    found = []
    for name, body in sorted(state.bodies.items()):
        machine = state.world.rented[name]
        disk = body.get("disks", [{}])[0]
        if machine.zone == zone and not (machine.has_ended and disk.get("autoDelete")):
            users = [] if machine.has_ended else [f"{url}/instances/{name}"]
            size = str(disk.get("initializeParams", {}).get("diskSizeGb", 10))
            known = {"kind": "compute#disk", "id": str(int(derive_id("d", name)[2:14], 16)), "name": name, "zone": url}
            links = {"type": f"{url}/diskTypes/pd-balanced", "selfLink": f"{url}/disks/{name}", "users": users}
            found.append(known | links | {"sizeGb": size, "status": "READY"})
    return found


def _instance(state: _State, project: str, machine: Rented) -> dict[str, Any]:
    sent = state.bodies[machine.name]
    url = f"{ROOT}/projects/{project}/zones/{machine.zone}"
    status = "RUNNING"
    if state.world.seems_ended(machine):
        status = "TERMINATED" if state.world.host.has_ended(machine.name) else "STOPPING"
    body: dict[str, Any] = {
        "kind": "compute#instance",
        "id": str(int(derive_id("n", machine.name)[2:14], 16)),
        "name": machine.name,
        "zone": url,
        "machineType": f"{url}/machineTypes/{split_attached(machine.size.name)[0]}",
        "status": status,
        "labels": sent.get("labels", {}),
        "tags": {"fingerprint": derive_id("t", machine.name), **sent.get("tags", {})},
        "metadata": {"fingerprint": derive_id("m", machine.name), "items": []},
        "canIpForward": False,
        "disks": [{"boot": True, "autoDelete": True, "source": f"{url}/disks/{machine.name}", "deviceName": "boot"}],
        "scheduling": sent.get("scheduling", {}),
        "creationTimestamp": machine.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "networkInterfaces": [{"name": "nic0", "networkIP": machine.address}],
        "selfLink": f"{url}/instances/{machine.name}",
    }
    body |= {field: sent[field] for field in ("guestAccelerators", "reservationAffinity") if field in sent}
    if status == "RUNNING" and machine.reclaim_at is not None:
        # A preemption shows as the machine stopping: half a minute is all the notice there is.
        body["status"] = "STOPPING"
        body["statusMessage"] = "Instance was preempted."
    if status == "RUNNING" and machine.impaired_at is not None:
        body["status"] = "REPAIRING"
    if machine.maintenance_at is not None:
        begins = machine.maintenance_at.astimezone(UTC)
        body["resourceStatus"] = {
            "upcomingMaintenance": {
                "canReschedule": False,
                "maintenanceStatus": "PENDING",
                "type": "SCHEDULED",
                "windowStartTime": begins.isoformat(),
                "windowEndTime": (begins + MAINTENANCE).isoformat(),
            }
        }
    return body


def _insert(state: _State, project: str, zone: str) -> Any:
    body, world = request.get_json(), state.world
    name, asked = body["name"], request.args.get("requestId")
    region = next((r for r in _scene(world) if zone in r.zones), None)
    if region is None:
        return _error(404, "notFound", f"The resource '{zone}' was not found")
    with world.lock:
        if asked and asked in state.by_request:
            return jsonify(state.operations[state.by_request[asked]])
        if name in world.rented:
            return _error(409, "alreadyExists", f"The resource '{name}' already exists")
        is_spot = body.get("scheduling", {}).get("provisioningModel") == "SPOT"
        size = _size_asked(body)
        address = body["networkInterfaces"][0].get("networkIP")
        fault = _over_quota(state, region, size, is_spot=is_spot)
        if fault is None:
            try:
                held = _reservation_asked(body)
                world.rent(name, region.id, zone, size, is_spot=is_spot, address=address, reservation=held)
            except OutOfStockError:
                message = f"The zone '{zone}' does not have enough resources available to fulfill the request."
                fault = ("ZONE_RESOURCE_POOL_EXHAUSTED", message, 503)
        operation = _operation(state, project, zone, "insert", name, fault)
        if asked:
            state.by_request[asked] = operation["name"]
        if fault is not None:
            return jsonify(_begun(operation))
        state.bodies[name] = body
    metadata = {item["key"]: item["value"] for item in body.get("metadata", {}).get("items", [])}
    world.boot(name, metadata.get("startup-script", ""))
    return jsonify(_begun(operation))


def _size_asked(body: dict[str, Any]) -> str:
    """Return the world's name of what is asked for: N1 machine types may have GPUs attached."""
    plain = str(body["machineType"]).rpartition("/")[2]
    attached = body.get("guestAccelerators", [])
    if not attached:
        return plain
    accelerator = str(attached[0]["acceleratorType"]).rpartition("/")[2]
    return with_attached(plain, accelerator, attached[0]["acceleratorCount"])


def _reservation_asked(body: dict[str, Any]) -> str | None:
    """Return the name of the reservation that a machine is to be taken from."""
    affinity = body.get("reservationAffinity", {})
    if affinity.get("consumeReservationType") != "SPECIFIC_RESERVATION":
        return None
    return str(affinity["values"][0]).rpartition("/")[2]


def _over_quota(state: _State, region: SceneRegion, size: str, *, is_spot: bool) -> tuple[str, str, int] | None:
    sizes = state.world.sizes["gcp"]
    for metric, limit in region.quotas.items():
        gpu, for_spot = METRICS[metric]
        if size not in sizes or sizes[size].gpu != gpu or for_spot != is_spot:
            continue
        counted = {s.name for s in sizes.values() if s.gpu == gpu}
        used = sum(s.gpus for s in state.world.used(region.id, counted, is_spot=is_spot))
        if used + sizes[size].gpus > limit:
            return ("QUOTA_EXCEEDED", f"Quota '{metric}' exceeded.  Limit: {limit}.0 in region {region.name}.", 403)
    return None


def _operation(
    state: _State, project: str, zone: str, kind: str, name: str, fault: tuple[str, str, int] | None
) -> dict[str, Any]:
    number = f"operation-{len(state.operations) + 1}"
    url = f"{ROOT}/projects/{project}/zones/{zone}"
    operation: dict[str, Any] = {
        "kind": "compute#operation",
        "id": str(len(state.operations) + 1),
        "name": number,
        "zone": url,
        "operationType": kind,
        "targetLink": f"{url}/instances/{name}",
        "status": "DONE",
        "progress": 100,
        "selfLink": f"{url}/operations/{number}",
    }
    if fault is not None:
        code, message, status = fault
        operation["error"] = {"errors": [{"code": code, "message": message}]}
        operation["httpErrorStatusCode"] = status
    state.operations[number] = operation
    return operation


def _begun(operation: dict[str, Any]) -> dict[str, Any]:
    """Return an operation as it is told first: whether it goes well shows once it is done."""
    known = {field: value for field, value in operation.items() if field not in {"error", "httpErrorStatusCode"}}
    return known | {"status": "RUNNING", "progress": 0}


def _error(status: int, reason: str, message: str) -> tuple[Response, int]:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return jsonify(error={"code": status, "message": message, "errors": errors}), status
