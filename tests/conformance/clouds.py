"""The embedded clouds for conformance tests: real HTTP, a dry host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from providers.aws.machines import Aws
from providers.aws.settings import AwsSettings
from providers.azure.machines import Azure
from providers.azure.settings import AzureSettings
from providers.base import LaunchOrder, Provider
from providers.emulator.clouds import EmbeddedClouds
from providers.emulator.regions import CATALOG, rebalance_queue
from providers.gcp.machines import Gcp
from providers.gcp.settings import GcpSettings
from providers.price_catalogue import load_prices
from providers.prices import PriceList
from providers.throttle import PauseLog
from state.clock import SystemClock
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, Role
from tests.builders import NOON


@dataclass
class Clouds:
    embedded: EmbeddedClouds
    providers: dict[str, Provider]
    addresses: dict[str, str]
    azure: AzureSettings
    aws: AwsSettings
    gcp: GcpSettings
    prices: PriceList
    owner: str

    def build(self, cloud: str, log: PauseLog) -> Provider:
        """Return a cloud's provider as another process builds it."""
        if cloud == "aws":
            return Aws(self.aws, lambda: self.prices, lambda: self.owner, SystemClock(), log)
        if cloud == "gcp":
            return Gcp(self.gcp, lambda: self.prices, SystemClock(), log)
        return Azure(self.azure, lambda: self.prices, SystemClock(), log)


def gpu_offer(provider: Provider, market: Market | None = None) -> Offer:
    """Return an offer with GPUs in stock, of a market or any."""
    in_stock = (o for o in provider.offers().items if o.machine.gpus and o.stock != 0)
    return next(offer for offer in in_stock if market in {None, offer.key.market})


def started(provider: Provider, offer: Offer, name: str, owner: str) -> CloudInstance:
    """Launch a worker with an empty script."""
    return provider.launch(LaunchOrder(InstanceId(name), offer.key, Role.WORKER, owner, "true", None))


@contextmanager
def embedded_clouds(folder: Path, owner: str) -> Iterator[Clouds]:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000001",
        "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000002",
        "AZURE_CLIENT_SECRET": "embedded",
    }
    clouds = EmbeddedClouds(folder, host_folder=folder / "h", ray_token_file=folder / "token", dry=True)
    addresses = clouds.start()
    prices = load_prices(("aws", "gcp", "azure"), CATALOG, NOON)
    timeout = 10.0
    aws = AwsSettings(
        regions=("us-east-1", "eu-central-1"),
        images=dict.fromkeys(("us-east-1", "eu-central-1"), "ami-12c6146b"),
        rebalance_queues=dict.fromkeys(("us-east-1", "eu-central-1"), rebalance_queue(addresses.aws)),
        endpoint_url=addresses.aws,
        timeout_seconds=timeout,
    )
    gcp = GcpSettings(
        project="p", regions=("us-central1", "europe-west4"), image="i", endpoint=addresses.gcp, timeout_seconds=timeout
    )
    azure = AzureSettings(
        subscription_id="a0",
        resource_group="skerry",
        regions=("eastus", "westeurope"),
        image="/i",
        subnets={"eastus": "/subnets/a", "westeurope": "/subnets/b"},
        head_interfaces={r: f"/networkInterfaces/skerry-head-{r}" for r in ("eastus", "westeurope")},
        ssh_public_key="ssh-ed25519 AAAA",
        endpoint=addresses.azure,
        ca_file=addresses.ca_file,
        prices_url=f"{addresses.azure}/api/retail/prices",
        timeout_seconds=timeout,
    )
    try:
        yield Clouds(
            clouds,
            {
                "aws": Aws(aws, lambda: prices, lambda: owner, SystemClock()),
                "gcp": Gcp(gcp, lambda: prices, SystemClock()),
                "azure": Azure(azure, lambda: prices, SystemClock()),
            },
            asdict(addresses),
            azure,
            aws,
            gcp,
            prices,
            owner,
        )
    finally:
        clouds.stop()
