"""observe(ports): read every cloud, cell and the gateway in parallel into one snapshot."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from inference.base import Placed
from providers.base import Observation, Provider
from providers.peers import beside_peers
from scheduler import shortages
from scheduler.observe.current import expiry_notices, priced
from scheduler.observe.health import assess
from scheduler.observe.inventory import Readings, sync_inventory
from scheduler.observe.membership import with_membership
from scheduler.observe.signals import region_signals
from scheduler.observe.untagged import own_machines
from scheduler.ports import Ports
from scheduler.weather import Weather
from state.model.catalog import Capability, Offer, Quota, Shortage
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Impairment, Instance, Notice, NoticeKind, Role
from state.model.serving import CellStatus
from state.model.snapshot import ReadFailure, ReadKind, Snapshot, Wanted
from state.store import Known

PARALLEL_READS: Final = 16

Result = TypeVar("Result")


def observe(ports: Ports) -> Snapshot:
    """Return everything that is known now.

    A region that does not answer is unreachable in the snapshot, and nothing is concluded from its silence. So is
    a region that a drill cuts off.
    """
    known = ports.store.load()
    now = ports.clock.now()
    owner = ports.store.installation()
    last = ports.store.last_plan()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        machines = _query(pool, ports.providers, lambda p: p.instances(owner))
        offers = _query(pool, ports.providers, lambda p: p.offers())
        announced = _query(pool, ports.providers, lambda p: p.notices(owner))
        quotas = _query(pool, ports.providers, lambda p: p.quotas())
        cells = [pool.submit(_read_cell, ports, region, known.wanted) for region in _regions_with_head(known)]
        cut_off = {drill.region for drill in known.drills if drill.cuts_off and drill.until > now}
        cell_statuses = tuple(_cut(future.result(), cut_off) for future in cells)
        read = _Read(_joined(machines), _compared(_joined(offers)), _joined(quotas), _joined(announced))
    capabilities = tuple((name, ports.providers[name].capabilities) for name in sorted(ports.providers))
    ours = replace(read, instances=_ours(read.instances, known, capabilities))
    readings = _readings(ours, frozenset(cut_off), cell_statuses, known, now)
    synced = with_membership(sync_inventory(known.instances, readings, ports.thresholds), cell_statuses, now)
    early = shortages.from_early_ends(synced.learned, known.health, now, ports.shortage_policy)
    new = tuple(shortages.grown(known.shortages, shortage, ports.shortage_policy) for shortage in early)
    remembered = (*_remembered(known, new), *new)
    regions = tuple(settings.region for settings in ports.cell_settings)
    signals = region_signals(regions, synced.live, cell_statuses, readings, ports.thresholds)
    return Snapshot(
        taken_at=now,
        wanted=known.wanted,
        offers=_priced(read.offers.items, Weather(known.weather, synced.live, now), ports),
        quotas=tuple(sorted(read.quotas.items, key=lambda q: q.sort_key)),
        shortages=(*remembered, *_momentary(known, remembered, readings, synced.live, read.offers.items, ports)),
        new_shortages=new,
        instances=synced.live,
        learned=synced.learned,
        orphans=synced.orphans,
        notices=readings.notices,
        impairments=_impairments(readings.seen),
        unreachable=readings.unreachable,
        failures=tuple(_failures(read)),
        cells=cell_statuses,
        health=assess(known.health, signals, now, ports.thresholds.health),
        routing=ports.gateway.table(),
        cell_settings=ports.cell_settings,
        limits=ports.limits,
        thresholds=ports.thresholds,
        shortage_policy=ports.shortage_policy,
        cost_model=ports.cost_model,
        placed=() if last is None else last.placement.replicas,
        pending_moves=ports.store.pending_moves(),
        latencies=ports.latencies,
        own_regions=ports.own_regions,
        capabilities=capabilities,
    )


def _momentary(
    known: Known,
    remembered: tuple[Shortage, ...],
    readings: Readings,
    live: tuple[Instance, ...],
    offers: Iterable[Offer],
    ports: Ports,
) -> Iterator[Shortage]:
    """Yield the shortages that follow from what is known at this moment, and are never stored."""
    now, policy = readings.taken_at, ports.shortage_policy
    yield from shortages.from_recommendations(readings.notices, live, now, policy)
    yield from shortages.from_losses(known.weather, live, now, policy)
    yield from shortages.widened(remembered, now, policy)
    yield from shortages.from_prices(offers, now, policy)


def _priced(offers: Iterable[Offer], weather: Weather, ports: Ports) -> tuple[Offer, ...]:
    """Return offers in order, with what the weather says of their pools."""
    assumed = ports.cost_model.interruptions_per_hour
    return tuple(weather.priced(offer, assumed) for offer in sorted(offers, key=lambda offer: offer.key))


@dataclass(frozen=True, slots=True)
class _Read:
    """What every provider answered, joined."""

    instances: Observation[CloudInstance]
    offers: Observation[Offer]
    quotas: Observation[Quota]
    notices: Observation[Notice]


def _ours(
    listed: Observation[CloudInstance],
    known: Known,
    capabilities: tuple[tuple[ProviderName, frozenset[Capability]], ...],
) -> Observation[CloudInstance]:
    """Return what was listed without other owners' machines: where a cloud has no tags, our cloud ids identify ours."""
    untagged = {name for name, its in capabilities if Capability.TAGS not in its}
    tagged = (seen for seen in listed.items if seen.key.provider not in untagged)
    rest = tuple(seen for seen in listed.items if seen.key.provider in untagged)
    return replace(listed, items=(*tagged, *own_machines(rest, known.instances)))


