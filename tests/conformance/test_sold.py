"""What is sold, exactly: zones, parts of GPUs, sizes without zones and subnets, on every embedded cloud."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from providers.aws.machines import Aws
from providers.azure.machines import Azure
from providers.base import LaunchOrder, Observation, Provider
from providers.emulator.backend import SpecialZone
from providers.emulator.regions import CATALOG, Size
from providers.errors import InvalidError, ShortageError
from providers.exclusions import ExclusionKind
from providers.gcp.machines import Gcp
from providers.price_catalogue import load_prices
from providers.prices import PriceList
from state.clock import SystemClock
from state.model.catalog import Market, Offer, OfferKey, Price
from state.model.ids import InstanceId, RegionId, region_name
from state.model.inventory import Role
from state.model.units import Usd
from tests.builders import NOON
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, started

pytestmark = pytest.mark.clouds

VIRGINIA, IOWA, EAST_US = RegionId("aws/us-east-1"), RegionId("gcp/us-central1"), RegionId("azure/eastus")
DALLAS = SpecialZone("us-east-1-dfw-2a", VIRGINIA, "local-zone", "us-east-1-dfw-2", ("g6.xlarge",), subnet="subnet-dfw")
PARTS = {
    "aws": (VIRGINIA, "us-east-1", Size("g6f.large", 2, 8, 1, "L4", 2.8), "1/8 of one L4, 2.79 GiB"),
    "gcp": (IOWA, "us-central1-a", Size("g4-standard-6", 6, 22, 1, "RTXPRO6000", 12), "1/8 of one RTXPRO6000, 12 GiB"),
    "azure": (EAST_US, "eastus", Size("Standard_NV6ads_A10_v5", 6, 55, 1, "A10", 4), "1/6 of one A10, 4 GiB"),
}
"""A size with a part of a GPU, where it is priced, and what it has by the cloud's own data."""


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


def rebuilt(clouds: Clouds, cloud: str, *priced: tuple[str, str, float], **changes: Any) -> Provider:
    """Return a cloud's provider with other settings, and with prices of more (location, instance type)."""
    listed = load_prices((cloud,), CATALOG, NOON).prices
    more = {
        (cloud, location, name, market): Price(Usd.of(usd), "test", NOON)
        for location, name, usd in priced
        for market in (Market.ON_DEMAND, Market.SPOT)
    }
    prices = PriceList(listed | more)
    built: dict[str, Callable[[], Provider]] = {
        "aws": lambda: Aws(clouds.aws.model_copy(update=changes), lambda: prices, lambda: OWNER, SystemClock()),
        "gcp": lambda: Gcp(clouds.gcp.model_copy(update=changes), lambda: prices, SystemClock()),
        "azure": lambda: Azure(clouds.azure.model_copy(update=changes), lambda: prices, SystemClock()),
    }
    return built[cloud]()


def causes(observed: Observation[Offer], kind: ExclusionKind) -> set[tuple[str, str]]:
    """Return (region, subject) of what is left out for a cause."""
    return {(region_name(one.region), one.subject) for one in observed.left_out if one.kind is kind}


def sold_in(observed: Observation[Offer], zone: str) -> list[Offer]:
    return [offer for offer in observed.items if offer.key.zone == zone]


# Zones with prices of their own.


