"""What a running command reports, in words."""

from datetime import timedelta

import pytest

from scheduler.cli.render import progress
from scheduler.drills.report import RECOVERY, DrillProgress, DrillRefusal, DrillRefusedError, DrillStep
from scheduler.embedded.steps import DemoProgress, DemoStep, LocalProgress, LocalStep
from state.model.ids import InstanceId, RegionId
from state.model.plan import ActionKind
from tests.builders import an_offer
from tests.plans import a_launch, a_plan

REGION = RegionId("aws/us-east-1")


def test_a_step_of_a_recovery_is_named_with_the_time_since_the_loss() -> None:
    assert [progress.drill(DrillProgress(step, REGION, timedelta(seconds=1.54))) for step in RECOVERY] == [
        "detect after 1.5 s",
        "route away after 1.5 s",
        "decide after 1.5 s",
        "acquire after 1.5 s",
        "ready after 1.5 s",
    ]


def test_what_happens_around_a_recovery_names_its_subject() -> None:
    assert progress.drill(DrillProgress(DrillStep.LOST, REGION)) == "aws/us-east-1 is lost"
    assert progress.drill(DrillProgress(DrillStep.MACHINES_KILLED, REGION, machines=3)) == "3 machines killed"
    launched = DrillProgress(DrillStep.LAUNCHED, REGION, instance=InstanceId("sk-1"))
    assert progress.drill(launched) == "launched sk-1"


def test_a_step_of_the_demo_starts_with_its_time() -> None:
    done = DemoProgress(DemoStep.ACTION_DONE, "gateway", ActionKind.ROUTE)
    counted = DemoProgress(DemoStep.LOAD_ANSWERED, answered={"aws/us-east-1": 7, "gcp/us-central1": 5})

    assert progress.demo(timedelta(seconds=12.34), done) == "[  12.3 s] route: gateway"
    assert progress.demo(timedelta(), counted).endswith("answered so far: aws/us-east-1 7, gcp/us-central1 5")
    assert progress.demo(timedelta(), DemoProgress(DemoStep.PORTS_LEFT)).endswith("ports still in use: none")
    ending = LocalProgress(LocalStep.MACHINE_ENDS, 41)
    assert progress.demo(timedelta(), ending).endswith("ending machine session 41")


@pytest.mark.parametrize("step", [*DemoStep, *LocalStep], ids=str)
def test_every_step_has_words(step: DemoStep | LocalStep) -> None:
    value = DemoProgress(step, action=ActionKind.ROUTE) if isinstance(step, DemoStep) else LocalProgress(step, 1)

    line = progress.demo(timedelta(), value)

    assert line.strip() and "{" not in line and "None" not in line


@pytest.mark.parametrize("refusal", list(DrillRefusal), ids=str)
def test_every_refusal_of_a_drill_has_words(refusal: DrillRefusal) -> None:
    line = progress.refusal(DrillRefusedError(refusal, REGION))

    assert line and "{" not in line and refusal.value not in line


def test_a_fleet_that_is_not_stable_is_reported_with_what_it_does() -> None:
    plan = a_plan((), (), a_launch(an_offer(REGION)))
    line = progress.refusal(DrillRefusedError(DrillRefusal.NOT_STABLE, REGION, plan))

    assert line == f"the fleet is not stable: launch {an_offer(REGION).key}"
