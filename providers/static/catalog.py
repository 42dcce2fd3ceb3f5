"""Conversion of a register's machines to offers and notices. Pure."""

from collections.abc import Iterable
from datetime import datetime

from providers.static.wire import Machine
from state.model.catalog import Machine as OfferedMachine
from state.model.catalog import Market, Offer, OfferKey, Price
from state.model.ids import InstanceId, RegionId
from state.model.inventory import Notice, NoticeKind
from state.model.units import Usd

SOURCE = "paid for already: own machines"


def offers_of(region: RegionId, machines: Iterable[Machine], now: datetime) -> list[Offer]:
    """Return a site's offers at price 0: one per zone and machine type, its stock the number of free machines.

    Machines without GPUs are offered only if they are reserved for the cell's head.
    """
    by_kind: dict[tuple[str, str], list[Machine]] = {}
    for machine in machines:
        if machine.hardware.gpus or machine.is_head:
            by_kind.setdefault((machine.zone, machine.type), []).append(machine)
    return [
        Offer(
            key=OfferKey(region, zone, kind, Market.RESERVED),
            machine=_common_hardware(several),
            price=Price(Usd(0), SOURCE, now),
            stock=sum(machine.is_free for machine in several),
        )
        for (zone, kind), several in sorted(by_kind.items())
    ]


def _common_hardware(machines: list[Machine]) -> OfferedMachine:
    """Return the hardware that every one of the machines, all of one type, has at least."""
    hardware = [machine.hardware for machine in machines]
    is_head = machines[0].is_head
    return OfferedMachine(
        gpu=None if is_head else hardware[0].gpu,
        gpus=0 if is_head else hardware[0].gpus,
        gpu_memory_gib=0 if is_head else min(h.gpu_memory_gib for h in hardware),
        vcpus=min(h.vcpus for h in hardware),
        memory_gib=min(h.memory_gib for h in hardware),
        family="own",
    )


def notices_of(region: RegionId, machines: Iterable[Machine], hosts: dict[str, str]) -> list[Notice]:
    """Return a drain notice per instance on a draining machine.

    Args:
        region: The site.
        machines: All machines of the site.
        hosts: Name of the machine by instance id, of one owner.
    """
    draining = {machine.name: machine.drain_at for machine in machines if machine.drain_at is not None}
    return [
        Notice(InstanceId(instance_id), region, NoticeKind.DRAIN, draining[name], name)
        for instance_id, name in sorted(hosts.items())
        if name in draining
    ]
