"""The contract of every provider, as tests; subclasses run it over the fake and over each real adapter."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from providers.base import Observation, Provider
from providers.errors import (
    DeniedError,
    InvalidError,
    ProviderError,
    QuotaError,
    ShortageError,
    ThrottledError,
    UnreachableError,
)
from providers.faults import Fault, FaultKind
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, RegionId
from state.model.inventory import CloudState, NoticeKind
from tests.conformance.answers_contract import FIRST, OWNER, SECOND, AnswersContract
from tests.conformance.cloud_controls import CloudControls

LATE_S = 2.5
"""Longer than the adapters' timeout in tests."""
PAUSE_S = 0.2
"""A pause that throttling asks for and that a later call waits out."""
UNDONE = (FaultKind.ERROR, FaultKind.TIMEOUT, FaultKind.DROP, FaultKind.GARBAGE)
"""The call is not executed; the response does not show that."""
DONE = (FaultKind.ERROR_AFTER, FaultKind.LOST, FaultKind.DROP_AFTER)
"""The call is executed; the response does not show that."""
REFUSALS = (
    (FaultKind.THROTTLE, ThrottledError),
    (FaultKind.DENIED, DeniedError),
    (FaultKind.SHORTAGE, ShortageError),
    (FaultKind.QUOTA, QuotaError),
)
READS = ("offers", "quotas", "instances", "notices")


