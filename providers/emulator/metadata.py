"""The metadata services of the embedded clouds: what a machine is told of itself, and nobody else is.

One machine's service listens under `/machine/NAME`, each cloud's in its own words. Source: EC2 User Guide, "Spot
Instance interruption notices"; Compute Engine documentation, "Preemption process"; Azure documentation, "Scheduled
Events for Linux VMs".
"""

from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException

from providers.emulator.backend import CloudWorld, Rented

EC2_TOKEN = "embedded"  # noqa: S105  nobody's secret: it shows only that a session was begun
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class _Refused(HTTPException):
    """What a service answers to whoever does not ask as it wants to be asked."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


def create_metadata(world: CloudWorld) -> Flask:
    """Return the application."""
    app = Flask("metadata")
    _add_ec2(app, world)
    _add_gce(app, world)
    _add_azure(app, world)
    return app


def _machine(world: CloudWorld, name: str) -> Rented:
    found = world.rented.get(name)
    if found is None or found.has_ended:
        raise _Refused(404, f"there is no machine {name}")
    return found


def _add_ec2(app: Flask, world: CloudWorld) -> None:
    @app.put("/machine/<name>/latest/api/token")
    def token(name: str) -> Any:
        _machine(world, name)
        if TTL not in request.headers:
            raise _Refused(400, f"{TTL} is missing")
        return EC2_TOKEN

    @app.get("/machine/<name>/latest/meta-data/spot/instance-action")
    def instance_action(name: str) -> Any:
        if request.headers.get("X-aws-ec2-metadata-token") != EC2_TOKEN:
            raise _Refused(401, "IMDSv2 wants a token")
        at = _machine(world, name).reclaim_at
        if at is None:
            raise _Refused(404, "nothing is announced")
        return jsonify(action="terminate", time=f"{at:%Y-%m-%dT%H:%M:%SZ}")


def _add_gce(app: Flask, world: CloudWorld) -> None:
    @app.get("/machine/<name>/computeMetadata/v1/instance/preempted")
    def preempted(name: str) -> Any:
        if request.headers.get("Metadata-Flavor") != "Google":
            raise _Refused(403, "Metadata-Flavor: Google is missing")
        return "FALSE" if _machine(world, name).reclaim_at is None else "TRUE"


def _add_azure(app: Flask, world: CloudWorld) -> None:
    @app.get("/machine/<name>/metadata/scheduledevents")
    def scheduled_events(name: str) -> Any:
        if request.headers.get("Metadata") != "true" or "api-version" not in request.args:
            raise _Refused(400, "Metadata: true, or the version, is missing")
        found = _machine(world, name)
        events = []
        if found.reclaim_at is not None:
            event = {"EventType": "Preempt", "ResourceType": "VirtualMachine", "Resources": [name]}
            before = f"{found.reclaim_at:%a, %d %b %Y %H:%M:%S GMT}"
            events = [event | {"EventId": name, "EventStatus": "Scheduled", "NotBefore": before}]
        return jsonify(DocumentIncarnation=len(events), Events=events)
