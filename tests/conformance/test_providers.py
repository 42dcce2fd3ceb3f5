from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from providers.base import LaunchOrder, Provider
from providers.emulator.backend import Reservation
from providers.emulator.regions import CATALOG, Size
from providers.errors import DeniedError, ShortageError, ThrottledError, UnreachableError
from providers.fake import FakeCloud
from providers.faults import Fault, FaultKind
from providers.gcp.machines import Gcp
from providers.gcp.settings import GcpSettings
from providers.price_catalogue import load_prices
from state.clock import ManualClock, SystemClock
from state.model.catalog import Market, Offer, Price, Quota, QuotaScope
from state.model.ids import InstanceId, RegionId, every_region
from state.model.inventory import CloudState, EndCause, EndKind, Notice, NoticeKind, Role
from state.model.units import Usd
from tests.builders import NOON, an_offer, with_heads
from tests.conformance.answers_contract import FIRST, OWNER, SECOND, Answers
from tests.conformance.cloud_controls import CloudControls
from tests.conformance.clouds import Clouds, embedded_clouds
from tests.conformance.embedded_contract import EmbeddedContract
from tests.conformance.provider_contract import ProviderContract


class TestFake(ProviderContract):
    lacks: ClassVar[Mapping[str, str]] = {"pace": "the fake has no rate limiter"}

    @pytest.fixture
    def provider(self) -> FakeCloud:
        offers = with_heads(
            an_offer("fake/one"), an_offer("fake/one", "0.3", market=Market.SPOT), an_offer("fake/two", "2")
        )
        cloud = FakeCloud("fake", offers, ManualClock(NOON))
        cloud.limits = tuple(
            Quota(RegionId(region), "gpu", Market.ON_DEMAND, 64, 0, "vcpus") for region in ("fake/one", "fake/two")
        )
        return cloud

    @pytest.fixture
    def controls(self, provider: FakeCloud) -> CloudControls:
        def empty(offer: Offer) -> None:
            provider.stock[offer.key] = 0

        def use_up(_offer: Offer) -> None:
            provider.limits = tuple(replace(quota, limit=0) for quota in provider.limits)

        def lists(lag: float = 0, page: int | None = None, *, duplicates: bool = False) -> None:
            provider.lag, provider.page, provider.duplicates = timedelta(seconds=lag), page, duplicates

        def announce(name: InstanceId) -> datetime:
            at = NOON + timedelta(hours=1)
            [seen] = [seen for seen, _ in provider.alive() if seen.instance_id == name]
            provider.announced.append(Notice(name, seen.key.region, NoticeKind.MAINTENANCE, at))
            return at

        faults = provider.faults

        def reserve(offer: Offer, count: int) -> None:
            key = replace(offer.key, market=Market.RESERVED)
            price = Price(Usd(0), "paid for already: test", NOON)
            provider.catalogue += (replace(offer, key=key, price=price),)
            provider.stock[key] = count

        lose, restore = provider.lose_region, provider.silent.discard

        def impair(name: InstanceId) -> None:
            provider.impaired[name] = ("its check fails", NOON)

        return CloudControls(lose, restore, empty, use_up, faults, lists, announce, reserve, impair)

    @pytest.fixture
    def answers(self, provider: FakeCloud) -> Answers:
        def fail() -> str:
            provider.fail_later.append(EndCause(EndKind.STOCK_OUT, "OutOfStock", "none left", is_launch=True))
            return "OutOfStock"

        def unknown(name: InstanceId) -> None:
            provider.reported[name] = CloudState.UNKNOWN

        def use_up(_offer: Offer) -> QuotaScope:
            account = Quota(every_region("fake"), None, None, 0, 0, "gpus", QuotaScope.ACCOUNT)
            provider.limits = (*provider.limits, account)
            return QuotaScope.ACCOUNT

        return Answers(
            fail_next_launch=fail,
            settle=lambda: None,
            report_unknown_state=unknown,
            reclaim=lambda name: provider.end(name, "taken back", EndKind.RECLAIMED),
            use_up_widest_quota=use_up,
            elsewhere=lambda _: provider,
        )