def subnets_of(clouds: Clouds, region: str) -> dict[str, str]:
    """Return the subnets of the default VPC, by zone."""
    ec2: Any = boto3.client("ec2", region_name=region, endpoint_url=clouds.addresses["aws"])
    return {one["AvailabilityZone"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}


def test_a_local_zone_is_sold_at_its_own_groups_price_and_never_at_its_regions(clouds: Clouds) -> None:
    clouds.embedded.backend.special_zones.append(DALLAS)
    subnets = {**subnets_of(clouds, "us-east-1"), DALLAS.name: DALLAS.subnet}

    without = rebuilt(clouds, "aws", subnets=subnets).offers()
    priced = rebuilt(clouds, "aws", (DALLAS.group, "g6.xlarge", 1.25), subnets=subnets).offers()

    assert sold_in(without, DALLAS.name) == []
    assert causes(without, ExclusionKind.ZONE_WITHOUT_PRICES) == {("us-east-1", DALLAS.name)}
    assert {o.price.per_hour for o in sold_in(priced, DALLAS.name)} == {Usd.of(1.25)}
    assert causes(priced, ExclusionKind.ZONE_WITHOUT_PRICES) == set()


def test_a_dry_run_is_in_a_usual_zone_and_needs_one_with_a_subnet(clouds: Clouds) -> None:
    clouds.embedded.backend.special_zones.append(DALLAS)
    clouds.embedded.aws.record_bodies = True
    usual = {"us-east-1b": subnets_of(clouds, "us-east-1")["us-east-1b"]}

    dry: Any = rebuilt(clouds, "aws", subnets={DALLAS.name: DALLAS.subnet, **usual})
    dry.dry_run(VIRGINIA)

    [sent] = [c.request for c in clouds.embedded.aws.calls if c.operation == "launch"]
    assert b"Placement.AvailabilityZone=us-east-1b" in sent
    nowhere: Any = rebuilt(clouds, "aws", subnets={"us-east-1a": "subnet-unknown"})
    with pytest.raises(InvalidError, match="no zone has a subnet"):
        nowhere.dry_run(VIRGINIA)


def test_a_zone_that_the_account_has_not_opted_in_to_is_left_out_with_that_cause(clouds: Clouds) -> None:
    clouds.embedded.backend.special_zones.append(replace(DALLAS, is_enabled=False))

    observed = rebuilt(clouds, "aws", (DALLAS.group, "g6.xlarge", 1.25)).offers()

    assert sold_in(observed, DALLAS.name) == []
    assert causes(observed, ExclusionKind.ZONE_NOT_ENABLED) == {("us-east-1", DALLAS.name)}


def test_an_ai_zone_of_gcps_is_sold_at_its_own_price_and_never_at_its_regions(clouds: Clouds) -> None:
    zone, backend = "us-central1-ai1a", clouds.embedded.backend
    usual = backend.regions[IOWA]
    backend.regions[IOWA] = replace(usual, zones=(*usual.zones, zone))
    regional = ("us-central1", "g2-standard-4", 0.5)

    without = rebuilt(clouds, "gcp", regional).offers()
    priced = rebuilt(clouds, "gcp", regional, (zone, "g2-standard-4", 1.5)).offers()

    assert sold_in(without, zone) == []
    assert causes(without, ExclusionKind.ZONE_WITHOUT_PRICES) == {("us-central1", zone)}
    assert {o.price.per_hour for o in sold_in(priced, zone)} == {Usd.of(1.5)}


def test_a_size_that_only_an_edge_zone_of_azures_has_is_left_out_with_that_cause(clouds: Clouds) -> None:
    size = "Standard_NC4as_T4_v3"
    clouds.embedded.backend.edge_sizes[EAST_US, size] = "losangeles"

    observed = clouds.providers["azure"].offers()

    assert {o.key.region for o in observed.items if o.key.instance_type == size} == {"azure/westeurope"}
    assert causes(observed, ExclusionKind.ZONE_WITHOUT_PRICES) == {("eastus", size)}


# Parts of GPUs.


@pytest.mark.parametrize("cloud", list(PARTS))
def test_a_size_with_a_part_of_a_gpu_is_never_sold_though_it_has_a_price(clouds: Clouds, cloud: str) -> None:
    region, location, size, has = PARTS[cloud]
    backend = clouds.embedded.backend
    backend.sizes[cloud][size.name] = size
    backend.regions[region].stock[size.name, False] = 1

    observed = rebuilt(clouds, cloud, (location, size.name, 0.3)).offers()

    assert [o for o in observed.items if o.key.instance_type == size.name] == []
    assert causes(observed, ExclusionKind.PART_OF_GPU) == {(region_name(region), size.name)}
    assert {one.detail for one in observed.left_out if one.kind is ExclusionKind.PART_OF_GPU} == {has}


@pytest.mark.parametrize(
    ("cloud", "region", "location", "size"),
    [
        ("gcp", IOWA, "us-central1-a", Size("g4-standard-48", 48, 180, 1, "RTXPRO6000", 96)),
        ("azure", EAST_US, "eastus", Size("Standard_NV36ads_A10_v5", 36, 440, 1, "A10", 24)),
    ],
)
def test_the_sizes_of_such_a_series_with_whole_gpus_are_sold(
    clouds: Clouds, cloud: str, region: RegionId, location: str, size: Size
) -> None:
    backend = clouds.embedded.backend
    backend.sizes[cloud][size.name] = size
    backend.regions[region].stock[size.name, False] = 1

    observed = rebuilt(clouds, cloud, (location, size.name, 3.0)).offers()

    [machine] = {o.machine for o in observed.items if (o.key.instance_type, o.key.region) == (size.name, region)}
    assert (machine.gpu, machine.gpus, machine.gpu_memory_gib) == (size.gpu, 1, size.gpu_memory_gib)


# Azure's sizes without zones.


@pytest.fixture
def zoneless(clouds: Clouds) -> OfferKey:
    """Let a size be in no zone, and return its offer's key."""
    size, backend = "Standard_NC4as_T4_v3", clouds.embedded.backend
    backend.zoneless_sizes.add((EAST_US, size))
    for is_spot in (True, False):
        backend.set_stock(EAST_US, "-", size, 1, is_spot=is_spot)
    return OfferKey(EAST_US, "-", size, Market.ON_DEMAND)


@pytest.mark.parametrize("market", [Market.ON_DEMAND, Market.SPOT])
def test_a_size_without_zones_is_sold_and_launched_in_its_region(
    clouds: Clouds, zoneless: OfferKey, market: Market
) -> None:
    azure, key = clouds.providers["azure"], replace(zoneless, market=market)
    clouds.embedded.azure.record_bodies = True

    [offer] = [o for o in azure.offers().items if o.key == key]
    started(azure, offer, "sk-zoneless", OWNER)

    assert [seen.key for seen in azure.instances(OWNER).items] == [key]
    [sent] = [c.request for c in clouds.embedded.azure.calls if c.operation == "launch"]
    assert b'"zones"' not in sent
    with pytest.raises(ShortageError):
        started(azure, offer, "sk-second", OWNER)


def test_a_size_that_is_restricted_in_every_zone_is_sold_in_its_region(clouds: Clouds) -> None:
    size, backend = "Standard_NC4as_T4_v3", clouds.embedded.backend
    info = {"locations": ["eastus"], "zones": ["1", "2"]}
    every = {"type": "Zone", "values": ["eastus"], "restrictionInfo": info, "reasonCode": "NotAvailableForSubscription"}
    backend.sku_restrictions[EAST_US, size] = [every]

    observed = clouds.providers["azure"].offers()

    there = {o.key.zone for o in observed.items if (o.key.region, o.key.instance_type) == (EAST_US, size)}
    assert there == {"-"}
    found = causes(observed, ExclusionKind.RESTRICTED)
    assert found == {("eastus", f"{size} in zone 1"), ("eastus", f"{size} in zone 2")}


def test_a_size_that_is_restricted_in_its_region_is_left_out_with_azures_reason(clouds: Clouds) -> None:
    size, backend = "Standard_NC4as_T4_v3", clouds.embedded.backend
    info = {"locations": ["eastus"]}
    all_of_it = {"type": "Location", "values": ["eastus"], "restrictionInfo": info, "reasonCode": "QuotaId"}
    backend.sku_restrictions[EAST_US, size] = [all_of_it]

    observed = clouds.providers["azure"].offers()

    assert not [o for o in observed.items if (o.key.region, o.key.instance_type) == (EAST_US, size)]
    [one] = [one for one in observed.left_out if one.kind is ExclusionKind.RESTRICTED]
    assert (one.subject, one.detail) == (size, "QuotaId")


# Subnets.


def order(region: RegionId, zone: str, name: str) -> LaunchOrder:
    key = OfferKey(region, zone, name, Market.ON_DEMAND)
    return LaunchOrder(InstanceId("sk-astray"), key, Role.WORKER, OWNER, "true", None)


def test_a_zone_of_awss_without_a_subnet_is_not_sold_and_not_launched_in(clouds: Clouds) -> None:
    only = {"us-east-1a": subnets_of(clouds, "us-east-1")["us-east-1a"]}
    aws = rebuilt(clouds, "aws", subnets=only)

    observed = aws.offers()

    assert {o.key.zone for o in observed.items} == {"us-east-1a", "eu-central-1a", "eu-central-1b"}
    assert causes(observed, ExclusionKind.NO_SUBNET) == {("us-east-1", "us-east-1b")}
    with pytest.raises(InvalidError, match="no subnet in us-east-1b"):
        aws.launch(order(VIRGINIA, "us-east-1b", "g6.xlarge"))
    assert clouds.embedded.backend.active_machines() == ()


def test_a_subnet_of_another_zone_or_vpc_is_no_place_to_sell(clouds: Clouds) -> None:
    known = subnets_of(clouds, "us-east-1")
    ec2: Any = boto3.client("ec2", region_name="us-east-1", endpoint_url=clouds.addresses["aws"])
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]

    swapped = {"us-east-1a": known["us-east-1b"], "us-east-1b": "subnet-unknown"}
    elsewhere = rebuilt(clouds, "aws", subnets=swapped).offers()
    apart = rebuilt(clouds, "aws", security_groups={"us-east-1": (foreign,)}).offers()

    both = {("us-east-1", "us-east-1a"), ("us-east-1", "us-east-1b")}
    for observed in (elsewhere, apart):
        assert {o.key.region for o in observed.items} == {"aws/eu-central-1"}
        assert causes(observed, ExclusionKind.WRONG_SUBNET) == both
    assert {one.detail for one in elsewhere.left_out} == {
        f"{known['us-east-1b']} is in us-east-1b",
        "subnet-unknown does not exist",
    }
    assert all(foreign in one.detail for one in apart.left_out)


