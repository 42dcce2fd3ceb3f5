"""The tags and labels of the settings: on every resource that a launch creates, beside Skerry's own."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import httpx
import pytest

from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG, Provider
from state.model.catalog import Market
from state.model.ids import region_name
from state.model.inventory import CloudInstance
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started
from tests.conformance.test_sold import rebuilt

pytestmark = pytest.mark.clouds

WANTED = {"cost-centre": "4711", "team": "inference"}
OWN = {OWNER_TAG: OWNER, INSTANCE_TAG: "sk-tagged", ROLE_TAG: "worker"}


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


def tagged(clouds: Clouds, cloud: str, market: Market = Market.SPOT, **more: Any) -> tuple[Provider, CloudInstance]:
    """Start a machine with the tags, recording the requests."""
    getattr(clouds.embedded, cloud).record_bodies = True
    provider = rebuilt(clouds, cloud, **{"labels" if cloud == "gcp" else "tags": WANTED}, **more)
    return provider, started(provider, gpu_offer(provider, market), "sk-tagged", OWNER)


def launches(clouds: Clouds, cloud: str) -> list[bytes]:
    return [call.request for call in getattr(clouds.embedded, cloud).calls if call.operation == "launch"]


def ec2_tag_specifications(request: bytes) -> dict[str, dict[str, str]]:
    """Return the tags by type of resource, as a request for a launch has them."""
    form, found = dict(parse_qsl(request.decode())), dict[str, dict[str, str]]()
    kinds = {name.split(".")[1]: kind for name, kind in form.items() if name.endswith(".ResourceType")}
    for number, kind in kinds.items():
        keys = {
            n.split(".")[3]: v
            for n, v in form.items()
            if n.startswith(f"TagSpecification.{number}.Tag.") and n.endswith("Key")
        }
        found[kind] = {key: form[f"TagSpecification.{number}.Tag.{tag}.Value"] for tag, key in keys.items()}
    return found


def test_everything_that_ec2_creates_has_the_tags(clouds: Clouds) -> None:
    _, machine = tagged(clouds, "aws")

    [request] = launches(clouds, "aws")
    specified = ec2_tag_specifications(request)
    assert set(specified) == {"instance", "volume", "network-interface", "spot-instances-request"}
    assert all(tags == WANTED | OWN | {"Name": "sk-tagged"} for tags in specified.values())
    region = region_name(machine.key.region)
    ec2: Any = boto3.client("ec2", region_name=region, endpoint_url=clouds.addresses["aws"])
    mine: Any = [{"Name": "attachment.instance-id", "Values": [machine.cloud_id]}]
    [volume] = ec2.describe_volumes(Filters=mine)["Volumes"]
    [reservation] = ec2.describe_instances(InstanceIds=[machine.cloud_id])["Reservations"]
    for resource in (volume, reservation["Instances"][0]):
        assert {tag["Key"]: tag["Value"] for tag in resource["Tags"]}.items() >= (WANTED | OWN).items()


def test_ec2s_dry_run_has_the_tags(clouds: Clouds) -> None:
    aws: Any = rebuilt(clouds, "aws", tags=WANTED)
    clouds.embedded.aws.record_bodies = True

    aws.dry_run(aws.regions[0])

    [request] = launches(clouds, "aws")
    assert b"DryRun=true" in request
    assert all(tags.items() >= WANTED.items() for tags in ec2_tag_specifications(request).values())


def test_everything_that_gce_creates_has_the_labels(clouds: Clouds) -> None:
    bound = {"tagKeys/333": "tagValues/444"}
    tagged(clouds, "gcp", resource_manager_tags=bound)

    answer = httpx.get(f"{clouds.addresses['gcp']}/compute/v1/projects/p/aggregated/disks", trust_env=False)
    disks = [disk for zone in answer.json()["items"].values() for disk in zone.get("disks", [])]
    assert [disk["labels"] for disk in disks] == [WANTED | OWN]
    [sent] = [json.loads(request) for request in launches(clouds, "gcp")]
    assert sent["labels"] == WANTED | OWN
    assert sent["params"] == {"resourceManagerTags": bound}
    assert sent["disks"][0]["initializeParams"]["resourceManagerTags"] == bound


def test_everything_that_azure_creates_has_the_tags(clouds: Clouds) -> None:
    tagged(clouds, "azure")

    trusted = ssl.create_default_context(cafile=clouds.addresses["ca_file"])
    group = f"{clouds.addresses['azure']}/subscriptions/a0/resourceGroups/skerry/providers"
    for kind in ("Compute/virtualMachines", "Compute/disks", "Network/networkInterfaces"):
        answer = httpx.get(f"{group}/Microsoft.{kind}", verify=trusted, trust_env=False).json()
        assert [resource["tags"] for resource in answer["value"]] == [WANTED | OWN], kind


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_machine_with_such_tags_is_listed_and_ended_as_any_other(clouds: Clouds, cloud: str) -> None:
    provider, machine = tagged(clouds, cloud, Market.ON_DEMAND)

    assert [seen.instance_id for seen in provider.instances(OWNER).items] == ["sk-tagged"]
    provider.terminate(machine.key, machine.instance_id, machine.cloud_id)
    assert clouds.embedded.backend.active_machines() == ()