@pytest.mark.clouds
class TestAws(EmbeddedContract):
    cloud = "aws"

    def test_a_stock_out_is_not_retried(self, provider: Provider, controls: CloudControls, clouds: Clouds) -> None:
        # EC2 answers a stock-out with HTTP 500, which boto3 would retry.
        offer = self.gpu_offer(provider)
        controls.empty(offer)

        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, key=offer.key))

        assert clouds.embedded.backend.active_machines() == ()
        assert len([c for c in clouds.embedded.aws.calls if c.operation == "launch"]) == 1

    def test_quotas_count_the_machines_of_every_owner_in_the_account(self, provider: Provider) -> None:
        offer = self.gpu_offer(provider)

        def used() -> int:
            kind = (offer.key.region, offer.machine.family, offer.key.market)
            return sum(q.used for q in provider.quotas().items if (q.region, q.family, q.market) == kind)

        before = used()
        provider.launch(self.order(provider, owner="sk-another-owner"))

        assert used() == before + offer.machine.vcpus

    def test_an_interruption_is_announced_two_minutes_ahead(self, provider: Provider, clouds: Clouds) -> None:
        order = self.order(provider, key=self.gpu_offer(provider, Market.SPOT).key)
        provider.launch(order)

        at = clouds.embedded.backend.reclaim(order.instance_id)

        [notice] = provider.notices(OWNER).items
        assert (notice.instance_id, notice.kind) == (order.instance_id, NoticeKind.INTERRUPTION)
        assert notice.at is not None
        assert at is not None
        assert abs(notice.at - at) < timedelta(seconds=1)


@pytest.mark.clouds
class TestGcp(EmbeddedContract):
    cloud = "gcp"

    def test_repeated_launches_share_one_request_id(self, provider: Provider, clouds: Clouds) -> None:
        order = self.order(provider)
        provider.launch(order)
        provider.launch(order)

        queries = {c.query for c in clouds.embedded.gcp.calls if c.operation == "launch"}

        assert len(queries) == 1
        assert "requestId=" in next(iter(queries))

    def test_gpus_are_attached_to_machine_types_without_any(self, clouds: Clouds, tmp_path: Path) -> None:
        name = "n1-standard-4+nvidia-tesla-t4x1"
        backend, region = clouds.embedded.backend, RegionId("gcp/us-central1")
        backend.sizes["gcp"][name] = Size(name, 4, 15, 1, "T4", 16)
        backend.regions[region].stock[name, False] = 1
        backend.set_stock(region, "us-central1-a", name, 1, is_spot=False)
        catalog = tmp_path / "catalog"
        catalog.mkdir()
        header = (CATALOG / "gcp.csv").read_text().splitlines()[0]
        row = "n1-standard-4,us-central1-a,0.54,4,15,1,T4,16,False,,nvidia,,x86,"
        (catalog / "gcp.csv").write_text(f"{header}\n{row}\n")
        prices = load_prices(("gcp",), catalog, NOON)
        settings = GcpSettings(
            project="p", regions=("us-central1",), image="i", endpoint=clouds.addresses["gcp"], timeout_seconds=2
        )
        provider = Gcp(settings, lambda: prices, SystemClock())

        [offer] = [o for o in provider.offers().items if o.machine.gpus]
        provider.launch(LaunchOrder(InstanceId(FIRST), offer.key, Role.WORKER, OWNER, "true", None))

        assert (offer.key.instance_type, offer.key.zone, offer.price.per_hour) == (name, "us-central1-a", Usd.of(0.54))
        assert (offer.machine.gpu, offer.machine.gpus, offer.machine.vcpus, offer.machine.family) == ("T4", 1, 4, "T4")
        [seen] = provider.instances(OWNER).items
        assert seen.key == offer.key
        with pytest.raises(ShortageError):
            provider.launch(LaunchOrder(InstanceId(SECOND), offer.key, Role.WORKER, OWNER, "true", None))

    def test_a_future_reservation_is_offered_for_its_time(self, provider: Provider, clouds: Clouds) -> None:
        backend, key = clouds.embedded.backend, self.gpu_offer(provider).key
        begins = backend.clock.now() + timedelta(days=1)
        ends = begins + timedelta(days=2)
        coming = Reservation("fr-1", key.region, key.zone, key.instance_type, 3, begins, ends)
        backend.reservations["fr-1"] = coming

        [offer] = [o for o in provider.offers().items if o.key.market is Market.RESERVED]

        assert (offer.stock, offer.valid_from, offer.valid_until) == (3, begins, ends)
        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, key=offer.key))

    def test_operations_are_polled_on_the_endpoint_of_the_settings(self, provider: Provider, clouds: Clouds) -> None:
        # The SDK's own polling uses the public endpoint, whatever endpoint its client has.
        provider.launch(self.order(provider))

        assert any(c.method == "POST" and c.path.endswith("/wait") for c in clouds.embedded.gcp.calls)

    def test_an_unfinished_operation_is_uncertain_and_polled_by_the_next_launch(
        self, provider: Provider, controls: CloudControls, clouds: Clouds
    ) -> None:
        order = self.order(provider)
        controls.empty(next(o for o in provider.offers().items if o.key == order.key))
        clouds.embedded.backend.unfinished_polls = 3

        with pytest.raises(UnreachableError, match="still runs"):
            provider.launch(order)
        with pytest.raises(ShortageError):
            provider.launch(order)

        assert self.existing(provider) == []

    def test_machines_are_listed_while_operations_cannot_be(self, provider: Provider, controls: CloudControls) -> None:
        order = self.order(provider)
        provider.launch(order)
        controls.faults.add(Fault(FaultKind.DENIED, "gcp", "ends"))

        seen = provider.instances(OWNER)

        assert ([m.instance_id for m in seen.items], seen.unreachable) == ([order.instance_id], {})
        assert list(seen.degraded) == ["causes of ended machines"]

    def test_a_pause_that_the_list_of_operations_is_asked_for_holds(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        controls.faults.add(Fault(FaultKind.THROTTLE, "gcp", "ends", times=1, seconds=900))
        provider.instances(OWNER)

        assert set(provider.instances(OWNER).unreachable) == set(provider.regions)

    def test_a_preemption_shows_as_the_machine_stopping(self, provider: Provider, clouds: Clouds) -> None:
        order = self.order(provider, key=self.gpu_offer(provider, Market.SPOT).key)
        provider.launch(order)

        clouds.embedded.backend.reclaim(order.instance_id)

        [notice] = provider.notices(OWNER).items
        assert (notice.kind, notice.at) == (NoticeKind.INTERRUPTION, None)
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.STOPPING]