@pytest.mark.parametrize(
    ("cloud", "settings", "left"),
    [
        ("gcp", {"subnetworks": {"europe-west4": "regions/europe-west4/subnetworks/s"}}, "us-central1"),
        ("gcp", {"network": "projects/host/global/networks/own"}, "us-central1"),
        ("azure", {"subnets": {"westeurope": "/subnets/b"}}, "eastus"),
    ],
)
def test_a_region_without_a_subnet_is_not_sold(clouds: Clouds, cloud: str, settings: dict[str, Any], left: str) -> None:
    clouds.embedded.backend.regions_without_subnetwork.add(IOWA)

    observed = rebuilt(clouds, cloud, **settings).offers()

    sold = {region_name(o.key.region) for o in observed.items}
    assert len(sold) == 1
    assert left not in sold
    assert causes(observed, ExclusionKind.NO_SUBNET) == {(left, "the region")}
    assert not observed.unreachable


def test_azure_starts_nothing_in_a_region_without_a_subnet(clouds: Clouds) -> None:
    azure = rebuilt(clouds, "azure", subnets={"westeurope": "/subnets/b"})

    with pytest.raises(InvalidError, match="no subnet in eastus"):
        azure.launch(order(EAST_US, "1", "Standard_NC4as_T4_v3"))


