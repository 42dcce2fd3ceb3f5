"""The embedded clouds conform to the published schemas, and third-party clients work against them."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.base import LaunchOrder, Provider, SupportsDryRun
from providers.emulator.backend import Reservation
from providers.emulator.middleware import Call, Middleware
from providers.errors import ProviderError
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, Role
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started
from tests.conformance.schema_validators import AzureValidator, Ec2Validator, GceValidator

pytestmark = pytest.mark.clouds
NAMES = ("aws", "gcp", "azure")


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("clouds"), OWNER) as clouds:
        yield clouds


@pytest.fixture(scope="module")
def calls(clouds: Clouds) -> dict[str, list[Call]]:
    """The recorded calls of machines' lives: on demand, spot, reserved, out of stock, with announced events."""
    layers = middlewares(clouds)
    for layer in layers.values():
        layer.record_bodies = True
    for name in NAMES:
        exercise(clouds, clouds.providers[name])
    for layer in layers.values():
        layer.record_bodies = False
    return {name: [call for call in layer.pop_calls() if call.status] for name, layer in layers.items()}


def middlewares(clouds: Clouds) -> dict[str, Middleware]:
    return {name: getattr(clouds.embedded, name) for name in NAMES}


def exercise(clouds: Clouds, provider: Provider) -> None:
    backend = clouds.embedded.backend
    cheapest = min((o for o in provider.offers().items if o.machine.gpus), key=lambda o: (o.key.market, o.key))
    key = cheapest.key
    backend.reservations[f"cr-{provider.name}"] = Reservation(
        f"cr-{provider.name}", key.region, key.zone, key.instance_type, 1, ends=backend.clock.now() + timedelta(days=1)
    )
    backend.reservations[f"fr-{provider.name}"] = Reservation(
        f"fr-{provider.name}",
        key.region,
        key.zone,
        key.instance_type,
        1,
        begins=backend.clock.now() + timedelta(days=1),
    )
    for number, offer in enumerate(sorted(provider.offers().items, key=lambda o: (o.key.market, o.key))):
        if offer.key.region == key.region and (offer.machine.gpus or number == 0):
            launch(provider, offer, f"sk-{provider.name}-{number}")
    launch(provider, replace(cheapest, key=replace(key, market=Market.ON_DEMAND)), f"sk-{provider.name}-sold-out")
    for machine in backend.active_machines():
        if backend.regions[machine.region].provider == provider.name:
            backend.announce_maintenance(machine.name, timedelta(hours=1))
    provider.instances(OWNER)
    for machine in backend.active_machines():
        backend.impair(machine.name)
    provider.instances(OWNER)
    provider.quotas()
    provider.notices(OWNER)
    assert isinstance(provider, SupportsDryRun)
    provider.dry_run(key.region)
    for seen in provider.instances(OWNER).items:
        provider.terminate(seen.key, seen.instance_id, seen.cloud_id)
    provider.instances(OWNER)


def launch(provider: Provider, offer: Offer, name: str) -> None:
    order = LaunchOrder(InstanceId(name), offer.key, Role.WORKER, OWNER, "true", None)
    for _ in range(2):
        try:
            provider.launch(order)
        except ProviderError:
            continue


VALIDATORS: dict[str, Any] = {"aws": Ec2Validator, "gcp": GceValidator, "azure": AzureValidator}


@pytest.mark.parametrize("cloud", NAMES)
def test_every_call_conforms_to_the_published_schema(cloud: str, calls: dict[str, list[Call]]) -> None:
    validator = VALIDATORS[cloud]()

    found = sorted({violation for call in calls[cloud] for violation in validator.violations(call)})

    assert found == []
    assert {call.operation for call in calls[cloud]} >= {"offers", "quotas", "instances", "launch", "terminate"}


MUTATIONS: dict[str, list[tuple[str, str, str]]] = {
    "gcp": [
        ("machineType", "machinetype", "instances"),
        ("guestCpus", "cpus", "offers"),
        ('"metric"', '"name"', "quotas"),
        ("RUNNING", "ALIVE", "instances"),
        ('"usage":', '"used":', "quotas"),
        ('"networkIP"', '"ip"', "instances"),
        ('"tieredRates"', '"rates"', "prices"),
    ],
    "azure": [
        ("provisioningState", "state", "instances"),
        ('"tags":', '"labels":', "instances"),
        ('"currentValue":', '"used":', "quotas"),
        ("capabilities", "abilities", "offers"),
        ('"limit":', '"max":', "quotas"),
        ("vmSize", "size", "launch"),
        ("availabilityState", "state", "health"),
        ('"occuredTime":', '"occurred":', "health"),
    ],
    "aws": [
        ("<instanceType>", "<type>", "instances"),
        ("privateIpAddress>", "privateIp>", "instances"),
        ("spotPrice>", "price>", "prices"),
        ("instanceTypeOfferingSet>", "offerings>", "offers"),
        ("availableInstanceCount>", "free>", "offers"),
        ("instanceState>", "state>", "instances"),
    ],
}