@pytest.mark.clouds
class TestAzure(EmbeddedContract):
    cloud = "azure"

    def test_a_creation_that_failed_leaves_nothing_behind(
        self, provider: Provider, controls: CloudControls, clouds: Clouds
    ) -> None:
        offer = self.gpu_offer(provider)
        controls.empty(offer)

        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, key=offer.key))

        assert [c.method for c in clouds.embedded.azure.calls if "/virtualMachines/sk-" in c.path].count("DELETE") == 1
        assert self.existing(provider) == []

    @pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DENIED, FaultKind.DROP], ids=str)
    def test_machines_are_listed_without_resource_health(
        self, provider: Provider, controls: CloudControls, clouds: Clouds, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        controls.impair(order.instance_id)
        clouds.embedded.backend.faults.add(Fault(kind, "azure", "health"))

        seen = provider.instances(OWNER)

        assert ([m.instance_id for m in seen.items], seen.unreachable) == ([order.instance_id], {})
        assert [m.impairment for m in seen.items] == [""]
        assert list(seen.degraded) == ["impairments of machines"]
        clouds.embedded.backend.faults.clear()
        [again] = provider.instances(OWNER).items
        assert again.impairment.startswith("Resource Health reports unavailable: The host")
        assert again.impairment_since is not None

    def test_a_subscription_is_not_registered_for_a_resource_provider(self, provider: Provider, clouds: Clouds) -> None:
        # The SDK would register it, wait for that without limit, and repeat the request.
        order = self.order(provider)
        clouds.embedded.backend.unregistered_namespaces.add("Microsoft.Compute")

        with pytest.raises(DeniedError, match="not registered to use namespace"):
            provider.launch(order)

        assert set(provider.instances(OWNER).unreachable) == set(provider.regions)
        assert [c.path for c in clouds.embedded.azure.calls if c.path.endswith("/register")] == []

    @pytest.mark.parametrize("provisioning", ["Failed", "Succeeded"])
    def test_a_machine_that_runs_is_not_ended_by_the_outcome_of_its_last_operation(
        self, provider: Provider, clouds: Clouds, provisioning: str
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        failed = "VMExtensionProvisioningError" if provisioning == "Failed" else ""
        clouds.embedded.backend.machines[order.instance_id].failed_update = failed

        [seen] = provider.instances(OWNER).items

        assert (seen.state, seen.end) == (CloudState.RUNNING, None)
        assert seen.impairment == (f"the last operation on it failed: {failed}" if failed else "")

    def test_a_failed_operation_proves_nothing_while_power_states_cannot_be_read(
        self, provider: Provider, clouds: Clouds
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        clouds.embedded.backend.machines[order.instance_id].failed_update = "VMStartTimedOut"
        clouds.embedded.backend.faults.add(Fault(FaultKind.DENIED, "azure", "notices"))

        seen = provider.instances(OWNER)

        assert [m.state for m in seen.items] == [CloudState.UNKNOWN]
        assert list(seen.degraded) == ["power states of machines"]

    def test_throttling_under_another_code_is_throttling(self, provider: Provider, clouds: Clouds) -> None:
        order = self.order(provider)
        fault = Fault(FaultKind.THROTTLE, operation="launch", times=1, code="OperationNotAllowed", seconds=900)
        clouds.embedded.backend.faults.add(replace(fault, inner="TooManyRequests"))

        with pytest.raises(ThrottledError) as raised:
            provider.launch(order)

        assert (raised.value.code, raised.value.retry_after_s) == ("OperationNotAllowed", 900)

    def test_a_refusal_leaves_an_earlier_launch_that_is_there(self, provider: Provider, clouds: Clouds) -> None:
        order = self.order(provider)
        clouds.embedded.backend.faults.add(Fault(FaultKind.LOST, operation="launch", times=1, seconds=1))
        with pytest.raises(UnreachableError):
            provider.launch(order)
        clouds.embedded.backend.faults.add(Fault(FaultKind.QUOTA, operation="launch", times=1))

        assert provider.launch(order).instance_id == order.instance_id
        assert len(self.alive(provider)) == 1

    def test_throttling_is_reported_at_once_without_a_wait(self, provider: Provider, clouds: Clouds) -> None:
        # azure-core would retry ten times, and wait as long as Retry-After asks.
        order = self.order(provider)
        clouds.embedded.backend.faults.add(Fault(FaultKind.THROTTLE, operation="launch", seconds=30))
        before = len(clouds.embedded.azure.calls)

        with pytest.raises(ThrottledError) as raised:
            provider.launch(order)

        calls = list(clouds.embedded.azure.calls)[before:]
        assert [c.operation for c in calls].count("launch") == 1
        assert raised.value.retry_after_s == 30

    def test_a_head_gets_its_fixed_address(self, provider: Provider, clouds: Clouds) -> None:
        head = next(o for o in provider.offers().items if not o.machine.gpus)

        provider.launch(self.order(provider, key=head.key, role=Role.HEAD, private_address="127.14.0.1"))

        [machine] = clouds.embedded.backend.active_machines()
        assert machine.address == clouds.embedded.backend.regions[head.key.region].head_address


@pytest.mark.clouds
def test_a_launch_with_unknown_outcome_is_found_by_its_id(tmp_path: Path) -> None:
    # A launch with an unknown outcome is repeated, which must return the same machine.
    with embedded_clouds(tmp_path, OWNER) as clouds:
        for provider in clouds.providers.values():
            offer = next(o for o in provider.offers().items if o.machine.gpus)
            order = LaunchOrder(InstanceId(f"sk-{provider.name}"), offer.key, Role.WORKER, OWNER, "true", None)
            provider.launch(order)
            clouds.embedded.backend.unreachable.add(offer.key.region)
            with pytest.raises(UnreachableError):
                provider.launch(order)
            clouds.embedded.backend.restore(offer.key.region)

            again = provider.launch(order)

            assert [s.cloud_id for s in provider.instances(OWNER).items] == [again.cloud_id]
