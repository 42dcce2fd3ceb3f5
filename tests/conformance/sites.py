"""Sites of our own machines for tests: a real register over HTTP, whose agents only pretend to run anything."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from providers.emulator.listener import Listener
from providers.emulator.middleware import Environ, Middleware, body_of
from providers.faults import FaultBoard
from providers.static.machines import Static
from providers.static.register import Register
from providers.static.server import PAGE, create_app
from providers.static.settings import StaticRegionSettings, StaticSettings
from providers.static.wire import Facts, Join, NewJoinToken, Report
from state.clock import Clock, SystemClock
from state.model.ids import RegionId, region_id

TOKEN = "t" * 32
PLACES = {"berlin": ("EU", 52.5, 13.4), "boston": ("US", 42.4, -71.1)}
GPUS = Facts(gpu="L4", gpus=1, gpu_memory_gib=24, vcpus=8, memory_gib=32)
HEAD = Facts(vcpus=4, memory_gib=16)


class RegisterDialect:
    """How a register is spoken to."""

    name = "static"

    def region_of(self, environ: Environ) -> RegionId | None:
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("region")
        if asked is None and environ["REQUEST_METHOD"] == "PUT":
            asked = [json.loads(body_of(environ))["region"]]
        return region_id("static", asked[0]) if asked else None

    def operation_of(self, environ: Environ) -> str:
        looks = "offers" if environ["PATH_INFO"] == "/v1/machines" else "instances"
        return {"PUT": "launch", "DELETE": "terminate", "GET": looks}.get(environ["REQUEST_METHOD"], "")

    def error(self, environ: Environ, code: str, message: str) -> tuple[str, bytes]:
        return "application/json", json.dumps({"error": {"code": code, "message": message}}).encode()


@dataclass
class Sites:
    """A register, and what a test may do to it."""

    register: Register
    clock: Clock = field(default_factory=SystemClock)
    silent: set[RegionId] = field(default_factory=set)
    faults: FaultBoard = field(default_factory=FaultBoard)
    closed: threading.Event = field(default_factory=threading.Event)
    page: int | None = None
    keys: dict[str, str] = field(default_factory=dict)

    def advance(self) -> None:
        """Nothing is due."""

    def join(self, region: str, name: str, facts: Facts, *, zone: str = "a", is_head: bool = False) -> None:
        """Let a machine join."""
        key = self.keys[name] = f"key-of-{name}".ljust(40, "-")
        token = self.register.draw_join_token(NewJoinToken(region=region, zone=zone))
        address = f"10.0.{len(self.keys)}.1"
        self.register.join(Join(token=token, key=key, name=name, address=address, facts=facts, is_head=is_head))

    def report(self, name: str, running: str | None = None, gpus_seen: int | None = None) -> str | None:
        """Let a machine's agent report; return what it is told to run."""
        told = self.register.report(self.keys[name], Report(running=running, gpus_seen=gpus_seen))
        return None if told.task is None else told.task.instance_id


@contextmanager
def own_sites(folder: Path) -> Iterator[tuple[Sites, Static]]:
    """Serve two sites with a machine for the head and one with a GPU each."""
    register = Register(folder / "machines.json", SystemClock())
    sites = Sites(register)
    for region in PLACES:
        sites.join(region, f"{region}-head", HEAD, is_head=True)
        sites.join(region, f"{region}-gpu", GPUS)
    app = create_app(register, TOKEN, page=lambda: sites.page or PAGE)
    listener = Listener(Middleware(app, sites, RegisterDialect()))
    (folder / "token").write_text(TOKEN)
    url = listener.url
    places = {
        name: StaticRegionSettings(register_url=url, jurisdiction=law, latitude=latitude, longitude=longitude)
        for name, (law, latitude, longitude) in PLACES.items()
    }
    settings = StaticSettings(regions=places, token_file=str(folder / "token"), timeout_seconds=2.0)
    try:
        yield sites, Static(settings, SystemClock())
    finally:
        sites.closed.set()
        listener.stop()
        register.close()
