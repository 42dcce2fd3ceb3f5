"""The price catalogue: from gpuhunt's lines to offers, and where the lines come from."""

import csv
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from providers.catalogue import ANY_ZONE, ESTIMATE, ListedMachine, canonical_gpu, catalogue_offers
from providers.catalogue.source import CATALOG_DIR, PACKAGED, load_catalogue, packaged_catalogue, read_catalogue
from providers.regions import known_regions
from scheduler.service.catalogue import catalogue_snapshot, considered, offers_listed
from state.model.catalog import CatalogueSource, Market, Offer
from state.model.ids import ProviderName
from tests.builders import NOON, a_spec, application

ROOT = Path(__file__).parents[2]
HEADS = frozenset({("aws", "m6i.large"), ("gcp", "e2-standard-2")})


def rows_of(provider: str) -> list[dict[str, str]]:
    with PACKAGED[ProviderName(provider)].open() as table:
        return list(csv.DictReader(table))


def test_the_packaged_catalogue_is_small_and_each_price_has_a_source_and_a_date() -> None:
    rows = [row for provider in PACKAGED for row in rows_of(provider)]

    assert set(PACKAGED) == {"aws", "azure", "gcp"}
    assert sum(file.stat().st_size for file in PACKAGED.values()) < 100 * 1024
    for row in rows:
        facts = json.loads(row["provider_data"])
        assert facts["source"] and date.fromisoformat(facts["as_of"])
        assert float(row["price"]) > 0
    keys = [(row["instance_name"], row["location"], row["spot"]) for row in rows]
    assert len(keys) == len(set(keys))


def test_a_wheel_has_the_list_prices_of_each_cloud() -> None:
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}

    assert {str(file.relative_to(ROOT)) for file in PACKAGED.values()} <= packed


def test_it_covers_each_cloud_with_heads_and_models() -> None:
    offers = offers_listed(packaged_catalogue(NOON))

    for provider in PACKAGED:
        ours = [offer for offer in offers if offer.key.provider == provider]
        regions = {offer.key.region for offer in ours}
        assert len(regions) >= 15
        assert {o.key.region for o in ours if not o.machine.gpus} == regions, "a head in each"
    models = {offer.machine.gpu for offer in offers}
    assert {
        "T4",
        "L4",
        "L40S",
        "A10G",
        "A100-40GB",
        "A100-80GB",
        "H100",
        "H100-NVL",
        "H200",
        "B200",
        "MI300X",
    } <= models


def test_stock_and_quotas_are_unknown() -> None:
    offers = offers_listed(packaged_catalogue(NOON))
    snapshot = catalogue_snapshot(None, offers, NOON)

    assert {offer.stock for offer in offers} == {None}
    assert snapshot.quotas == ()
    assert {cell.region for cell in snapshot.cell_settings} == {offer.key.region for offer in offers}


def a_line(name: str = "g6.xlarge", location: str = "us-east-1", usd: float = 0.8, **more: object) -> ListedMachine:
    facts: dict[str, object] = {
        "provider": "aws",
        "location": location,
        "name": name,
        "gpu": "L4",
        "gpus": 1,
        "gpu_memory_gib": 22.4,
        "vcpus": 4,
        "memory_gib": 16.0,
        "usd_per_hour": usd,
        "is_spot": False,
        "is_arm": False,
        "source": "test",
        "as_of": NOON,
    }
    return ListedMachine(**(facts | more))  # type: ignore[arg-type]


def a_head(name: str = "m6i.large", location: str = "us-east-1", usd: float = 0.1, **more: object) -> ListedMachine:
    facts: dict[str, object] = {"gpu": None, "gpus": 0, "gpu_memory_gib": 0.0}
    return a_line(name, location, usd, **(facts | more))


def offered(*lines: ListedMachine) -> dict[str, Offer]:
    return {str(offer.key): offer for offer in catalogue_offers(lines, known_regions(), HEADS)}


def test_zones_are_kept_where_the_catalogue_has_them_and_are_unknown_elsewhere() -> None:
    zoned = a_line("g2-standard-4", "us-central1-a", provider="gcp")

    found = offered(a_line(), a_head(), zoned, a_head("e2-standard-2", "us-central1-b", provider="gcp"))

    assert set(found) == {
        f"aws/us-east-1/{ANY_ZONE}/g6.xlarge/on_demand",
        f"aws/us-east-1/{ANY_ZONE}/m6i.large/on_demand",
        "gcp/us-central1/us-central1-a/g2-standard-4/on_demand",
        "gcp/us-central1/us-central1-b/e2-standard-2/on_demand",
    }


def test_a_region_without_a_listed_head_gets_a_marked_estimate() -> None:
    heads = (a_head(), a_head(location="us-west-2", usd=0.12))

    found = offered(a_line(), a_line(location="us-west-2"), a_line(location="eu-north-1"), *heads)

    estimate = found[f"aws/eu-north-1/{ANY_ZONE}/m6i.large/on_demand"]
    assert (estimate.price.source, estimate.price.per_hour.dollars) == (ESTIMATE, 0.12)
    assert found[f"aws/us-east-1/{ANY_ZONE}/m6i.large/on_demand"].price.source == "test"


@pytest.mark.parametrize(
    "line",
    [
        a_line(location="moon-1"),
        a_line(is_arm=True),
        a_line(usd=0.001),
        a_line(gpu_memory_gib=6.0),
        a_line(gpu="Gaudi"),
        a_head("c5.large"),
        a_head(is_spot=True),
        a_head(location="eu-west-1"),
    ],
    ids=["unknown region", "arm", "price", "part of a GPU", "unknown GPU", "no head", "spot head", "head alone"],
)
def test_what_cannot_be_used_is_left_out(line: ListedMachine) -> None:
    assert set(offered(a_line("g6.2xlarge"), a_head(), line)) == {
        f"aws/us-east-1/{ANY_ZONE}/g6.2xlarge/on_demand",
        f"aws/us-east-1/{ANY_ZONE}/m6i.large/on_demand",
    }


