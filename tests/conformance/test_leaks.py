"""Disks and interfaces end with their machine in every cloud, and only if the launch requests that."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import httpx
import pytest

from providers.aws.machines import Aws
from providers.base import Provider
from providers.emulator.regions import CATALOG
from providers.errors import ShortageError
from providers.price_catalogue import load_prices
from state.clock import SystemClock
from state.model.catalog import Market
from state.model.ids import InstanceId, region_name
from state.model.inventory import CloudInstance
from tests.builders import NOON
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started

pytestmark = pytest.mark.clouds


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


def ended(provider: Provider, machine: CloudInstance) -> None:
    provider.terminate(machine.key, machine.instance_id, machine.cloud_id)


def trusted(clouds: Clouds) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=clouds.addresses["ca_file"])


def azures(clouds: Clouds, kind: str) -> set[str]:
    """Return the names of the resources of a kind."""
    url = f"{clouds.addresses['azure']}/subscriptions/s/resourceGroups/skerry/providers/{kind}"
    return {one["name"] for one in httpx.get(url, verify=trusted(clouds), trust_env=False).json()["value"]}


def azures_disks_and_interfaces(clouds: Clouds) -> set[str]:
    return azures(clouds, "Microsoft.Compute/disks") | azures(clouds, "Microsoft.Network/networkInterfaces")


def test_a_disk_of_gcps_ends_with_its_machine(clouds: Clouds) -> None:
    provider = clouds.providers["gcp"]
    machine = started(provider, gpu_offer(provider), "sk-beside", OWNER)

    def disks() -> set[str]:
        answer = httpx.get(f"{clouds.addresses['gcp']}/compute/v1/projects/p/aggregated/disks", trust_env=False)
        return {disk["name"] for zone in answer.json()["items"].values() for disk in zone.get("disks", [])}

    assert "sk-beside" in disks()
    ended(provider, machine)
    assert "sk-beside" not in disks()


def test_a_disk_of_awss_ends_with_its_machine(clouds: Clouds) -> None:
    provider = clouds.providers["aws"]
    machine = started(provider, gpu_offer(provider), "sk-beside", OWNER)
    region = region_name(machine.key.region)
    ec2 = boto3.client("ec2", region_name=region, endpoint_url=clouds.addresses["aws"])

    def volumes() -> int:
        mine: Any = [{"Name": "attachment.instance-id", "Values": [machine.cloud_id]}]
        return len(ec2.describe_volumes(Filters=mine)["Volumes"])

    assert volumes() == 1
    ended(provider, machine)
    assert volumes() == 0


def test_an_interface_of_awss_is_requested_to_end_with_its_machine(clouds: Clouds) -> None:
    # Moto keeps the interfaces of ended machines, so only the request can be checked.
    offer = gpu_offer(clouds.providers["aws"])
    region, prices = region_name(offer.key.region), load_prices(("aws",), CATALOG, NOON)
    ec2: Any = boto3.client("ec2", region_name=region, endpoint_url=clouds.addresses["aws"])
    zones = {one["AvailabilityZone"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}
    aws = Aws(clouds.aws.model_copy(update={"subnets": zones}), lambda: prices, lambda: OWNER, SystemClock())
    clouds.embedded.aws.record_bodies = True

    started(aws, offer, "sk-interface", OWNER)

    [request] = [dict(parse_qsl(c.request.decode())) for c in clouds.embedded.aws.calls if c.operation == "launch"]
    assert request["NetworkInterface.1.SubnetId"] == zones[offer.key.zone]
    assert request["NetworkInterface.1.DeleteOnTermination"] == "true"


def test_a_disk_and_an_interface_of_azures_end_with_their_machine(clouds: Clouds) -> None:
    provider = clouds.providers["azure"]
    machine = started(provider, gpu_offer(provider), "sk-beside", OWNER)

    assert azures_disks_and_interfaces(clouds) == {"sk-beside_OsDisk_1", "sk-beside-nic"}
    ended(provider, machine)
    assert azures_disks_and_interfaces(clouds) == set()


def test_a_failed_creation_leaves_no_resources_on_azure(clouds: Clouds) -> None:
    provider = clouds.providers["azure"]
    offer = gpu_offer(provider)
    key = offer.key
    clouds.embedded.backend.set_stock(key.region, key.zone, key.instance_type, 0, is_spot=key.market is Market.SPOT)

    with pytest.raises(ShortageError):
        started(provider, offer, "sk-failed", OWNER)

    assert azures_disks_and_interfaces(clouds) == set()


def test_resources_without_a_delete_option_stay_on_azure(clouds: Clouds) -> None:
    provider = clouds.providers["azure"]
    key = gpu_offer(provider).key
    properties = {
        "hardwareProfile": {"vmSize": key.instance_type},
        "storageProfile": {"osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "careless"},
        "networkProfile": {"networkInterfaceConfigurations": [{"name": "nic", "properties": {"primary": True}}]},
    }
    body = {"location": region_name(key.region), "zones": [key.zone], "properties": properties}
    path = "/subscriptions/s/resourceGroups/skerry/providers/Microsoft.Compute/virtualMachines/sk-careless"
    httpx.put(f"{clouds.addresses['azure']}{path}", json=body, verify=trusted(clouds), trust_env=False)

    provider.terminate(key, InstanceId("sk-careless"), "sk-careless")

    assert azures_disks_and_interfaces(clouds) == {"sk-careless_OsDisk_1", "sk-careless-nic"}
