"""The adapters' pure parts: error tables, catalogues, names."""

import errno
import socket
from collections.abc import Callable
from typing import Any

import boto3
import httpx
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError
from google.api_core.exceptions import Forbidden, ServiceUnavailable
from google.auth.exceptions import DefaultCredentialsError

from providers.aws import errors as aws
from providers.aws.catalog import family_of, machine_of, quotas_of
from providers.aws.gpus import aws_gpu
from providers.azure import errors as azure
from providers.azure.gpus import azure_gpu
from providers.azure.machines import Azure
from providers.azure.settings import AzureSettings
from providers.errors import (
    DETAIL_MAX,
    DeniedError,
    InvalidError,
    NotConnectedError,
    ProviderError,
    QuotaError,
    RefusedError,
    Row,
    Scope,
    ShortageError,
    ThrottledError,
    UnreachableError,
)
from providers.gcp import errors as gcp
from providers.gcp.machines import Gcp
from providers.gcp.settings import GcpSettings
from providers.prices import PriceList, is_plausible
from providers.static import errors as static
from state.clock import ManualClock
from state.model.catalog import Capability, Market
from tests.builders import NOON, a_region


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "words"}}, "RunInstances")


def rows(table: dict[str, Row]) -> list[tuple[str, type[ProviderError]]]:
    return [(code, row.kind) for code, row in sorted(table.items())]


@pytest.mark.parametrize(
    "table", [aws.TABLE, gcp.TABLE, azure.TABLE, static.TABLE], ids=["aws", "gcp", "azure", "static"]
)
def test_every_row_cites_its_source_and_none_is_uncertain(table: dict[str, Row]) -> None:
    assert all(row.source for row in table.values())
    assert not any(issubclass(row.kind, UnreachableError) for row in table.values())


@pytest.mark.parametrize(("code", "kind"), rows(aws.TABLE))
def test_every_ec2_code_of_the_table_becomes_its_error(code: str, kind: type[ProviderError]) -> None:
    error = aws.translated(aws_error(code), "launch")

    assert type(error) is kind
    assert (error.code, error.detail) == (code, "words")


@pytest.mark.parametrize(
    "error",
    [
        aws.translated(aws_error("SomethingNew"), "launch"),
        aws.translated(aws_error("InternalError"), "launch"),
        aws.translated(ReadTimeoutError(endpoint_url="x"), "launch"),
        gcp.refusal("SOMETHING_NEW", "words", "launch"),
        gcp.translated(ServiceUnavailable("x"), "launch"),
        gcp.translated(requests.exceptions.ReadTimeout("x"), "launch"),
        azure.translated(ServiceRequestError("x"), "launch"),
    ],
    ids=str,
)
def test_what_is_not_known_is_uncertain(error: ProviderError) -> None:
    assert isinstance(error, UnreachableError)
    assert not isinstance(error, RefusedError)


