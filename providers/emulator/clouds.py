"""The three embedded clouds on loopback, with one control API; in this process, or in one of their own."""

import argparse
import datetime as dt
import ipaddress
import json
import signal
import ssl
import sys
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask

from providers.emulator.arm import Arm
from providers.emulator.backend import Backend
from providers.emulator.control import create_control
from providers.emulator.ec2 import Ec2
from providers.emulator.ec2_wire import Ec2WireFormat
from providers.emulator.gce import create_gce
from providers.emulator.gce_wire import GceWireFormat
from providers.emulator.host import Host
from providers.emulator.listener import LOOPBACK, Listener
from providers.emulator.metadata import create_metadata
from providers.emulator.middleware import Application, Middleware
from providers.emulator.regions import EmulatedRegion, load_regions
from state.clock import Clock, SystemClock, draw_secret
from state.model.ids import RegionId


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of the clouds, and the files that clients need."""

    aws: str
    gcp: str
    azure: str
    control: str
    ca_file: str
    control_token_file: str


class EmbeddedClouds:
    """AWS, GCP and Azure over HTTP, on one backend."""

    def __init__(  # noqa: PLR0913  the parts of the embedded clouds
        self,
        folder: Path,
        *,
        host_folder: Path,
        apps: tuple[Path, ...] = (),
        ray_token_file: Path,
        clock: Clock | None = None,
        first_network: int = 10,
        dry: bool = False,
        regions: tuple[EmulatedRegion, ...] | None = None,
    ) -> None:
        """Create the clouds; nothing listens yet.

        Args:
            folder: Folder of the certificate and the control token.
            host_folder: Folder of the machines' files; its path must be short, since Ray creates sockets below it.
            apps: Folders of Serve applications, on the machines' PYTHONPATH.
            ray_token_file: The file of the Ray token.
            clock: The clock; None: the system's.
            first_network: N of the first region's addresses 127.N.0.x; the next region has N+1, and so on.
            dry: Whether machines start no processes.
            regions: The regions; None: those of `regions.json`.
        """
        clock = clock or SystemClock()
        self._folder = folder
        self.host = Host(host_folder, apps, ray_token_file, clock, dry=dry)
        self.backend = Backend(regions or load_regions(first_network), self.host, clock)
        self._ec2 = Ec2(self.backend)
        arm = Arm(self.backend)
        self.aws = Middleware(self._ec2, self.backend, Ec2WireFormat())
        self.gcp = Middleware(create_gce(self.backend), self.backend, GceWireFormat())
        self.azure = Middleware(arm.app, self.backend, arm)
        self._listeners: list[Listener] = []

    def start(self) -> Addresses:
        """Listen on free ports, and return the addresses."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ca_file, token_file = self._folder / "azure.pem", self._folder / "control-token"
        secret = draw_secret()
        token_file.touch(mode=0o600)
        token_file.write_text(secret)
        context = certificate(ca_file)
        self._ec2.warm_up()
        self.host.metadata_url = self._serve(create_metadata(self.backend))
        return Addresses(
            aws=self._serve(self.aws),
            gcp=self._serve(self.gcp),
            azure=self._serve(self.azure, context),
            control=self._serve(create_control(secret, self.backend, self.lose_region, self.pop_call_counts)),
            ca_file=str(ca_file),
            control_token_file=str(token_file),
        )

    def _serve(self, application: Application | Flask, context: ssl.SSLContext | None = None) -> str:
        listener = Listener(application, context)
        self._listeners.append(listener)
        return listener.url

    def stop(self) -> None:
        """Stop listening, and kill every machine that still runs."""
        self.backend.closed.set()
        for listener in self._listeners:
            listener.stop()
        self._ec2.close()
        self.host.close()

    def pop_call_counts(self) -> dict[str, int]:
        """Return the number of calls since the last time, by `cloud operation`."""
        counts: Counter[str] = Counter()
        for name, cloud in (("aws", self.aws), ("gcp", self.gcp), ("azure", self.azure)):
            counts.update(f"{name} {call.operation or 'other'}" for call in cloud.pop_calls())
        return dict(counts)

    def lose_region(self, region: RegionId) -> tuple[str, ...]:
        """Take a region down, and return the names of the machines lost."""
        lost = self.backend.lose(region)
        if region.startswith("aws/"):
            self._ec2.show_ended(region)
        return lost


def certificate(ca_file: Path) -> ssl.SSLContext:
    """Return a TLS context with a new certificate for loopback, valid for two days.

    Args:
        ca_file: Receives the certificate; its key goes to the same path with suffix `.key`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "skerry embedded clouds")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file.write_bytes(public)
    key_file = ca_file.with_suffix(".key")
    key_file.touch(mode=0o600)
    key_file.write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    return context


def main() -> None:
    """Run the clouds until SIGTERM or SIGINT; write their addresses to `clouds.json`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host-folder", type=Path, required=True)
    parser.add_argument("--apps", type=Path, action="append", default=[])
    parser.add_argument("--ray-token-file", type=Path, required=True)
    parser.add_argument("--first-network", type=int, default=10)
    arguments = parser.parse_args()
    clouds = EmbeddedClouds(
        arguments.folder,
        host_folder=arguments.host_folder,
        apps=tuple(arguments.apps),
        ray_token_file=arguments.ray_token_file,
        first_network=arguments.first_network,
    )
    addresses = clouds.start()
    ready = arguments.folder / "clouds.json"
    part = ready.with_suffix(".part")
    part.write_text(json.dumps(asdict(addresses)))
    part.rename(ready)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    clouds.stop()
    sys.exit(0)


if __name__ == "__main__":
    main()
