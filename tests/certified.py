"""A placement over two regions with its certificate, for tests of the certificate's rules."""

from dataclasses import replace
from typing import Any

from state.model.placement import Survival
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from state.model.spec import FailureDomain
from tests.builders import an_offer, application
from tests.plans import (
    CHAT,
    EU,
    US,
    a_plan,
    a_snapshot,
    having,
    placed,
    replicas,
    running,
)

REGION = FailureDomain.REGION
US_OFFER, EU_OFFER = an_offer(US), an_offer(EU)


def an_error(rule: PlanRule, subject: object, name: Any, actual: int | None, allowed: int | None) -> Finding:
    return Finding(rule, Severity.ERROR, str(subject), name, actual, allowed)


def survives(demand: int = 2, kind: str = "region", **changes: Any) -> dict[str, Any]:
    survive = {"any": kind} | {k: changes.pop(k) for k in ("share", "replacement_credit") if k in changes}
    return application(**({"demand": {"replicas": demand}, "survive": survive} | changes.pop("of", {}) | changes))


def line(domain: str, remaining: int, required: int = 2000, credited: int = 0, **changes: Any) -> Survival:
    return replace(Survival(CHAT, REGION, domain, remaining, required, credited), **changes)


def a_case(*lines: Survival, us: int = 2, eu: int = 2, offers: Any = (), **chat: Any) -> tuple[Plan, Snapshot]:
    """Return a placement over two regions, all of it running, with a certificate."""
    counts = ((US_OFFER, us), (EU_OFFER, eu))
    held = tuple(running(o, f"sk-{o.key.region}-{n}") for o, count in counts for n in range(count))
    plan = a_plan([placed(*c) for c in counts], [replicas(*c) for c in counts])
    snapshot = a_snapshot(US_OFFER, EU_OFFER, *offers, chat=survives(**chat), instances=held)
    return having(plan, certificate=lines), snapshot
