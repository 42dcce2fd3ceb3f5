"""Reservations on every cloud: each launch takes the place that it names, and what the cloud changes later is read."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from providers.aws.catalog import reservation_of
from providers.base import LaunchOrder, Provider
from providers.emulator.backend import Reservation
from providers.emulator.regions import CATALOG
from providers.errors import ShortageError
from providers.gcp.machines import Gcp
from providers.price_catalogue import load_prices
from state.clock import SystemClock
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, Role
from state.model.units import Usd
from tests.builders import NOON
from tests.conformance.clouds import Clouds, embedded_clouds, gpu_offer

OWNER = "sk-reserved"
HOUR = timedelta(hours=1)
CLOUDS = ("aws", "gcp", "azure")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with embedded_clouds(tmp_path_factory.mktemp("reserved"), OWNER) as clouds:
        yield clouds


@pytest.fixture
def clouds(embedded: Clouds) -> Iterator[Clouds]:
    yield embedded
    backend = embedded.embedded.backend
    for name in [name for name, machine in backend.machines.items() if not machine.has_ended]:
        backend.end(name)
    backend.reservations.clear()


def reserved(clouds: Clouds, cloud: str, *facts: tuple[str, int, datetime | None]) -> Offer:
    """Reserve machines of one kind, and return the offer that lists the reservations."""
    sold = gpu_offer(clouds.providers[cloud], Market.ON_DEMAND)
    key = sold.key
    for name, count, ends in facts:
        clouds.embedded.backend.reservations[name] = Reservation(
            name, key.region, key.zone, key.instance_type, count, None, ends
        )
    return next(
        (o for o in clouds.providers[cloud].offers().items if o.key.market is Market.RESERVED),
        replace(sold, key=replace(key, market=Market.RESERVED), stock=0),
    )


def order(offer: Offer, name: str, reservation: str | None = None) -> LaunchOrder:
    return LaunchOrder(InstanceId(name), offer.key, Role.WORKER, OWNER, "true", None, reservation)


def soon(hours: float) -> datetime:
    return SystemClock().now().replace(microsecond=0) + hours * HOUR


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_launch_takes_the_place_that_it_names_and_no_other(clouds: Clouds, cloud: str) -> None:
    provider = clouds.providers[cloud]
    offer = reserved(clouds, cloud, ("cr-a", 1, None), ("cr-b", 1, None))
    first, second = (place.id for place in offer.places)
    assert (offer.stock, [place.free for place in offer.places]) == (2, [1, 1])

    provider.launch(order(offer, f"sk-{cloud}-1", second))
    with pytest.raises(ShortageError):
        provider.launch(order(offer, f"sk-{cloud}-2", second))
    provider.launch(order(offer, f"sk-{cloud}-3", first))

    assert sorted(str(m.reservation).rpartition("/")[2] for m in alive(provider)) == ["cr-a", "cr-b"]
    assert {m.key.market for m in alive(provider)} == {Market.RESERVED}


def alive(provider: Provider) -> list[CloudInstance]:
    return [m for m in provider.instances(OWNER).items if m.state in {CloudState.PENDING, CloudState.RUNNING}]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_machine_whose_reservation_is_over_is_listed_on_demand_at_list_price(clouds: Clouds, cloud: str) -> None:
    provider = clouds.providers[cloud]
    listed = gpu_offer(provider, Market.ON_DEMAND).price.per_hour
    offer = reserved(clouds, cloud, ("cr-a", 1, None))
    provider.launch(order(offer, f"sk-{cloud}-4", offer.places[0].id))
    [before] = alive(provider)
    assert (before.key.market, before.price_per_hour) == (Market.RESERVED, Usd(0))

    del clouds.embedded.backend.reservations["cr-a"]

    [after] = alive(provider)
    assert (after.cloud_id, after.key.market, after.price_per_hour) == (before.cloud_id, Market.ON_DEMAND, listed)
    assert after.reservation is None


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_a_machine_is_listed_with_the_end_of_its_reservation(clouds: Clouds, cloud: str) -> None:
    ends = soon(3)
    offer = reserved(clouds, cloud, ("cr-a", 1, ends))
    clouds.providers[cloud].launch(order(offer, f"sk-{cloud}-5", offer.places[0].id))

    [machine] = alive(clouds.providers[cloud])

    assert machine.ends_at == ends


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_a_reservation_is_not_offered_in_its_last_half_hour(clouds: Clouds, cloud: str) -> None:
    assert reserved(clouds, cloud, ("cr-a", 1, soon(0.49))).places == ()
    assert reserved(clouds, cloud, ("cr-a", 1, soon(0.52))).places[0].id == "cr-a"


def test_ec2_ends_the_machines_of_a_capacity_block_half_an_hour_before_it() -> None:
    listed = {
        "CapacityReservationId": "cr-1",
        "AvailabilityZone": "us-east-1a",
        "InstanceType": "p5.48xlarge",
        "AvailableInstanceCount": 1,
        "EndDate": NOON,
    }

    assert reservation_of(listed).valid_until == NOON
    assert reservation_of(listed | {"ReservationType": "capacity-block"}).valid_until == NOON - HOUR / 2


def test_gce_ends_a_machine_after_its_longest_run_duration(clouds: Clouds) -> None:
    settings = clouds.gcp.model_copy(update={"max_run_hours": 4})
    prices = load_prices(("gcp",), CATALOG, NOON)
    gcp = Gcp(settings, lambda: prices, SystemClock())
    offer = gpu_offer(gcp, Market.ON_DEMAND)

    gcp.launch(order(offer, "sk-gcp-run"))

    [machine] = alive(gcp)
    assert machine.launched_at is not None
    assert machine.ends_at == machine.launched_at + 4 * HOUR
