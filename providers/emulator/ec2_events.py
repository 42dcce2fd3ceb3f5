"""Moto's EventBridge and SQS with the rule and queue per region that Terraform creates in a real account.

The rule sends EC2's rebalance recommendations to the queue. Source of the event: EC2 User Guide, "EC2 instance
rebalance recommendations".
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from moto.ec2.models.instances import StateReason
from moto.events.models import events_backends
from moto.sqs.models import sqs_backends

from providers.emulator.backend import EmulatedMachine
from providers.emulator.ends import EndedBy
from providers.emulator.regions import AWS_ACCOUNT, REBALANCE_QUEUE

RECOMMENDATION: Final = "EC2 Instance Rebalance Recommendation"
PATTERN: Final = {"source": ["aws.ec2"], "detail-type": [RECOMMENDATION]}


class SpotEvents:
    """The EventBridge events of EC2 spot machines."""

    def __init__(self, regions: Iterable[str]) -> None:
        """Reset moto's state of an earlier instance in this process, and create a rule and a queue per region."""
        self._regions = tuple(regions)
        self.reset()
        for region in self._regions:
            queue = sqs_backends[AWS_ACCOUNT][region].create_queue(REBALANCE_QUEUE)
            bridge: Any = events_backends[AWS_ACCOUNT][region]
            bridge.put_rule(REBALANCE_QUEUE, event_pattern=json.dumps(PATTERN))
            bridge.put_targets(REBALANCE_QUEUE, None, [{"Id": REBALANCE_QUEUE, "Arn": queue.queue_arn}])

    def reset(self) -> None:
        """Delete rules, queues and messages."""
        for region in self._regions:
            for backends in (sqs_backends, events_backends):
                backends[AWS_ACCOUNT][region].reset()

    def put_rebalance_recommendation(self, region: str, zone: str, cloud_id: str, now: datetime) -> None:
        """Send the event that a spot machine has an elevated risk of interruption."""
        event = {
            "Source": "aws.ec2",
            "DetailType": RECOMMENDATION,
            "Detail": json.dumps({"instance-id": cloud_id}),
            "Resources": [f"arn:aws:ec2:{zone}:instance/{cloud_id}"],
            "Time": now.timestamp(),
        }
        events_backends[AWS_ACCOUNT][region].put_events([event])


REASONS: Final = {
    EndedBy.HOST: ("Server.InternalError", "Server.InternalError: Internal error on launch"),
    EndedBy.RECLAIM: ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Instance terminated by Spot"),
}
"""State reasons of ends that were not requested. Source: botocore, EC2's shape StateReason."""


def show_state(instance: Any, machine: EmulatedMachine, *, has_ended: bool) -> None:
    """Give an instance of moto its machine's state and the reason of its end; moto's own is that of a request."""
    if has_ended and instance.state != "terminated":
        instance.terminate()
        code, text = REASONS.get(machine.ended_by or EndedBy.USER, ("", ""))
        if machine.failure is not None:
            code, text = machine.failure.code, f"{machine.failure.code}: {machine.failure.message}"
        if code:
            instance._reason = text
            instance.state_reason = StateReason(text, code)
    if machine.listed_state:
        instance._state.name = machine.listed_state
