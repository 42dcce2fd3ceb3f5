"""What runs for a while, step by step, and why it does not begin, as lines. Pure."""

from datetime import timedelta
from typing import Final

from scheduler.cli.render import words
from scheduler.drills.report import DrillProgress, DrillRefusal, DrillRefusedError, DrillStep
from scheduler.embedded.steps import DemoProgress, DemoStep, LocalProgress, LocalStep
from state.model.plan import Plan, kind_of, target_of

LOCAL: Final[dict[LocalStep, str]] = {
    LocalStep.CLOUDS_START: "starting the clouds",
    LocalStep.GATEWAY_STARTS: "starting the gateway",
    LocalStep.PROCESSES_END: "ending process session {session}",
    LocalStep.MACHINE_ENDS: "ending machine session {session}",
}
DEMO: Final[dict[DemoStep, str]] = {
    DemoStep.STALE_SESSIONS_END: "ending {count} process sessions that an earlier run left",
    DemoStep.CLOUDS_UP: "the clouds are up on loopback: three of them, with two regions each",
    DemoStep.DAEMON_RUNS: (
        "the daemon runs: it launches machines, their start-up scripts start Ray, and Serve is deployed"
    ),
    DemoStep.ACTION_DONE: "{action}: {subject}",
    DemoStep.FIRST_ANSWER: "first answer from {subject}",
    DemoStep.REGION_SERVES: "{subject} answers requests",
    DemoStep.ALL_READY: "every region is ready",
    DemoStep.LOAD_STARTS: "a steady load of {count} requests a second through {subject}",
    DemoStep.LOAD_ANSWERED: "answered so far: {answered}",
    DemoStep.LOAD_ANSWERED_SINCE: "answered since: {answered}",
    DemoStep.REGION_RESTORED: "{subject} answers again; `skerry status --watch` shows its recovery",
    DemoStep.ENDING: "ending everything",
    DemoStep.MACHINES_LEFT: "instances left in the clouds: {count}",
    DemoStep.PROCESSES_LEFT: "processes left: {count}",
    DemoStep.PORTS_LEFT: "ports still in use: {names}",
}
DRILL: Final[dict[DrillStep, str]] = {
    DrillStep.MACHINES_KILLED: "{machines} machines killed",
    DrillStep.LOST: "{region} is lost",
    DrillStep.LAUNCHED: "launched {instance}",
}
"""The steps of a recovery are named, with the time since the loss."""
REFUSALS: Final[dict[DrillRefusal, str]] = {
    DrillRefusal.NO_SPEC: "no spec is in force, so nothing is placed in {region}; `skerry apply` first",
    DrillRefusal.NOTHING_PLACED: "nothing is placed in {region}, so its loss would show nothing",
    DrillRefusal.NO_DAEMON: "no daemon runs, so the loss would not be dealt with; start `skerry daemon`",
    DrillRefusal.DRILL_RUNNING: "another drill runs; `skerry drill list` shows it",
    DrillRefusal.NOT_STABLE: "the fleet is not stable",
}


def local(value: LocalProgress) -> str:
    """Return a step of starting or ending the embedded clouds."""
    return LOCAL[value.step].format(session=value.session)


def drill(value: DrillProgress) -> str:
    """Return a step of a live drill: `route away after 1.5 s`."""
    if value.step in DRILL:
        return DRILL[value.step].format(machines=value.machines, region=value.region, instance=value.instance)
    seconds = 0.0 if value.after is None else value.after.total_seconds()
    return f"{value.step.replace('_', ' ')} after {seconds:.1f} s"


def demo(after: timedelta, value: DemoProgress | LocalProgress | DrillProgress) -> str:
    """Return a step of the demo, and when it was."""
    return f"[{after.total_seconds():6.1f} s] {_demo(value)}"


def _demo(value: DemoProgress | LocalProgress | DrillProgress) -> str:
    if isinstance(value, LocalProgress):
        return local(value)
    if isinstance(value, DrillProgress):
        return drill(value)
    return DEMO[value.step].format(
        subject=value.subject,
        action=value.action,
        count=value.count,
        names=", ".join(value.names) or "none",
        answered=", ".join(f"{region} {count}" for region, count in value.answered.items()),
    )


def refusal(error: DrillRefusedError) -> str:
    """Return why a drill is not run, and what keeps the fleet from being stable."""
    text = REFUSALS[error.refusal].format(region=error.region)
    return text if error.plan is None else f"{text}: {'; '.join(_unstable(error.plan))}"


def _unstable(plan: Plan) -> list[str]:
    """Return what a plan still does and waits for."""
    return [*(f"{kind_of(a)} {target_of(a)}" for a in plan.actions), *map(words.blocked, plan.blocked)]
