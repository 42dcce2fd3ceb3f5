"""EventBridge and SQS of the embedded AWS, which are moto's, with what Terraform makes there.

A rule per region sends EC2's recommendations to rebalance to a queue. Source of the event: EC2 User Guide, "EC2
instance rebalance recommendations".
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from moto.events.models import events_backends
from moto.sqs.models import sqs_backends

from providers.emulator.regions import AWS_ACCOUNT, REBALANCE_QUEUE

RECOMMENDATION: Final = "EC2 Instance Rebalance Recommendation"
PATTERN: Final = {"source": ["aws.ec2"], "detail-type": [RECOMMENDATION]}


class SpotEvents:
    """What EC2 tells of spot machines through EventBridge."""

    def __init__(self, regions: Iterable[str]) -> None:
        """Forget what an earlier world told in this process, and make a rule and a queue in each region."""
        self._regions = tuple(regions)
        self.forget()
        for region in self._regions:
            queue = sqs_backends[AWS_ACCOUNT][region].create_queue(REBALANCE_QUEUE)
            bridge: Any = events_backends[AWS_ACCOUNT][region]
            bridge.put_rule(REBALANCE_QUEUE, event_pattern=json.dumps(PATTERN))
            bridge.put_targets(REBALANCE_QUEUE, None, [{"Id": REBALANCE_QUEUE, "Arn": queue.queue_arn}])

    def forget(self) -> None:
        """Take rules, queues and messages away."""
        for region in self._regions:
            for backends in (sqs_backends, events_backends):
                backends[AWS_ACCOUNT][region].reset()

    def recommend(self, region: str, zone: str, cloud_id: str, now: datetime) -> None:
        """Tell that a spot machine is likelier than usual to be taken back."""
        event = {
            "Source": "aws.ec2",
            "DetailType": RECOMMENDATION,
            "Detail": json.dumps({"instance-id": cloud_id}),
            "Resources": [f"arn:aws:ec2:{zone}:instance/{cloud_id}"],
            "Time": now.timestamp(),
        }
        events_backends[AWS_ACCOUNT][region].put_events([event])