@pytest.mark.parametrize("cloud", NAMES)
def test_the_validator_finds_every_mutation(cloud: str, calls: dict[str, list[Call]]) -> None:
    validator, missed = VALIDATORS[cloud](), []
    for right, wrong, operation in MUTATIONS[cloud]:
        mutated = [
            replace(call, response=mutate(call.response, right, wrong))
            for call in calls[cloud]
            if call.operation == operation and call.status < 400 and right.encode() in call.response
        ]
        if not any(list(validator.violations(call)) for call in mutated):
            missed.append(right)

    assert missed == []


def mutate(body: bytes, right: str, wrong: str) -> bytes:
    text = body.decode()
    if right.startswith("<"):
        return text.replace(right, wrong).replace(right.replace("<", "</"), wrong.replace("<", "</")).encode()
    return text.replace(right, wrong).encode()


def test_ec2_describes_the_gpus_of_every_offered_machine_type(calls: dict[str, list[Call]]) -> None:
    described = [c for c in calls["aws"] if b"DescribeInstanceTypesResponse" in c.response]

    assert described
    assert all(b"<gpuInfo>" in call.response for call in described)


def test_azure_responds_with_json_alone(calls: dict[str, list[Call]]) -> None:
    bodies = [json.loads(call.response) for call in calls["azure"] if call.response]

    assert {type(body) for body in bodies} == {dict}


def test_libcloud_lists_creates_and_ends_machines_on_the_embedded_ec2(clouds: Clouds) -> None:
    ec2: Any = pytest.importorskip("libcloud.compute.drivers.ec2")
    base: Any = pytest.importorskip("libcloud.compute.base")
    host, _, port = clouds.addresses["aws"].removeprefix("http://").partition(":")
    at = {"host": host, "port": int(port), "secure": False}
    driver = ec2.EC2NodeDriver("key", "secret", region="us-east-1", signature_version="4", **at)
    image = base.NodeImage("ami-12c6146b", "image", driver)
    size = driver.list_sizes()[0]
    size.id = "g4dn.xlarge"
    before = {node.id for node in driver.list_nodes()}

    node = driver.create_node(name="third", image=image, size=size)

    assert {found.id for found in driver.list_nodes()} - before == {node.id}
    assert driver.destroy_node(node)
    assert node.id not in {found.id for found in driver.list_nodes() if found.state == "running"}


