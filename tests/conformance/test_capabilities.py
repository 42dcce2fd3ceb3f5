"""Each adapter sells and does what it declares, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.base import MARKET_NEEDS, Provider, supports_dry_run
from state.model.catalog import Capability
from tests.conformance.answers_contract import OWNER
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.conformance.sites import own_sites


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("clouds"), OWNER) as clouds:
        yield clouds


def check(provider: Provider) -> None:
    markets = {offer.key.market for offer in provider.offers().items}

    assert markets
    assert {MARKET_NEEDS[market] for market in markets if market in MARKET_NEEDS} <= provider.capabilities
    assert supports_dry_run(provider) is (Capability.DRY_RUN in provider.capabilities)


@pytest.mark.clouds
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_the_clouds_have_every_capability(clouds: Clouds, cloud: str) -> None:
    assert clouds.providers[cloud].capabilities == frozenset(Capability)
    check(clouds.providers[cloud])


def test_machines_of_ones_own_are_neither_spot_nor_checked(tmp_path: Path) -> None:
    with own_sites(tmp_path) as (_, provider):
        assert frozenset(Capability) - provider.capabilities == {Capability.SPOT, Capability.DRY_RUN}
        check(provider)
