"""doctor, on the embedded clouds: all is well, and each thing that may be wrong."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from providers.aws.machines import Aws
from providers.azure.permissions import NEEDED, is_granted
from providers.base import Observation
from providers.exclusions import WHOLE_REGION, Exclusion, ExclusionKind
from providers.fake import FakeCloud
from providers.faults import Fault, FaultKind
from providers.prices import PriceList
from scheduler.cli.render.doctor import INSTALLATION, diagnosis_json, remedy, sentence, subject
from scheduler.documents.settings_file import CellModel, EmbeddedModel, Settings
from scheduler.embedded.local import provider_settings
from scheduler.service.diagnosis import Check, Diagnosis, DiagnosisLevel
from scheduler.service.doctor import diagnose
from state.clock import ManualClock, SystemClock
from state.model.catalog import Market, Offer
from state.model.ids import ProviderName, RegionId
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
    return list(
        diagnose(
            settings, {ProviderName(name): p for name, p in clouds.providers.items()}, OWNER, clock or SystemClock()
        )
    )


def bad(found: list[Diagnosis], level: DiagnosisLevel = DiagnosisLevel.ERROR) -> list[Diagnosis]:
    return [diagnosis for diagnosis in found if diagnosis.level is level]


def checks(found: Iterable[Diagnosis]) -> set[Check]:
    return {diagnosis.check for diagnosis in found}


@pytest.mark.clouds
def test_all_is_well_and_nothing_was_started(clouds: Clouds, settings: Settings) -> None:
    every = found(clouds, settings)

    assert bad(every) == []
    assert {Check.LAUNCH_ALLOWED, Check.ALL_READ, Check.TOKEN_PRIVATE} <= checks(every)
    assert clouds.embedded.backend.active_machines() == ()


@pytest.mark.clouds
def test_missing_permissions_are_reported_by_what_cannot_be_done(clouds: Clouds, settings: Settings) -> None:
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "aws", "quotas"))
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "aws", "launch"))

    errors = bad(found(clouds, settings))
    clouds.embedded.backend.faults.clear()

    unread = [d for d in errors if d.check is Check.READ_FAILED]
    assert any(d.subject == "quotas" and "UnauthorizedOperation" in d.message for d in unread)
    assert Check.LAUNCH_REFUSED in checks(errors)
    assert all(remedy(diagnosis) for diagnosis in errors)


@pytest.mark.clouds
@pytest.mark.parametrize(
    ("cloud", "permission", "regions"),
    [
        ("gcp", "compute.subnetworks.use", {"gcp/us-central1", "gcp/europe-west4"}),
        ("azure", "Microsoft.Compute/virtualMachines/write", {"azure/eastus", "azure/westeurope"}),
    ],
)
def test_a_permission_that_only_a_launch_needs_is_reported_by_its_name(
    clouds: Clouds, settings: Settings, cloud: str, permission: str, regions: set[str]
) -> None:
    clouds.embedded.backend.missing_permissions.add(permission)
    errors = bad(found(clouds, settings))
    clouds.embedded.backend.missing_permissions.clear()

    assert {region for diagnosis in errors for region in diagnosis.regions} == regions
    assert all(f"missing {permission}" in diagnosis.message for diagnosis in errors)


def test_azures_roles_grant_by_wildcards_and_leave_things_out() -> None:
    needed = NEEDED[1]

    assert is_granted(needed, ["*"], [])
    assert is_granted(needed, ["microsoft.compute/virtualmachines/*"], [])
    assert not is_granted(needed, ["Microsoft.Compute/*/read"], [])
    assert not is_granted(needed, ["*"], ["Microsoft.Compute/*/write"])


@pytest.mark.clouds
def test_what_can_be_done_without_is_a_warning(clouds: Clouds, settings: Settings) -> None:
    clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "azure", "prices"))

    every = found(clouds, settings)
    clouds.embedded.backend.faults.clear()

    assert bad(every) == []
    [degraded] = [d for d in bad(every, DiagnosisLevel.WARNING) if d.provider == "azure"]
    assert (degraded.check, degraded.subject) == (Check.READ_DEGRADED, "live spot prices")
    assert "enable the API" in remedy(degraded)


@pytest.mark.clouds
def test_a_quota_of_nothing_is_reported(clouds: Clouds, settings: Settings) -> None:
    quotas = clouds.embedded.backend.regions[RegionId("gcp/us-central1")].quotas
    kept, quotas["NVIDIA_L4_GPUS"] = quotas["NVIDIA_L4_GPUS"], 0

    warnings = bad(found(clouds, settings), DiagnosisLevel.WARNING)
    quotas["NVIDIA_L4_GPUS"] = kept

    [zero] = [d for d in warnings if d.check is Check.QUOTA_ZERO and d.regions == ("gcp/us-central1",)]
    assert (zero.subject, zero.market) == ("L4", Market.ON_DEMAND)
    assert sentence(zero) == "the quota of L4 (on-demand) is 0 gpus: nothing of it can be started"


@pytest.mark.clouds
@pytest.mark.parametrize(("minutes", "level"), [(1, DiagnosisLevel.WARNING), (10, DiagnosisLevel.ERROR)])
def test_a_clock_that_is_off_is_reported(
    clouds: Clouds, settings: Settings, minutes: int, level: DiagnosisLevel
) -> None:
    clock = ManualClock(SystemClock().now() + timedelta(minutes=minutes))

    skewed = [d for d in bad(found(clouds, settings, clock), level) if d.check is Check.CLOCK_SKEW]

    assert {diagnosis.provider for diagnosis in skewed} == {"aws", "gcp", "azure"}


@pytest.mark.clouds
def test_a_cloud_that_does_not_answer_is_reported(clouds: Clouds, settings: Settings) -> None:
    gcp = settings.providers.gcp
    assert gcp is not None
    nowhere = settings.providers.model_copy(update={"gcp": gcp.model_copy(update={"endpoint": "http://127.0.0.1:9"})})

    errors = bad(found(clouds, settings.model_copy(update={"providers": nowhere})))

    [silent] = [d for d in errors if d.check is Check.ENDPOINT_SILENT]
    assert (silent.provider, silent.message) == ("gcp", "127.0.0.1:9 refuses the connection")


def test_a_lost_connection_is_one_error_and_what_it_hides_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    options = {"regions": ["us-east-1"], "images": {"us-east-1": "ami-1"}, "endpoint_url": "http://127.0.0.1:9"}
    (tmp_path / "ray-token").touch(mode=0o600)
    settings = Settings.model_validate({"home": tmp_path, "database_url": "sqlite://", "providers": {"aws": options}})
    aws = settings.providers.aws
    assert aws is not None
    provider = Aws(aws, lambda: PriceList({}), lambda: OWNER, SystemClock())

    every = diagnose(settings, {ProviderName("aws"): provider}, OWNER, SystemClock(), are_embedded_down=True)

    [error] = bad(list(every))
    assert (error.check, error.regions) == (Check.EMBEDDED_DOWN, ("aws/us-east-1",))
    assert error.message == "127.0.0.1:9 refuses the connection"
    assert "`skerry local up`" in remedy(error)
    assert Check.CHECKS_SKIPPED in checks(every) and Check.LAUNCH_REFUSED not in checks(every)


def test_an_installation_without_clouds_cells_or_token_is_reported(tmp_path: Path) -> None:
    bare = Settings(
        home=tmp_path, database_url="sqlite://", cells={"aws/us-east-1": CellModel(head_address="10.0.0.1")}
    )

    every = list(diagnose(bare, {}, OWNER, SystemClock()))

    assert [d.check for d in bad(every)] == [Check.TOKEN_MISSING, Check.NO_CLOUD]
    assert [(d.check, d.regions) for d in bad(every, DiagnosisLevel.WARNING)] == [
        (Check.CELL_WITHOUT_CLOUD, ("aws/us-east-1",))
    ]


def test_a_token_that_others_can_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "ray-token").touch(mode=0o644)

    every = diagnose(Settings(home=tmp_path, database_url="sqlite://"), {}, OWNER, SystemClock())

    assert [(d.level, remedy(d)) for d in every if d.check is Check.TOKEN_READABLE] == [
        (DiagnosisLevel.WARNING, f"chmod 600 {tmp_path / 'ray-token'}")
    ]


VIRGINIA, IRELAND = RegionId("aws/us-east-1"), RegionId("aws/eu-west-1")


class Selling(FakeCloud):
    """A cloud that leaves something out of its offers."""

    left_out: tuple[Exclusion, ...] = ()

    def offers(self) -> Observation[Offer]:
        return replace(super().offers(), left_out=self.left_out)


def test_what_is_left_out_is_named_with_its_cause_once_for_all_regions(tmp_path: Path) -> None:
    cloud = Selling("aws", (), SystemClock())
    part, detail = ExclusionKind.PART_OF_GPU, "1/8 of one L4, 2.79 GiB"
    cloud.left_out = (
        *(
            Exclusion(part, region, name, detail)
            for region in (VIRGINIA, IRELAND)
            for name in ("g6f.xlarge", "g6f.large")
        ),
        Exclusion(ExclusionKind.NO_SUBNET, VIRGINIA, "us-east-1b", "the settings name none"),
        Exclusion(ExclusionKind.NO_SUBNET, IRELAND, WHOLE_REGION, "the settings name none"),
        Exclusion(ExclusionKind.WRONG_SUBNET, VIRGINIA, "us-east-1c", "subnet-1 is in us-east-1a"),
    )
    settings = Settings(home=tmp_path, database_url="sqlite://")

    every = diagnose(settings, {ProviderName("aws"): cloud}, OWNER, SystemClock())

    notes, warnings = bad(list(every), DiagnosisLevel.NOTE), bad(list(every), DiagnosisLevel.WARNING)
    assert [(d.regions, sentence(d)) for d in notes] == [
        ((VIRGINIA,), "not offered: us-east-1b, which has no subnet (the settings name none)"),
        (
            (IRELAND, VIRGINIA),
            f"not offered: g6f.large, g6f.xlarge, {detail}; Ray counts a part as a whole GPU",
        ),
    ]
    left = [d for d in warnings if d.check in {Check.NO_SUBNET, Check.WRONG_SUBNET}]
    assert [(d.regions, sentence(d)) for d in left] == [
        ((IRELAND,), "not offered: the region, which has no subnet (the settings name none)"),
        ((VIRGINIA,), "not offered: us-east-1c, whose subnet does not fit (subnet-1 is in us-east-1a)"),
    ]
    assert all(remedy(diagnosis) for diagnosis in (*notes, *left))
    assert diagnosis_json(notes[1])["subjects"] == ["g6f.large", "g6f.xlarge"]


def test_of_many_that_are_left_out_the_line_names_the_first(tmp_path: Path) -> None:
    cloud = Selling("aws", (), SystemClock())
    cloud.left_out = tuple(Exclusion(ExclusionKind.NO_PRICE, VIRGINIA, f"p{n}.large") for n in range(1, 10))
    settings = Settings(home=tmp_path, database_url="sqlite://")

    [note] = bad(list(diagnose(settings, {ProviderName("aws"): cloud}, OWNER, SystemClock())), DiagnosisLevel.NOTE)

    assert "p1.large, p2.large, p3.large, p4.large, p5.large, p6.large and 3 more" in sentence(note)
    assert len(diagnosis_json(note)["subjects"]) == 9


def test_every_cause_of_leaving_something_out_is_a_check() -> None:
    assert {Check(kind) for kind in ExclusionKind} <= set(Check)


@pytest.mark.clouds
def test_the_tags_that_the_settings_demand_are_shown(clouds: Clouds, settings: Settings) -> None:
    assert Check.TAGS_SET not in checks(found(clouds, settings))
    wanted = {"aws": {"tags": {"team": "ml"}}, "gcp": {"labels": {"team": "ml"}}, "azure": {"tags": {"team": "ml"}}}
    changed = {name: getattr(settings.providers, name).model_copy(update=update) for name, update in wanted.items()}
    tagged = settings.model_copy(update={"providers": settings.providers.model_copy(update=changed)})

    shown = [d for d in found(clouds, tagged) if d.check is Check.TAGS_SET]

    assert [(d.provider, sentence(d)) for d in shown] == [
        (name, "every resource is created with team=ml") for name in ("aws", "azure", "gcp")
    ]


@pytest.mark.parametrize("check", list(Check))
@pytest.mark.parametrize("level", [DiagnosisLevel.WARNING, DiagnosisLevel.ERROR])
def test_every_check_has_a_subject_a_sentence_and_a_remedy_unless_all_is_well(
    check: Check, level: DiagnosisLevel
) -> None:
    provider = None if check in INSTALLATION else ProviderName("aws")
    is_well = check in {Check.TOKEN_PRIVATE, Check.ALL_READ, Check.LAUNCH_ALLOWED, Check.TAGS_SET}
    diagnosis = Diagnosis(check, DiagnosisLevel.OK if is_well else level, provider, advice="do this")

    assert subject(diagnosis) and sentence(diagnosis)
    assert bool(remedy(diagnosis)) is not is_well
