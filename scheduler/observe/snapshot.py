"""observe(outside): ask everyone in parallel, and put what they say into one snapshot."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from inference.base import Placed
from providers.base import Observation, Provider
from scheduler.observe.health import assess
from scheduler.observe.inventory import at_risk, sync_inventory
from scheduler.observe.untagged import own_machines
from scheduler.ports import Ports
from state.model.catalog import Capability, Offer
from state.model.health import RegionSignals
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Impairment, Instance, Notice, NoticeKind, Role
from state.model.lifecycle import InstanceStatus
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot, Wanted
from state.store import Known

PARALLEL_READS: Final = 16

Result = TypeVar("Result")


def observe(ports: Ports) -> Snapshot:
    """Return everything that is known now.

    Whoever does not answer is blind in the snapshot; nothing is concluded from silence. A region that a
    drill cuts off is not listened to either.
    """
    known = ports.store.load()
    now = ports.clock.now()
    owner = ports.store.installation()
    last = ports.store.last_plan()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        machines = _ask(pool, ports.providers, lambda p: p.instances(owner))
        offers = _ask(pool, ports.providers, lambda p: p.offers())
        announced = _ask(pool, ports.providers, lambda p: p.notices(owner))
        quotas = _ask(pool, ports.providers, lambda p: p.quotas())
        cells = [pool.submit(_look, ports, region, known.wanted) for region in _regions_with_head(known)]
        cut_off = {drill.region for drill in known.drills if drill.cuts_off and drill.until > now}
        seen_cells = tuple(_cut(future.result(), cut_off) for future in cells)
        seen = _joined(machines)
        told = (*_joined(announced).items, *_told_by_machines(seen_cells, known.instances))
        notices = tuple(sorted(told, key=lambda notice: notice.order))
        unreachable = frozenset(seen.unreachable) | frozenset(cut_off)
        catalogue, limits = _joined(offers), _joined(quotas)
    capabilities = tuple((name, ports.providers[name].capabilities) for name in sorted(ports.providers))
    sights = _sights(seen, unreachable, known.instances, capabilities)
    synced = sync_inventory(known.instances, sights, unreachable, now, notices)
    signals = _signals(ports, synced.live, seen_cells, unreachable)
    return Snapshot(
        taken_at=now,
        wanted=known.wanted,
        offers=_sorted_offers(catalogue),
        quotas=tuple(sorted(limits.items, key=lambda q: (q.region, q.family, q.market))),
        shortages=known.shortages + at_risk(notices, synced.live, now),
        instances=synced.live,
        learned=synced.learned,
        orphans=synced.orphans,
        notices=notices,
        impairments=_impairments(sights),
        unreachable=unreachable,
        cells=seen_cells,
        health=assess(known.health, signals, now, ports.thresholds),
        routing=ports.gateway.table(),
        cell_settings=ports.cell_settings,
        limits=ports.limits,
        placed=() if last is None else last.placement.replicas,
        latencies=ports.latencies,
        own_regions=ports.own_regions,
        capabilities=capabilities,
    )


def _sights(
    seen: Observation[CloudInstance],
    unreachable: frozenset[RegionId],
    held: tuple[Instance, ...],
    capabilities: tuple[tuple[ProviderName, frozenset[Capability]], ...],
) -> tuple[CloudInstance, ...]:
    """Return our machines in regions that answered; those of clouds without tags are known by their cloud ids."""
    untagged = {name for name, its in capabilities if Capability.TAGS not in its}
    sights = tuple(s for s in seen.items if s.key.region not in unreachable)
    tagged = tuple(s for s in sights if s.key.provider not in untagged)
    return (*tagged, *own_machines(tuple(s for s in sights if s.key.provider in untagged), held))


def _told_by_machines(cells: tuple[CellStatus, ...], held: tuple[Instance, ...]) -> Iterator[Notice]:
    """Yield a notice for each machine that leaves its cell: its own metadata service told it that it is taken away."""
    workers = {instance.id for instance in held if instance.role is Role.WORKER}
    for cell in cells:
        leaving = (node.instance_id for node in cell.nodes if node.is_leaving and node.instance_id in workers)
        yield from (leaving_notice(instance, cell.region) for instance in leaving)


def leaving_notice(instance: InstanceId, region: RegionId) -> Notice:
    """Return what a machine that drains its own node says by that."""
    return Notice(instance, region, NoticeKind.LEAVING, None, "its node is being drained")


def _impairments(sights: tuple[CloudInstance, ...]) -> tuple[Impairment, ...]:
    found = (Impairment(s.instance_id, s.impairment, s.impairment_since) for s in sights if s.impairment)
    return tuple(sorted(found, key=lambda impairment: impairment.instance_id))


def _ask(
    pool: ThreadPoolExecutor,
    providers: Mapping[ProviderName, Provider],
    question: Callable[[Provider], Observation[Result]],
) -> list[Future[Observation[Result]]]:
    return [pool.submit(question, providers[name]) for name in sorted(providers)]


def _joined(futures: list[Future[Observation[Result]]]) -> Observation[Result]:
    items: list[Result] = []
    unreachable: dict[RegionId, str] = {}
    for future in futures:
        observation = future.result()
        items += observation.items
        unreachable |= observation.unreachable
    return Observation(tuple(items), unreachable)


def _sorted_offers(catalogue: Observation[Offer]) -> tuple[Offer, ...]:
    return tuple(sorted(catalogue.items, key=lambda offer: offer.key))


def _regions_with_head(known: Known) -> list[RegionId]:
    return sorted({i.region for i in known.instances if i.role is Role.HEAD and i.is_standing})


def placed_deployments(wanted: Wanted | None) -> tuple[Placed, ...]:
    """Return which deployment of which application is placed."""
    if wanted is None:
        return ()
    return tuple(Placed(name, application.serve.deployment) for name, application in wanted.spec.named())


def _look(ports: Ports, region: RegionId, wanted: Wanted | None) -> CellStatus:
    settings = next((cell for cell in ports.cell_settings if cell.region == region), None)
    if settings is None:
        return CellStatus(region, answered=False, reason="the region is not set up any more")
    return ports.cell(settings).status(placed_deployments(wanted))


def _cut(status: CellStatus, cut_off: set[RegionId]) -> CellStatus:
    if status.region not in cut_off:
        return status
    return CellStatus(status.region, answered=False, reason="cut off by a drill")


def _signals(
    ports: Ports, live: tuple[Instance, ...], cells: tuple[CellStatus, ...], unreachable: frozenset[RegionId]
) -> tuple[RegionSignals, ...]:
    by_region = {cell.region: cell for cell in cells}
    return tuple(
        _signals_of(settings.region, live, by_region.get(settings.region), settings.region not in unreachable)
        for settings in ports.cell_settings
    )


def _signals_of(
    region: RegionId,
    live: tuple[Instance, ...],
    cell: CellStatus | None,
    api_answered: bool,  # noqa: FBT001
) -> RegionSignals:
    standing = [instance for instance in live if instance.region == region and instance.is_standing]
    if not standing:
        return RegionSignals(region, api_answered, head_answered=None)
    if cell is None or not cell.answered:
        is_starting = any(i.role is Role.HEAD and i.status is InstanceStatus.REQUESTED for i in standing)
        return RegionSignals(region, api_answered, head_answered=None if is_starting else False)
    targets = sum(a.replicas_target or a.replicas_ready for a in cell.applications)
    # Replicas behind proxies that take no requests serve nobody.
    ready = sum(a.replicas_ready for a in cell.applications) if cell.proxies else 0
    workers = sum(i.role is Role.WORKER and i.status is InstanceStatus.RUNNING for i in standing)
    return RegionSignals(region, api_answered, True, targets, ready, workers)
