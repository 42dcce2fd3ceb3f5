"""The provider contract over the embedded clouds, with each cloud's own words."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from providers.base import Provider
from providers.emulator.backend import Reservation
from providers.emulator.ends import EndedBy, Failure
from state.model.catalog import Market, Offer, QuotaScope
from state.model.ids import InstanceId, RegionId
from tests.conformance.answers_contract import OWNER, Answers
from tests.conformance.cloud_controls import CloudControls
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.conformance.provider_contract import ProviderContract

QUOTA_NAMES = {"G and VT": "Running On-Demand G and VT instances", "L4": "NVIDIA_L4_GPUS"}


class EmbeddedContract(ProviderContract):
    """The contract over the embedded clouds, through the real SDK."""

    cloud = ""

    @pytest.fixture
    def clouds(self, tmp_path: Path) -> Iterator[Clouds]:
        with embedded_clouds(tmp_path, OWNER) as clouds:
            yield clouds

    @pytest.fixture
    def provider(self, clouds: Clouds) -> Provider:
        return clouds.providers[self.cloud]

    @pytest.fixture
    def controls(self, clouds: Clouds) -> CloudControls:
        backend = clouds.embedded.backend

        def empty(offer: Offer) -> None:
            key = offer.key
            backend.set_stock(key.region, key.zone, key.instance_type, 0, is_spot=key.market is Market.SPOT)

        def use_up(offer: Offer) -> None:
            family = offer.machine.family
            backend.regions[offer.key.region].quotas[QUOTA_NAMES.get(family, family)] = 0

        def lose(region: RegionId) -> None:
            clouds.embedded.lose_region(region)

        def lists(lag: float = 0, page: int | None = None, *, duplicates: bool = False) -> None:
            backend.lag, backend.page, backend.duplicates = timedelta(seconds=lag), page, duplicates

        def announce(name: InstanceId) -> datetime:
            begins = backend.announce_maintenance(name, timedelta(hours=1))
            assert begins is not None
            return begins

        def reserve(offer: Offer, count: int) -> None:
            key = offer.key
            backend.reservations["cr-1"] = Reservation("cr-1", key.region, key.zone, key.instance_type, count)

        return CloudControls(
            lose, backend.restore, empty, use_up, backend.faults, lists, announce, reserve, backend.impair
        )

    @pytest.fixture
    def answers(self, clouds: Clouds) -> Answers:
        backend = clouds.embedded.backend

        def fail() -> str:
            code, message = STOCK_OUTS[self.cloud]
            backend.fail_next_launch(self.cloud, Failure(code, message))
            backend.holds_operations = True
            return code

        def settle() -> None:
            backend.holds_operations = False

        def unknown(name: InstanceId) -> None:
            backend.machines[name].listed_state = UNKNOWN_STATES[self.cloud]

        return Answers(
            fail_next_launch=fail,
            settle=settle,
            report_unknown_state=unknown,
            reclaim=lambda name: backend.end(name, EndedBy.RECLAIM),
            use_up_widest_quota=lambda offer: use_up_widest_quota(clouds, offer),
            elsewhere=lambda log: clouds.build(self.cloud, log),
        )


STOCK_OUTS = {
    "aws": ("Server.InsufficientInstanceCapacity", "Insufficient capacity to satisfy instance request"),
    "gcp": ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available."),
    "azure": ("ZonalAllocationFailed", "Allocation failed. We do not have sufficient capacity in this zone."),
}
UNKNOWN_STATES = {"aws": "migrating", "gcp": "MIGRATING", "azure": "unknown"}
"""What no documentation has; Azure's own word for not knowing."""


def use_up_widest_quota(clouds: Clouds, offer: Offer) -> QuotaScope:
    backend, region = clouds.embedded.backend, clouds.embedded.backend.regions[offer.key.region]
    if offer.key.provider == "gcp":
        backend.project_quotas["GPUS_ALL_REGIONS"] = 0
        return QuotaScope.ACCOUNT
    if offer.key.provider == "azure":
        region.quotas["cores"] = 0
        return QuotaScope.REGION
    region.quotas[QUOTA_NAMES[offer.machine.family]] = 0
    return QuotaScope.FAMILY