def a_refused_connection(call: Callable[[str], object]) -> tuple[Exception, str]:
    """Return the exception of a call to a port that nothing listens on, and the port's address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        try:
            call(f"http://{address}/path?secret=1")
        except Exception as error:  # noqa: BLE001  whatever the SDK raises
            return error, address
    pytest.fail("the connection was not refused")


def aws_call(url: str) -> object:
    session = boto3.session.Session("a", "b", region_name="us-east-1")
    config = Config(retries={"max_attempts": 0})
    return session.client("ec2", endpoint_url=url, config=config).describe_regions()


def azure_call(url: str) -> object:
    with RequestsTransport() as transport:
        return transport.send(HttpRequest("GET", url))


@pytest.mark.parametrize(
    ("translated", "call"),
    [
        (aws.translated, aws_call),
        (azure.translated, azure_call),
        (gcp.translated, requests.get),
        (static.translated, httpx.get),
    ],
    ids=["aws", "azure", "gcp", "static"],
)
def test_a_refused_connection_is_one_short_sentence(
    translated: Callable[[Exception, str], ProviderError], call: Callable[[str], object]
) -> None:
    error, address = a_refused_connection(call)

    found = translated(error, "read")

    assert isinstance(found, NotConnectedError)
    assert str(found) == f"{address} refuses the connection"


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cloud.example does not resolve"),
        (TimeoutError("timed out"), "cloud.example times out"),
        (ConnectionResetError(104, "reset"), "cloud.example ends the connection"),
        (OSError(errno.ENETUNREACH, "unreachable"), "cloud.example cannot be reached from here"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_way_a_connection_fails_has_its_sentence(cause: Exception, sentence: str) -> None:
    error = requests.exceptions.ConnectionError("pages", request=requests.Request("GET", "https://cloud.example/x"))
    error.__cause__ = cause

    assert str(gcp.translated(error, "read")) == sentence


def test_azures_chain_without_a_connection_is_no_missing_credential() -> None:
    attempt = (
        "HTTPSConnection(host='login.example', port=443): Failed to establish a new connection: [Errno 111] refused"
    )
    chain = f"{azure.NO_CREDENTIALS}\n\tEnvironmentCredential: Authentication failed: {attempt}"

    found = azure.translated(ClientAuthenticationError(chain), "read")

    assert isinstance(found, NotConnectedError)
    assert str(found) == "login.example:443 refuses the connection"
    assert isinstance(azure.translated(ClientAuthenticationError(azure.NO_CREDENTIALS), "read"), DeniedError)


def test_missing_credentials_are_denied_not_silence() -> None:
    assert isinstance(aws.translated(NoCredentialsError(), "read"), DeniedError)
    assert isinstance(gcp.translated(DefaultCredentialsError("x"), "read"), DeniedError)
    assert isinstance(azure.translated(ClientAuthenticationError("x"), "read"), DeniedError)


def test_a_cloud_without_credentials_is_built_and_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    settings = GcpSettings(project="p", regions=("us-central1",), image="i")

    observation = Gcp(settings, lambda: PriceList({}), ManualClock(NOON)).instances("me")

    assert "DefaultCredentialsError" in observation.unreachable[a_region("gcp/us-central1")]


def test_azure_fixes_addresses_only_with_an_interface_in_every_region() -> None:
    regions = ("eastus", "westeurope")
    common = {"subscription_id": "a", "resource_group": "g", "image": "/i", "subnets": {}, "ssh_public_key": "k"}

    def fixes(*interfaces: str) -> bool:
        head_interfaces = dict.fromkeys(interfaces, "/nic")
        settings = AzureSettings.model_validate(common | {"regions": regions, "head_interfaces": head_interfaces})
        return Capability.FIXED_ADDRESS in Azure(settings, lambda: PriceList({}), ManualClock(NOON)).capabilities

    assert fixes(*regions)
    assert not fixes("eastus")
    assert not fixes()


def test_a_message_has_one_line_of_what_the_cloud_answers_and_keeps_the_rest() -> None:
    error = DeniedError("azure", "read", "Code", "first line\nsecond line")

    assert str(error) == "azure read: Code (first line)"
    assert error.detail == "first line\nsecond line"
    assert len(str(DeniedError("azure", "read", "Code", "x" * 10_000))) < DETAIL_MAX + 40


@pytest.mark.parametrize(("code", "kind"), rows(gcp.TABLE))
def test_every_gce_code_of_the_table_becomes_its_error(code: str, kind: type[ProviderError]) -> None:
    assert type(gcp.refusal(code, "words", "launch")) is kind


@pytest.mark.parametrize(("reason", "kind"), [("quotaExceeded", QuotaError), ("rateLimitExceeded", ThrottledError)])
def test_403_has_two_meanings_on_gce(reason: str, kind: type[ProviderError]) -> None:
    error = Forbidden("x", errors=[{"reason": reason}])

    assert type(gcp.translated(error, "launch")) is kind


def azure_error(code: str, status: int, words: str = "words") -> HttpResponseError:
    error = HttpResponseError(message=words)
    error.status_code = status
    error.error = type("E", (), {"code": code})()
    return error


@pytest.mark.parametrize(("code", "kind"), rows(azure.TABLE))
@pytest.mark.parametrize("status", [200, 409])
def test_azure_errors_are_classified_by_code_never_by_status(code: str, kind: type[ProviderError], status: int) -> None:
    assert type(azure.translated(azure_error(code, status), "launch")) is kind


def described(name: str, **changes: Any) -> dict[str, Any]:
    base = {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": 16},
        "MemoryInfo": {"SizeInMiB": 262_144},
        "GpuInfo": {"Gpus": [{"Name": "H100", "Count": 1, "MemoryInfo": {"SizeInMiB": 81_920}}]},
    }
    return base | changes


def test_an_instance_type_is_read() -> None:
    machine = machine_of(described("p5.4xlarge"))

    assert (machine.gpu, machine.gpus, machine.gpu_memory_gib, machine.family) == ("H100", 1, 80, "P")


@pytest.mark.parametrize(
    ("name", "family"),
    [("p5.48xlarge", "P"), ("g6.xlarge", "G and VT"), ("vt1.3xlarge", "G and VT"), ("m6i.large", "Standard")],
)
def test_quota_families(name: str, family: str) -> None:
    assert family_of(name) == family


def test_quota_names_give_the_market() -> None:
    limits = [
        ("Running On-Demand P instances", 192.0),
        ("All G and VT Spot Instance Requests", 64.0),
        ("EC2-VPC Elastic IPs", 5.0),
    ]

    quotas = quotas_of(a_region(), limits, [])

    assert [(q.family, q.market, q.limit) for q in quotas] == [
        ("P", Market.ON_DEMAND, 192),
        ("G and VT", Market.SPOT, 64),
    ]


@pytest.mark.parametrize(
    ("size", "gpu"),
    [
        ("Standard_NC24ads_A100_v4", "A100-80GB"),
        ("Standard_ND96asr_v4", "A100-40GB"),
        ("Standard_ND96amsr_A100_v4", "A100-80GB"),
        ("Standard_NC40ads_H100_v5", "H100-NVL"),
        ("Standard_ND96isr_H100_v5", "H100"),
        ("Standard_NC4as_T4_v3", "T4"),
        ("Standard_NV36ads_A10_v5", "A10"),
        ("Standard_D2s_v5", None),
    ],
)
def test_azure_gpus_are_read_from_the_size(size: str, gpu: str | None) -> None:
    assert azure_gpu(size) == gpu


def test_aws_gpus_are_distinguished_by_memory() -> None:
    assert (aws_gpu("A100", 81_920), aws_gpu("A100", 40_960)) == ("A100-80GB", "A100-40GB")


@pytest.mark.parametrize(("usd", "gpus", "expected"), [(0, 1, False), (2, 1, True), (600, 8, False), (0.1, 0, True)])
def test_prices_out_of_bounds_are_not_plausible(usd: float, gpus: int, expected: bool) -> None:  # noqa: FBT001
    assert is_plausible(usd, gpus) is expected


# Words that real clouds answered to real launches.


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (
            "OperationNotAllowed",
            "exceeding approved Total Regional Cores quota. Current Limit: 65",
            QuotaError,
        ),
        ("OperationNotAllowed", "The VM is being deleted.", InvalidError),
        ("InvalidParameter", "The requested VM size X is not available in the current region.", ShortageError),
        ("InvalidParameter", "The requested VM size X is not available to the current subscription.", ShortageError),
        (
            "BadRequest",
            "The VM size 'X' is not supported for creation of VMs.",
            ShortageError,
        ),
        ("BadRequest", "The request is wrong.", InvalidError),
        ("NicReservedForAnotherVm", "Nic(s) in request is reserved for another Virtual Machine", ThrottledError),
        ("LocationNotAvailableForResourceGroup", "The provided location is not available", InvalidError),
    ],
)
def test_one_code_has_several_meanings_on_azure(code: str, words: str, kind: type[ProviderError]) -> None:
    error = azure.translated(azure_error(code, 400, words), "launch")

    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (
            "badRequest",
            "pd-ssd disk type cannot be used by c3-standard-192-metal machine type.",
            ShortageError,
        ),
        ("invalid", "Invalid value for field 'resource.scheduling.onHostMaintenance'", InvalidError),
    ],
)
def test_gce_calls_a_type_that_it_does_not_offer_a_bad_request(
    code: str, words: str, kind: type[ProviderError]
) -> None:
    assert type(gcp.refusal(code, words, "launch")) is kind


def test_ec2_reports_zones_with_stock() -> None:
    words = (
        "We currently do not have sufficient p5.4xlarge capacity in the Availability Zone you requested (us-east-1a). "
        "You can currently get p5.4xlarge capacity by not specifying an Availability Zone in your request or choosing "
        "us-east-1b, us-east-1f."
    )

    error = aws.translated(ClientError({"Error": {"Code": "InsufficientInstanceCapacity", "Message": words}}, "X"), "l")

    assert isinstance(error, ShortageError)
    assert error.available_in == ("us-east-1b", "us-east-1f")
    assert error.scope is Scope.OFFER


@pytest.mark.parametrize(
    ("error", "scope"),
    [
        (aws.translated(aws_error("InsufficientFreeAddressesInSubnet"), "launch"), Scope.ZONE),
        (azure.translated(azure_error("SkuNotAvailable", 409), "launch"), Scope.MARKET_IN_REGION),
        (azure.translated(azure_error("SkuNotAvailable", 409, "not available in zones '1'"), "launch"), Scope.OFFER),
        (azure.translated(azure_error("ZonalAllocationFailed", 200), "launch"), Scope.OFFER),
        (gcp.refusal("ZONE_RESOURCE_POOL_EXHAUSTED", "words", "launch"), Scope.OFFER),
    ],
    ids=str,
)
def test_a_shortage_is_as_wide_as_the_cloud_reports(error: ProviderError, scope: Scope) -> None:
    assert isinstance(error, ShortageError)
    assert error.scope is scope


def test_how_long_to_wait_is_read_from_the_answer() -> None:
    response = {"Error": {"Code": "RequestLimitExceeded"}, "ResponseMetadata": {"HTTPHeaders": {"retry-after": "7"}}}

    error = aws.translated(ClientError(response, "RunInstances"), "launch")  # type: ignore[arg-type]

    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == 7
