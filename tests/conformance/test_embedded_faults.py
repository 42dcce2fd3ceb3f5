"""The embedded clouds' control API over HTTP: its faults, its refusals, and its seeded probabilities."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.aws.machines import Aws
from providers.azure.machines import Azure
from providers.faults import Fault, FaultBoard, FaultKind
from providers.prices import LIVE_PRICES, PriceList
from providers.registry import CLOUDS
from state.clock import SystemClock
from state.model.catalog import Market
from state.model.ids import ProviderName, RegionId
from state.model.inventory import CloudInstance, CloudState, NoticeKind
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer, started

pytestmark = pytest.mark.clouds
US = RegionId("aws/us-east-1")


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path, OWNER) as clouds:
        yield clouds


@pytest.fixture
def control(clouds: Clouds) -> Iterator[httpx.Client]:
    token = Path(clouds.addresses["control_token_file"]).read_text()
    base = f"{clouds.addresses['control']}/_skerry"
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        yield client


def launched(clouds: Clouds, cloud: str, market: Market = Market.SPOT) -> CloudInstance:
    provider = clouds.providers[cloud]
    return started(provider, gpu_offer(provider, market), f"sk-{cloud}", OWNER)


def state(clouds: Clouds, cloud: str) -> list[CloudState]:
    return [seen.state for seen in clouds.providers[cloud].instances(OWNER).items]


def test_a_request_without_the_token_is_refused(clouds: Clouds) -> None:
    response = httpx.get(f"{clouds.addresses['control']}/_skerry/status", trust_env=False)

    assert response.status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("faults", {"kind": "explode"}, "kind"),
        ("faults", {"kind": "error", "operation": "dance"}, "unknown operation dance; known are offers"),
        ("faults", {"kind": "error", "region": "aws/atlantis"}, "unknown region aws/atlantis; known are"),
        ("faults", {"kind": "error", "times": 0}, "times"),
        ("lose", {"zone": "nowhere-1z"}, "unknown zone nowhere-1z"),
        ("stock", {"region": "aws/us-east-1"}, "zone is missing"),
        ("reclaim", {"machine": "sk-unknown"}, "no active spot machine sk-unknown"),
        ("maintenance", {"machine": "sk-unknown"}, "no active machine sk-unknown"),
        ("rebalance", {"machine": "sk-unknown"}, "no active AWS spot machine sk-unknown"),
    ],
)
def test_an_invalid_request_is_refused_with_its_reason(
    control: httpx.Client, path: str, body: dict[str, Any], message: str
) -> None:
    response = control.post(f"/{path}", json=body)

    assert response.status_code == httpx.codes.BAD_REQUEST
    assert message in response.json()["error"]


def test_a_fault_counts_down_and_clearing_ends_the_rest(control: httpx.Client, clouds: Clouds) -> None:
    for times in (3, 5):  # a read is tried three times
        control.post("/faults", json={"kind": "error", "operation": "instances", "region": US, "times": times})

    aws = clouds.providers["aws"]
    assert [bool(aws.instances(OWNER).unreachable) for _ in range(2)] == [True, True]
    assert control.request("DELETE", "/faults").json() == {"cleared": 1}
    assert not aws.instances(OWNER).unreachable


@pytest.mark.parametrize(("cloud", "notice_s"), [("aws", 120), ("gcp", 30), ("azure", 30)])
def test_a_reclaimed_machine_ends_when_its_notice_is_over(
    control: httpx.Client, clouds: Clouds, cloud: str, notice_s: int
) -> None:
    machine = launched(clouds, cloud)
    assert control.post("/reclaim", json={"machine": machine.instance_id}).is_success
    allocated = clouds.embedded.backend.machines[machine.instance_id]
    assert allocated.reclaim_at is not None
    assert (
        timedelta() < allocated.reclaim_at - allocated.started_at - timedelta(seconds=notice_s) < timedelta(seconds=30)
    )
    control.get("/status")
    assert not allocated.has_ended

    allocated.reclaim_at = allocated.started_at

    assert CloudState.RUNNING not in state(clouds, cloud)
    assert allocated.has_ended


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_failed_zone_ends_its_machines_and_starts_none(control: httpx.Client, clouds: Clouds, cloud: str) -> None:
    machine = launched(clouds, cloud)

    assert control.post("/lose", json={"zone": machine.key.zone}).json() == {"lost": [machine.instance_id]}

    assert CloudState.RUNNING not in state(clouds, cloud)
    assert not clouds.providers[cloud].instances(OWNER).unreachable, "the region still responds"


def test_a_machine_that_does_not_boot_is_listed_and_runs_nothing(control: httpx.Client, clouds: Clouds) -> None:
    control.post("/boots", json={"fail": 1})

    launched(clouds, "gcp")

    assert state(clouds, "gcp") == [CloudState.RUNNING]
    assert clouds.embedded.host.booted() == ()


def test_a_machine_with_dead_gpus_boots_without_any(control: httpx.Client, clouds: Clouds) -> None:
    control.post("/boots", json={"dead_gpus": 1})

    launched(clouds, "gcp")

    assert [boot.gpus for boot in clouds.embedded.host.booted()] == [0]


@pytest.fixture
def struck() -> Callable[[int], list[bool]]:
    def draw(seed: int) -> list[bool]:
        board = FaultBoard(seed)
        board.add(Fault(FaultKind.ERROR, chance=0.3))
        return [board.strike("aws", "launch", US) is not None for _ in range(400)]

    return draw


def test_probabilities_are_seeded_and_approximately_met(struck: Callable[[int], list[bool]]) -> None:
    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 80 < sum(struck(1)) < 160


@pytest.mark.parametrize(("cloud", "region"), [("aws", "aws/us-east-1"), ("azure", "azure/eastus")])
def test_a_spot_price_is_the_live_one_unless_that_is_implausible(
    control: httpx.Client, clouds: Clouds, cloud: str, region: str
) -> None:
    provider = clouds.providers[cloud]

    def spot() -> dict[str, float]:
        found = (o for o in provider.offers().items if o.key.market is Market.SPOT and o.key.region == region)
        return {o.key.instance_type: o.price.per_hour.dollars for o in found}

    before = spot()
    dearer, absurd = min(before), max(before)
    assert dearer != absurd
    control.post("/price", json={"region": region, "type": dearer, "factor": 1.5})
    control.post("/price", json={"region": region, "type": absurd, "factor": 1000})

    after = spot()

    assert after[dearer] == pytest.approx(before[dearer] * 1.5, rel=1e-4)
    assert after[absurd] == before[absurd]


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.GARBAGE, FaultKind.DROP], ids=str)
def test_without_azures_retail_prices_list_prices_apply_and_the_offers_are_degraded(
    clouds: Clouds, kind: FaultKind
) -> None:
    azure = clouds.providers["azure"]
    clouds.embedded.backend.faults.add(Fault(kind, "azure", "prices"))

    seen = azure.offers()

    assert {o.price.source for o in seen.items if o.key.market is Market.SPOT}.isdisjoint({"Azure retail prices"})
    assert (seen.unreachable, list(seen.degraded)) == ({}, [LIVE_PRICES])
    clouds.embedded.backend.faults.clear()
    assert azure.offers().degraded == {}


@pytest.mark.skipif(shutil.which("curl") is None, reason="start-up scripts need curl, which is not installed")
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_machines_metadata_service_announces_its_reclaim(clouds: Clouds, cloud: str) -> None:
    machine = launched(clouds, cloud)

    def is_announced(name: str) -> bool:
        environment = os.environ | {"SKERRY_METADATA": f"{clouds.embedded.host.metadata_url}/machine/{name}"}
        reclaim = CLOUDS[ProviderName(cloud)].profile.boot.reclaim
        assert reclaim is not None
        ran = subprocess.run(["/bin/bash", "-c", reclaim.check], env=environment, check=False)
        return ran.returncode == 0

    assert not is_announced(machine.instance_id)
    clouds.embedded.backend.reclaim(machine.instance_id)

    assert is_announced(machine.instance_id)
    assert not is_announced("sk-unknown")


def test_a_rebalance_recommendation_is_sent_over_the_control_api(control: httpx.Client, clouds: Clouds) -> None:
    machine = launched(clouds, "aws")

    response = control.post("/rebalance", json={"machine": machine.instance_id})

    [notice] = clouds.providers["aws"].notices(OWNER).items
    assert (response.json(), notice.kind) == ({"set": True}, NoticeKind.REBALANCE)
    refused = control.post("/rebalance", json={"machine": launched(clouds, "azure").instance_id})
    assert refused.status_code == httpx.codes.BAD_REQUEST


def test_azures_tokens_are_renewed_before_they_end(clouds: Clouds) -> None:
    backend, azure = clouds.embedded.backend, clouds.providers["azure"]
    azure.instances(OWNER)
    issued = backend.tokens_issued
    azure.instances(OWNER)
    assert backend.tokens_issued == issued, "a valid token is reused"

    backend.token_lifetime_s = 60
    expiring = Azure(clouds.azure, lambda: PriceList({}), SystemClock())
    for _ in range(3):
        expiring.instances(OWNER)

    assert backend.tokens_issued >= issued + 3


def test_awss_credentials_are_renewed_before_they_end(
    clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, script, config = tmp_path / "drawn", tmp_path / "credentials.sh", tmp_path / "config"
    soon = (SystemClock().now() + timedelta(minutes=2)).isoformat()
    credentials = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": soon}
    script.write_text(f"echo drawn >> {drawn}; echo '{json.dumps(credentials)}'\n")
    config.write_text(f"[default]\ncredential_process = /bin/bash {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    aws = Aws(clouds.aws, lambda: PriceList({}), lambda: OWNER, SystemClock())

    for _ in range(2):
        assert not aws.instances(OWNER).unreachable

    assert len(drawn.read_text().splitlines()) > 2


def test_an_azure_operation_is_polled_every_second_and_not_every_thirty(clouds: Clouds) -> None:
    clouds.embedded.backend.unfinished_polls = 1

    launched(clouds, "azure")

    assert clouds.embedded.backend.unfinished_polls == 0
    polls = [call for call in clouds.embedded.azure.calls if "/operations/" in call.path]
    assert len(polls) == 2, "the second poll came within the timeout of two seconds"
