"""The part of GCE's REST API that Skerry and common clients use: machine types, instances, operations, regions.

Source of URLs and shapes: the Compute Engine v1 discovery document.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any, Final

from flask import Flask, Response, jsonify, request

from providers.emulator.backend import Backend, EmulatedMachine, OutOfStockError
from providers.emulator.gce_billing import add_billing
from providers.emulator.gce_catalog import (
    ROOT,
    accelerator_bodies,
    future_reservation_body,
    machine_type_body,
    network_body,
    region_body,
    reservation_body,
    reservations_in,
    zone_body,
)
from providers.emulator.gce_operations import (
    add_preemptions,
    as_running,
    instance_url,
    operation_body,
    over_quota,
    project_quotas,
)
from providers.emulator.regions import EmulatedRegion, Size
from providers.gcp.gpus import split_attached, with_attached
from state.model.ids import derive_id

BASE: Final = "/compute/v1/projects/<project>"
PAGE: Final = 500
MAINTENANCE: Final = timedelta(hours=1)


@dataclass(slots=True)
class _State:
    backend: Backend
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Request bodies of `instances.insert`, by machine name."""
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    """Operation names by requestId, which makes requests idempotent."""
    preempted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The system's operations of preempted machines, by machine name."""


def create_gce(backend: Backend) -> Flask:
    """Return the HTTP application of GCE and its billing catalogue."""
    app, state = Flask("gce"), _State(backend)

    @app.get(f"{BASE}/regions")
    def regions(project: str) -> Response:
        items = [region_body(backend, project, r) for r in _regions(backend) if r.id not in backend.unreachable]
        return jsonify(kind="compute#regionList", id="regions", items=items)

    @app.get(f"{BASE}/aggregated/machineTypes")
    def machine_types(project: str) -> Response:
        def bodies(region: EmulatedRegion, zone: str) -> list[dict[str, Any]]:
            return [machine_type_body(project, zone, size) for size in _sizes(backend, region)]

        return _aggregated(backend, "machineTypes", bodies)

    @app.get(f"{BASE}/zones/<zone>/machineTypes")
    def machine_types_of(project: str, zone: str) -> Response:
        found = [s for r in _regions(backend) if zone in r.zones for s in _sizes(backend, r)]
        items = [machine_type_body(project, zone, size) for size in found]
        return jsonify(kind="compute#machineTypeList", id="machineTypes", items=items)

    @app.get(f"{BASE}/aggregated/acceleratorTypes")
    def accelerator_types(project: str) -> Response:
        return _aggregated(backend, "acceleratorTypes", lambda r, z: accelerator_bodies(project, z, _sizes(backend, r)))

    @app.get(f"{BASE}/aggregated/instances")
    def instances(project: str) -> Response:
        wanted = dict(re.findall(r'labels\.([\w-]+)\s*=\s*"?([\w.-]+)"?', request.args.get("filter", "")))
        listed = [m for m in backend.listed("gcp") if m.name in state.bodies and not _is_deleted(state, m)]
        start, size = int(request.args.get("pageToken") or 0), int(request.args.get("maxResults") or PAGE)
        size = min(size, backend.page or size)
        found = [
            m for m in listed if all(state.bodies[m.name].get("labels", {}).get(k) == v for k, v in wanted.items())
        ]
        page = found[start : start + size]
        more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
        return _aggregated(
            backend, "instances", lambda _, z: [_instance(state, project, m) for m in page if m.zone == z], more
        )

    @app.errorhandler(404)
    def unknown(error: Exception) -> Any:
        return _error(404, "notFound", str(error))

    @app.after_request
    def tagged(response: Response) -> Response:
        # GCE sends ETags, and 304 for a matching If-None-Match.
        if request.method == "GET" and response.status_code == 200:  # noqa: PLR2004  the HTTP status
            response.add_etag()
            response.make_conditional(request)
        return response

    _add_reads(app, state)
    _add_project(app, state)
    _add_machines(app, state)
    add_billing(app, backend)
    return app