def test_a_size_of_azures_that_is_listed_with_a_whole_gpu_and_has_a_part_is_left_out(tmp_path: Path) -> None:
    header = ",".join(rows_of("azure")[0])
    names = {"Standard_NV6ads_A10_v5": 6, "Standard_NV36ads_A10_v5": 36, "Standard_NC8ads_A10_v4": 8}
    lines = [f"{name},eastus,0.454,{vcpus},55,1,A10,24,False,,nvidia,,x86,{{}}" for name, vcpus in names.items()]
    (tmp_path / "azure.csv").write_text(
        "\n".join([header, *lines, "Standard_D2s_v5,eastus,0.1,2,8,0,,,False,,,,x86,{}"])
    )
    for other in ("aws", "gcp"):
        (tmp_path / f"{other}.csv").write_text(header + "\n")

    found = catalogue_offers(read_catalogue(tmp_path, NOON), known_regions(), {("azure", "Standard_D2s_v5")})

    assert [offer.key.instance_type for offer in found if offer.machine.gpus] == ["Standard_NV36ads_A10_v5"]


def test_a_price_far_below_its_peers_is_doubted() -> None:
    peers = [a_line(location=name) for name in ("us-east-1", "us-east-2", "us-west-2", "eu-central-1")]

    found = offered(*peers, a_line(location="eu-north-1", usd=0.1), a_head())

    doubted = [key for key, offer in found.items() if offer.price.is_doubted]
    assert doubted == [f"aws/eu-north-1/{ANY_ZONE}/g6.xlarge/on_demand"]
    assert [s.scope for s in catalogue_snapshot(None, tuple(found.values()), NOON).shortages] == doubted


@pytest.mark.parametrize(
    ("listed", "memory", "ours"),
    [
        ("A100", 40.0, "A100-40GB"),
        ("A100", 80.0, "A100-80GB"),
        ("H100", 80.0, "H100"),
        ("H100", 94.0, "H100-NVL"),
        ("H100NVL", 94.0, "H100-NVL"),
        ("V100", 32.0, "V100-32GB"),
        ("L4", 22.4, "L4"),
        ("T4g", 16.0, "T4G"),
        ("A10", 4.0, None),
        ("Gaudi", 96.0, None),
        (None, 0.0, None),
    ],
)
def test_models_are_distinguished_by_memory(listed: str | None, memory: float, ours: str | None) -> None:
    assert canonical_gpu(listed, memory) == ours


class _Published(BaseHTTPRequestHandler):
    """Publishes the packaged files without their dates, as gpuhunt's bucket does."""

    def do_GET(self) -> None:
        _, provider, *rest = self.path.split("/")
        if provider not in PACKAGED:
            self.send_error(404)
            return
        body = b"20270102-7" if rest == ["version"] else zipped(provider)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        pass


def zipped(provider: str) -> bytes:
    rows = [row | {"provider_data": "{}"} for row in rows_of(provider)]
    table, packed = io.StringIO(), io.BytesIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{provider}.csv", table.getvalue())
    return packed.getvalue()


@contextmanager
def published() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_published_catalogue_is_used_where_it_is_reachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CATALOG_DIR, str(tmp_path))
    with published() as url:
        monkeypatch.setenv("GPUHUNT_CATALOG_URL", url)
        catalogue = load_catalogue(NOON, timedelta(minutes=3))

    assert catalogue.source is CatalogueSource.PUBLISHED
    assert {line.as_of.date().isoformat() for line in catalogue.listed} == {"2027-01-02"}
    assert len(catalogue.listed) == len(packaged_catalogue(NOON).listed)
    assert {offer.key for offer in offers_listed(catalogue)} == {
        offer.key for offer in offers_listed(packaged_catalogue(NOON))
    }


def test_an_endpoint_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CATALOG_DIR, str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("GPUHUNT_CATALOG_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        catalogue = load_catalogue(NOON, timedelta(seconds=3))

    assert catalogue.source is CatalogueSource.PACKAGED
    assert {offer.key.market for offer in offers_listed(catalogue)} == {Market.ON_DEMAND, Market.SPOT}


def test_a_plan_considers_the_types_that_are_cheapest_per_unit_of_demand_in_every_place() -> None:
    sizes = [a_line(f"g6.{n}xlarge", usd=0.8 + n, memory_gib=16.0 * n) for n in range(1, 9)]
    elsewhere = [a_line("g6.8xlarge", "eu-central-1", 9.0), a_line("g5.xlarge", "eu-central-1", 0.9, gpu="A10G")]
    offers = catalogue_offers([*sizes, *elsewhere, a_head()], known_regions(), HEADS)
    chat = application(shapes=[{"gpu": "L4", "memory_gib": 20}])

    kept = considered(offers, a_spec(chat=chat))

    assert {f"{offer.key.region} {offer.key.instance_type}" for offer in kept if offer.machine.gpus} == {
        "aws/us-east-1 g6.1xlarge",  # the cheapest L4 stays, so that the model is known to be sold
        "aws/us-east-1 g6.2xlarge",
        "aws/us-east-1 g6.3xlarge",
        "aws/us-east-1 g6.4xlarge",
        "aws/eu-central-1 g5.xlarge",
    }
    assert {offer.key for offer in offers if not offer.machine.gpus} <= {offer.key for offer in kept}
