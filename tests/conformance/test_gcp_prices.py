"""GCP's live spot prices, from the billing catalogue: the same as gpuhunt's."""

import importlib
import importlib.resources
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.cloud.billing_v1 import Sku

from providers.emulator.regions import CATALOG
from providers.faults import Fault, FaultKind
from providers.gcp.api import GcpApi
from providers.gcp.billing import Parts, spot_rates
from providers.gcp.machines import Gcp
from providers.price_catalogue import load_prices
from providers.prices import LIVE_PRICES
from providers.throttle import RateLimiter
from state.clock import ManualClock
from state.model.catalog import Market, Price
from state.model.ids import RegionId
from tests.builders import NOON
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds

pytestmark = pytest.mark.clouds
IOWA = RegionId("gcp/us-central1")
LIVE = "GCP billing catalogue"


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("clouds"), OWNER) as clouds:
        yield clouds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def gcp(clouds: Clouds, clock: ManualClock) -> Iterator[Gcp]:
    prices = load_prices(("gcp",), CATALOG, NOON)
    yield Gcp(clouds.gcp, lambda: prices, clock)
    clouds.embedded.backend.faults.clear()
    clouds.embedded.backend.spot_price_factor.clear()


def spot(gcp: Gcp, instance_type: str = "a2-ultragpu-1g") -> Price:
    found = (o for o in gcp.offers().items if o.key.region == IOWA and o.key.market is Market.SPOT)
    return next(offer.price for offer in found if offer.key.instance_type == instance_type)


def test_a_spot_price_is_read_hourly(gcp: Gcp, clouds: Clouds, clock: ManualClock) -> None:
    first = spot(gcp)
    clouds.embedded.backend.spot_price_factor[IOWA, "a2-ultragpu-1g"] = 1.5
    clock.sleep(timedelta(minutes=59))
    kept = spot(gcp)
    clock.sleep(timedelta(minutes=2))
    renewed = spot(gcp)

    assert (first.source, first.as_of, kept) == (LIVE, NOON, first)
    assert renewed.per_hour.dollars == pytest.approx(first.per_hour.dollars * 1.5, rel=1e-5)
    assert renewed.as_of == NOON + timedelta(minutes=61)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DENIED, FaultKind.GARBAGE, FaultKind.DROP], ids=str)
def test_without_the_billing_catalogue_list_prices_apply(gcp: Gcp, clouds: Clouds, kind: FaultKind) -> None:
    clouds.embedded.backend.faults.add(Fault(kind, "gcp", "prices", times=1))

    first = gcp.offers()
    second = spot(gcp)

    assert {o.price.source == LIVE for o in first.items} == {False}
    assert (first.unreachable, list(first.degraded)) == ({}, [LIVE_PRICES])
    assert second.source == LIVE, "the next read has it"


def test_an_implausible_price_is_ignored(gcp: Gcp, clouds: Clouds) -> None:
    clouds.embedded.backend.spot_price_factor[IOWA, "a2-ultragpu-1g"] = 1000

    assert spot(gcp).source != LIVE


def test_short_pages_are_read_to_the_end(gcp: Gcp, clouds: Clouds) -> None:
    clouds.embedded.backend.page = 3
    found = spot(gcp)
    clouds.embedded.backend.page = None

    assert found.source == LIVE


@pytest.fixture
def gpuhunts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The module of gpuhunt that reads SKUs; its wheel lacks a file of TPU prices that the import reads."""
    (tmp_path / "tpu_pricing.json").write_text("{}")
    usual: Callable[[str], Any] = importlib.resources.files
    files: Callable[[str], Any] = lambda package: tmp_path if package == "gpuhunt.resources" else usual(package)  # noqa: E731
    monkeypatch.setattr(importlib.resources, "files", files)
    return importlib.import_module("gpuhunt.providers.gcp")


def test_spot_rates_equal_gpuhunts(clouds: Clouds, clock: ManualClock, gpuhunts: Any) -> None:
    skus = list(GcpApi(clouds.gcp, RateLimiter(clouds.gcp.pace, clock, 2.0)).skus())
    ours, theirs = spot_rates(skus, NOON), gpuhunts.Prices()
    theirs.add_skus([Sku.from_json(json.dumps(sku)) for sku in skus])

    def expected(region: str, parts: Parts) -> float:
        facts = {"instance_name": parts.machine_type, "location": f"{region}-a", "cpu": parts.vcpus}
        facts |= {"memory": parts.memory_gib, "gpu_count": parts.gpus, "gpu_name": parts.accelerator}
        usd: float | None = theirs.get_instance_price(SimpleNamespace(**facts), gpuhunts.CapacityType.SPOT)
        assert usd is not None
        return usd

    for region in ("us-central1", "europe-west4"):
        for parts in SOLD:
            assert ours.price(region, parts) == pytest.approx(expected(region, parts))


SOLD = (
    Parts("g2-standard-4", 4, 16, "nvidia-l4", 1, 0),
    Parts("g2-standard-24", 24, 96, "nvidia-l4", 2, 0),
    Parts("a2-ultragpu-1g", 12, 170, "nvidia-a100-80gb", 1, 375),
)
