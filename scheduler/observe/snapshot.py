"""observe(outside): ask everyone in parallel, and put what they say into one snapshot."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from inference.base import Placed
from providers.base import Provider, Sighting
from scheduler.observe.health import assess
from scheduler.observe.inventory import at_risk, recognise
from scheduler.ports import Outside
from state.model.catalog import Offer
from state.model.health import RegionSignals
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Instance, Notice, NoticeKind, Role, Trouble
from state.model.lifecycle import InstanceStatus
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot, Wanted
from state.store import Known

PARALLEL_LOOKS: Final = 16

Result = TypeVar("Result")


def observe(outside: Outside) -> Snapshot:
    """Return everything that is known now.

    Whoever does not answer is blind in the snapshot; nothing is concluded from silence. A region that a
    drill cuts off is not listened to either.
    """
    known = outside.store.load()
    now = outside.clock.now()
    owner = outside.store.installation()
    last = outside.store.last_plan()
    with ThreadPoolExecutor(PARALLEL_LOOKS) as pool:
        machines = _ask(pool, outside.providers, lambda p: p.instances(owner))
        offers = _ask(pool, outside.providers, lambda p: p.offers())
        announced = _ask(pool, outside.providers, lambda p: p.notices(owner))
        quotas = _ask(pool, outside.providers, lambda p: p.quotas())
        cells = [pool.submit(_look, outside, region, known.wanted) for region in _regions_with_head(known)]
        cut_off = {drill.region for drill in known.drills if drill.cuts_off and drill.until > now}
        seen_cells = tuple(_cut(future.result(), cut_off) for future in cells)
        seen = _joined(machines)
        told = (*_joined(announced).items, *_told_by_machines(seen_cells, known.instances))
        notices = tuple(sorted(told, key=lambda notice: notice.order))
        blind = frozenset(seen.blind) | frozenset(cut_off)
        catalogue, limits = _joined(offers), _joined(quotas)
    sights: tuple[CloudInstance, ...] = tuple(s for s in seen.items if s.key.region not in blind)
    recognised = recognise(known.instances, sights, blind, now, notices)
    signals = _signals(outside, recognised.live, seen_cells, blind)
    return Snapshot(
        taken_at=now,
        wanted=known.wanted,
        offers=_sorted_offers(catalogue),
        quotas=tuple(sorted(limits.items, key=lambda q: (q.region, q.family, q.market))),
        shortages=known.shortages + at_risk(notices, recognised.live, now),
        instances=recognised.live,
        learned=recognised.learned,
        strays=recognised.strays,
        notices=notices,
        troubles=_troubles(sights),
        blind=blind,
        cells=seen_cells,
        health=assess(known.health, signals, now, outside.knobs),
        routing=outside.gateway.table(),
        cell_settings=outside.cell_settings,
        limits=outside.limits,
        placed=() if last is None else last.placement.replicas,
        latencies=outside.latencies,
        own_regions=outside.own_regions,
    )


def _told_by_machines(cells: tuple[CellStatus, ...], held: tuple[Instance, ...]) -> Iterator[Notice]:
    """Yield a notice for each machine that leaves its cell: its own metadata service told it that it is taken away."""
    workers = {instance.id for instance in held if instance.role is Role.WORKER}
    for cell in cells:
        leaving = (node.instance_id for node in cell.nodes if node.is_leaving and node.instance_id in workers)
        yield from (leaving_notice(instance, cell.region) for instance in leaving)


def leaving_notice(instance: InstanceId, region: RegionId) -> Notice:
    """Return what a machine that drains its own node says by that."""
    return Notice(instance, region, NoticeKind.LEAVING, None, "its node is being drained")


def _troubles(sights: tuple[CloudInstance, ...]) -> tuple[Trouble, ...]:
    found = (Trouble(s.instance_id, s.trouble, s.trouble_since) for s in sights if s.trouble)
    return tuple(sorted(found, key=lambda trouble: trouble.instance_id))


def _ask(
    pool: ThreadPoolExecutor,
    providers: Mapping[ProviderName, Provider],
    question: Callable[[Provider], Sighting[Result]],
) -> list[Future[Sighting[Result]]]:
    return [pool.submit(question, providers[name]) for name in sorted(providers)]


def _joined(futures: list[Future[Sighting[Result]]]) -> Sighting[Result]:
    items: list[Result] = []
    blind: dict[RegionId, str] = {}
    for future in futures:
        sighting = future.result()
        items += sighting.items
        blind |= sighting.blind
    return Sighting(tuple(items), blind)


def _sorted_offers(catalogue: Sighting[Offer]) -> tuple[Offer, ...]:
    return tuple(sorted(catalogue.items, key=lambda offer: offer.key))


def _regions_with_head(known: Known) -> list[RegionId]:
    return sorted({i.region for i in known.instances if i.role is Role.HEAD and i.is_standing})


def placed_deployments(wanted: Wanted | None) -> tuple[Placed, ...]:
    """Return which deployment of which application is placed."""
    if wanted is None:
        return ()
    return tuple(Placed(name, application.serve.deployment) for name, application in wanted.spec.named())


def _look(outside: Outside, region: RegionId, wanted: Wanted | None) -> CellStatus:
    settings = next((cell for cell in outside.cell_settings if cell.region == region), None)
    if settings is None:
        return CellStatus(region, answered=False, reason="the region is not set up any more")
    return outside.cell(settings).status(placed_deployments(wanted))


def _cut(status: CellStatus, cut_off: set[RegionId]) -> CellStatus:
    if status.region not in cut_off:
        return status
    return CellStatus(status.region, answered=False, reason="cut off by a drill")


def _signals(
    outside: Outside, live: tuple[Instance, ...], cells: tuple[CellStatus, ...], blind: frozenset[RegionId]
) -> tuple[RegionSignals, ...]:
    by_region = {cell.region: cell for cell in cells}
    return tuple(
        _signals_of(settings.region, live, by_region.get(settings.region), settings.region not in blind)
        for settings in outside.cell_settings
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
