"""Sites of own machines for tests: a real register over HTTP, with agents that only report to run their tasks."""

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
from providers.static.server import PAGE_SIZE, create_app
from providers.static.settings import StaticRegionSettings, StaticSettings
from providers.static.wire import Hardware, JoinRequest, NewJoinToken, Report
from state.clock import Clock, SystemClock
from state.model.ids import RegionId, region_id

TOKEN = "t" * 32
PLACES = {"berlin": ("EU", 52.5, 13.4), "boston": ("US", 42.4, -71.1)}
GPUS = Hardware(gpu="L4", gpus=1, gpu_memory_gib=24, vcpus=8, memory_gib=32)
HEAD = Hardware(vcpus=4, memory_gib=16)


class RegisterWireFormat:
    """The wire format of a register's HTTP API."""

    name = "static"

    def region_of(self, environ: Environ) -> RegionId | None:
        named = parse_qs(environ.get("QUERY_STRING", "")).get("region")
        if named is None and environ["REQUEST_METHOD"] == "PUT":
            named = [json.loads(body_of(environ))["region"]]
        return region_id("static", named[0]) if named else None

    def operation_of(self, environ: Environ) -> str:
        read = "offers" if environ["PATH_INFO"] == "/v1/machines" else "instances"
        return {"PUT": "launch", "DELETE": "terminate", "GET": read}.get(environ["REQUEST_METHOD"], "")

    def error(self, environ: Environ, code: str, message: str, inner: str = "") -> tuple[str, bytes]:
        return "application/json", json.dumps({"error": {"code": code, "message": message}}).encode()


@dataclass
class Sites:
    """A register, and controls over its machines and its HTTP layer."""

    register: Register
    clock: Clock = field(default_factory=SystemClock)
    unreachable: set[RegionId] = field(default_factory=set)
    faults: FaultBoard = field(default_factory=FaultBoard)
    closed: threading.Event = field(default_factory=threading.Event)
    page_size: int | None = None
    keys: dict[str, str] = field(default_factory=dict)

    def advance(self) -> None:
        """Do nothing: a register has no timed events."""

    def join(self, region: str, name: str, hardware: Hardware, *, zone: str = "a", is_head: bool = False) -> None:
        """Join as a machine."""
        key = self.keys[name] = f"key-of-{name}".ljust(40, "-")
        token = self.register.issue_join_token(NewJoinToken(region=region, zone=zone))
        address = f"10.0.{len(self.keys)}.1"
        self.register.join(
            JoinRequest(token=token, key=key, name=name, address=address, hardware=hardware, is_head=is_head)
        )

    def report(self, name: str, running: str | None = None, gpus_detected: int | None = None) -> str | None:
        """Report as a machine's agent; return the instance id of the task in the response."""
        response = self.register.handle_report(self.keys[name], Report(running=running, gpus_detected=gpus_detected))
        return None if response.task is None else response.task.instance_id


@contextmanager
def own_sites(folder: Path) -> Iterator[tuple[Sites, Static]]:
    """Serve two sites, each with one machine for the head and one with a GPU."""
    register = Register(folder / "machines.json", SystemClock())
    sites = Sites(register)
    for region in PLACES:
        sites.join(region, f"{region}-head", HEAD, is_head=True)
        sites.join(region, f"{region}-gpu", GPUS)
    app = create_app(register, TOKEN, page_size=lambda: sites.page_size or PAGE_SIZE)
    listener = Listener(Middleware(app, sites, RegisterWireFormat()))
    (folder / "token").write_text(TOKEN)
    url = listener.url
    places = {
        name: StaticRegionSettings(register_url=url, jurisdiction=jurisdiction, latitude=latitude, longitude=longitude)
        for name, (jurisdiction, latitude, longitude) in PLACES.items()
    }
    settings = StaticSettings(regions=places, token_file=str(folder / "token"), timeout_seconds=2.0)
    try:
        yield sites, Static(settings, SystemClock())
    finally:
        sites.closed.set()
        listener.stop()
        register.close()
