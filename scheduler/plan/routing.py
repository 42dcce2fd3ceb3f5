"""Where the gateway is to send requests: weights follow ready replicas. Pure.

A cell that does not answer keeps its entry until it is held suspect; HAProxy's own health checks take it
out sooner if it is really gone. An application's routes are never replaced by none.
"""

import json
from typing import Final

from scheduler.observe.health import traffic_percent
from scheduler.plan.ready import Readiness
from state.model.health import HealthThresholds
from state.model.ids import ApplicationName, RegionId
from state.model.plan import Route
from state.model.serving import ApplicationRoute, Backend, CellStatus, RoutingTable
from state.model.snapshot import Snapshot

WEIGHT_MAX: Final = 256
"""Source: HAProxy 2.8 configuration manual, "weight"."""


def routing_change(snapshot: Snapshot, ready: Readiness, thresholds: HealthThresholds) -> Route | None:
    """Return the table to route by from now on, or None where the one in force is right."""
    table = RoutingTable() if snapshot.wanted is None else _table(snapshot, ready, thresholds)
    current = snapshot.routing or RoutingTable()
    if table == current:
        return None
    gone, new = current.regions() - table.regions(), table.regions() - current.regions()
    reason = "; ".join(
        text
        for text in (
            f"no requests to {', '.join(sorted(gone))}" if gone else "",
            f"requests to {', '.join(sorted(new))}" if new else "",
        )
        if text
    )
    return Route(table, reason or "shares follow ready replicas")


def _table(snapshot: Snapshot, ready: Readiness, thresholds: HealthThresholds) -> RoutingTable:
    if snapshot.wanted is None:
        return RoutingTable()
    old = {route.application: route for route in (snapshot.routing or RoutingTable()).routes}
    routes = []
    for name, _ in snapshot.wanted.spec.named():
        prefix = json.loads(snapshot.wanted.serve_application(name)).get("route_prefix") or "/"
        backends = _backends(name, snapshot, ready, thresholds, old.get(name))
        if not backends and name in old:
            backends = old[name].backends
        if backends:
            routes.append(ApplicationRoute(name, prefix, backends))
    return RoutingTable(tuple(sorted(routes)))


def _backends(
    name: ApplicationName,
    snapshot: Snapshot,
    ready: Readiness,
    thresholds: HealthThresholds,
    old: ApplicationRoute | None,
) -> tuple[Backend, ...]:
    kept: list[Backend] = []
    shares: dict[RegionId, tuple[float, tuple[str, ...]]] = {}
    for settings in snapshot.cell_settings:
        region = settings.region
        percent = traffic_percent(snapshot.health_of(region), thresholds)
        cell = snapshot.cell(region)
        if percent == 0:
            continue
        if cell is None or not cell.answered:
            kept += [b for b in (old.backends if old else ()) if b.region == region and _stands(snapshot, region)]
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


def _stands(snapshot: Snapshot, region: RegionId) -> bool:
    """Return whether machines of ours stand in a region: an entry for one without any is of no use."""
    return any(i.region == region and i.is_live for i in snapshot.instances)


def _capacity(name: ApplicationName, cell: CellStatus, ready: Readiness) -> int:
    application = cell.application(name)
    each = ready.milli_each.get((name, cell.region), 1)
    return 0 if application is None else application.replicas_ready * each
