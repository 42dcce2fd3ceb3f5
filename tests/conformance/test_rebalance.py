"""EC2's recommendations to rebalance: from EventBridge into a queue, and from there to the notices."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from pydantic import ValidationError

from providers.aws.machines import Aws
from providers.aws.notices import RECOMMENDATION, RECOMMENDATION_MAX_AGE, read_recommendation
from providers.aws.settings import AwsSettings
from providers.emulator.ec2_events import PATTERN
from providers.emulator.scene import CATALOG
from providers.faults import Fault, FaultKind
from providers.price_catalogue import load_prices
from state.clock import SystemClock
from state.model.catalog import Market
from state.model.ids import region_name
from state.model.inventory import CloudInstance, NoticeKind
from tests.builders import NOON
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started
from tests.conformance.provider_contract import OWNER


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


def another_reader(clouds: Clouds, **changes: Any) -> Aws:
    """Return the provider as another process has it, which knows nothing of what this one has read."""
    prices = load_prices(("aws",), CATALOG, NOON)
    return Aws(clouds.aws.model_copy(update=changes), lambda: prices, lambda: OWNER, SystemClock())


def launched(clouds: Clouds, name: str = "sk-spot") -> CloudInstance:
    aws = clouds.providers["aws"]
    return started(aws, gpu_offer(aws, Market.SPOT), name, OWNER)


def queue(clouds: Clouds, machine: CloudInstance) -> tuple[Any, str]:
    """Return (a client, the queue's URL) of a machine's region."""
    region = region_name(machine.key.region)
    client: Any = boto3.client("sqs", region_name=region, endpoint_url=clouds.addresses["aws"])
    return client, clouds.aws.rebalance_queues[region]


@pytest.mark.clouds
def test_a_recommendation_is_told_to_its_owner_and_to_every_reader(clouds: Clouds) -> None:
    machine, aws = launched(clouds), clouds.providers["aws"]
    assert clouds.embedded.world.recommend(machine.instance_id)

    [notice] = aws.notices(OWNER).items
    [again] = aws.notices(OWNER).items

    assert (notice.instance_id, notice.region, notice.kind) == ("sk-spot", machine.key.region, NoticeKind.REBALANCE)
    assert again == notice, "what was read is not forgotten while the message is hidden"
    assert aws.notices("sk-somebody-else").items == ()
    client, url = queue(clouds, machine)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert sum(map(int, left.values())) == 1, "others are to read it too"


@pytest.mark.clouds
def test_a_recommendation_ends_with_its_machine(clouds: Clouds) -> None:
    machine, aws = launched(clouds), clouds.providers["aws"]
    clouds.embedded.world.recommend(machine.instance_id)
    assert aws.notices(OWNER).items

    aws.terminate(machine.key, machine.instance_id, machine.cloud_id)

    assert aws.notices(OWNER).items == ()


@pytest.mark.clouds
def test_whatever_else_is_in_the_queue_is_passed_over_and_long_queues_are_read_to_the_end(clouds: Clouds) -> None:
    machine = launched(clouds)
    client, url = queue(clouds, machine)
    for number in range(25):
        client.send_message(QueueUrl=url, MessageBody=f"not JSON {number}")
    client.send_message(QueueUrl=url, MessageBody=json.dumps({"detail-type": "EC2 Instance State-change Notification"}))
    clouds.embedded.world.recommend(machine.instance_id)

    [notice] = clouds.providers["aws"].notices(OWNER).items

    assert notice.kind is NoticeKind.REBALANCE


@pytest.mark.clouds
def test_a_queue_that_cannot_be_read_is_told_and_hides_no_interruption(clouds: Clouds) -> None:
    machine = launched(clouds)
    region = region_name(machine.key.region)
    aws = another_reader(clouds, rebalance_queues={region: f"{clouds.addresses['aws']}/123456789012/nowhere"})
    clouds.embedded.world.reclaim(machine.instance_id)

    seen = aws.notices(OWNER)

    assert [notice.kind for notice in seen.items] == [NoticeKind.INTERRUPTION]
    assert set(seen.unreachable) == {machine.key.region}
    assert "NonExistentQueue" in seen.unreachable[machine.key.region]


@pytest.mark.clouds
def test_without_a_queue_none_is_asked(clouds: Clouds) -> None:
    aws = another_reader(clouds, rebalance_queues={})
    clouds.embedded.world.faults.add(Fault(FaultKind.DENIED, "aws", "notices", skip=4))

    assert aws.notices(OWNER).unreachable == {}, "two calls a region, and no fifth"


def test_a_queue_of_a_region_that_is_not_used_is_refused() -> None:
    with pytest.raises(ValidationError, match="rebalance_queues names us-west-2, which is not among the regions"):
        AwsSettings(regions=("us-east-1",), images={}, rebalance_queues={"us-west-2": "https://queue"})


def test_the_documented_rule_is_the_one_that_is_tried_here() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()

    assert json.dumps(PATTERN) in documented


@pytest.mark.parametrize(
    "event",
    [
        "",
        "[]",
        "null",
        json.dumps({"detail-type": RECOMMENDATION}),
        json.dumps({"detail-type": RECOMMENDATION, "time": "soon", "detail": {"instance-id": "i-1"}}),
        json.dumps({"detail-type": RECOMMENDATION, "time": "2026-01-01T12:00:00", "detail": {"instance-id": "i-1"}}),
        json.dumps({"detail-type": "EC2 Spot Instance Interruption Warning", "detail": {"instance-id": "i-1"}}),
    ],
)
def test_what_is_no_recommendation_is_none(event: str) -> None:
    assert read_recommendation(event, NOON) is None


def test_a_recommendation_counts_for_an_hour() -> None:
    event = {"detail-type": RECOMMENDATION, "time": f"{NOON:%Y-%m-%dT%H:%M:%SZ}", "detail": {"instance-id": "i-1"}}

    assert read_recommendation(json.dumps(event), NOON + RECOMMENDATION_MAX_AGE - timedelta(seconds=1)) == ("i-1", NOON)
    assert read_recommendation(json.dumps(event), NOON + RECOMMENDATION_MAX_AGE) is None
