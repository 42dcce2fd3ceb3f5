"""The instance metadata services of the embedded clouds, as far as they announce reclaims.

A machine's service has the path `/machine/NAME`, and below it each cloud's own paths. Source: EC2 User Guide, "Spot
Instance interruption notices"; Compute Engine documentation, "Preemption process"; Azure documentation, "Scheduled
Events for Linux VMs".
"""

from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException

from providers.emulator.backend import Backend, EmulatedMachine

EC2_TOKEN = "embedded"  # noqa: S105  no secret: it marks a session with IMDSv2
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class _Refused(HTTPException):
    """The service refuses a request; `code` is the HTTP status."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


def create_metadata(backend: Backend) -> Flask:
    """Return the HTTP application of all machines' metadata services."""
    app = Flask("metadata")
    _add_ec2(app, backend)
    _add_gce(app, backend)
    _add_azure(app, backend)
    return app


def _machine(backend: Backend, name: str) -> EmulatedMachine:
    found = backend.machines.get(name)
    if found is None or found.has_ended:
        raise _Refused(404, f"no active machine {name}")
    return found


def _add_ec2(app: Flask, backend: Backend) -> None:
    @app.put("/machine/<name>/latest/api/token")
    def token(name: str) -> Any:
        _machine(backend, name)
        if TTL not in request.headers:
            raise _Refused(400, f"missing header {TTL}")
        return EC2_TOKEN

    @app.get("/machine/<name>/latest/meta-data/spot/instance-action")
    def instance_action(name: str) -> Any:
        if request.headers.get("X-aws-ec2-metadata-token") != EC2_TOKEN:
            raise _Refused(401, "missing header X-aws-ec2-metadata-token")
        at = _machine(backend, name).reclaim_at
        if at is None:
            raise _Refused(404, "no interruption is scheduled")
        return jsonify(action="terminate", time=f"{at:%Y-%m-%dT%H:%M:%SZ}")


def _add_gce(app: Flask, backend: Backend) -> None:
    @app.get("/machine/<name>/computeMetadata/v1/instance/preempted")
    def preempted(name: str) -> Any:
        if request.headers.get("Metadata-Flavor") != "Google":
            raise _Refused(403, "missing header Metadata-Flavor: Google")
        return "FALSE" if _machine(backend, name).reclaim_at is None else "TRUE"


def _add_azure(app: Flask, backend: Backend) -> None:
    @app.get("/machine/<name>/metadata/scheduledevents")
    def scheduled_events(name: str) -> Any:
        if request.headers.get("Metadata") != "true" or "api-version" not in request.args:
            raise _Refused(400, "missing header Metadata: true, or parameter api-version")
        found = _machine(backend, name)
        events = []
        if found.reclaim_at is not None:
            event = {"EventType": "Preempt", "ResourceType": "VirtualMachine", "Resources": [name]}
            before = f"{found.reclaim_at:%a, %d %b %Y %H:%M:%S GMT}"
            events = [event | {"EventId": name, "EventStatus": "Scheduled", "NotBefore": before}]
        return jsonify(DocumentIncarnation=len(events), Events=events)
