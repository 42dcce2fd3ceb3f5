"""What a size consists of by its cloud's own data, which zones have prices of their own, and the disks of an image."""

import gzip
import json
from importlib import resources
from types import SimpleNamespace
from typing import Any

import pytest

from providers.aws.catalog import machine_of, unfit
from providers.aws.images import disks_of, image_of
from providers.aws.zones import price_locations
from providers.azure import catalog as azure
from providers.azure.gpus import gpu_share as azure_share
from providers.exclusions import Exclusion, ExclusionKind
from providers.gcp import catalog as gcp
from providers.gcp.gpus import gpu_share as gcp_share
from providers.prices import PriceList
from state.model.catalog import Machine, Market, OfferKey, Price
from state.model.ids import RegionId
from state.model.inventory import CloudInstance, CloudState
from state.model.units import Usd
from tests.builders import NOON, an_instance

VIRGINIA = RegionId("aws/us-east-1")


def ec2_types() -> list[dict[str, Any]]:
    """Return the answers of EC2 that moto carries, of types with GPUs."""
    packed = (resources.files("moto.ec2.resources") / "instance_types.json.gz").read_bytes()
    described = json.loads(gzip.decompress(packed))
    return [{**one, "InstanceType": name} for name, one in sorted(described.items()) if "GpuInfo" in one]


def test_every_ec2_type_has_the_gpu_memory_that_ec2_reports() -> None:
    for described in ec2_types():
        machine = machine_of(described)
        if machine.gpus:
            total = described["GpuInfo"]["TotalGpuMemoryInMiB"]
            assert machine.gpus * machine.gpu_memory_gib * 1024 == total, described["InstanceType"]


def test_the_ec2_types_with_parts_of_gpus_are_left_out_and_no_others() -> None:
    causes = {
        d["InstanceType"]: unfit(VIRGINIA, d, d["ProcessorInfo"]["SupportedArchitectures"][0]) for d in ec2_types()
    }
    parts = {name: cause.detail for name, cause in causes.items() if cause is not None}

    assert parts == {
        "g6f.2xlarge": "1/4 of one L4, 5.59 GiB",
        "g6f.4xlarge": "1/2 of one L4, 11.2 GiB",
        "g6f.large": "1/8 of one L4, 2.79 GiB",
        "g6f.xlarge": "1/8 of one L4, 2.79 GiB",
        "gr6f.4xlarge": "1/2 of one L4, 11.2 GiB",
    }


@pytest.mark.parametrize(
    ("reported", "part"),
    [({"Count": 0}, "a part"), ({"Count": 1, "GpuPartitionSize": 0.5}, "1/2"), ({"GpuPartitionSize": 0.125}, "1/8")],
)
def test_an_ec2_type_of_which_one_figure_alone_shows_the_part_is_left_out(reported: dict[str, Any], part: str) -> None:
    gpu = {"Name": "L4", "MemoryInfo": {"SizeInMiB": 3072}} | reported
    described = {
        "InstanceType": "g6f.large",
        "GpuInfo": {"Gpus": [gpu]},
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 8192},
    }

    cause = unfit(VIRGINIA, described, "x86_64")

    detail = f"{part} of one L4, 3 GiB"
    assert cause == Exclusion(ExclusionKind.PART_OF_GPU, VIRGINIA, "g6f.large", detail)


def test_an_ec2_type_that_cannot_run_the_image_is_left_out() -> None:
    [graviton] = [one for one in ec2_types() if one["InstanceType"] == "g5g.xlarge"]

    cause = unfit(VIRGINIA, graviton, "x86_64")

    assert cause == Exclusion(ExclusionKind.ARCHITECTURE, VIRGINIA, "g5g.xlarge", "arm64; the image is x86_64")
    assert unfit(VIRGINIA, graviton, "arm64") is None


@pytest.mark.parametrize(
    ("size", "gpus", "vcpus", "share"),
    [
        ("Standard_NV6ads_A10_v5", 1, 6, 1 / 6),
        ("Standard_NV12ads_A10_v5", 1, 12, 1 / 3),
        ("Standard_NV18ads_A10_v5", 1, 18, 1 / 2),
        ("Standard_NV36ads_A10_v5", 1, 36, 1),
        ("Standard_NV36adms_A10_v5", 1, 36, 1),
        ("Standard_NV72ads_A10_v5", 2, 72, 1),
        ("Standard_NV6ads_A10_v5", 1 / 6, 36, 1 / 6),
        ("Standard_NC4as_T4_v3", 1, 4, 1),
        ("Standard_NC64as_T4_v3", 4, 64, 1),
        ("Standard_NC24ads_A100_v4", 1, 24, 1),
        ("Standard_NC80adis_H100_v5", 2, 80, 1),
        ("Standard_ND96isr_H100_v5", 8, 96, 1),
        ("Standard_ND40rs_v2", 8, 40, 1),
        ("Standard_NC24rs_v3", 4, 24, 1),
    ],
)
def test_an_azure_sizes_share_of_a_gpu_is_that_of_its_skus_figures(
    size: str, gpus: float, vcpus: int, share: float
) -> None:
    assert azure_share(size, gpus, vcpus) == pytest.approx(share)


