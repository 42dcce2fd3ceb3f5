"""A register's machines to offers and notices. Pure."""

from collections.abc import Iterable
from datetime import datetime

from providers.static.wire import Machine
from state.model.catalog import Machine as Consists
from state.model.catalog import Market, Offer, OfferKey, Price
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind
from state.model.units import Usd

SOURCE = "paid for already: machines of our own"


def offers_of(region: RegionId, machines: Iterable[Machine], now: datetime) -> list[Offer]:
    """Return the offers of a site: one per zone and type, as many as are free, at no price.

    Machines without GPUs are of use as heads alone, and only if they are kept for it.
    """
    by_kind: dict[tuple[str, str], list[Machine]] = {}
    for machine in machines:
        if machine.facts.gpus or machine.is_head:
            by_kind.setdefault((machine.zone, machine.type), []).append(machine)
    return [
        Offer(
            key=OfferKey(region, zone, kind, Market.RESERVED),
            machine=_consists(several),
            price=Price(Usd(0), SOURCE, now),
            stock=sum(machine.is_free for machine in several),
        )
        for (zone, kind), several in sorted(by_kind.items())
    ]


def _consists(machines: list[Machine]) -> Consists:
    """Return what each of some machines of one type has at least."""
    facts = [machine.facts for machine in machines]
    is_head = machines[0].is_head
    return Consists(
        gpu=None if is_head else facts[0].gpu,
        gpus=0 if is_head else facts[0].gpus,
        gpu_memory_gib=0 if is_head else min(f.gpu_memory_gib for f in facts),
        vcpus=min(f.vcpus for f in facts),
        memory_gib=min(f.memory_gib for f in facts),
        family="own",
    )


def notices_of(region: RegionId, machines: Iterable[Machine], assignments: dict[str, str]) -> list[Notice]:
    """Return that machines are to be drained.

    Args:
        region: Where they stand.
        machines: The site's.
        assignments: Those of one owner: instance id to the name of its machine.
    """
    draining = {machine.name: machine.drain_at for machine in machines if machine.drain_at is not None}
    return [
        Notice(InstanceId(assignment), region, NoticeKind.DRAIN, draining[name], f"{name} is being drained")
        for assignment, name in sorted(assignments.items())
        if name in draining
    ]
