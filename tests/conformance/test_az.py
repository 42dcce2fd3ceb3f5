"""The `az` command, as its maker ships it, drives the embedded Azure: whoever knows Azure can look at it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from providers.emulator.arm_entrance import SUBSCRIPTION, TENANT
from providers.emulator.middleware import Call
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.conformance.provider_contract import OWNER
from tests.conformance.referees import AzureReferee

AZ: Final = Path(sys.prefix) / "az" / "bin" / "az"
"""It pins other releases of the SDKs than ours, so that it has an environment of its own."""
pytestmark = [
    pytest.mark.clouds,
    pytest.mark.interop,
    pytest.mark.skipif(not AZ.exists(), reason="the az command is not here: `make test-interop` installs it"),
]
CLIENT: Final = "00000000-0000-0000-0000-000000000002"
MACHINE: Final[dict[str, Any]] = {
    "location": "eastus",
    "zones": ["1"],
    "tags": {"who": "third"},
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
        clouds.embedded.azure.keep_bodies = True
        yield clouds


@pytest.fixture(scope="module")
def az(clouds: Clouds, tmp_path_factory: pytest.TempPathFactory) -> Az:
    """The command, logged in as a service principal, the way its users do."""
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


def test_it_logs_in_and_sees_what_the_location_sells(az: Az, clouds: Clouds) -> None:
    [account] = az("account", "list")
    sold = {size["name"]: size for size in az("vm", "list-skus", "--location", "eastus")}
    quotas = {usage["name"]["value"]: usage["limit"] for usage in az("vm", "list-usage", "--location", "eastus")}

    assert (account["id"], account["state"]) == (SUBSCRIPTION, "Enabled")
    assert sold["Standard_NC4as_T4_v3"]["locationInfo"][0]["zones"] == ["1", "2"]
    assert int(quotas["standardNCASv3_T4Family"]) > 0
    assert az("capacity", "reservation", "group", "list") == []
    assert broken(clouds) == []


def test_a_machine_is_created_looked_at_evicted_and_ended(az: Az, clouds: Clouds, tmp_path: Path) -> None:
    body = tmp_path / "machine.json"
    body.write_text(json.dumps(MACHINE))
    path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/skerry/providers/Microsoft.Compute/virtualMachines/third"
    it = ("--resource-group", "skerry", "--name", "third")
    az("rest", "--method", "put", "--url", f"{path}?api-version=2026-04-01", "--body", f"@{body}")

    listed = {vm["name"]: vm["tags"] for vm in az("vm", "list")}
    view = az("vm", "get-instance-view", *it)["instanceView"]
    az("vm", "simulate-eviction", *it)
    reclaimed = clouds.embedded.world.rented["third"].reclaim_at
    az("vm", "delete", "--yes", *it)

    assert listed == {"third": {"who": "third"}}
    assert {status["code"] for status in view["statuses"]} == {"ProvisioningState/succeeded", "PowerState/running"}
    assert reclaimed is not None
    assert az("vm", "list") == []
    assert [disk["diskState"] for disk in az("disk", "list", "--resource-group", "skerry")] == ["Unattached"], (
        "nobody asked for its end"
    )
    assert clouds.embedded.world.alive() == ()
    assert broken(clouds) == []


def broken(clouds: Clouds) -> list[str]:
    """Return what of all that was said so far breaks the published description."""
    said: list[Call] = [call for call in clouds.embedded.azure.calls if call.status]
    referee = AzureReferee()
    assert said
    return sorted({words for call in said for words in referee.judge(call)})