def _readings(
    read: _Read, cut_off: frozenset[RegionId], cells: tuple[CellStatus, ...], known: Known, now: datetime
) -> Readings:
    unreachable = frozenset(read.instances.unreachable) | cut_off
    seen = tuple(seen for seen in priced(read.instances.items, read.offers.items) if seen.key.region not in unreachable)
    notices = (*read.notices.items, *_leaving_notices(cells, known.instances), *expiry_notices(seen))
    return Readings(
        seen=seen,
        unreachable=unreachable,
        notices=tuple(sorted(notices, key=lambda notice: notice.sort_key)),
        taken_at=now,
    )


def _remembered(known: Known, new: tuple[Shortage, ...]) -> tuple[Shortage, ...]:
    """Return the remembered shortages without those whose scope a new one has."""
    scopes = {shortage.scope for shortage in new}
    return tuple(shortage for shortage in known.shortages if shortage.scope not in scopes)


def _failures(read: _Read) -> Iterator[ReadFailure]:
    found: tuple[tuple[ReadKind, dict[RegionId, str]], ...] = (
        (ReadKind.INSTANCES, read.instances.unreachable),
        (ReadKind.OFFERS, read.offers.unreachable),
        (ReadKind.QUOTAS, read.quotas.unreachable),
        (ReadKind.NOTICES, read.notices.unreachable),
    )
    for kind, unreachable in found:
        yield from (ReadFailure(region, kind, message) for region, message in sorted(unreachable.items()))


def _leaving_notices(cells: tuple[CellStatus, ...], held: tuple[Instance, ...]) -> Iterator[Notice]:
    """Yield a notice for each machine that leaves its cell because its own metadata service announced its end."""
    workers = {instance.id for instance in held if instance.role is Role.WORKER}
    for cell in cells:
        leaving = (node.instance_id for node in cell.nodes if node.is_leaving and node.instance_id in workers)
        yield from (leaving_notice(instance, cell.region) for instance in leaving)


def leaving_notice(instance: InstanceId, region: RegionId) -> Notice:
    """Return the notice that a machine gives by draining its own node."""
    return Notice(instance, region, NoticeKind.LEAVING)


def _impairments(seen: tuple[CloudInstance, ...]) -> tuple[Impairment, ...]:
    found = (Impairment(s.instance_id, s.impairment, s.impairment_since) for s in seen if s.impairment)
    return tuple(sorted(found, key=lambda impairment: impairment.instance_id))


def _query(
    pool: ThreadPoolExecutor,
    providers: Mapping[ProviderName, Provider],
    read: Callable[[Provider], Observation[Result]],
) -> list[Future[Observation[Result]]]:
    return [pool.submit(read, providers[name]) for name in sorted(providers)]


def _joined(futures: list[Future[Observation[Result]]]) -> Observation[Result]:
    items: list[Result] = []
    unreachable: dict[RegionId, str] = {}
    for future in futures:
        observation = future.result()
        items += observation.items
        unreachable |= observation.unreachable
    return Observation(tuple(items), unreachable)


def _compared(read: Observation[Offer]) -> Observation[Offer]:
    """Return offers of all clouds, each at the price that its peers bear out."""
    return replace(read, items=beside_peers(read.items))


def _regions_with_head(known: Known) -> list[RegionId]:
    return sorted({i.region for i in known.instances if i.role is Role.HEAD and i.exists})


def placed_deployments(wanted: Wanted | None) -> tuple[Placed, ...]:
    """Return which deployment of which application is placed."""
    if wanted is None:
        return ()
    return tuple(Placed(name, application.serve.deployment) for name, application in wanted.spec.named())


def _read_cell(ports: Ports, region: RegionId, wanted: Wanted | None) -> CellStatus:
    settings = next((cell for cell in ports.cell_settings if cell.region == region), None)
    if settings is None:
        return CellStatus(region, answered=False, message="the region is not set up any more")
    return ports.cell(settings).status(placed_deployments(wanted))


def _cut(status: CellStatus, cut_off: set[RegionId]) -> CellStatus:
    if status.region not in cut_off:
        return status
    return CellStatus(status.region, answered=False, message="cut off by a drill")