def test_the_aws_command_starts_and_ends_machines_on_the_embedded_ec2(clouds: Clouds, tmp_path: Path) -> None:
    def aws(*arguments: str) -> Any:
        command = [sys.executable, "-m", "awscli", "--endpoint-url", clouds.addresses["aws"], "--region", "us-east-1"]
        command += ["--output", "json"]
        environment = os.environ | {"AWS_CONFIG_FILE": str(tmp_path / "none"), "HOME": str(tmp_path)}
        ran = subprocess.run(
            [*command, "ec2", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout or "{}")

    tags = "ResourceType=instance,Tags=[{Key=owner,Value=third}]"
    options = ["--image-id", "ami-12c6146b", "--instance-type", "g4dn.xlarge", "--client-token", "once"]
    first = aws("run-instances", *options, "--tag-specifications", tags)["Instances"][0]["InstanceId"]
    again = aws("run-instances", *options, "--tag-specifications", tags)["Instances"][0]["InstanceId"]

    listed = aws("describe-instances", "--filters", "Name=tag:owner,Values=third")["Reservations"]
    ended = aws("terminate-instances", "--instance-ids", first)["TerminatingInstances"]

    assert first == again
    assert [instance["InstanceId"] for one in listed for instance in one["Instances"]] == [first]
    assert [one["CurrentState"]["Name"] for one in ended] == ["shutting-down"]
    assert aws("describe-capacity-reservations")["CapacityReservations"] == []
    zones = aws("describe-spot-price-history", "--instance-types", "g4dn.xlarge")["SpotPriceHistory"]
    assert {row["AvailabilityZone"] for row in zones} == {"us-east-1a", "us-east-1b"}


def test_googles_other_client_creates_and_ends_machines_on_the_embedded_gce(clouds: Clouds) -> None:
    discovery: Any = pytest.importorskip("googleapiclient.discovery")
    document = json.loads(Path(gce_document()).read_text())
    document["rootUrl"], document["baseUrl"] = f"{clouds.addresses['gcp']}/", f"{clouds.addresses['gcp']}/compute/v1/"
    client = discovery.build_from_document(document, http=plain_http())
    body = {
        "name": "third",
        "machineType": "zones/us-central1-a/machineTypes/g2-standard-4",
        "networkInterfaces": [{"network": "global/networks/default"}],
        "disks": [{"boot": True, "initializeParams": {"sourceImage": "i"}}],
    }
    where = {"project": "p", "zone": "us-central1-a"}

    operation = client.instances().insert(**where, body=body).execute()
    waited = client.zoneOperations().wait(**where, operation=operation["name"]).execute()
    found = client.instances().get(**where, instance="third").execute()
    ended = client.instances().delete(**where, instance="third").execute()

    assert (waited["status"], found["status"]) == ("DONE", "RUNNING")
    assert ended["operationType"] == "delete"
    regions = client.regions().list(project="p").execute()["items"]
    assert {quota["metric"] for region in regions for quota in region["quotas"]} >= {"NVIDIA_L4_GPUS"}


def test_libcloud_lists_and_ends_machines_on_the_embedded_gce(clouds: Clouds, tmp_path: Path) -> None:
    gce: Any = pytest.importorskip("libcloud.compute.drivers.gce")
    token = tmp_path / "token"
    token.write_text(json.dumps({"access_token": "x", "token_type": "Bearer", "expire_time": "2099-01-01T00:00:00Z"}))
    driver = gce.GCENodeDriver("x", "k", project="p", auth_type="IA", credential_file=str(token))
    host, _, port = clouds.addresses["gcp"].removeprefix("http://").partition(":")
    driver.connection.host, driver.connection.port, driver.connection.secure = host, int(port), 0
    driver.connection.connect()
    started = a_machine(clouds, "gcp", "sk-libcloud")

    [node] = [node for node in driver.list_nodes(ex_zone="all") if node.name == "sk-libcloud"]

    assert "us-central1-a" in {zone.name for zone in driver.ex_list_zones()}
    assert {"g2-standard-4", "a2-ultragpu-1g"} <= {size.name for size in driver.list_sizes("us-central1-a")}
    assert (node.extra["zone"].name, node.state) == (started.key.zone, "running")
    assert driver.destroy_node(node)
    assert "sk-libcloud" not in {node.name for node in driver.list_nodes(ex_zone="all") if node.state == "running"}


def test_libcloud_lists_and_ends_machines_on_the_embedded_azure(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure: Any = pytest.importorskip("libcloud.compute.drivers.azure_arm")
    security: Any = pytest.importorskip("libcloud.security")
    monkeypatch.setattr(security, "CA_CERTS_PATH", clouds.addresses["ca_file"])
    endpoint = clouds.addresses["azure"]
    connected = azure.AzureNodeDriver.connectionCls.conn_class

    def connect(self: Any, host: str, port: int = 0, **options: Any) -> Any:  # its login assumes port 443
        return connected(host, int(endpoint.rpartition(":")[2]), **options | {"secure": True})

    monkeypatch.setattr(azure.AzureNodeDriver.connectionCls, "conn_class", connect)
    where = dict.fromkeys(("resourceManagerEndpointUrl", "activeDirectoryEndpointUrl"), endpoint)
    where |= {"activeDirectoryResourceId": endpoint, "storageEndpointSuffix": ".x"}
    driver = azure.AzureNodeDriver("t", "s", "id", "secret", cloud_environment=where)
    started = a_machine(clouds, "azure", "sk-libcloud")

    everything = {"ex_fetch_nic": False, "ex_fetch_power_state": False}
    [node] = [node for node in driver.list_nodes(**everything) if node.name == "sk-libcloud"]

    locations = {location.id: location for location in driver.list_locations()}
    assert set(locations) >= {"eastus", "westeurope"}
    assert "Standard_NC4as_T4_v3" in {size.name for size in driver.list_sizes(locations["eastus"])}
    assert node.extra["location"] == started.key.region.removeprefix("azure/")
    assert driver.destroy_node(node, ex_destroy_nic=False, ex_destroy_vhd=False, ex_destroy_os_disk=False)
    ended = [node.state for node in driver.list_nodes(**everything) if node.name == "sk-libcloud"]
    assert "running" not in ended


def a_machine(clouds: Clouds, cloud: str, name: str) -> CloudInstance:
    provider = clouds.providers[cloud]
    return started(provider, gpu_offer(provider), name, OWNER)


def test_responses_have_etags_and_request_ids_as_the_clouds_responses_do(clouds: Clouds) -> None:
    gce = f"{clouds.addresses['gcp']}/compute/v1/projects/p/zones"
    first = httpx.get(gce, trust_env=False)
    again = httpx.get(gce, headers={"If-None-Match": first.headers["ETag"]}, trust_env=False)
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")

    arm = f"{clouds.addresses['azure']}/subscriptions/s/providers/Microsoft.Compute"
    trusted = ssl.create_default_context(cafile=clouds.addresses["ca_file"])
    with httpx.Client(verify=trusted, trust_env=False) as client:
        responses = [client.get(arm, headers={"x-ms-client-request-id": "mine"}) for _ in range(2)]
    assert len({response.headers["x-ms-request-id"] for response in responses}) == 2
    assert {response.headers["x-ms-client-request-id"] for response in responses} == {"mine"}


def gce_document() -> str:
    import googleapiclient.discovery_cache as cache

    return str(Path(next(iter(cache.__path__))) / "documents" / "compute.v1.json")


def plain_http() -> Any:
    import httplib2

    return httplib2.Http()
