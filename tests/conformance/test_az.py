"""The unmodified `az` command works against the embedded Azure."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from providers.emulator.arm_identity import SUBSCRIPTION, TENANT
from providers.emulator.middleware import Call
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.conformance.schema_validators import AzureValidator

AZ: Final = Path(sys.prefix) / "az" / "bin" / "az"
"""In an environment of its own, since it pins other releases of the SDKs."""
pytestmark = [
    pytest.mark.clouds,
    pytest.mark.interop,
    pytest.mark.skipif(not AZ.exists(), reason="the az command is not here: `make test-interop` installs it"),
]
CLIENT: Final = "00000000-0000-0000-0000-000000000002"
MACHINE: Final[dict[str, Any]] = {
    "location": "eastus",
    "zones": ["1"],
    "tags": {"owner": "third"},
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_NC4as_T4_v3"},
        "priority": "Spot",
        "storageProfile": {"imageReference": {"id": "/i"}, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "third", "adminUsername": "skerry"},
        "networkProfile": {
            "networkApiVersion": "2022-11-01",
            "networkInterfaceConfigurations": [{"name": "nic", "properties": {"primary": True}}],
        },
    },
}

Az = Callable[..., Any]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("clouds"), OWNER) as clouds:
        clouds.embedded.azure.record_bodies = True
        yield clouds


@pytest.fixture(scope="module")
def az(clouds: Clouds, tmp_path_factory: pytest.TempPathFactory) -> Az:
    """The command, logged in as a service principal."""
    home = tmp_path_factory.mktemp("az")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_"))}
    environment |= {"AZURE_CONFIG_DIR": str(home), "REQUESTS_CA_BUNDLE": clouds.addresses["ca_file"]}
    environment |= {"AZURE_CORE_COLLECT_TELEMETRY": "false", "AZURE_CORE_ONLY_SHOW_ERRORS": "true", "NO_PROXY": "*"}
    environment |= {"AZURE_CORE_INSTANCE_DISCOVERY": "false", "HOME": str(home)}

    def ran(*arguments: str) -> Any:
        command = [str(AZ), *arguments, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    ran("cloud", "register", "--name", "embedded", "--endpoint-resource-manager", clouds.addresses["azure"])
    ran("cloud", "set", "--name", "embedded")
    ran("login", "--service-principal", "--username", CLIENT, "--password", "embedded", "--tenant", TENANT)
    return ran


def test_it_logs_in_and_lists_what_a_location_offers(az: Az, clouds: Clouds) -> None:
    [account] = az("account", "list")
    sold = {size["name"]: size for size in az("vm", "list-skus", "--location", "eastus")}
    quotas = {usage["name"]["value"]: usage["limit"] for usage in az("vm", "list-usage", "--location", "eastus")}

    assert (account["id"], account["state"]) == (SUBSCRIPTION, "Enabled")
    assert sold["Standard_NC4as_T4_v3"]["locationInfo"][0]["zones"] == ["1", "2"]
    assert int(quotas["standardNCASv3_T4Family"]) > 0
    assert az("capacity", "reservation", "group", "list") == []
    assert violations(clouds) == []


def test_a_machine_is_created_shown_evicted_and_deleted(az: Az, clouds: Clouds, tmp_path: Path) -> None:
    body = tmp_path / "machine.json"
    body.write_text(json.dumps(MACHINE))
    path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/skerry/providers/Microsoft.Compute/virtualMachines/third"
    names = ("--resource-group", "skerry", "--name", "third")
    az("rest", "--method", "put", "--url", f"{path}?api-version=2026-04-01", "--body", f"@{body}")

    listed = {vm["name"]: vm["tags"] for vm in az("vm", "list")}
    view = az("vm", "get-instance-view", *names)["instanceView"]
    az("vm", "simulate-eviction", *names)
    reclaimed = clouds.embedded.backend.machines["third"].reclaim_at
    az("vm", "delete", "--yes", *names)

    assert listed == {"third": {"owner": "third"}}
    assert {status["code"] for status in view["statuses"]} == {"ProvisioningState/succeeded", "PowerState/running"}
    assert reclaimed is not None
    assert az("vm", "list") == []
    assert [disk["diskState"] for disk in az("disk", "list", "--resource-group", "skerry")] == ["Unattached"], (
        "the request had no deleteOption"
    )
    assert clouds.embedded.backend.active_machines() == ()
    assert violations(clouds) == []


def violations(clouds: Clouds) -> list[str]:
    """Return the violations of the published schema in the calls so far."""
    calls: list[Call] = [call for call in clouds.embedded.azure.calls if call.status]
    validator = AzureValidator()
    assert calls
    return sorted({violation for call in calls for violation in validator.violations(call)})
