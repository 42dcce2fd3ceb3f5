"""EC2's rebalance recommendations: from EventBridge into a queue, and from there to the notices."""

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
from providers.emulator.regions import CATALOG
from providers.faults import Fault, FaultKind
from providers.price_catalogue import load_prices
from state.clock import SystemClock
from state.model.catalog import Market
from state.model.ids import region_name
from state.model.inventory import CloudInstance, NoticeKind
from tests.builders import NOON
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


def another_reader(clouds: Clouds, **changes: Any) -> Aws:
    """Return a second provider, without what the first one has read."""
    prices = load_prices(("aws",), CATALOG, NOON)
    return Aws(clouds.aws.model_copy(update=changes), lambda: prices, lambda: OWNER, SystemClock())


def launched(clouds: Clouds, name: str = "sk-spot") -> CloudInstance:
    aws = clouds.providers["aws"]
    return started(aws, gpu_offer(aws, Market.SPOT), name, OWNER)


def queue(clouds: Clouds, machine: CloudInstance) -> tuple[Any, str]:
    """Return an SQS client and the queue's URL, of a machine's region."""
    region = region_name(machine.key.region)
    client: Any = boto3.client("sqs", region_name=region, endpoint_url=clouds.addresses["aws"])
    return client, clouds.aws.rebalance_queues[region]


@pytest.mark.clouds
def test_a_recommendation_is_a_notice_to_its_owner_in_every_reader(clouds: Clouds) -> None:
    machine, aws = launched(clouds), clouds.providers["aws"]
    assert clouds.embedded.backend.recommend_rebalance(machine.instance_id)

    [notice] = aws.notices(OWNER).items
    [again] = aws.notices(OWNER).items

    assert (notice.instance_id, notice.region, notice.kind) == ("sk-spot", machine.key.region, NoticeKind.REBALANCE)
    assert again == notice, "a notice stays while its message is invisible in the queue"
    assert aws.notices("sk-another-owner").items == ()
    client, url = queue(clouds, machine)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert sum(map(int, left.values())) == 1, "the message stays for other readers"


@pytest.mark.clouds
def test_a_recommendation_ends_with_its_machine(clouds: Clouds) -> None:
    machine, aws = launched(clouds), clouds.providers["aws"]
    clouds.embedded.backend.recommend_rebalance(machine.instance_id)
    assert aws.notices(OWNER).items

    aws.terminate(machine.key, machine.instance_id, machine.cloud_id)

    assert aws.notices(OWNER).items == ()


@pytest.mark.clouds
def test_other_messages_are_ignored_and_long_queues_are_read_to_the_end(clouds: Clouds) -> None:
    machine = launched(clouds)
    client, url = queue(clouds, machine)
    for number in range(25):
        client.send_message(QueueUrl=url, MessageBody=f"not JSON {number}")
    client.send_message(QueueUrl=url, MessageBody=json.dumps({"detail-type": "EC2 Instance State-change Notification"}))
    clouds.embedded.backend.recommend_rebalance(machine.instance_id)

    [notice] = clouds.providers["aws"].notices(OWNER).items

    assert notice.kind is NoticeKind.REBALANCE


@pytest.mark.clouds
def test_an_unreadable_queue_is_unreachable_and_hides_no_interruption(clouds: Clouds) -> None:
    machine = launched(clouds)
    region = region_name(machine.key.region)
    aws = another_reader(clouds, rebalance_queues={region: f"{clouds.addresses['aws']}/123456789012/nowhere"})
    clouds.embedded.backend.reclaim(machine.instance_id)

    seen = aws.notices(OWNER)

    assert [notice.kind for notice in seen.items] == [NoticeKind.INTERRUPTION]
    assert set(seen.unreachable) == {machine.key.region}
    assert "NonExistentQueue" in seen.unreachable[machine.key.region]


@pytest.mark.clouds
def test_without_a_queue_none_is_read(clouds: Clouds) -> None:
    aws = another_reader(clouds, rebalance_queues={})
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "aws", "notices", skip=4))

    assert aws.notices(OWNER).unreachable == {}, "two calls a region, and no fifth"


def test_a_queue_of_an_unused_region_is_refused() -> None:
    with pytest.raises(ValidationError, match="rebalance_queues names us-west-2, which is not among the regions"):
        AwsSettings(regions=("us-east-1",), images={}, rebalance_queues={"us-west-2": "https://queue"})


def test_the_documented_rule_is_the_tested_one() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "how-to" / "providers.md").read_text()

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
def test_other_events_are_no_recommendation(event: str) -> None:
    assert read_recommendation(event, NOON) is None


def test_a_recommendation_counts_for_an_hour() -> None:
    event = {"detail-type": RECOMMENDATION, "time": f"{NOON:%Y-%m-%dT%H:%M:%SZ}", "detail": {"instance-id": "i-1"}}

    assert read_recommendation(json.dumps(event), NOON + RECOMMENDATION_MAX_AGE - timedelta(seconds=1)) == ("i-1", NOON)
    assert read_recommendation(json.dumps(event), NOON + RECOMMENDATION_MAX_AGE) is None
