"""The control API of the embedded clouds, through which tests and operators inject faults.

It listens on loopback and needs a token. Every response is JSON; an invalid request gets status 400 and the reason.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from providers.emulator.backend import Backend, EmulatedMachine, Reservation
from providers.emulator.ends import Failure
from providers.faults import ANY, OPERATIONS, Fault, FaultKind
from state.model.ids import RegionId

PREFIX: Final = "/_skerry"
Result = TypeVar("Result")


class BadRequestError(Exception):
    """The request is invalid; the message gives the reason."""


class FaultRequest(BaseModel):
    """A fault rule to add."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    cloud: str = ANY
    operation: str = ANY
    region: str | None = None
    times: int | None = Field(default=None, ge=1)
    skip: int = Field(default=0, ge=0)
    chance: float = Field(default=1.0, gt=0, le=1)
    seconds: float = Field(default=0.0, ge=0, le=3600)
    code: str = ""
    status: int = Field(default=0, ge=0, le=599)
    inner: str = ""
    is_dated: bool = False


def create_control(
    secret: str,
    backend: Backend,
    lose_region: Callable[[RegionId], tuple[str, ...]],
    pop_call_counts: Callable[[], dict[str, int]],
) -> Flask:
    """Return the control API's HTTP application.

    Args:
        secret: The bearer token.
        backend: The backend to control.
        lose_region: Takes a region down, and returns the names of the machines lost.
        pop_call_counts: Returns the number of calls since the last time, by cloud and operation.
    """
    app = Flask("control")

    @app.before_request
    def authorised() -> Any:
        header = request.headers.get("Authorization", "")
        if not secrets.compare_digest(header.encode(), f"Bearer {secret}".encode()):
            return jsonify(error="the Authorization header lacks the control API's token"), 401
        return None

    @app.errorhandler(BadRequestError)
    @app.errorhandler(ValidationError)
    @app.errorhandler(KeyError)
    @app.errorhandler(ValueError)
    def refused(error: Exception) -> Any:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        return jsonify(error=reason), 400

    @app.post(f"{PREFIX}/calls")
    def calls() -> Response:
        return jsonify(pop_call_counts())

    _add_status(app, backend)
    _add_faults(app, backend)
    _add_places(app, backend, lose_region)
    _add_supply(app, backend)
    _add_machines(app, backend)
    return app


def _region(backend: Backend, name: str) -> RegionId:
    if RegionId(name) not in backend.regions:
        msg = f"unknown region {name}; known are {', '.join(sorted(backend.regions))}"
        raise BadRequestError(msg)
    return RegionId(name)


def _zone(backend: Backend, name: str) -> str:
    zones = sorted({zone for region in backend.regions.values() for zone in region.zones})
    if name not in zones:
        msg = f"unknown zone {name}; known are {', '.join(zones)}"
        raise BadRequestError(msg)
    return name


def _add_status(app: Flask, backend: Backend) -> None:
    @app.get(f"{PREFIX}/status")
    def status() -> Response:
        backend.advance()
        machines = [
            {
                "name": m.name,
                "region": m.region,
                "zone": m.zone,
                "type": m.size.name,
                "address": m.address,
                "spot": m.is_spot,
            }
            for m in backend.active_machines()
        ]
        return jsonify(
            unreachable=sorted(backend.unreachable), failed_zones=sorted(backend.failed_zones), machines=machines
        )


def _add_faults(app: Flask, backend: Backend) -> None:
    @app.get(f"{PREFIX}/faults")
    def listed() -> Response:
        facts = {"lag_seconds": backend.lag.total_seconds(), "page": backend.page, "duplicates": backend.duplicates}
        return jsonify(
            faults=[asdict(rule) for rule in backend.faults.rules()], boots=asdict(backend.boot_faults), **facts
        )

    @app.post(f"{PREFIX}/faults")
    def add() -> Response:
        rule = FaultRequest.model_validate(request.get_json())
        if rule.operation not in {ANY, *OPERATIONS}:
            msg = f"unknown operation {rule.operation}; known are {', '.join(OPERATIONS)}"
            raise BadRequestError(msg)
        region = None if rule.region is None else _region(backend, rule.region)
        cloud = rule.cloud if region is None else region.partition("/")[0]
        backend.faults.add(Fault(**{**rule.model_dump(), "region": region, "cloud": cloud}))
        return jsonify(added=True)

    @app.delete(f"{PREFIX}/faults")
    def clear() -> Response:
        count = backend.faults.clear()
        backend.lag, backend.page, backend.duplicates = timedelta(), None, False
        backend.holds_operations = False
        backend.boot_faults.fail = backend.boot_faults.dead_gpus = 0
        backend.spot_price_factor.clear()
        return jsonify(cleared=count)

    @app.post(f"{PREFIX}/seed")
    def seed() -> Response:
        backend.faults.seed(int(request.get_json()["seed"]))
        return jsonify(seeded=True)

    _add_list_and_boot_faults(app, backend)


