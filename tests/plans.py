"""Plans and snapshots by hand, without the solver: they keep every rule, and a test changes one thing."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from scheduler.check import check_plan
from state.model.catalog import ChoiceKind, Market, Offer, OfferChoice
from state.model.ids import ApplicationName, InstanceId, PlanId, RegionId
from state.model.inventory import Instance, Role
from state.model.lifecycle import InstanceStatus
from state.model.placement import MachineCount, Placement, ReplicaCount
from state.model.plan import Action, Finding, Launch, Plan
from state.model.settings import CellSettings
from state.model.snapshot import Snapshot
from tests.builders import NOON, a_head_offer, a_spec, an_offer, cells, wanted

CHAT, CODE = ApplicationName("chat"), ApplicationName("code")
US, EU, AZ = RegionId("aws/us-east-1"), RegionId("gcp/europe-west4"), RegionId("azure/eastus")
CHOICE = OfferChoice(ChoiceKind.RANKED)


def placed(offer: Offer, count: int = 1, role: Role = Role.WORKER) -> MachineCount:
    return MachineCount(offer, role, count, CHOICE)


def replicas(offer: Offer, count: int = 1, **changes: Any) -> ReplicaCount:
    """Return replicas on the machines of an offer."""
    market = offer.key.market
    made = ReplicaCount(
        application=CHAT,
        region=offer.key.region,
        shape=0,
        instance_type=offer.key.instance_type,
        is_spot=market is Market.SPOT,
        count=count,
        milli_each=1000,
        is_reserved=market is Market.RESERVED,
    )
    return replace(made, **changes)


def a_launch(offer: Offer, name: str = "sk-new", role: Role = Role.WORKER, **changes: Any) -> Launch:
    made = Launch(
        instance_id=InstanceId(name),
        key=offer.key,
        machine=offer.machine,
        role=role,
        price_per_hour=offer.price.per_hour,
        cell=CellSettings(offer.key.region, "10.0.0.1"),
        choice=CHOICE,
    )
    return replace(made, **changes)


def a_record(launch: Launch, **changes: Any) -> Instance:
    """Return the machine that a launch asks for, as it is recorded before."""
    made = Instance(
        id=launch.instance_id,
        key=launch.key,
        machine=launch.machine,
        role=launch.role,
        status=InstanceStatus.REQUESTED,
        price_per_hour=launch.price_per_hour,
        plan_id=PlanId("plan-1"),
        requested_at=NOON,
        reservation=launch.reservation,
        launch_price=launch.price_per_hour,
    )
    return replace(made, **changes)


def running(offer: Offer, name: str, role: Role = Role.WORKER, **changes: Any) -> Instance:
    facts = {"status": InstanceStatus.RUNNING, "cloud_id": f"c-{name}", "running_at": NOON}
    return a_record(a_launch(offer, name, role), **(facts | changes))


def a_plan(
    machines: Iterable[MachineCount] = (), carried: Iterable[ReplicaCount] = (), *actions: Action, **changes: Any
) -> Plan:
    """Return a plan with machines, replicas and actions; what it launches is recorded."""
    records = tuple(a_record(a) for a in actions if isinstance(a, Launch) and not a.is_repeat)
    made = Plan(
        id=PlanId("plan-1"),
        made_at=NOON,
        spec_version=1,
        placement=Placement(tuple(machines), tuple(carried)),
        actions=actions,
        instances=records,
        health=(),
    )
    return replace(made, **changes)


def having(plan: Plan, **changes: Any) -> Plan:
    """Return a plan with another placement."""
    return replace(plan, placement=replace(plan.placement, **changes))


def a_snapshot(*offers: Offer, budget: float = 1000, **changes: Any) -> Snapshot:
    """Return a snapshot of clouds that sell *offers*; applications are given by name, all else by field."""
    fields = {name: changes.pop(name) for name in list(changes) if name in Snapshot.__dataclass_fields__}
    spec = a_spec(budget, **changes)
    made = Snapshot(
        taken_at=NOON,
        wanted=wanted(spec),
        offers=offers,
        cell_settings=cells(*sorted({offer.key.region for offer in offers})),
    )
    return replace(made, **fields)


def a_good_plan() -> tuple[Plan, Snapshot]:
    """Return a first plan that starts two heads and two workers in two regions, and keeps every rule."""
    offers = an_offer(US), an_offer(EU, "2")
    heads = a_head_offer(US), a_head_offer(EU)
    launches = [a_launch(head, f"sk-head{n}", Role.HEAD) for n, head in enumerate(heads)]
    launches += [a_launch(offer, f"sk-{n}") for n, offer in enumerate(offers)]
    machines = [*(placed(head, 1, Role.HEAD) for head in heads), *(placed(offer) for offer in offers)]
    return a_plan(machines, [replicas(offer) for offer in offers], *launches), a_snapshot(*offers, *heads)


def only(plan: Plan, snapshot: Snapshot) -> Finding:
    """Return the one thing that a plan breaks."""
    [finding] = check_plan(plan, snapshot)
    return finding