class ProviderContract(AnswersContract):
    """Subclass it, and define the fixtures `provider` and `controls`."""

    announces = NoticeKind.MAINTENANCE

    def test_offers_cover_every_region_and_have_plausible_prices(self, provider: Provider) -> None:
        observation = provider.offers()

        assert not observation.unreachable
        assert {o.key.region for o in observation.items} == set(provider.regions)
        assert all(o.price.source for o in observation.items)
        assert all((o.price.per_hour.micros > 0) == (o.key.market is not Market.RESERVED) for o in observation.items)
        assert len({o.key for o in observation.items}) == len(observation.items)

    def test_every_region_offers_a_machine_for_a_head(self, provider: Provider) -> None:
        heads = {o.key.region for o in provider.offers().items if not o.machine.gpus}

        assert heads == set(provider.regions)

    def test_a_machine_is_listed_for_its_owner_alone(self, provider: Provider) -> None:
        order = self.order(provider)

        provider.launch(order)

        [seen] = self.alive(provider)
        assert (seen.instance_id, seen.key) == (order.instance_id, order.key)
        assert self.alive(provider, "sk-another-owner") == []

    def test_repeated_launches_of_one_id_start_one_machine(self, provider: Provider) -> None:
        order = self.order(provider)

        first, second = provider.launch(order), provider.launch(order)

        assert first.cloud_id == second.cloud_id
        assert len(self.alive(provider)) == 1

    def test_the_id_of_another_owners_machine_is_refused(self, provider: Provider) -> None:
        order = self.order(provider)
        provider.launch(order)

        with pytest.raises(InvalidError):
            provider.launch(replace(order, owner="sk-another-owner"))

        assert len(self.alive(provider)) == 1

    def test_a_spot_offer_launches_a_spot_machine(self, provider: Provider) -> None:
        self.needs("spot")
        offer = self.gpu_offer(provider, Market.SPOT)

        provider.launch(self.order(provider, key=offer.key))

        assert [s.key.market for s in self.alive(provider)] == [Market.SPOT]

    def test_an_ended_machine_is_gone(self, provider: Provider) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id

        provider.terminate(order.key, order.instance_id, cloud_id)
        provider.terminate(order.key, order.instance_id, cloud_id)

        assert self.alive(provider) == []

    def test_a_machine_can_be_ended_by_its_id_alone(self, provider: Provider) -> None:
        order = self.order(provider)
        provider.launch(order)

        provider.terminate(order.key, order.instance_id, None)

        assert self.alive(provider) == []

    def test_ending_an_unknown_machine_is_success(self, provider: Provider) -> None:
        provider.terminate(self.gpu_offer(provider).key, InstanceId("sk-0000000000000000009"), None)

        assert self.alive(provider) == []

    def test_no_stock_is_a_shortage_and_starts_nothing(self, provider: Provider, controls: CloudControls) -> None:
        offer = self.gpu_offer(provider)
        controls.empty(offer)

        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, key=offer.key))

        assert self.existing(provider) == []

    def test_a_region_that_does_not_respond_is_unreachable_and_others_are_listed(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        lost = next(r for r in provider.regions if r != order.key.region)

        controls.lose(lost)
        observation = provider.instances(OWNER)

        assert set(observation.unreachable) == {lost}
        assert [s.instance_id for s in observation.items] == [order.instance_id]

    def test_a_write_to_an_unreachable_region_is_uncertain(self, provider: Provider, controls: CloudControls) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        controls.lose(order.key.region)

        with pytest.raises(UnreachableError):
            provider.launch(self.order(provider, "sk-0000000000000000002", key=order.key))
        with pytest.raises(UnreachableError):
            provider.terminate(order.key, order.instance_id, cloud_id)

    def test_machines_of_a_lost_region_are_not_running_once_it_is_restored(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        self.needs("mortality")
        order = self.order(provider)
        provider.launch(order)

        controls.lose(order.key.region)
        controls.restore(order.key.region)

        assert self.alive(provider) == []

    def test_quotas_count_what_runs(self, provider: Provider) -> None:
        self.needs("quotas")
        offer = self.gpu_offer(provider)

        def used() -> int:
            mine = (q for q in provider.quotas().items if q.region == offer.key.region and q.market == offer.key.market)
            return sum(q.used for q in mine if q.family == offer.machine.family)

        before = used()
        provider.launch(self.order(provider, key=offer.key))

        assert used() > before

    def test_a_used_up_quota_is_a_quota_error(self, provider: Provider, controls: CloudControls) -> None:
        self.needs("quotas")
        offer = self.gpu_offer(provider)
        controls.use_up_quota(offer)

        with pytest.raises(QuotaError):
            provider.launch(self.order(provider, key=offer.key))

        assert self.existing(provider) == []

    def test_a_reservation_is_offered_at_no_cost_and_used_by_launches(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        self.needs("reservations")
        paid = self.gpu_offer(provider)
        controls.empty(paid)
        controls.reserve(paid, 1)
        [offer] = [o for o in provider.offers().items if o.key.market is Market.RESERVED]

        order = self.order(provider, key=offer.key)
        first = provider.launch(order)

        assert (offer.price.per_hour.micros, offer.stock, offer.machine) == (0, 1, paid.machine)
        assert "paid for already" in offer.price.source
        assert [s.key for s in self.alive(provider)] == [offer.key]
        assert provider.launch(order).cloud_id == first.cloud_id, "found, though the reservation is used up"
        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, SECOND, key=offer.key))
        assert [o.stock for o in provider.offers().items if o.key.market is Market.RESERVED] == [0]

    def test_an_announced_event_is_a_notice_to_its_owner(self, provider: Provider, controls: CloudControls) -> None:
        order = self.order(provider)
        provider.launch(order)
        assert provider.notices(OWNER).items == ()

        begins = controls.announce_maintenance(order.instance_id)

        [notice] = provider.notices(OWNER).items
        assert (notice.instance_id, notice.region) == (order.instance_id, order.key.region)
        assert notice.kind is self.announces
        assert notice.at is not None
        assert abs(notice.at - begins) < timedelta(seconds=1)

    def test_a_machine_is_listed_with_its_price_and_impairment(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        [offer] = [o for o in provider.offers().items if o.key == order.key]
        [seen] = self.alive(provider)
        assert (seen.price_per_hour, seen.impairment) == (offer.price.per_hour, "")

        self.needs("health")
        controls.impair(order.instance_id)

        [seen] = self.alive(provider)
        assert seen.impairment
        assert seen.state in {CloudState.PENDING, CloudState.RUNNING}, "what is wrong with it does not end it"

    # The fault matrix: each operation with each kind of fault.

    def read(self, provider: Provider, operation: str) -> Observation[Any]:
        method: Any = getattr(provider, operation)
        observation: Observation[Any] = method(OWNER) if operation in {"instances", "notices"} else method()
        return observation

    def facts(self, observation: Observation[Any]) -> set[Any]:
        """Return the items without the times at which prices were read."""
        return {(i.key, i.price.per_hour, i.stock) if isinstance(i, Offer) else i for i in observation.items}

    @pytest.mark.parametrize("kind", [*UNDONE, FaultKind.THROTTLE, FaultKind.DENIED], ids=str)
    @pytest.mark.parametrize("operation", READS)
    def test_a_failed_read_is_unreachable_and_a_later_one_is_complete(
        self, provider: Provider, controls: CloudControls, operation: str, kind: FaultKind
    ) -> None:
        if operation == "quotas":
            self.needs("quotas")
        provider.launch(self.order(provider))
        provider.offers()
        before = self.read(provider, operation)
        # Some clouds report notices in the list of machines.
        seconds = PAUSE_S if kind is FaultKind.THROTTLE else LATE_S
        controls.faults.add(Fault(kind, operation="*" if operation == "notices" else operation, seconds=seconds))

        failed = self.read(provider, operation)
        controls.faults.clear()

        assert set(failed.unreachable) == set(provider.regions)
        assert failed.items == ()
        assert all(reason for reason in failed.unreachable.values())
        assert self.facts(self.read(provider, operation)) == self.facts(before)

    @pytest.mark.parametrize("kind", UNDONE, ids=str)
    def test_a_launch_with_a_fault_before_execution_is_uncertain_and_can_be_repeated(
        self, provider: Provider, controls: CloudControls, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        controls.faults.add(Fault(kind, operation="launch", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.launch(order)
        assert self.alive(provider) == []

        provider.launch(order)
        assert [s.instance_id for s in self.alive(provider)] == [order.instance_id]

    @pytest.mark.parametrize("kind", DONE, ids=str)
    def test_a_launch_with_a_fault_after_execution_is_found_and_not_repeated(
        self, provider: Provider, controls: CloudControls, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        controls.faults.add(Fault(kind, operation="launch", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.launch(order)
        [seen] = self.alive(provider)

        assert provider.launch(order).cloud_id == seen.cloud_id
        assert len(self.alive(provider)) == 1

    @pytest.mark.parametrize(("kind", "error"), REFUSALS, ids=str)
    def test_a_refused_launch_starts_nothing_and_has_its_error_type(
        self, provider: Provider, controls: CloudControls, kind: FaultKind, error: type[ProviderError]
    ) -> None:
        if kind is FaultKind.QUOTA:
            self.needs("quotas")
        controls.faults.add(Fault(kind, operation="launch", times=1))

        with pytest.raises(error):
            provider.launch(self.order(provider))

        assert self.existing(provider) == []

    @pytest.mark.parametrize("kind", [*UNDONE, *DONE], ids=str)
    def test_a_termination_with_unknown_outcome_can_be_repeated(
        self, provider: Provider, controls: CloudControls, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        controls.faults.add(Fault(kind, operation="terminate", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.terminate(order.key, order.instance_id, cloud_id)
        assert len(self.alive(provider)) == (0 if kind in DONE else 1)

        provider.terminate(order.key, order.instance_id, cloud_id)
        assert self.alive(provider) == []

    @pytest.mark.parametrize(("kind", "error"), REFUSALS[:2], ids=str)
    def test_a_refused_termination_leaves_the_machine_and_has_its_error_type(
        self, provider: Provider, controls: CloudControls, kind: FaultKind, error: type[ProviderError]
    ) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        controls.faults.add(Fault(kind, operation="terminate", times=1))

        with pytest.raises(error):
            provider.terminate(order.key, order.instance_id, cloud_id)

        assert len(self.alive(provider)) == 1

    def test_every_page_is_read(self, provider: Provider, controls: CloudControls) -> None:
        self.launch_two(provider)
        controls.lists(page=1)

        assert {s.instance_id for s in self.alive(provider)} == {FIRST, SECOND}

    def test_a_page_that_fails_discards_the_pages_before_it(self, provider: Provider, controls: CloudControls) -> None:
        # Half a list would look like machines that are gone.
        region = self.launch_two(provider)
        controls.lists(page=1)
        controls.faults.add(Fault(FaultKind.ERROR, operation="instances", skip=1))

        observation = provider.instances(OWNER)

        assert region in observation.unreachable
        assert all(s.key.region != region for s in observation.items)

    def test_a_list_that_lags_does_not_cause_a_second_machine(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        self.needs("late lists")
        order = self.order(provider)
        controls.lists(lag=3600)
        first = provider.launch(order)
        assert self.existing(provider) == []

        assert provider.launch(order).cloud_id == first.cloud_id

        controls.lists(lag=0)
        assert len(self.alive(provider)) == 1

    def test_a_machine_that_is_listed_twice_counts_once(self, provider: Provider, controls: CloudControls) -> None:
        self.needs("repeats")
        provider.launch(self.order(provider))
        controls.lists(duplicates=True)

        assert len(self.alive(provider)) == 1

    def launch_two(self, provider: Provider) -> RegionId:
        """Launch a GPU machine and a head's machine in one region, and return the region."""
        first = self.order(provider, FIRST)
        head = next(o for o in provider.offers().items if not o.machine.gpus and o.key.region == first.key.region)
        provider.launch(first)
        provider.launch(self.order(provider, SECOND, key=head.key))
        return first.key.region
