"""Settings to the dependencies of a tick: the one place that knows the concrete adapters."""

import os
from pathlib import Path

from inference.gateway.process import HaproxyGateway
from inference.ray.cell import RayCells
from providers.build import build_providers
from scheduler.daemon.solver import prepare_solver
from scheduler.documents.latency_file import read_latencies
from scheduler.documents.price_file import read_negotiated
from scheduler.documents.settings_file import Settings
from scheduler.ports import Ports
from state.clock import Clock, SystemClock
from state.model.settings import Thresholds
from state.store import Store
from state.store.sql import SqlStore


def open_store(settings: Settings) -> Store:
    """Return the store of an installation, its schema up to date."""
    settings.home.mkdir(parents=True, exist_ok=True)
    return SqlStore(settings.database_url)


def open_gateway(settings: Settings) -> HaproxyGateway:
    """Return the gateway of an installation."""
    return HaproxyGateway(settings.gateway_folder, settings.gateway.listen)


def open_ports(settings: Settings, store: Store | None = None, clock: Clock | None = None) -> Ports:
    """Return the dependencies of a tick."""
    clock = clock or SystemClock()
    store = store or open_store(settings)
    if settings.embedded is not None:
        os.environ |= settings.embedded.environment
    prepare_solver()
    catalog = None if settings.price_catalog is None else Path(settings.price_catalog)
    agreed = () if settings.negotiated_prices is None else read_negotiated(Path(settings.negotiated_prices))
    token_file = Path(settings.ray_token_file or settings.home / "ray-token")
    return Ports(
        store=store,
        providers=build_providers(settings.providers, catalog, store.installation, clock, agreed, store),
        cell=RayCells(token_file, clock),
        gateway=open_gateway(settings),
        clock=clock,
        cell_settings=settings.cell_settings,
        thresholds=Thresholds(health=settings.thresholds),
        limits=settings.bounds,
        shortage_policy=settings.shortage_policy,
        cost_model=settings.cost_model,
        own_regions=settings.own_regions,
        latencies=() if settings.latency_table is None else read_latencies(Path(settings.latency_table)),
    )