def sku(name: str, **capabilities: object) -> SimpleNamespace:
    listed = [SimpleNamespace(name=key, value=str(value)) for key, value in capabilities.items()]
    return SimpleNamespace(name=name, family="family", capabilities=listed)


def test_an_azure_size_with_a_fractional_gpu_count_is_no_machine_without_gpus() -> None:
    found = azure.machine_of(RegionId("azure/eastus"), sku("Standard_NV12ads_A10_v5", GPUs="0.3333", vCPUs=12))

    assert isinstance(found, Exclusion)
    assert (found.kind, found.detail) == (ExclusionKind.PART_OF_GPU, "1/3 of one A10, 8 GiB")


def test_a_size_with_gpus_of_an_unknown_model_is_left_out_with_that_cause() -> None:
    region = RegionId("azure/eastus")

    assert azure.machine_of(region, sku("Standard_NV4as_v4", GPUs=1, vCPUs=4)) == Exclusion(
        ExclusionKind.UNKNOWN_GPU, region, "Standard_NV4as_v4", "family"
    )
    tpu = [SimpleNamespace(guest_accelerator_type="ct6e", guest_accelerator_count=1)]
    described = SimpleNamespace(name="ct6e-standard-1t", zone="us-central1-a", accelerators=tpu)
    found = gcp.machine_of(described)
    assert isinstance(found, Exclusion)
    assert (found.kind, found.detail) == (ExclusionKind.UNKNOWN_GPU, "ct6e")


@pytest.mark.parametrize(
    ("count", "vcpus", "description", "share"),
    [
        (1, 6, "Graphics Optimized: 1/8 NVIDIA RTX PRO 6000 GPU, 6 vCPUs, 22GB RAM", 1 / 8),
        (1, 48, "Graphics Optimized: 1/2 NVIDIA RTX PRO 6000 GPU", 1 / 2),
        (1, 12, "", 1 / 4),
        (1, 48, "Graphics Optimized: 1 NVIDIA RTX PRO 6000 GPU, 48 vCPUs, 180GB RAM", 1),
        (8, 384, "", 1),
    ],
)
def test_a_gce_types_share_of_a_gpu_is_in_its_description_or_its_vcpus(
    count: int, vcpus: int, description: str, share: float
) -> None:
    assert gcp_share("nvidia-rtx-pro-6000", count, vcpus, description) == pytest.approx(share)


@pytest.mark.parametrize(
    ("zone", "known", "locations"),
    [
        ("us-east-1a", {}, ("us-east-1",)),
        ("us-east-1-dfw-2a", {}, ()),
        ("us-east-1-dfw-2a", {"us-east-1-dfw-2a": "us-east-1-dfw-2"}, ("us-east-1-dfw-2",)),
    ],
)
def test_an_ec2_zones_prices_are_its_regions_only_in_an_availability_zone(
    zone: str, known: dict[str, str], locations: tuple[str, ...]
) -> None:
    key = OfferKey(VIRGINIA, zone, "g6.xlarge", Market.ON_DEMAND)

    assert price_locations(key, known) == locations


@pytest.mark.parametrize(
    ("zone", "locations"),
    [("us-central1-a", ("us-central1-a", "us-central1")), ("us-central1-ai1a", ("us-central1-ai1a",))],
)
def test_a_gce_zones_prices_are_its_regions_only_in_a_usual_zone(zone: str, locations: tuple[str, ...]) -> None:
    assert gcp.price_locations(OfferKey(RegionId("gcp/us-central1"), zone, "g2-standard-4", Market.SPOT)) == locations


def test_a_machine_in_a_zone_with_prices_of_its_own_is_not_said_to_cost_what_its_region_does() -> None:
    prices = PriceList({("aws", "us-east-1", "g6.xlarge", Market.ON_DEMAND): Price(Usd.of(0.8), "list", NOON)})
    there = OfferKey(VIRGINIA, "us-east-1-dfw-2a", "g6.xlarge", Market.ON_DEMAND)
    name = an_instance().id
    seen = CloudInstance("i-1", name, there, CloudState.RUNNING, None, NOON)

    [paid] = prices.paid([seen], lambda key: price_locations(key, {}))

    assert paid.price_per_hour is None


IMAGE = {
    "Architecture": "arm64",
    "RootDeviceName": "/dev/xvda",
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 50, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 300}},
    ],
}


def test_the_disks_of_an_image_are_encrypted_end_with_the_machine_and_hold_its_snapshot() -> None:
    root, other = disks_of(image_of(IMAGE), 200)

    safe = {"Encrypted": True, "DeleteOnTermination": True}
    assert root == {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 300, "VolumeType": "gp3"} | safe}
    assert other == {"DeviceName": "/dev/sdf", "Ebs": safe}
    assert disks_of(image_of(IMAGE), 400)[0]["Ebs"]["VolumeSize"] == 400


def test_every_size_that_is_sold_has_whole_gpus() -> None:
    fit = [d for d in ec2_types() if unfit(VIRGINIA, d, d["ProcessorInfo"]["SupportedArchitectures"][0]) is None]

    machines: list[Machine] = [machine_of(described) for described in fit]
    assert machines
    assert all(machine.gpus >= 1 for machine in machines)
