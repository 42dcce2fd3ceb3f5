"""A price service that fails now and then: its last live prices are kept, with their age, in every process."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from providers.aws.machines import Aws
from providers.azure.machines import Azure
from providers.base import Provider
from providers.emulator.regions import CATALOG
from providers.faults import Fault, FaultKind
from providers.gcp.machines import Gcp
from providers.kept_prices import KEPT_MAX, SteadyProvider
from providers.price_catalogue import load_prices
from state.clock import ManualClock
from state.model.catalog import Market, OfferKey, Price, PriceBasis
from state.model.ids import ProviderName
from state.model.units import Usd
from state.store import Store
from state.store.memory import MemoryStore
from state.store.sql import SqlStore
from tests.builders import NOON, a_key
from tests.conformance.clouds import Clouds, embedded_clouds

HOUR = timedelta(hours=1)
FAULTS = {
    "aws": [FaultKind.ERROR, FaultKind.DENIED, FaultKind.DROP],
    "gcp": [FaultKind.ERROR, FaultKind.DENIED, FaultKind.GARBAGE],
    "azure": [FaultKind.ERROR, FaultKind.GARBAGE, FaultKind.DROP],
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("kept"), "sk-kept") as clouds:
        yield clouds


@pytest.fixture
def clouds(embedded: Clouds) -> Iterator[Clouds]:
    yield embedded
    embedded.embedded.backend.faults.clear()
    embedded.embedded.backend.spot_price_factor.clear()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = SqlStore(f"sqlite:///{tmp_path}/skerry.db")
    yield store
    store.close()


def a_process(cloud: str, clouds: Clouds, store: Store, clock: ManualClock) -> SteadyProvider:
    """Return the provider of a process that has just begun."""
    prices = load_prices(("aws", "gcp", "azure"), CATALOG, NOON)
    every: dict[str, Provider] = {
        "aws": Aws(clouds.aws, lambda: prices, lambda: "sk-kept", clock),
        "gcp": Gcp(clouds.gcp, lambda: prices, clock),
        "azure": Azure(clouds.azure, lambda: prices, clock),
    }
    return SteadyProvider(every[cloud], store, clock)


def spot(provider: Provider) -> dict[OfferKey, Price]:
    seen = provider.offers()
    assert not seen.unreachable
    return {o.key: o.price for o in seen.items if o.key.market is Market.SPOT}


@pytest.mark.parametrize(("cloud", "kind"), [(c, k) for c, kinds in FAULTS.items() for k in kinds], ids=str)
def test_a_gap_of_the_price_service_changes_no_price(
    clouds: Clouds, store: Store, clock: ManualClock, cloud: str, kind: FaultKind
) -> None:
    backend = clouds.embedded.backend
    first = a_process(cloud, clouds, store, clock)
    for offer in first.offers().items:
        backend.spot_price_factor[offer.key.region, offer.key.instance_type] = 1.3
    found = spot(a_process(cloud, clouds, store, clock))
    live = {key: price for key, price in found.items() if price.basis is PriceBasis.LIVE}
    assert live

    backend.faults.add(Fault(kind, cloud, "prices"))
    clock.sleep(3 * HOUR)
    after = a_process(cloud, clouds, store, clock)
    kept = {key: price for key, price in spot(after).items() if key in live}

    assert {k: p.per_hour for k, p in kept.items()} == {k: p.per_hour for k, p in live.items()}
    assert {(p.basis, p.as_of) for p in kept.values()} == {(PriceBasis.KEPT, NOON)}, "with its age"
    assert list(after.offers().degraded) == ["live spot prices"], "and doctor reports it"


@pytest.mark.parametrize("cloud", list(FAULTS))
def test_a_kept_price_ends_with_a_newer_one_and_after_half_a_day(
    clouds: Clouds, store: Store, clock: ManualClock, cloud: str
) -> None:
    backend = clouds.embedded.backend

    def bases() -> set[PriceBasis]:
        return {p.basis for k, p in spot(a_process(cloud, clouds, store, clock)).items() if k in live}

    live = {k for k, p in spot(a_process(cloud, clouds, store, clock)).items() if p.basis is PriceBasis.LIVE}
    backend.faults.add(Fault(FaultKind.ERROR, cloud, "prices"))

    clock.sleep(KEPT_MAX - HOUR)
    assert bases() == {PriceBasis.KEPT}
    clock.sleep(HOUR)
    assert bases() == {PriceBasis.LISTED}

    backend.faults.clear()
    assert bases() == {PriceBasis.LIVE}


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_store_replaces_the_kept_prices_of_a_provider_whole(store: Store, kind: str) -> None:
    kept = store if kind == "sql" else MemoryStore()
    price = Price(Usd.of("1.5"), "live", NOON, PriceBasis.LIVE)
    aws, gcp = ProviderName("aws"), ProviderName("gcp")
    assert kept.kept_prices(aws) == {}

    kept.keep_prices(aws, {a_key(): price, a_key(zone="b"): price})
    kept.keep_prices(aws, {a_key(zone="b"): price})
    kept.keep_prices(gcp, {})

    assert kept.kept_prices(aws) == {a_key(zone="b"): price}