def _add_reads(app: Flask, state: _State) -> None:
    backend = state.backend

    @app.get(f"{BASE}/aggregated/reservations")
    def reservations(project: str) -> Response:
        def bodies(_: EmulatedRegion, zone: str) -> list[dict[str, Any]]:
            return [reservation_body(backend, project, r) for r in reservations_in(backend, zone, has_begun=True)]

        return _aggregated(backend, "reservations", bodies)

    @app.get(f"{BASE}/aggregated/disks")
    def disks(project: str) -> Response:
        return _aggregated(backend, "disks", lambda _, zone: _disks(state, project, zone))

    @app.get(f"{BASE}/global/networks/<name>")
    def network(project: str, name: str) -> Response:
        return jsonify(network_body(backend, project, name))

    @app.post("/v1/projects/<project>:testIamPermissions")
    def permissions(project: str) -> Response:  # noqa: ARG001  the resource manager's
        requested = request.get_json()["permissions"]
        return jsonify(permissions=[name for name in requested if name not in backend.missing_permissions])

    @app.get(f"{BASE}/zones")
    def zones(project: str) -> Response:
        items = [zone_body(project, region, zone) for region in _regions(backend) for zone in region.zones]
        return jsonify(kind="compute#zoneList", id="zones", items=items)

    @app.get(f"{BASE}/aggregated/futureReservations")
    def future_reservations(project: str) -> Response:
        def bodies(_: EmulatedRegion, zone: str) -> list[dict[str, Any]]:
            return [future_reservation_body(project, r) for r in reservations_in(backend, zone, has_begun=False)]

        return _aggregated(backend, "futureReservations", bodies)


def _add_project(app: Flask, state: _State) -> None:
    """Add what concerns the whole project: its quotas and its operations."""
    backend = state.backend

    @app.get(BASE)
    def project_body(project: str) -> Response:
        return jsonify(kind="compute#project", name=project, quotas=project_quotas(backend))

    @app.get(f"{BASE}/aggregated/operations")
    def operations(project: str) -> Response:
        kinds = re.findall(r'operationType = "([\w.]+)"', request.args.get("filter", ""))

        def bodies(_: EmulatedRegion, zone: str) -> list[dict[str, Any]]:
            add_preemptions(backend, state.preempted, project)
            found = [*state.operations.values(), *state.preempted.values()]
            shown = [as_running(one) if backend.holds_operations else one for one in found]
            here = (one for one in shown if str(one["zone"]).rpartition("/")[2] == zone)
            return [one for one in here if not kinds or one["operationType"] in kinds]

        return _aggregated(backend, "operations", bodies)


def _add_machines(app: Flask, state: _State) -> None:
    backend = state.backend

    @app.post(f"{BASE}/zones/<zone>/instances")
    def insert(project: str, zone: str) -> Any:
        return _insert(state, project, zone)

    @app.get(f"{BASE}/zones/<zone>/instances/<name>")
    def get(project: str, zone: str, name: str) -> Any:
        machine = backend.machines.get(name)
        if machine is None or machine.zone != zone or _is_deleted(state, machine):
            return _error(404, "notFound", f"The resource '{name}' was not found")
        return jsonify(_instance(state, project, machine))

    @app.delete(f"{BASE}/zones/<zone>/instances/<name>")
    def delete(project: str, zone: str, name: str) -> Any:
        machine = backend.machines.get(name)
        if machine is None or machine.zone != zone or _is_deleted(state, machine):
            return _error(404, "notFound", f"The resource '{name}' was not found")
        backend.end(name)
        state.bodies[name]["deleted"] = True
        return jsonify(
            as_running(
                operation_body(backend.clock.now(), state.operations, instance_url(project, zone, name), "delete", None)
            )
        )

    @app.get(f"{BASE}/zones/<zone>/operations/<name>")
    @app.post(f"{BASE}/zones/<zone>/operations/<name>/wait")
    def operation(project: str, zone: str, name: str) -> Any:  # noqa: ARG001  the route's names
        if name not in state.operations:
            return _error(404, "notFound", f"The resource '{name}' was not found")
        if backend.unfinished_polls > 0 or backend.holds_operations:
            backend.unfinished_polls = max(0, backend.unfinished_polls - 1)
            return jsonify(as_running(state.operations[name]))
        return jsonify(state.operations[name])


def _regions(backend: Backend) -> list[EmulatedRegion]:
    return [region for region in backend.regions.values() if region.provider == "gcp"]


def _sizes(backend: Backend, region: EmulatedRegion) -> list[Size]:
    return [backend.sizes["gcp"][name] for name, is_spot in region.stock if not is_spot]


def _is_deleted(state: _State, machine: EmulatedMachine) -> bool:
    """Return whether a machine has left the lists: it was deleted, and none of its processes runs."""
    is_deleted = bool(state.bodies[machine.name].get("deleted"))
    return is_deleted and state.backend.host.has_ended(machine.name) and state.backend.is_listed_as_ended(machine)


