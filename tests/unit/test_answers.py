"""What clouds' answers to calls mean: families of codes, nested details, waits, and how wide limits are."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.core.exceptions import ARMErrorFormat
from botocore.exceptions import ClientError
from google.api_core.exceptions import BadRequest, PreconditionFailed, TooManyRequests

from providers.aws import errors as aws
from providers.azure import errors as azure
from providers.azure.catalog import quotas_of
from providers.errors import (
    WAIT_MAX_S,
    WAIT_UNDATED_S,
    DeniedError,
    Failure,
    InvalidError,
    ProviderError,
    QuotaError,
    ShortageError,
    ThrottledError,
    UnreachableError,
    classified,
    wait_of,
)
from providers.gcp import errors as gcp
from providers.gcp.catalog import project_quota_of
from state.model.catalog import Market, Quota, QuotaScope
from tests.builders import NOON, a_region, an_offer


def aws_error(code: str, status: int, words: str = "words", **headers: str) -> ProviderError:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    response: Any = {"Error": {"Code": code, "Message": words}, "ResponseMetadata": metadata}
    return aws.translated(ClientError(response, "RunInstances"), "launch")


def azure_error(status: int, body: dict[str, Any], **headers: str) -> ProviderError:
    error = HttpResponseError(message=body.get("message", "words"))
    error.status_code, error.error = status, ARMErrorFormat(body)
    error.response = type("Response", (), {"headers": headers})()
    return azure.translated(error, "launch")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("VPCIdNotSpecified", 400, InvalidError),
        ("InvalidKeyPair.NotFound", 400, InvalidError),
        ("SomethingNew", 404, InvalidError),
        ("SomethingNew", 403, DeniedError),
        ("SomethingNew", 401, DeniedError),
        ("SomethingNew", 429, ThrottledError),
        ("SnapshotLimitExceeded", 400, QuotaError),
        ("InsufficientVolumeCapacity", 400, ShortageError),
        ("ClientVpnAuthorizationFailed", 400, DeniedError),
        ("SomeRequestThrottled", 400, ThrottledError),
        ("SomethingNew", 408, UnreachableError),
        ("SomethingNew", 409, UnreachableError),
        ("RequestTimeout", 400, UnreachableError),
        ("SomethingNew", 500, UnreachableError),
        ("SomethingNew", 503, UnreachableError),
    ],
)
def test_a_code_that_no_table_has_is_judged_by_its_family_and_status(
    code: str, status: int, kind: type[ProviderError]
) -> None:
    assert code not in aws.TABLE or code == "VPCIdNotSpecified"
    assert type(aws_error(code, status)) is kind
    assert type(classified(Failure("x", "launch", code, status=status), {})) is kind


def test_a_client_error_whose_text_reports_a_time_out_is_uncertain() -> None:
    assert isinstance(aws_error("SomethingNew", 400, "The operation timed out."), UnreachableError)
    assert isinstance(aws_error("SomethingNew", 400, "Invalid value for timeoutSeconds."), InvalidError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PreconditionFailed("x", errors=[{"reason": "conditionNotMet"}]), InvalidError),
        (
            PreconditionFailed(
                "Constraint constraints/compute.vmExternalIpAccess violated for project p.",
                errors=[{"reason": "conditionNotMet"}],
            ),
            DeniedError,
        ),
        (BadRequest("x", errors=[{"reason": "somethingNew"}]), InvalidError),
        (BadRequest("x"), InvalidError),
        (TooManyRequests("x", errors=[{"reason": "somethingNew"}]), ThrottledError),
    ],
    ids=str,
)
def test_gce_client_errors_are_refusals(error: Exception, kind: type[ProviderError]) -> None:
    assert type(gcp.translated(error, "launch")) is kind


def test_the_side_at_fault_is_no_part_of_an_ec2_code() -> None:
    assert aws_error("Client.IdempotentParameterMismatch", 400).code in aws.TOKEN_USED
    assert isinstance(aws_error("Server.InsufficientInstanceCapacity", 500), ShortageError)


THROTTLED = {
    "code": "OperationNotAllowed",
    "message": "The server rejected the request because too many requests have been received for this subscription.",
    "details": [{"code": "TooManyRequests", "target": "HighCostGetVMScaleSet3Min", "message": "{}"}],
    "innererror": {"internalErrorCode": "TooManyRequestsReceived"},
}
"""Source: hashicorp/terraform-provider-azurerm, issue 19146, an answer of Azure's."""


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, THROTTLED),
        (429, {"code": "OperationNotAllowed", "message": "quota"}),
        (200, THROTTLED),
        (409, {**THROTTLED, "details": []}),
        (
            409,
            {"code": "Conflict", "message": "x", "details": [{"code": "x", "details": [{"code": "TooManyRequests"}]}]},
        ),
    ],
)
def test_azure_throttling_is_seen_under_any_outer_code(status: int, body: dict[str, Any]) -> None:
    error = azure_error(status, body, **{"Retry-After": "900"})

    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == 900


