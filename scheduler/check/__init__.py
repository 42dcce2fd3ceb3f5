"""check_plan(plan, snapshot): rules that every plan must keep, by code that shares nothing with the solver. Pure."""

from collections.abc import Iterator

from scheduler.check import capacity, certificate, placement, serving
from state.model.plan import Finding, Plan
from state.model.snapshot import Snapshot

SUBJECTS = (capacity, placement, certificate, serving)


class UnsafePlanError(Exception):
    """A plan breaks a rule; nothing of it was committed or executed."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        """Keep the findings."""
        self.findings = findings
        super().__init__(", ".join(f"{finding.rule} {finding.subject}".strip() for finding in findings))


def check_plan(plan: Plan, snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return every rule that the plan breaks; without an error among them it may be committed."""
    return tuple(_findings(plan, snapshot))


def _findings(plan: Plan, snapshot: Snapshot) -> Iterator[Finding]:
    unknown = tuple(placement.unknown_replicas(plan, snapshot))
    if unknown:
        yield from unknown  # the other rules read each replica's application and shape
        return
    for subject in SUBJECTS:
        for rule in subject.RULES:
            yield from rule(plan, snapshot)
