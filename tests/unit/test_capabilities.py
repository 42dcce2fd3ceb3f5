"""A cloud may lack a capability: the system plans without it, and asks for it before it needs it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from providers.base import LaunchOrder, supports_dry_run
from providers.cached import CachedProvider
from providers.errors import InvalidError, UnreachableError
from providers.fake import FakeCloud
from providers.recorded import RecordedProvider
from scheduler.documents.settings_file import CellModel, Settings
from scheduler.service.diagnosis import Check, DiagnosisLevel
from scheduler.service.doctor import diagnose
from scheduler.simulation.world import World
from state.clock import ManualClock
from state.model.catalog import Capability, Market
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import Role
from state.model.lifecycle import InstanceStatus
from state.model.plan import Launch
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_key, a_spec, an_offer, application, with_heads

US, EU = "aws/us-east-1", "gcp/europe-west4"
CHEAP, DEAR = an_offer(US, "1"), an_offer(EU, "5")


def a_world(*missing: Capability) -> World:
    """Return a world whose cheaper cloud lacks something, and in which two replicas are wanted."""
    world = World(CHEAP, DEAR)
    world.cloud("aws").capabilities -= set(missing)
    world.want(a_spec())
    return world


def test_a_snapshot_without_capabilities_leaves_every_provider_capable() -> None:
    snapshot = Snapshot(NOON, None)

    assert all(snapshot.is_capable(ProviderName("aws"), capability) for capability in Capability)


def test_no_head_and_so_no_worker_stands_where_addresses_cannot_be_fixed() -> None:
    world = a_world(Capability.FIXED_ADDRESS)

    world.converge()

    assert world.running(Role.HEAD) == {"gcp/europe-west4/a/cpu.4/on_demand": 1}
    assert set(world.running()) == {str(DEAR.key)}
    assert world.cloud("aws").launched == []


def test_with_every_capability_the_cheaper_cloud_is_used() -> None:
    world = a_world()

    world.converge()

    assert set(world.running()) == {str(CHEAP.key)}


@pytest.mark.parametrize("is_idempotent", [True, False])
def test_a_launch_with_no_known_outcome_is_repeated_only_where_that_starts_one_machine(*, is_idempotent: bool) -> None:
    world = World(CHEAP)
    cloud = world.cloud("aws")
    cloud.capabilities -= set() if is_idempotent else {Capability.IDEMPOTENT_LAUNCH}
    cloud.fail_next = [UnreachableError("aws", "launch", "timeout")]
    world.want(a_spec())

    world.tick()
    [unknown] = [i.id for i in world.store.load().instances if i.id not in cloud.launched]
    second = world.tick()

    assert (
        unknown in {a.instance_id for a in second.actions if isinstance(a, Launch) and a.is_repeat}
    ) is is_idempotent
    world.converge(120)
    assert len(cloud.launched) == len(set(cloud.launched)), "no id was started twice"
    assert sum(world.running(Role.HEAD).values()) == 1


def test_a_lost_launch_of_a_cloud_without_idempotency_is_found_by_its_tag() -> None:
    world = World(CHEAP)
    cloud = world.cloud("aws")
    cloud.capabilities -= {Capability.IDEMPOTENT_LAUNCH}
    cloud.lose_answers = 1
    world.want(a_spec())

    world.converge()

    assert len(cloud.launched) == len(set(cloud.launched)) == len(cloud.alive())


def test_machines_without_tags_are_known_by_their_cloud_ids_and_others_are_left_alone() -> None:
    world = World(CHEAP)
    cloud = world.cloud("aws")
    cloud.capabilities -= {Capability.TAGS}
    foreign = LaunchOrder(InstanceId("another-owners"), CHEAP.key, Role.WORKER, "another", "true", None)
    cloud.launch(foreign)
    world.want(a_spec())

    world.converge()
    world.run(timedelta(minutes=20))

    running = [i for i in world.store.load().instances if i.status is InstanceStatus.RUNNING]
    assert {i.role for i in running} == {Role.HEAD, Role.WORKER}
    assert any(seen.instance_id == foreign.instance_id for seen, _ in cloud.alive())
    assert len(cloud.alive()) == len(running) + 1


def test_spot_and_reservations_are_not_offered_without_the_capability() -> None:
    spot, reserved = an_offer(US, "0.3", market=Market.SPOT), an_offer(US, "0", market=Market.RESERVED, stock=1)
    world = World(CHEAP, spot, reserved)
    world.cloud("aws").capabilities -= {Capability.SPOT, Capability.RESERVATIONS}
    world.want(a_spec(chat=application(market={"spot": "preferred"})))

    world.converge()

    assert {o.key.market for o in world.cloud("aws").offers().items} == {Market.ON_DEMAND}
    assert set(world.running()) == {str(CHEAP.key)}


def test_the_fake_refuses_what_it_cannot_do() -> None:
    cloud = FakeCloud("aws", with_heads(CHEAP), ManualClock(NOON))
    order = LaunchOrder(InstanceId("sk-1"), CHEAP.key, Role.WORKER, "me", "true", None)
    cloud.capabilities -= {Capability.FIXED_ADDRESS, Capability.IDEMPOTENT_LAUNCH}

    with pytest.raises(InvalidError):
        cloud.launch(replace(order, private_address="10.0.0.4"))
    cloud.launch(order)
    cloud.launch(order)

    assert len(cloud.instances("me").items) == 2


class Checked(FakeCloud):
    """A cloud that can check a launch, and refuses it in one region."""

    def dry_run(self, region: RegionId) -> None:
        if region == "aws/us-east-2":
            raise InvalidError(self.name, "dry_run", "NoImage")


def test_wrappers_pass_capabilities_through() -> None:
    clock = ManualClock(NOON)
    checked = Checked("aws", with_heads(CHEAP), clock)
    for capabilities in (frozenset(Capability), frozenset({Capability.SPOT})):
        checked.capabilities = capabilities
        wrapped = CachedProvider(RecordedProvider(checked, clock), clock)
        assert wrapped.capabilities == capabilities
        assert wrapped.boot_profile == checked.boot_profile
        assert supports_dry_run(wrapped) is (Capability.DRY_RUN in capabilities)

    unchecked = RecordedProvider(FakeCloud("aws", with_heads(CHEAP), clock), clock)
    assert not supports_dry_run(unchecked)
    with pytest.raises(InvalidError):
        unchecked.dry_run(RegionId(US))


def test_doctor_checks_launches_where_it_can_and_reports_what_is_lacking(tmp_path: object) -> None:
    clock = ManualClock(NOON)
    cloud = Checked("aws", with_heads(an_offer(US), an_offer("aws/us-east-2")), clock)
    cloud.capabilities = frozenset(Capability)
    settings = Settings.model_validate(
        {"home": str(tmp_path), "database_url": "x", "cells": {US: CellModel(head_address="10.0.0.4")}}
    )

    def found() -> set[tuple[Check, DiagnosisLevel, str]]:
        wrapped = CachedProvider(RecordedProvider(cloud, clock), clock)
        diagnoses = diagnose(settings, {cloud.name: wrapped}, "me", clock)
        return {(d.check, d.level, ", ".join(d.regions) or d.provider or "") for d in diagnoses}

    def about(*checks: Check) -> set[tuple[DiagnosisLevel, str]]:
        return {(level, subject) for check, level, subject in found() if check in checks}

    launches = (Check.LAUNCH_ALLOWED, Check.LAUNCH_REFUSED)
    assert about(*launches) == {(DiagnosisLevel.OK, US), (DiagnosisLevel.ERROR, "aws/us-east-2")}
    cloud.capabilities = frozenset()
    assert about(*launches) == set()
    assert about(Check.NO_FIXED_ADDRESS) == {(DiagnosisLevel.ERROR, US)}
    assert about(Check.NO_REPEATED_LAUNCH) == {(DiagnosisLevel.WARNING, "aws")}
    assert about(Check.NO_TAGS) == {(DiagnosisLevel.WARNING, "aws")}


def test_a_head_that_stands_stays_when_its_provider_loses_the_capability() -> None:
    world = a_world()
    world.converge()
    before = world.cloud("aws").launched[:]
    world.cloud("aws").capabilities -= {Capability.FIXED_ADDRESS}

    world.run(timedelta(minutes=5))

    assert world.running(Role.HEAD) == {str(a_key(US, instance_type="cpu.4")): 1}
    assert world.cloud("aws").launched == before
