"""The embedded GCE's operations and quotas: what was asked for, what became of it, and what the system did by itself.

Shapes: the Compute Engine v1 discovery document.
"""

from datetime import datetime
from typing import Any

from providers.emulator.backend import Backend
from providers.emulator.ends import EndedBy
from providers.emulator.gce_catalog import METRICS, ROOT
from providers.emulator.regions import EmulatedRegion, Size

Fault = tuple[str, str, int]
"""Code, message and HTTP status of an operation's error; status 0 where it has none."""


def operation_body(
    now: datetime, operations: dict[str, dict[str, Any]], url: str, kind: str, fault: Fault | None
) -> dict[str, Any]:
    """Return the body of a new operation on the machine of an URL, done, and add it to *operations*."""
    number = f"operation-{len(operations) + 1}"
    zone, _, _ = url.partition("/instances/")
    operation = _body(now, url, kind) | {"id": str(len(operations) + 1), "name": number}
    operation["selfLink"] = f"{zone}/operations/{number}"
    if fault is not None:
        code, message, status = fault
        operation["error"] = {"errors": [{"code": code, "message": message}]}
        operation |= {"httpErrorStatusCode": status} if status else {}
    operations[number] = operation
    return operation


def instance_url(project: str, zone: str, name: str) -> str:
    """Return the link of a machine."""
    return f"{ROOT}/projects/{project}/zones/{zone}/instances/{name}"


def _body(now: datetime, url: str, kind: str) -> dict[str, Any]:
    at = now.isoformat(timespec="milliseconds")
    return {
        "kind": "compute#operation",
        "zone": url.partition("/instances/")[0],
        "operationType": kind,
        "targetLink": url,
        "status": "DONE",
        "progress": 100,
        "insertTime": at,
        "startTime": at,
        "endTime": at,
    }


def as_running(operation: dict[str, Any]) -> dict[str, Any]:
    """Return an operation as GCE shows it before it is done, without its outcome."""
    left = {"error", "httpErrorStatusCode", "endTime"}
    return {name: value for name, value in operation.items() if name not in left} | {"status": "RUNNING", "progress": 0}


def add_preemptions(backend: Backend, known: dict[str, dict[str, Any]], project: str) -> None:
    """Add to *known* the system's operation of each machine that was reclaimed since."""
    for machine in tuple(backend.machines.values()):
        if machine.ended_by is EndedBy.RECLAIM and machine.name not in known and machine.region.startswith("gcp/"):
            number, at = f"systemevent-{len(known) + 1}", machine.ended_at or backend.clock.now()
            body = _body(at, instance_url(project, machine.zone, machine.name), "compute.instances.preempted")
            text = "Instance was preempted."
            known[machine.name] = body | {"id": str(9_000 + len(known)), "name": number, "statusMessage": text}


def over_quota(backend: Backend, region: EmulatedRegion, size: str, *, is_spot: bool) -> Fault | None:
    """Return the error of a launch that a quota of the region or the project forbids; None for none."""
    sizes = backend.sizes["gcp"]
    if size not in sizes:
        return None
    for metric, limit in region.quotas.items():
        gpu, for_spot = METRICS[metric]
        if sizes[size].gpu != gpu or for_spot != is_spot:
            continue
        counted = {s.name for s in sizes.values() if s.gpu == gpu}
        used = sum(s.gpus for s in backend.sizes_in_use(region.id, counted, is_spot=is_spot))
        if used + sizes[size].gpus > limit:
            return ("QUOTA_EXCEEDED", f"Quota '{metric}' exceeded.  Limit: {limit}.0 in region {region.name}.", 403)
    for quota in project_quotas(backend):
        if quota["usage"] + _amount(sizes[size], quota["metric"]) > quota["limit"]:
            return ("QUOTA_EXCEEDED", f"Quota '{quota['metric']}' exceeded.  Limit: {quota['limit']} globally.", 403)
    return None


def project_quotas(backend: Backend) -> list[dict[str, Any]]:
    """Return the bodies of the project's quotas with their use in all regions."""
    running = [m.size for m in backend.active_machines() if m.region.startswith("gcp/")]
    return [
        {"metric": metric, "limit": float(limit), "usage": float(sum(_amount(size, metric) for size in running))}
        for metric, limit in backend.project_quotas.items()
    ]


def _amount(size: Size, metric: str) -> int:
    return size.gpus if metric.startswith("GPUS") else size.vcpus
