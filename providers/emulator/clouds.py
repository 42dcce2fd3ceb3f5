"""All three embedded clouds on loopback, with one control API; in this process, or as one of its own."""

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
from providers.emulator.backend import CloudWorld
from providers.emulator.control import create_control
from providers.emulator.ec2 import Ec2
from providers.emulator.ec2_wire import Ec2Dialect
from providers.emulator.gce import create_gce
from providers.emulator.gce_wire import GceDialect
from providers.emulator.host import Host
from providers.emulator.listener import LOOPBACK, Listener
from providers.emulator.metadata import create_metadata
from providers.emulator.middleware import Application, Middleware
from providers.emulator.regions import SceneRegion, load_scene
from state.clock import Clock, SystemClock, draw_secret
from state.model.ids import RegionId


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the clouds listen."""

    aws: str
    gcp: str
    azure: str
    control: str
    ca_file: str
    control_token_file: str


class EmbeddedClouds:
    """AWS, GCP and Azure over HTTP, on one world."""

    def __init__(  # noqa: PLR0913  what the embedded clouds are made of
        self,
        folder: Path,
        *,
        host_folder: Path,
        apps: tuple[Path, ...] = (),
        ray_token_file: Path,
        clock: Clock | None = None,
        first_network: int = 10,
        dry: bool = False,
        scene: tuple[SceneRegion, ...] | None = None,
    ) -> None:
        """Prepare; nothing listens yet.

        Args:
            folder: For the certificate and the control token.
            host_folder: For the machines' files; its path must be short, since Ray puts sockets there.
            apps: Folders that the machines' Python finds Serve applications in.
            ray_token_file: The token that the machines' Ray uses.
            clock: The time.
            first_network: The first region's machines have addresses 127.N.0.x, the next N+1, and so on.
            dry: Machines only pretend to run.
            scene: The regions; None: the usual ones.
        """
        clock = clock or SystemClock()
        self._folder = folder
        self.host = Host(host_folder, apps, ray_token_file, clock, dry=dry)
        self.world = CloudWorld(scene or load_scene(first_network), self.host, clock)
        self._ec2 = Ec2(self.world)
        arm = Arm(self.world)
        self.aws = Middleware(self._ec2, self.world, Ec2Dialect())
        self.gcp = Middleware(create_gce(self.world), self.world, GceDialect())
        self.azure = Middleware(arm.app, self.world, arm)
        self._listeners: list[Listener] = []

    def start(self) -> Addresses:
        """Listen, on ports that the system chooses, and return where."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ca_file, token_file = self._folder / "azure.pem", self._folder / "control-token"
        secret = draw_secret()
        token_file.touch(mode=0o600)
        token_file.write_text(secret)
        context = certificate(ca_file)
        self._ec2.warm_up()
        self.host.metadata_url = self._serve(create_metadata(self.world))
        return Addresses(
            aws=self._serve(self.aws),
            gcp=self._serve(self.gcp),
            azure=self._serve(self.azure, context),
            control=self._serve(create_control(secret, self.world, self.lose_region, self.counted)),
            ca_file=str(ca_file),
            control_token_file=str(token_file),
        )

    def _serve(self, application: Application | Flask, context: ssl.SSLContext | None = None) -> str:
        listener = Listener(application, context)
        self._listeners.append(listener)
        return listener.url

    def stop(self) -> None:
        """Stop listening, and kill whatever machine still runs."""
        self.world.closed.set()
        for listener in self._listeners:
            listener.stop()
        self._ec2.close()
        self.host.close()

    def counted(self) -> dict[str, int]:
        """Return how many calls each cloud got since this was last asked, by `cloud operation`."""
        counts: Counter[str] = Counter()
        for name, cloud in (("aws", self.aws), ("gcp", self.gcp), ("azure", self.azure)):
            counts.update(f"{name} {call.operation or 'other'}" for call in cloud.taken())
        return dict(counts)

    def lose_region(self, region: RegionId) -> tuple[str, ...]:
        """Let a region die, and return the machines lost with it."""
        lost = self.world.lose(region)
        if region.startswith("aws/"):
            self._ec2.show_ended(region)
        return lost


def certificate(ca_file: Path) -> ssl.SSLContext:
    """Make a certificate for loopback, valid for two days, and write its public part to *ca_file*."""
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
    """Run the clouds until SIGTERM or SIGINT; write where they listen to `clouds.json`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host-folder", type=Path, required=True)
    parser.add_argument("--apps", type=Path, action="append", default=[])
    parser.add_argument("--ray-token-file", type=Path, required=True)
    parser.add_argument("--first-network", type=int, default=10)
    asked = parser.parse_args()
    clouds = EmbeddedClouds(
        asked.folder,
        host_folder=asked.host_folder,
        apps=tuple(asked.apps),
        ray_token_file=asked.ray_token_file,
        first_network=asked.first_network,
    )
    addresses = clouds.start()
    ready = asked.folder / "clouds.json"
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
