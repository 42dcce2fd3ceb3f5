"""The control API of the embedded clouds: what a test or a person may do behind the clouds' backs.

Loopback only, with a token. Every answer is JSON; what makes no sense is refused with 400 and says why.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from providers.emulator.backend import CloudWorld, Reservation
from providers.faults import ANY, OPERATIONS, Fault, FaultKind
from state.model.ids import RegionId

PREFIX: Final = "/_skerry"


class BadRequestError(Exception):
    """What was asked makes no sense; the message says why."""


class FaultRequest(BaseModel):
    """A rule to put in force."""

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


def create_control(
    secret: str,
    world: CloudWorld,
    lose_region: Callable[[RegionId], tuple[str, ...]],
    counted: Callable[[], dict[str, int]],
) -> Flask:
    """Return the application.

    Args:
        secret: The token that it asks for.
        world: What it acts on.
        lose_region: Lets a region die in every cloud's books.
        counted: Returns how many calls came since it was last asked.
    """
    app = Flask("control")

    @app.before_request
    def authorised() -> Any:
        told = request.headers.get("Authorization", "")
        if not secrets.compare_digest(told.encode(), f"Bearer {secret}".encode()):
            return jsonify(error="the control API asks for its token"), 401
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
        return jsonify(counted())

    _add_status(app, world)
    _add_faults(app, world)
    _add_places(app, world, lose_region)
    _add_supply(app, world)
    _add_machines(app, world)
    return app


def _region(world: CloudWorld, name: str) -> RegionId:
    if RegionId(name) not in world.scene:
        msg = f"there is no region {name}; there are {', '.join(sorted(world.scene))}"
        raise BadRequestError(msg)
    return RegionId(name)


def _zone(world: CloudWorld, name: str) -> str:
    zones = sorted(zone for region in world.scene.values() for zone in region.zones)
    if name not in zones:
        msg = f"there is no zone {name}; there are {', '.join(zones)}"
        raise BadRequestError(msg)
    return name


def _add_status(app: Flask, world: CloudWorld) -> None:
    @app.get(f"{PREFIX}/status")
    def status() -> Response:
        world.advance()
        machines = [
            {
                "name": m.name,
                "region": m.region,
                "zone": m.zone,
                "type": m.size.name,
                "address": m.address,
                "spot": m.is_spot,
            }
            for m in world.alive()
        ]
        return jsonify(silent=sorted(world.silent), dark_zones=sorted(world.dark_zones), machines=machines)


def _add_faults(app: Flask, world: CloudWorld) -> None:
    @app.get(f"{PREFIX}/faults")
    def listed() -> Response:
        facts = {"lag_seconds": world.lag.total_seconds(), "page": world.page, "duplicates": world.duplicates}
        return jsonify(faults=[asdict(rule) for rule in world.faults.rules()], boots=asdict(world.boots), **facts)

    @app.post(f"{PREFIX}/faults")
    def add() -> Response:
        asked = FaultRequest.model_validate(request.get_json())
        if asked.operation not in {ANY, *OPERATIONS}:
            msg = f"there is no operation {asked.operation}; there are {', '.join(OPERATIONS)}"
            raise BadRequestError(msg)
        region = None if asked.region is None else _region(world, asked.region)
        cloud = asked.cloud if region is None else region.partition("/")[0]
        world.faults.add(Fault(**{**asked.model_dump(), "region": region, "cloud": cloud}))
        return jsonify(added=True)

    @app.delete(f"{PREFIX}/faults")
    def clear() -> Response:
        count = world.faults.clear()
        world.lag, world.page, world.duplicates = timedelta(), None, False
        world.boots.fail = world.boots.dead_gpus = 0
        world.spot_factor.clear()
        return jsonify(cleared=count)

    @app.post(f"{PREFIX}/seed")
    def seed() -> Response:
        world.faults.seed(int(request.get_json()["seed"]))
        return jsonify(seeded=True)

    _add_manners(app, world)


def _add_manners(app: Flask, world: CloudWorld) -> None:
    @app.post(f"{PREFIX}/lists")
    def lists() -> Response:
        asked = request.get_json()
        if "lag_seconds" in asked:
            world.lag = timedelta(seconds=float(asked["lag_seconds"]))
        if "page" in asked:
            world.page = None if asked["page"] is None else max(1, int(asked["page"]))
        if "duplicates" in asked:
            world.duplicates = bool(asked["duplicates"])
        return jsonify(set=True)

    @app.post(f"{PREFIX}/boots")
    def boots() -> Response:
        asked = request.get_json()
        world.boots.fail = int(asked.get("fail", world.boots.fail))
        world.boots.dead_gpus = int(asked.get("dead_gpus", world.boots.dead_gpus))
        return jsonify(set=True)


def _add_places(app: Flask, world: CloudWorld, lose_region: Callable[[RegionId], tuple[str, ...]]) -> None:
    @app.post(f"{PREFIX}/lose")
    def lose() -> Response:
        asked = request.get_json()
        if "zone" in asked:
            return jsonify(lost=world.lose_zone(_zone(world, asked["zone"])))
        return jsonify(lost=lose_region(_region(world, asked["region"])))

    @app.post(f"{PREFIX}/restore")
    def restore() -> Response:
        asked = request.get_json()
        if "zone" in asked:
            world.dark_zones.discard(_zone(world, asked["zone"]))
        else:
            world.restore(_region(world, asked["region"]))
        return jsonify(restored=True)


def _add_supply(app: Flask, world: CloudWorld) -> None:
    @app.post(f"{PREFIX}/stock")
    def stock() -> Response:
        asked = request.get_json()
        where = (_region(world, asked["region"]), _zone(world, asked["zone"]), asked["type"], int(asked["count"]))
        world.set_stock(*where, is_spot=bool(asked.get("spot")))
        return jsonify(set=True)

    @app.post(f"{PREFIX}/quota")
    def quota() -> Response:
        asked = request.get_json()
        world.scene[_region(world, asked["region"])].quotas[asked["name"]] = int(asked["limit"])
        return jsonify(set=True)

    @app.post(f"{PREFIX}/price")
    def price() -> Response:
        asked = request.get_json()
        world.spot_factor[_region(world, asked["region"]), asked["type"]] = float(asked["factor"])
        return jsonify(set=True)

    @app.post(f"{PREFIX}/reservation")
    def reservation() -> Response:
        asked = request.get_json()
        held = Reservation(
            id=asked["id"],
            region=_region(world, asked["region"]),
            zone=_zone(world, asked["zone"]),
            size=asked["type"],
            count=int(asked["count"]),
            begins=_time(asked.get("begins")),
            ends=_time(asked.get("ends")),
        )
        world.reservations[held.id] = held
        return jsonify(set=True)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _add_machines(app: Flask, world: CloudWorld) -> None:
    @app.post(f"{PREFIX}/reclaim")
    def reclaim() -> Response:
        name = request.get_json()["machine"]
        when = world.reclaim(name)
        if when is None:
            msg = f"there is no spot machine {name}"
            raise BadRequestError(msg)
        return jsonify(taken_back_at=when.isoformat())

    @app.post(f"{PREFIX}/rebalance")
    def rebalance() -> Response:
        name = request.get_json()["machine"]
        if not world.recommend(name):
            msg = f"there is no spot machine {name} of AWS, which alone recommends"
            raise BadRequestError(msg)
        return jsonify(set=True)

    @app.post(f"{PREFIX}/impair")
    def impair() -> Response:
        name = request.get_json()["machine"]
        since = world.impair(name)
        if since is None:
            msg = f"there is no machine {name}"
            raise BadRequestError(msg)
        return jsonify(impaired_since=since.isoformat())

    @app.post(f"{PREFIX}/maintenance")
    def maintenance() -> Response:
        asked = request.get_json()
        when = world.announce_maintenance(asked["machine"], timedelta(minutes=float(asked.get("minutes", 60))))
        if when is None:
            msg = f"there is no machine {asked['machine']}"
            raise BadRequestError(msg)
        return jsonify(begins_at=when.isoformat())
