"""States of machines and causes of their ends, as each cloud reports them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.mgmt.compute import models as azure_models
from azure.mgmt.resourcehealth.models import AvailabilityStatusProperties
from google.cloud import compute_v1

from providers.aws.states import ENDS, STATES
from providers.aws.states import end_of as aws_end
from providers.aws.states import state_of as aws_state
from providers.azure.states import end_of as azure_end
from providers.azure.states import impairment_of, view_of
from providers.azure.states import state_of as azure_state
from providers.gcp.states import ended_of, gone, latest
from providers.gcp.states import state_of as gcp_state
from state.model.catalog import QuotaScope
from state.model.inventory import CloudState, EndKind
from tests.builders import NOON

# States.


def test_every_state_that_clouds_document_is_mapped_and_others_are_unknown() -> None:
    status = compute_v1.Instance.Status
    documented = {name for name in status.__members__ if name != "UNDEFINED_STATUS"}

    assert {gcp_state(name) for name in documented} <= set(CloudState) - {CloudState.UNKNOWN}
    assert {gcp_state("MIGRATING"), gcp_state("")} == {CloudState.UNKNOWN}
    assert set(STATES) == {"pending", "running", "shutting-down", "terminated", "stopping", "stopped"}
    assert aws_state({"State": {"Name": "migrating"}}) is CloudState.UNKNOWN


def view(*codes: str, message: str = "words") -> Any:
    statuses = [azure_models.InstanceViewStatus(code=code, message=message) for code in codes]
    return view_of(azure_models.VirtualMachineInstanceView(statuses=statuses))


@pytest.mark.parametrize(
    ("provisioning", "codes", "state"),
    [
        ("Failed", ("ProvisioningState/failed/X", "PowerState/running"), CloudState.RUNNING),
        ("Canceled", ("PowerState/running",), CloudState.RUNNING),
        ("Updating", ("ProvisioningState/updating", "PowerState/running"), CloudState.RUNNING),
        ("Succeeded", ("ProvisioningState/succeeded", "PowerState/deallocated"), CloudState.STOPPING),
        ("Succeeded", ("PowerState/stopped",), CloudState.STOPPING),
        ("Deleting", ("PowerState/running",), CloudState.STOPPING),
        ("Failed", ("ProvisioningState/failed/AllocationFailed",), CloudState.STOPPING),
        ("Creating", ("ProvisioningState/creating",), CloudState.PENDING),
        ("Creating", ("PowerState/starting",), CloudState.PENDING),
        ("Succeeded", ("PowerState/unknown",), CloudState.UNKNOWN),
        ("Succeeded", ("PowerState/hibernating",), CloudState.UNKNOWN),
        ("Brewing", (), CloudState.UNKNOWN),
    ],
)
def test_an_azure_vm_is_what_its_power_state_is(provisioning: str, codes: tuple[str, ...], state: CloudState) -> None:
    assert azure_state(provisioning, view(*codes)) is state


@pytest.mark.parametrize(
    ("provisioning", "state"),
    [("Failed", CloudState.UNKNOWN), (None, CloudState.UNKNOWN), ("Succeeded", CloudState.RUNNING)],
)
def test_without_its_power_state_a_failed_vm_is_unknown(provisioning: str | None, state: CloudState) -> None:
    assert azure_state(provisioning, None) is state
    assert azure_end(provisioning, None, None) is None
    assert impairment_of(provisioning, None) == ""


# Causes of ends.


@pytest.mark.parametrize("code", sorted(ENDS))
def test_every_ec2_state_reason_has_its_cause(code: str) -> None:
    found = aws_end({"State": {"Name": "terminated"}, "StateReason": {"Code": code, "Message": "words"}})

    assert found is not None
    assert (found.kind, found.is_launch) == ENDS[code]
    assert (found.code, found.message) == (code, "words")


@pytest.mark.parametrize(
    ("reason", "transition", "kind", "code"),
    [
        ({}, "User initiated (2026-11-29 12:30:00 GMT)", EndKind.BY_USER, ""),
        ({}, "Server.SpotInstanceTermination: taken", EndKind.RECLAIMED, "Server.SpotInstanceTermination"),
        ({"Code": "Server.New", "Message": "x"}, "", EndKind.INTERNAL, "Server.New"),
        ({"Code": "Client.InvalidKMSKey.InvalidState"}, "", EndKind.DENIED, "Client.InvalidKMSKey.InvalidState"),
        ({"Code": "Client.New"}, "", EndKind.INVALID_REQUEST, "Client.New"),
        ({}, "", EndKind.UNKNOWN, ""),
    ],
)
def test_ec2_reasons_are_read_from_where_they_are(
    reason: dict[str, str], transition: str, kind: EndKind, code: str
) -> None:
    found = aws_end({"State": {"Name": "terminated"}, "StateReason": reason, "StateTransitionReason": transition})

    assert found is not None
    assert (found.kind, found.code) == (kind, code)
    assert found.at == (datetime(2026, 11, 29, 12, 30, tzinfo=UTC) if "User" in transition else None)
    assert aws_end({"State": {"Name": "running"}, "StateReason": reason}) is None


def operation(kind: str, name: str, code: str = "", message: str = "words", minute: int = 0) -> Any:
    body: dict[str, Any] = {"operation_type": kind, "target_link": f"zones/z-a/instances/{name}"}
    body["end_time"] = f"2026-11-29T12:{minute:02}:00.000-00:00"
    if code:
        body["error"] = {"errors": [{"code": code, "message": message}]}
    return compute_v1.Operation(body)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", EndKind.STOCK_OUT),
        ("QUOTA_EXCEEDED", EndKind.QUOTA),
        ("IAM_PERMISSION_DENIED", EndKind.DENIED),
        ("INVALID_FIELD_VALUE", EndKind.INVALID_REQUEST),
        ("SOMETHING_NEW", EndKind.UNKNOWN),
    ],
)
def test_a_failed_gce_insert_is_a_failed_launch_with_its_cause(code: str, kind: EndKind) -> None:
    found = ended_of("z-a", operation("insert", "m", code, "Quota 'GPUS_ALL_REGIONS' exceeded. Limit: 0.0 globally."))

    assert found is not None
    assert (found.cause.kind, found.cause.code, found.cause.is_launch) == (kind, code, True)
    assert found.cause.quota == (QuotaScope.ACCOUNT if kind is EndKind.QUOTA else None)
    [left] = gone(latest([found]), set())
    assert (left.instance_id, left.state, left.end) == ("m", CloudState.TERMINATED, found.cause)
    assert gone(latest([found]), {("z-a", "m")}) == [], "a machine that is listed is there"


def test_an_insert_that_met_an_existing_machine_and_one_that_succeeded_end_nothing() -> None:
    assert ended_of("z-a", operation("insert", "m", "RESOURCE_ALREADY_EXISTS")) is None
    assert ended_of("z-a", operation("insert", "m")) is None
    assert ended_of("z-a", operation("setLabels", "m")) is None


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("compute.instances.preempted", EndKind.RECLAIMED),
        ("compute.instances.hostError", EndKind.INTERNAL),
        ("delete", EndKind.BY_USER),
    ],
)
def test_gce_operations_name_what_ended_a_machine(kind: str, cause: EndKind) -> None:
    found = ended_of("z-a", operation(kind, "m"))

    assert found is not None
    assert (found.cause.kind, found.cause.is_launch) == (cause, False)


def test_a_preemption_counts_before_the_deletion_that_follows_it() -> None:
    reports = [
        ended_of("z-a", operation(kind, "m", minute=n))
        for n, kind in enumerate(("compute.instances.preempted", "delete"))
    ]

    known = latest([one for one in reports if one is not None])

    assert known["z-a", "m"].cause.kind is EndKind.RECLAIMED


@pytest.mark.parametrize(
    ("codes", "message", "kind"),
    [
        (("ProvisioningState/failed/AllocationFailed",), "none left", EndKind.STOCK_OUT),
        (("ProvisioningState/failed/QuotaExceeded",), "limit", EndKind.QUOTA),
        (("ProvisioningState/failed/OSProvisioningTimedOut",), "late", EndKind.UNKNOWN),
    ],
)
def test_an_azure_creation_that_failed_has_the_cause_of_its_operation(
    codes: tuple[str, ...], message: str, kind: EndKind
) -> None:
    found = azure_end("Failed", view(*codes, message=message), None)

    assert found is not None
    assert (found.kind, found.message, found.is_launch) == (kind, message, True)


@pytest.mark.parametrize(
    ("title", "context", "kind"),
    [
        ("Preempted", "Platform Initiated", EndKind.RECLAIMED),
        ("Host failure", "Platform Initiated", EndKind.INTERNAL),
        ("Stopped", "Customer Initiated", EndKind.BY_USER),
        ("", "", EndKind.UNKNOWN),
    ],
)
def test_resource_health_names_what_stopped_an_azure_vm(title: str, context: str, kind: EndKind) -> None:
    condition = AvailabilityStatusProperties(title=title, context=context, occured_time=NOON)

    found = azure_end("Succeeded", view("PowerState/deallocated"), condition)

    assert found is not None
    assert (found.kind, found.at, found.is_launch) == (kind, NOON, False)
