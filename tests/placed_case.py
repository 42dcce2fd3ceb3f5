"""Placements whose machines all exist, for tests of what is placed where."""

from typing import Any

from state.model.catalog import Market
from state.model.plan import Finding, Plan, PlanRule, Severity
from state.model.snapshot import Snapshot
from tests.builders import an_offer, application
from tests.plans import CHAT, US, a_plan, a_snapshot, running

OFFER = an_offer(US)
SPOT = an_offer(US, market=Market.SPOT)


def an_error(rule: PlanRule, subject: object, application: Any = CHAT, *figures: int) -> Finding:
    return Finding(rule, Severity.ERROR, str(subject), application, *figures)


def a_case(machines: Any, carried: Any, offers: Any = None, **applications: Any) -> tuple[Plan, Snapshot]:
    """Return a plan of machines that all exist, so that nothing but their placement matters."""
    sold = tuple(offers or {m.offer.key: m.offer for m in machines}.values())
    held = tuple(running(m.offer, f"sk-{n}-{k}", m.role) for n, m in enumerate(machines) for k in range(m.count))
    return a_plan(machines, carried), a_snapshot(*sold, instances=held, **applications)


def chat(demand: float, **changes: Any) -> dict[str, Any]:
    return application(**({"demand": {"replicas": demand}} | changes))