# The image's root disk.


@pytest.mark.parametrize("root", ["/dev/xvda", "/dev/sda1", "/dev/nvme0n1"])
def test_the_images_own_root_disk_is_the_one_that_is_large_and_encrypted(clouds: Clouds, root: str) -> None:
    clouds.embedded.backend.image_roots["ami-12c6146b"] = root
    aws = clouds.providers["aws"]

    machine = started(aws, next(o for o in aws.offers().items if o.machine.gpus), "sk-root", OWNER)

    region = region_name(machine.key.region)
    ec2: Any = boto3.client("ec2", region_name=region, endpoint_url=clouds.addresses["aws"])
    mine: Any = [{"Name": "attachment.instance-id", "Values": [machine.cloud_id]}]
    [disk] = ec2.describe_volumes(Filters=mine)["Volumes"]
    assert (disk["Size"], disk["Encrypted"]) == (clouds.aws.disk_gib, True)
    assert [one["Device"] for one in disk["Attachments"]] == [root]


def test_an_image_that_does_not_exist_is_reported_and_nothing_of_its_region_is_sold(clouds: Clouds) -> None:
    observed = rebuilt(clouds, "aws", images={"us-east-1": "gone", "eu-central-1": "ami-12c6146b"}).offers()

    assert {o.key.region for o in observed.items} == {"aws/eu-central-1"}
    assert "InvalidAMIID.NotFound" in observed.unreachable[VIRGINIA]
