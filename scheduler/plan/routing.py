"""Where the gateway is to send requests: weights follow ready replicas. Pure.

A cell that does not answer keeps its entry until its region is suspect; the gateway's own health checks take it
out sooner. An application's routes are never replaced by none.
"""

import json
from typing import Final

from scheduler.plan.ready import Readiness
from scheduler.region_policy import traffic_percent
from state.model.ids import ApplicationName, RegionId
from state.model.plan import Route
from state.model.serving import ApplicationRoute, Backend, CellStatus, RoutingTable
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


def _backends(
    name: ApplicationName,
    snapshot: Snapshot,
    ready: Readiness,
    old: ApplicationRoute | None,
) -> tuple[Backend, ...]:
    kept: list[Backend] = []
    shares: dict[RegionId, tuple[float, tuple[str, ...]]] = {}
    for settings in snapshot.cell_settings:
        region = settings.region
        percent = traffic_percent(snapshot, region)
        cell = snapshot.cell(region)
        if percent == 0:
            continue
        if cell is None or not cell.answered:
            kept += [b for b in (old.backends if old else ()) if b.region == region and _has_machines(snapshot, region)]
            continue
        capacity = _capacity(name, cell, ready)
        is_leaving = not ready.wanted.get((name, region), 0) and ready.may_lower(name, region, 0)
        addresses = (settings.serve_address,) if settings.serve_address else cell.proxies
        if capacity and cell.proxies and not is_leaving:
            shares[region] = (capacity * percent / 100, addresses)
    largest = max((share / len(addresses) for share, addresses in shares.values()), default=0.0)
    new = [
        Backend(region, address, max(1, round(WEIGHT_MAX * share / len(addresses) / largest)))
        for region, (share, addresses) in shares.items()
        for address in addresses
    ]
    return tuple(sorted(new + kept))


def _has_machines(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether a region has machines of ours: an entry for one without any is of no use."""
    return any(i.region == region and i.is_live for i in snapshot.instances)


def _capacity(name: ApplicationName, cell: CellStatus, ready: Readiness) -> int:
    application = cell.application(name)
    return 0 if application is None else application.replicas_ready * ready.milli_each[name, cell.region]