def test_an_envelope_is_less_exact_than_what_it_wraps() -> None:
    inner = {"code": "SkuNotAvailable", "message": "none"}

    assert isinstance(azure_error(400, {"code": "InvalidTemplateDeployment", "details": [inner]}), ShortageError)
    assert isinstance(azure_error(400, {"code": "InvalidParameter", "details": [inner]}), ShortageError)
    assert isinstance(azure_error(403, {"code": "AuthorizationFailed", "details": [inner]}), DeniedError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "900"}, 900),
        ({"retry-after": "900"}, 900),
        (
            {
                "Retry-After": format_datetime(NOON + timedelta(seconds=900), usegmt=True),
                "Date": format_datetime(NOON, usegmt=True),
            },
            900,
        ),
        ({"Retry-After": format_datetime(NOON, usegmt=True)}, WAIT_UNDATED_S),
        ({"x-ms-retry-after-ms": "900000"}, 900),
        ({"Retry-After": "1e12"}, WAIT_MAX_S),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon", "Date": "today"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_how_long_to_wait_is_a_number_or_a_date_and_has_a_bound(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


def test_gce_names_a_wait_in_its_details_too() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "900s"}

    error = gcp.translated(TooManyRequests("x", details=[detail]), "launch")

    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == 900


# How wide a limit is.


def gcp_quota(words: str) -> ProviderError:
    return gcp.refusal("QUOTA_EXCEEDED", words, "launch")


def azure_quota(limit: str) -> ProviderError:
    words = f"Operation could not be completed as it results in exceeding approved {limit} quota."
    return azure_error(409, {"code": "OperationNotAllowed", "message": words})


@pytest.mark.parametrize(
    ("error", "scope"),
    [
        (gcp_quota("Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally."), QuotaScope.ACCOUNT),
        (gcp_quota("Quota 'CPUS' exceeded.  Limit: 24.0 in region r."), QuotaScope.REGION),
        (gcp_quota("Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region r."), QuotaScope.FAMILY),
        (azure_quota("Total Regional Cores"), QuotaScope.REGION),
        (azure_quota("LowPriorityCores"), QuotaScope.REGION),
        (azure_quota("standardNCFamily Cores"), QuotaScope.FAMILY),
        (aws_error("VcpuLimitExceeded", 400), QuotaScope.FAMILY),
        (aws_error("VolumeLimitExceeded", 400), QuotaScope.REGION),
    ],
    ids=str,
)
def test_a_quota_error_names_how_wide_the_limit_is(error: ProviderError, scope: QuotaScope) -> None:
    assert isinstance(error, QuotaError)
    assert error.scope is scope


def test_a_quota_of_the_project_counts_every_region_family_and_market() -> None:
    quota = project_quota_of("GPUS_ALL_REGIONS", 8, 2)

    assert quota is not None
    for region, market in (("gcp/a", Market.ON_DEMAND), ("gcp/b", Market.SPOT)):
        offer = an_offer(region, market=market)
        assert quota.counts(offer.key, offer.machine)
        assert quota.size_of(offer.machine) == offer.machine.gpus
    other = an_offer("aws/a")
    assert not quota.counts(other.key, other.machine)
    assert project_quota_of("SNAPSHOTS", 8, 2) is None


def test_azure_quotas_of_a_whole_region_are_read_beside_those_of_families() -> None:
    quotas = quotas_of(a_region(), [("fam", 10, 1), ("cores", 20, 2), ("lowPriorityCores", 30, 3)], {"fam"})

    wide = {(q.family, q.market, q.limit, q.used) for q in quotas if q.scope is QuotaScope.REGION}
    assert wide == {(None, Market.ON_DEMAND, 20, 2), (None, Market.SPOT, 30, 3)}
    assert [(q.market, q.limit) for q in quotas if q.family == "fam"] == [(Market.ON_DEMAND, 10), (Market.SPOT, 30)]


def test_a_quota_of_a_zone_counts_that_zone_alone() -> None:
    offer = an_offer("aws/a")
    quota = Quota(offer.key.region, None, None, 1, 0, "gpus", QuotaScope.ZONE, zone="elsewhere")

    assert not quota.counts(offer.key, offer.machine)
