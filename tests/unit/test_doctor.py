"""doctor, on the embedded clouds: all is well, and each thing that may be wrong."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from providers.azure.permissions import NEEDED, is_granted
from providers.faults import Fault, FaultKind
from scheduler.documents.settings_file import CellModel, EmbeddedModel, Settings
from scheduler.embedded.local import provider_settings
from scheduler.service.doctor import Diagnosis, Level, diagnose
from state.clock import ManualClock, SystemClock
from state.model.ids import RegionId
from tests.conformance.clouds import Clouds, embedded_clouds

OWNER = "sk-owner"


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("clouds"), OWNER) as clouds:
        yield clouds


@pytest.fixture
def settings(clouds: Clouds, tmp_path: Path) -> Settings:
    scene = tuple(clouds.embedded.backend.regions.values())
    token = tmp_path / "ray-token"
    token.touch(mode=0o600)
    control = EmbeddedModel(control="x", control_token_file="x", host_folder="x")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": "sqlite://",
            "providers": provider_settings(clouds.addresses, scene, 2.0),
            "cells": {region.id: {"head_address": region.head_address} for region in scene},
            "embedded": control.model_dump(),
        }
    )


def found(clouds: Clouds, settings: Settings, clock: ManualClock | SystemClock | None = None) -> list[Diagnosis]:
    return list(diagnose(settings, {p.name: p for p in clouds.providers.values()}, OWNER, clock or SystemClock()))


def bad(findings: list[Diagnosis], level: Level = Level.ERROR) -> list[Diagnosis]:
    return [finding for finding in findings if finding.level is level]


@pytest.mark.clouds
def test_all_is_well_and_nothing_was_started(clouds: Clouds, settings: Settings) -> None:
    findings = found(clouds, settings)

    assert bad(findings) == []
    assert any("would be allowed" in finding.what for finding in findings)
    assert clouds.embedded.backend.active_machines() == ()


@pytest.mark.clouds
def test_missing_permissions_are_told_by_what_cannot_be_done(clouds: Clouds, settings: Settings) -> None:
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "aws", "quotas"))
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "aws", "launch"))

    findings = bad(found(clouds, settings))
    clouds.embedded.backend.faults.clear()

    told = [f.what for f in findings]
    assert any(what.startswith("quotas:") and "UnauthorizedOperation" in what for what in told)
    assert any(what.startswith("a launch would be refused") for what in told)
    assert all(finding.todo for finding in findings)


@pytest.mark.clouds
@pytest.mark.parametrize(
    ("cloud", "permission", "regions"),
    [
        ("gcp", "compute.subnetworks.use", {"gcp/us-central1", "gcp/europe-west4"}),
        ("azure", "Microsoft.Compute/virtualMachines/write", {"azure/eastus", "azure/westeurope"}),
    ],
)
def test_a_permission_that_only_a_launch_needs_is_told_by_its_name(
    clouds: Clouds, settings: Settings, cloud: str, permission: str, regions: set[str]
) -> None:
    clouds.embedded.backend.missing_permissions.add(permission)
    findings = bad(found(clouds, settings))
    clouds.embedded.backend.missing_permissions.clear()

    assert {finding.subject for finding in findings} == regions
    assert all(f"missing {permission}" in finding.what for finding in findings)


def test_azures_roles_grant_by_wildcards_and_leave_things_out() -> None:
    needed = NEEDED[1]

    assert is_granted(needed, ["*"], [])
    assert is_granted(needed, ["microsoft.compute/virtualmachines/*"], [])
    assert not is_granted(needed, ["Microsoft.Compute/*/read"], [])
    assert not is_granted(needed, ["*"], ["Microsoft.Compute/*/write"])


@pytest.mark.clouds
def test_what_can_be_done_without_is_told_as_a_warning(clouds: Clouds, settings: Settings) -> None:
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "azure", "prices"))

    findings = found(clouds, settings)
    clouds.embedded.backend.faults.clear()

    assert bad(findings) == []
    [told] = [f for f in bad(findings, Level.WARNING) if f.subject == "azure"]
    assert told.what.startswith("live spot prices: ")
    assert "enable the API" in told.todo


@pytest.mark.clouds
def test_a_quota_of_nothing_is_told(clouds: Clouds, settings: Settings) -> None:
    quotas = clouds.embedded.backend.regions[RegionId("gcp/us-central1")].quotas
    kept, quotas["NVIDIA_L4_GPUS"] = quotas["NVIDIA_L4_GPUS"], 0

    findings = bad(found(clouds, settings), Level.WARNING)
    quotas["NVIDIA_L4_GPUS"] = kept

    assert any(f.subject == "gcp/us-central1" and "quota of L4 (on-demand) is 0" in f.what for f in findings)


@pytest.mark.clouds
@pytest.mark.parametrize(("minutes", "level"), [(1, Level.WARNING), (10, Level.ERROR)])
def test_a_clock_that_is_off_is_told(clouds: Clouds, settings: Settings, minutes: int, level: Level) -> None:
    clock = ManualClock(SystemClock().now() + timedelta(minutes=minutes))

    findings = [f for f in bad(found(clouds, settings, clock), level) if "clock" in f.todo]

    assert {finding.subject for finding in findings} == {"aws", "gcp", "azure"}


@pytest.mark.clouds
def test_a_cloud_that_does_not_answer_is_told(clouds: Clouds, settings: Settings) -> None:
    gcp = settings.providers.gcp
    assert gcp is not None
    nowhere = settings.providers.model_copy(update={"gcp": gcp.model_copy(update={"endpoint": "http://127.0.0.1:9"})})

    findings = bad(found(clouds, settings.model_copy(update={"providers": nowhere})))

    assert [f.subject for f in findings if "does not answer" in f.what] == ["gcp"]


def test_an_installation_without_clouds_cells_or_token_is_told(tmp_path: Path) -> None:
    bare = Settings(
        home=tmp_path, database_url="sqlite://", cells={"aws/us-east-1": CellModel(head_address="10.0.0.1")}
    )

    findings = diagnose(bare, {}, OWNER, SystemClock())

    assert [f.subject for f in findings if f.level is Level.ERROR] == ["ray token", "providers"]
    assert [f.subject for f in findings if f.level is Level.WARNING] == ["aws/us-east-1"]


def test_a_token_that_others_can_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "ray-token").touch(mode=0o644)

    findings = diagnose(Settings(home=tmp_path, database_url="sqlite://"), {}, OWNER, SystemClock())

    assert [(f.level, f.todo) for f in findings if f.subject == "ray token"] == [
        (Level.WARNING, f"chmod 600 {tmp_path / 'ray-token'}")
    ]