def _aggregated(backend: Backend, kind: str, items: Any, more: dict[str, str] | None = None) -> Response:
    """Return an aggregated list; zones of unreachable regions are in `unreachables`, as GCE does."""
    scopes: dict[str, Any] = {}
    unreachables: list[str] = []
    for region in _regions(backend):
        for zone in region.zones:
            found = [] if region.id in backend.unreachable else items(region, zone)
            if region.id in backend.unreachable:
                unreachables.append(f"zones/{zone}")
                scopes[f"zones/{zone}"] = {"warning": {"code": "UNREACHABLE", "message": "did not answer"}}
            elif found:
                scopes[f"zones/{zone}"] = {kind: found}
            else:
                scopes[f"zones/{zone}"] = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "no results"}}
    body = {"kind": f"compute#{kind}AggregatedList", "id": kind, "items": scopes, **(more or {})}
    if unreachables:
        body["unreachables"] = unreachables
    return jsonify(body)


def _disks(state: _State, project: str, zone: str) -> list[dict[str, Any]]:
    """Return the boot disks in a zone; one without `autoDelete` remains after its machine."""
    url = f"{ROOT}/projects/{project}/zones/{zone}"
    found = []
    for name, body in sorted(state.bodies.items()):
        machine = state.backend.machines[name]
        disk = body.get("disks", [{}])[0]
        if machine.zone == zone and not (machine.has_ended and disk.get("autoDelete")):
            users = [] if machine.has_ended else [f"{url}/instances/{name}"]
            sent = disk.get("initializeParams", {})
            size = str(sent.get("diskSizeGb", 10))
            known = {"kind": "compute#disk", "id": str(int(derive_id("d", name)[2:14], 16)), "name": name, "zone": url}
            links = {"type": f"{url}/diskTypes/pd-balanced", "selfLink": f"{url}/disks/{name}", "users": users}
            found.append(known | links | {"sizeGb": size, "status": "READY", "labels": sent.get("labels", {})})
    return found


def _instance(state: _State, project: str, machine: EmulatedMachine) -> dict[str, Any]:
    sent = state.bodies[machine.name]
    url = f"{ROOT}/projects/{project}/zones/{machine.zone}"
    status = machine.listed_state or "RUNNING"
    if state.backend.is_listed_as_ended(machine):
        status = "TERMINATED" if state.backend.host.has_ended(machine.name) else "STOPPING"
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
        # GCE's API shows a preemption as a stop, half a minute before the end.
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
    body, backend = request.get_json(), state.backend
    name, request_id = body["name"], request.args.get("requestId")
    region = next((r for r in _regions(backend) if zone in r.zones), None)
    if region is None:
        return _error(404, "notFound", f"The resource '{zone}' was not found")
    with backend.lock:
        if request_id and request_id in state.by_request:
            return jsonify(state.operations[state.by_request[request_id]])
        if name in backend.machines:
            return _error(409, "alreadyExists", f"The resource '{name}' already exists")
        is_spot = body.get("scheduling", {}).get("provisioningModel") == "SPOT"
        size = _requested_size(body)
        address = body["networkInterfaces"][0].get("networkIP")
        failure = backend.pop_failure("gcp")
        fault = None if failure is None else (failure.code, failure.message, 0)
        fault = fault or over_quota(backend, region, size, is_spot=is_spot)
        if fault is None:
            try:
                reservation = _requested_reservation(body)
                backend.allocate(name, region.id, zone, size, is_spot=is_spot, address=address, reservation=reservation)
            except OutOfStockError:
                message = f"The zone '{zone}' does not have enough resources available to fulfill the request."
                fault = ("ZONE_RESOURCE_POOL_EXHAUSTED", message, 503)
        operation = operation_body(
            backend.clock.now(), state.operations, instance_url(project, zone, name), "insert", fault
        )
        if request_id:
            state.by_request[request_id] = operation["name"]
        if fault is not None:
            return jsonify(as_running(operation))
        state.bodies[name] = body
    metadata = {item["key"]: item["value"] for item in body.get("metadata", {}).get("items", [])}
    backend.boot(name, metadata.get("startup-script", ""))
    return jsonify(as_running(operation))


def _requested_size(body: dict[str, Any]) -> str:
    """Return the backend's name of the requested machine type and its attached GPUs, as N1 types have."""
    plain = str(body["machineType"]).rpartition("/")[2]
    attached = body.get("guestAccelerators", [])
    if not attached:
        return plain
    accelerator = str(attached[0]["acceleratorType"]).rpartition("/")[2]
    return with_attached(plain, accelerator, attached[0]["acceleratorCount"])


def _requested_reservation(body: dict[str, Any]) -> str | None:
    """Return the name of the specific reservation that a request targets; None if it targets none."""
    affinity = body.get("reservationAffinity", {})
    if affinity.get("consumeReservationType") != "SPECIFIC_RESERVATION":
        return None
    return str(affinity["values"][0]).rpartition("/")[2]


def _error(status: int, reason: str, message: str) -> tuple[Response, int]:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return jsonify(error={"code": status, "message": message, "errors": errors}), status