def _add_list_and_boot_faults(app: Flask, backend: Backend) -> None:
    @app.post(f"{PREFIX}/lists")
    def lists() -> Response:
        body = request.get_json()
        if "lag_seconds" in body:
            backend.lag = timedelta(seconds=float(body["lag_seconds"]))
        if "page" in body:
            backend.page = None if body["page"] is None else max(1, int(body["page"]))
        if "duplicates" in body:
            backend.duplicates = bool(body["duplicates"])
        backend.holds_operations = bool(body.get("hold_operations", backend.holds_operations))
        return jsonify(set=True)

    @app.post(f"{PREFIX}/boots")
    def boots() -> Response:
        body = request.get_json()
        backend.boot_faults.fail = int(body.get("fail", backend.boot_faults.fail))
        backend.boot_faults.dead_gpus = int(body.get("dead_gpus", backend.boot_faults.dead_gpus))
        return jsonify(set=True)


def _add_places(app: Flask, backend: Backend, lose_region: Callable[[RegionId], tuple[str, ...]]) -> None:
    @app.post(f"{PREFIX}/lose")
    def lose() -> Response:
        body = request.get_json()
        if "zone" in body:
            return jsonify(lost=backend.lose_zone(_zone(backend, body["zone"])))
        return jsonify(lost=lose_region(_region(backend, body["region"])))

    @app.post(f"{PREFIX}/restore")
    def restore() -> Response:
        body = request.get_json()
        if "zone" in body:
            backend.failed_zones.discard(_zone(backend, body["zone"]))
        else:
            backend.restore(_region(backend, body["region"]))
        return jsonify(restored=True)


def _add_supply(app: Flask, backend: Backend) -> None:
    @app.post(f"{PREFIX}/stock")
    def stock() -> Response:
        body = request.get_json()
        where = (_region(backend, body["region"]), _zone(backend, body["zone"]), body["type"], int(body["count"]))
        backend.set_stock(*where, is_spot=bool(body.get("spot")))
        return jsonify(set=True)

    @app.post(f"{PREFIX}/quota")
    def quota() -> Response:
        body = request.get_json()
        if body["name"] in backend.project_quotas:
            backend.project_quotas[body["name"]] = int(body["limit"])
            return jsonify(set=True)
        backend.regions[_region(backend, body["region"])].quotas[body["name"]] = int(body["limit"])
        return jsonify(set=True)

    @app.post(f"{PREFIX}/price")
    def price() -> Response:
        body = request.get_json()
        backend.spot_price_factor[_region(backend, body["region"]), body["type"]] = float(body["factor"])
        return jsonify(set=True)

    @app.post(f"{PREFIX}/reservation")
    def reservation() -> Response:
        body = request.get_json()
        added = Reservation(
            id=body["id"],
            region=_region(backend, body["region"]),
            zone=_zone(backend, body["zone"]),
            size=body["type"],
            count=int(body["count"]),
            begins=_time(body.get("begins")),
            ends=_time(body.get("ends")),
        )
        backend.reservations[added.id] = added
        return jsonify(set=True)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _add_machines(app: Flask, backend: Backend) -> None:
    @app.post(f"{PREFIX}/reclaim")
    def reclaim() -> Response:
        name = request.get_json()["machine"]
        return jsonify(reclaimed_at=_required(backend.reclaim(name), f"no active spot machine {name}").isoformat())

    @app.post(f"{PREFIX}/rebalance")
    def rebalance() -> Response:
        name = request.get_json()["machine"]
        _required(backend.recommend_rebalance(name) or None, f"no active AWS spot machine {name}")
        return jsonify(set=True)

    @app.post(f"{PREFIX}/impair")
    def impair() -> Response:
        name = request.get_json()["machine"]
        return jsonify(impaired_since=_required(backend.impair(name), f"no active machine {name}").isoformat())

    @app.post(f"{PREFIX}/maintenance")
    def maintenance() -> Response:
        body = request.get_json()
        name, delay = body["machine"], timedelta(minutes=float(body.get("minutes", 60)))
        at = _required(backend.announce_maintenance(name, delay), f"no active machine {name}")
        return jsonify(begins_at=at.isoformat())

    @app.post(f"{PREFIX}/launches")
    def launches() -> Response:
        body = request.get_json()
        backend.fail_next_launch(body["cloud"], Failure(body["code"], body.get("message", "")))
        return jsonify(set=True)

    @app.post(f"{PREFIX}/state")
    def state() -> Response:
        body = request.get_json()
        machine = _machine(backend, body["machine"])
        machine.listed_state = str(body.get("state", machine.listed_state))
        machine.failed_update = str(body.get("failed_update", machine.failed_update))
        return jsonify(set=True)


def _machine(backend: Backend, name: str) -> EmulatedMachine:
    return _required(backend.machines.get(name), f"no machine {name}")


def _required(result: Result | None, problem: str) -> Result:
    if result is None:
        msg = f"{problem}; `skerry local status` lists the machines"
        raise BadRequestError(msg)
    return result
