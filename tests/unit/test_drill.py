from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.cli.render import progress
from scheduler.drills.computed import simulate
from scheduler.drills.live import Leaked, count_leaked
from scheduler.drills.report import DrillRefusal, DrillRefusedError, loads
from scheduler.observe.snapshot import observe
from scheduler.service.drilling import replay_drill, simulate_drill
from scheduler.simulation.world import World
from state.model.history import Drill, DrillMode, DrillState
from state.model.ids import DrillId, RegionId
from state.model.snapshot import ReadFailure, ReadKind
from tests.builders import AT_ONCE, a_spec, an_offer, application

US, EU, AZ = "aws/us-east-1", "gcp/europe-west4", "azure/eastus"


def a_world(survive: str = "region") -> World:
    world = World(an_offer(US, "1"), an_offer(EU, "1.1"), an_offer(AZ, "1.2"))
    world.want(a_spec(chat=application(demand={"replicas": 4}, survive={"any": survive})))
    world.converge()
    return world


def test_a_simulated_drill_reports_what_is_carried_and_what_would_be_bought() -> None:
    world = a_world()

    report = simulate(observe(world.ports), RegionId(EU))

    assert report.recovered
    assert report.survivors_carry == {"chat": 1.0}
    assert report.regions == {"before": [US, AZ, EU], "after": [US, AZ]}
    assert report.instances_launched == 4
    assert report.usd_per_hour["after"] > report.usd_per_hour["before"]
    assert world.launches() == 9, "nothing was really done"


def test_a_fleet_that_does_not_survive_is_found_out() -> None:
    world = a_world("none")

    report = simulate(observe(world.ports), RegionId(US))

    assert report.survivors_carry == {"chat": 0.0}


def test_the_loss_of_a_region_without_anything_shows_nothing() -> None:
    with pytest.raises(DrillRefusedError) as refused:
        simulate(observe(a_world("none").ports), RegionId(EU))

    assert (refused.value.refusal, refused.value.region) == (DrillRefusal.NOTHING_PLACED, EU)


def test_a_region_that_a_drill_cuts_off_is_lost_to_every_decision_until_the_drill_ends() -> None:
    world = a_world()
    world.ports = replace(world.ports, cost_model=AT_ONCE)
    now = world.clock.now()
    until = now + timedelta(minutes=5)
    drill = Drill(DrillId("d"), RegionId(EU), DrillMode.LIVE, DrillState.RUNNING, now, until, cuts_off=True)
    world.store.put_drill(drill, "test", now)

    world.run(timedelta(minutes=4))

    assert world.routed() == {US, AZ}
    assert world.running()[f"{EU}/a/l4.1/on_demand"] == 2, "its machines are not touched"
    assert world.running()[f"{US}/a/l4.1/on_demand"] == 4
    world.run(timedelta(minutes=60), every=timedelta(seconds=30))
    assert world.converge().placement.violations == (), "past its deadline the drill lets go, whatever started it"
    assert EU in {cell.region for cell in observe(world.ports).cells if cell.answered}
    assert EU in world.routed()


def test_a_drill_that_does_not_cut_off_changes_no_decision() -> None:
    world = a_world()
    now = world.clock.now()
    until = now + timedelta(hours=1)
    drill = Drill(DrillId("d"), RegionId(EU), DrillMode.LIVE, DrillState.RUNNING, now, until, cuts_off=False)
    world.store.put_drill(drill, "test", now)

    world.run(timedelta(minutes=5))

    assert world.routed() == {US, EU, AZ}


def test_a_machine_without_a_record_is_counted_as_leaked() -> None:
    from providers.base import LaunchOrder
    from state.model.ids import InstanceId
    from state.model.inventory import Role

    world = a_world()
    assert count_leaked(world.ports) == Leaked(0, ())

    order = LaunchOrder(InstanceId("sk-x"), an_offer(US).key, Role.WORKER, world.store.installation(), "", None)
    world.cloud("aws").launch(order)

    assert count_leaked(world.ports) == Leaked(1, ())
    assert count_leaked(world.ports, RegionId(US)) == Leaked(0, ())


def test_a_region_that_cannot_be_read_is_named_and_not_counted() -> None:
    world = a_world()
    world.cloud("aws").silent.add(RegionId(US))

    assert count_leaked(world.ports) == Leaked(0, (ReadFailure(RegionId(US), ReadKind.INSTANCES, "no answer"),))
    assert count_leaked(world.ports, RegionId(US)) == Leaked(0, ())


def test_without_a_spec_a_drill_is_refused_for_that() -> None:
    with pytest.raises(DrillRefusedError) as refused:
        simulate(observe(World(an_offer(EU)).ports), RegionId(EU))

    assert refused.value.refusal is DrillRefusal.NO_SPEC
    assert "no spec is in force" in progress.refusal(refused.value)


def test_a_report_is_read_back_as_it_was_stored() -> None:
    report = simulate(observe(a_world("none").ports), RegionId(US))

    assert loads(report.dumps()) == report
    assert (report.region, report.mode) == (US, DrillMode.SIMULATE)


def test_a_drill_that_cannot_recover_reports_what_is_unmet_and_violated() -> None:
    world = a_world()
    snapshot = observe(world.ports)
    snapshot = replace(snapshot, offers=tuple(o for o in snapshot.offers if o.key.region != AZ))

    report = simulate(replace(snapshot, cell_settings=snapshot.cell_settings[:1]), RegionId(US))

    assert not report.recovered
    assert [unmet.application for unmet in report.unmet] == ["chat"]


def test_a_computed_drill_is_recorded_and_one_from_a_snapshot_is_not() -> None:
    world = a_world()
    snapshot = observe(world.ports)

    replayed = replay_drill(snapshot, RegionId(US))
    assert world.store.drills() == ()
    recorded = simulate_drill(world.ports, RegionId(US))

    assert replayed.drill is None and replayed.report == recorded.report
    assert world.store.drills() == (recorded.drill,)
