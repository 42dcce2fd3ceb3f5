"""Where the gateway is to send requests: weights follow ready replicas. Pure.

A region that is coming back gets its share, or more where the others do not carry the demand. One that is suspect or
down and serves is better than none: it keeps its requests until others carry them, and the gateway's own health checks
take out what does not answer. An application's routes are never replaced by none.
"""

import json
from dataclasses import dataclass
from typing import Final

from scheduler.plan.ready import Readiness
from scheduler.region_policy import traffic_percent
from state.model.health import HealthState
from state.model.ids import ApplicationName, RegionId
from state.model.plan import Route
from state.model.serving import ApplicationRoute, Backend, CellStatus, RoutingTable
from state.model.settings import CellSettings
from state.model.snapshot import Snapshot

WEIGHT_MAX: Final = 256
"""Source: HAProxy 2.8 configuration manual, "weight"."""


def routing_change(snapshot: Snapshot, ready: Readiness) -> Route | None:
    """Return the table to route by from now on, or None where the one in force is right."""
    table = RoutingTable() if snapshot.wanted is None else _table(snapshot, ready)
    current = snapshot.routing or RoutingTable()
    if table == current:
        return None
    added, removed = table.regions() - current.regions(), current.regions() - table.regions()
    return Route(table, tuple(sorted(added)), tuple(sorted(removed)))


def _table(snapshot: Snapshot, ready: Readiness) -> RoutingTable:
    if snapshot.wanted is None:
        return RoutingTable()
    old = {route.application: route for route in (snapshot.routing or RoutingTable()).routes}
    routes = []
    for name, _ in snapshot.wanted.spec.named():
        prefix = json.loads(snapshot.wanted.serve_application(name)).get("route_prefix") or "/"
        backends = _backends(name, snapshot, ready, old.get(name))
        if not backends and name in old:
            backends = old[name].backends
        if backends:
            routes.append(ApplicationRoute(name, prefix, backends))
    return RoutingTable(tuple(sorted(routes)))


@dataclass(frozen=True, slots=True)
class _Source:
    """A region that may get requests of an application."""

    region: RegionId
    tier: int
    """How far it is to be trusted: those of a later tier carry what those before do not."""
    percent: int
    """Least share of its traffic, while it carries at all."""
    capacity: int
    """What is ready there, in thousandths of demand; 0 where its cell does not answer."""
    addresses: tuple[str, ...] = ()
    kept: tuple[Backend, ...] = ()
    """Entries in force, where its cell does not answer."""


_TIERS: Final = {
    HealthState.HEALTHY: 0,
    HealthState.RECOVERING: 1,
    HealthState.SUSPECT: 2,
    HealthState.DOWN: 3,
}
_SERVE_ANYWAY: Final = 1
"""Up to this tier a region gets requests whatever the others carry."""


def _backends(
    name: ApplicationName,
    snapshot: Snapshot,
    ready: Readiness,
    old: ApplicationRoute | None,
) -> tuple[Backend, ...]:
    """Return where an application's requests go: to less trusted regions only while the others do not carry them."""
    demand = ready.demand.get(name, 0)
    kept: list[Backend] = []
    shares: dict[RegionId, tuple[float, tuple[str, ...]]] = {}
    carried = 0.0
    found = [_source(name, settings, snapshot, ready, old) for settings in snapshot.cell_settings]
    for tier in sorted(set(_TIERS.values())):
        among = [source for source in found if source is not None and source.tier == tier]
        if tier > _SERVE_ANYWAY and carried >= demand:
            break
        capacity = sum(source.capacity for source in among)
        needed = (demand - carried) / capacity if capacity else 0.0
        for source in among:
            kept += source.kept
            if source.capacity:
                share = source.capacity * min(1.0, max(source.percent / 100, needed))
                shares[source.region] = (share, source.addresses)
                carried += share
    largest = max((share / len(addresses) for share, addresses in shares.values()), default=0.0)
    new = [
        Backend(region, address, max(1, round(WEIGHT_MAX * share / len(addresses) / largest)))
        for region, (share, addresses) in shares.items()
        for address in addresses
    ]
    return tuple(sorted(new + kept))


def _source(
    name: ApplicationName,
    settings: CellSettings,
    snapshot: Snapshot,
    ready: Readiness,
    old: ApplicationRoute | None,
) -> _Source | None:
    """Return what a region can carry of an application; None for nothing."""
    region, cell = settings.region, snapshot.cell(settings.region)
    health = snapshot.health_of(region)
    tier = _TIERS[health.state] if health is not None else 0
    percent = traffic_percent(snapshot, region)
    if cell is None or not cell.answered:
        if old is None or not _has_machines(snapshot, region):
            return None
        return _Source(region, tier, percent, 0, kept=tuple(b for b in old.backends if b.region == region))
    is_leaving = not ready.wanted.get((name, region), 0) and ready.may_lower(name, region, 0)
    capacity = _capacity(name, cell, ready)
    if not capacity or not cell.proxies or (is_leaving and tier <= _SERVE_ANYWAY):
        return None
    addresses = (settings.serve_address,) if settings.serve_address else cell.proxies
    return _Source(region, tier, percent, capacity, addresses)


def _has_machines(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region has machines of ours: an entry for one without any is of no use."""
    return any(i.region == region and i.is_live for i in snapshot.instances)


def _capacity(name: ApplicationName, cell: CellStatus, ready: Readiness) -> int:
    application = cell.application(name)
    if application is None:
        return 0
    return application.replicas_ready * ready.milli_each.get((name, cell.region), 0)
