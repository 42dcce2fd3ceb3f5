"""What each cloud is asked for with a machine: safe by default, and nothing beyond the request."""

from typing import Any

import pytest

from providers.aws.images import Image
from providers.aws.machines import Aws
from providers.aws.settings import AwsSettings
from providers.azure.machines import Azure
from providers.azure.settings import AzureSettings
from providers.base import LaunchOrder
from providers.gcp.machines import Gcp
from providers.gcp.settings import GcpSettings
from providers.prices import PriceList
from state.clock import ManualClock
from state.model.catalog import Market, OfferKey
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Role
from tests.builders import NOON

CLOCK = ManualClock(NOON)
IMAGE = Image("x86_64", "/dev/xvda", 8, ())


def order(region: str, market: Market = Market.ON_DEMAND, role: Role = Role.WORKER) -> LaunchOrder:
    key = OfferKey(RegionId(region), "z", "t", market)
    return LaunchOrder(InstanceId("sk-1"), key, role, "sk-owner", "true", None)


def no_prices() -> PriceList:
    return PriceList({})


def aws_request(asked: LaunchOrder, **settings: Any) -> dict[str, Any]:
    made = AwsSettings(regions=("us-east-1",), images={"us-east-1": "ami-1"}, **settings)
    aws = Aws(made, no_prices, lambda: "sk-owner", CLOCK)
    return aws._request(asked, IMAGE)  # noqa: SLF001  what is sent, unsent


def gcp_request(asked: LaunchOrder, **settings: Any) -> dict[str, Any]:
    made = GcpSettings(project="p", regions=("us-central1",), image="i", endpoint="http://127.0.0.1:9", **settings)
    return Gcp(made, no_prices, CLOCK)._body(asked)  # noqa: SLF001  what is sent, unsent


def azure_request(asked: LaunchOrder) -> dict[str, Any]:
    made = AzureSettings(
        subscription_id="s",
        resource_group="g",
        regions=("eastus",),
        image="i",
        subnets={"eastus": "n"},
        ssh_public_key="k",
    )
    return Azure(made, no_prices, CLOCK)._body(asked)  # noqa: SLF001  what is sent, unsent


@pytest.mark.parametrize("asked_for", [False, True])
def test_ec2_gives_no_public_address_unless_asked(asked_for: bool) -> None:  # noqa: FBT001
    request = aws_request(order("aws/us-east-1"), subnets={"z": "subnet-1"}, public_address=asked_for)

    [interface] = request["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"] is asked_for
    assert interface["DeleteOnTermination"] is True
    assert "SubnetId" not in request


def test_ec2_machines_are_locked_down_and_leave_nothing() -> None:
    request = aws_request(order("aws/us-east-1", Market.SPOT), instance_profile="node")

    [disk] = request["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["DeleteOnTermination"]) == (True, True)
    assert request["MetadataOptions"]["HttpTokens"] == "required"
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "KeyName" not in request
    tagged = {spec["ResourceType"] for spec in request["TagSpecifications"]}
    assert tagged == {"instance", "volume", "network-interface", "spot-instances-request"}


def test_gce_ends_a_worker_itself_where_a_life_limit_is_set() -> None:
    limited = gcp_request(order("gcp/us-central1"), max_run_hours=1.5)["scheduling"]
    head = gcp_request(order("gcp/us-central1", role=Role.HEAD), max_run_hours=1.5)["scheduling"]

    assert limited["max_run_duration"] == {"seconds": 5400}
    assert limited["instance_termination_action"] == "DELETE"
    assert "max_run_duration" not in head


def test_gce_machines_have_no_public_address_and_leave_nothing() -> None:
    body = gcp_request(order("gcp/us-central1"))

    [interface] = body["network_interfaces"]
    [disk] = body["disks"]
    assert "access_configs" not in interface
    assert disk["auto_delete"] is True


def test_azure_machines_have_no_public_address_or_password_and_leave_nothing() -> None:
    properties = azure_request(order("azure/eastus"))["properties"]

    [interface] = properties["networkProfile"]["networkInterfaceConfigurations"]
    assert interface["properties"]["deleteOption"] == "Delete"
    assert "publicIPAddressConfiguration" not in str(interface)
    assert properties["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    assert properties["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
