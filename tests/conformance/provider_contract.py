"""What every provider promises, as tests: the fake first, then each real adapter over HTTP."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from providers.base import LaunchOrder, Observation, Provider
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
from state.model.inventory import CloudInstance, CloudState, NoticeKind, Role
from tests.conformance.backstage import Backstage

OWNER = "sk-owner"
FIRST, SECOND = "sk-0000000000000000001", "sk-0000000000000000002"
LATE_S = 2.5
"""Longer than the adapters wait in tests."""
UNDONE = (FaultKind.ERROR, FaultKind.TIMEOUT, FaultKind.DROP, FaultKind.GARBAGE)
"""Nothing happens, though the caller cannot know."""
DONE = (FaultKind.ERROR_AFTER, FaultKind.LOST, FaultKind.DROP_AFTER)
"""It happens, and the caller is not told."""
REFUSALS = (
    (FaultKind.THROTTLE, ThrottledError),
    (FaultKind.DENIED, DeniedError),
    (FaultKind.SHORTAGE, ShortageError),
    (FaultKind.QUOTA, QuotaError),
)
LOOKS = ("offers", "quotas", "instances", "notices")
SCRIPT = "#!/bin/bash\necho hello\n"


class ProviderContract:
    """Subclass it, and give the fixtures `provider` and `backstage`."""

    market = Market.ON_DEMAND
    """How its machines are usually had."""
    announces = NoticeKind.MAINTENANCE
    lacks: ClassVar[Mapping[str, str]] = {}
    """What the provider has not, to the reason: the features that tests say they need."""

    def needs(self, feature: str) -> None:
        if feature in self.lacks:
            pytest.skip(f"no {feature}: {self.lacks[feature]}")

    def order(self, provider: Provider, name: str = "sk-0000000000000000001", **changes: object) -> LaunchOrder:
        offer = self.gpu_offer(provider)
        order = LaunchOrder(InstanceId(name), offer.key, Role.WORKER, OWNER, SCRIPT, None)
        return replace(order, **changes)  # type: ignore[arg-type]

    def gpu_offer(self, provider: Provider, market: Market | None = None) -> Offer:
        market = market or self.market
        found = (o for o in provider.offers().items if o.machine.gpus == 1 and o.key.market is market)
        return min(found, key=lambda o: (o.price.per_hour, o.key))

    def alive(self, provider: Provider, owner: str = OWNER) -> list[CloudInstance]:
        return [s for s in provider.instances(owner).items if s.state in {CloudState.PENDING, CloudState.RUNNING}]

    def test_offers_name_their_regions_and_have_believable_prices(self, provider: Provider) -> None:
        observation = provider.offers()

        assert not observation.unreachable
        assert {o.key.region for o in observation.items} == set(provider.regions)
        assert all(o.price.source for o in observation.items)
        assert all((o.price.per_hour.micros > 0) == (o.key.market is not Market.RESERVED) for o in observation.items)
        assert len({o.key for o in observation.items}) == len(observation.items)

    def test_every_region_sells_a_machine_for_a_head(self, provider: Provider) -> None:
        heads = {o.key.region for o in provider.offers().items if not o.machine.gpus}

        assert heads == set(provider.regions)

    def test_a_machine_is_seen_by_its_owner_alone(self, provider: Provider) -> None:
        order = self.order(provider)

        provider.launch(order)

        [seen] = self.alive(provider)
        assert (seen.instance_id, seen.key) == (order.instance_id, order.key)
        assert self.alive(provider, "sk-somebody-else") == []

    def test_one_id_starts_one_machine_however_often_it_is_asked_for(self, provider: Provider) -> None:
        order = self.order(provider)

        first, second = provider.launch(order), provider.launch(order)

        assert first.cloud_id == second.cloud_id
        assert len(self.alive(provider)) == 1

    def test_a_machine_of_somebody_else_is_not_taken_for_ours(self, provider: Provider) -> None:
        order = self.order(provider)
        provider.launch(order)

        with pytest.raises(InvalidError):
            provider.launch(replace(order, owner="sk-somebody-else"))

        assert len(self.alive(provider)) == 1

    def test_spot_is_bought_as_spot(self, provider: Provider) -> None:
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

    def test_ending_what_never_was_is_success(self, provider: Provider) -> None:
        provider.terminate(self.gpu_offer(provider).key, InstanceId("sk-0000000000000000009"), None)

        assert self.alive(provider) == []

    def test_no_stock_is_a_shortage_and_starts_nothing(self, provider: Provider, backstage: Backstage) -> None:
        offer = self.gpu_offer(provider)
        backstage.empty(offer)

        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, key=offer.key))

        assert provider.instances(OWNER).items == ()

    def test_a_region_that_does_not_answer_is_blind_and_hides_nothing_else(
        self, provider: Provider, backstage: Backstage
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        silent = next(r for r in provider.regions if r != order.key.region)

        backstage.lose(silent)
        observation = provider.instances(OWNER)

        assert set(observation.unreachable) == {silent}
        assert [s.instance_id for s in observation.items] == [order.instance_id]

    def test_what_is_asked_of_a_silent_region_is_uncertain(self, provider: Provider, backstage: Backstage) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        backstage.lose(order.key.region)

        with pytest.raises(UnreachableError):
            provider.launch(self.order(provider, "sk-0000000000000000002", key=order.key))
        with pytest.raises(UnreachableError):
            provider.terminate(order.key, order.instance_id, cloud_id)

    def test_machines_of_a_region_that_died_are_not_running_when_it_answers_again(
        self, provider: Provider, backstage: Backstage
    ) -> None:
        self.needs("mortality")
        order = self.order(provider)
        provider.launch(order)

        backstage.lose(order.key.region)
        backstage.restore(order.key.region)

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

    def test_a_quota_that_is_used_up_is_refused_as_such(self, provider: Provider, backstage: Backstage) -> None:
        self.needs("quotas")
        offer = self.gpu_offer(provider)
        backstage.use_up_quota(offer)

        with pytest.raises(QuotaError):
            provider.launch(self.order(provider, key=offer.key))

        assert provider.instances(OWNER).items == ()

    def test_a_reservation_is_offered_for_nothing_and_machines_are_taken_from_it(
        self, provider: Provider, backstage: Backstage
    ) -> None:
        self.needs("reservations")
        paid = self.gpu_offer(provider)
        backstage.empty(paid)
        backstage.reserve(paid, 1)
        [offer] = [o for o in provider.offers().items if o.key.market is Market.RESERVED]

        order = self.order(provider, key=offer.key)
        first = provider.launch(order)

        assert (offer.price.per_hour.micros, offer.stock, offer.machine) == (0, 1, paid.machine)
        assert "paid for already" in offer.price.source
        assert [s.key for s in self.alive(provider)] == [offer.key]
        assert provider.launch(order).cloud_id == first.cloud_id, "it is found, though the reservation is used up"
        with pytest.raises(ShortageError):
            provider.launch(self.order(provider, SECOND, key=offer.key))
        assert [o.stock for o in provider.offers().items if o.key.market is Market.RESERVED] == [0]

    def test_what_is_announced_for_a_machine_is_told_to_its_owner(
        self, provider: Provider, backstage: Backstage
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        assert provider.notices(OWNER).items == ()

        begins = backstage.announce_maintenance(order.instance_id)

        [notice] = provider.notices(OWNER).items
        assert (notice.instance_id, notice.region) == (order.instance_id, order.key.region)
        assert notice.kind is self.announces
        assert notice.at is not None
        assert abs(notice.at - begins) < timedelta(seconds=1)

    def test_a_machine_is_listed_with_its_price_and_what_is_wrong_with_it(
        self, provider: Provider, backstage: Backstage
    ) -> None:
        order = self.order(provider)
        provider.launch(order)
        [offer] = [o for o in provider.offers().items if o.key == order.key]
        [seen] = self.alive(provider)
        assert (seen.price_per_hour, seen.impairment) == (offer.price.per_hour, "")

        self.needs("health")
        backstage.impair(order.instance_id)

        [seen] = self.alive(provider)
        assert seen.impairment

    # The fault matrix: each operation, and everything that may befall it.

    def look(self, provider: Provider, operation: str) -> Observation[Any]:
        look: Any = getattr(provider, operation)
        seen: Observation[Any] = look(OWNER) if operation in {"instances", "notices"} else look()
        return seen

    def facts(self, observation: Observation[Any]) -> set[Any]:
        """Return what was seen, but for when prices were read."""
        return {(i.key, i.price.per_hour, i.stock) if isinstance(i, Offer) else i for i in observation.items}

    @pytest.mark.parametrize("kind", [*UNDONE, FaultKind.THROTTLE, FaultKind.DENIED], ids=str)
    @pytest.mark.parametrize("operation", LOOKS)
    def test_a_look_that_fails_is_blind_and_one_later_is_whole(
        self, provider: Provider, backstage: Backstage, operation: str, kind: FaultKind
    ) -> None:
        if operation == "quotas":
            self.needs("quotas")
        provider.launch(self.order(provider))
        provider.offers()
        before = self.look(provider, operation)
        # Some clouds tell notices in the list of machines.
        backstage.faults.add(Fault(kind, operation="*" if operation == "notices" else operation, seconds=LATE_S))

        failed = self.look(provider, operation)
        backstage.faults.clear()

        assert set(failed.unreachable) == set(provider.regions)
        assert failed.items == ()
        assert all(reason for reason in failed.unreachable.values())
        assert self.facts(self.look(provider, operation)) == self.facts(before)

    @pytest.mark.parametrize("kind", UNDONE, ids=str)
    def test_a_launch_that_did_not_happen_is_uncertain_and_may_be_asked_for_again(
        self, provider: Provider, backstage: Backstage, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        backstage.faults.add(Fault(kind, operation="launch", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.launch(order)
        assert self.alive(provider) == []

        provider.launch(order)
        assert [s.instance_id for s in self.alive(provider)] == [order.instance_id]

    @pytest.mark.parametrize("kind", DONE, ids=str)
    def test_a_launch_that_happened_unheard_is_found_and_not_repeated(
        self, provider: Provider, backstage: Backstage, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        backstage.faults.add(Fault(kind, operation="launch", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.launch(order)
        [seen] = self.alive(provider)

        assert provider.launch(order).cloud_id == seen.cloud_id
        assert len(self.alive(provider)) == 1

    @pytest.mark.parametrize(("kind", "error"), REFUSALS, ids=str)
    def test_a_refused_launch_is_certain_and_says_what_to_do_next(
        self, provider: Provider, backstage: Backstage, kind: FaultKind, error: type[ProviderError]
    ) -> None:
        if kind is FaultKind.QUOTA:
            self.needs("quotas")
        backstage.faults.add(Fault(kind, operation="launch", times=1))

        with pytest.raises(error):
            provider.launch(self.order(provider))

        assert provider.instances(OWNER).items == ()

    @pytest.mark.parametrize("kind", [*UNDONE, *DONE], ids=str)
    def test_an_end_with_no_known_outcome_may_be_asked_for_again(
        self, provider: Provider, backstage: Backstage, kind: FaultKind
    ) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        backstage.faults.add(Fault(kind, operation="terminate", times=1, seconds=LATE_S))

        with pytest.raises(UnreachableError):
            provider.terminate(order.key, order.instance_id, cloud_id)
        assert len(self.alive(provider)) == (0 if kind in DONE else 1)

        provider.terminate(order.key, order.instance_id, cloud_id)
        assert self.alive(provider) == []

    @pytest.mark.parametrize(("kind", "error"), REFUSALS[:2], ids=str)
    def test_a_refused_end_leaves_the_machine_and_says_so(
        self, provider: Provider, backstage: Backstage, kind: FaultKind, error: type[ProviderError]
    ) -> None:
        order = self.order(provider)
        cloud_id = provider.launch(order).cloud_id
        backstage.faults.add(Fault(kind, operation="terminate", times=1))

        with pytest.raises(error):
            provider.terminate(order.key, order.instance_id, cloud_id)

        assert len(self.alive(provider)) == 1

    def test_every_page_is_read(self, provider: Provider, backstage: Backstage) -> None:
        self.launch_two(provider)
        backstage.lists(page=1)

        assert {s.instance_id for s in self.alive(provider)} == {FIRST, SECOND}

    def test_a_page_that_fails_hides_what_came_before_it(self, provider: Provider, backstage: Backstage) -> None:
        # Half a list looks like machines that are gone.
        region = self.launch_two(provider)
        backstage.lists(page=1)
        backstage.faults.add(Fault(FaultKind.ERROR, operation="instances", skip=1))

        observation = provider.instances(OWNER)

        assert region in observation.unreachable
        assert all(s.key.region != region for s in observation.items)

    def test_a_list_that_lags_does_not_lead_to_a_second_machine(self, provider: Provider, backstage: Backstage) -> None:
        self.needs("late lists")
        order = self.order(provider)
        backstage.lists(lag=3600)
        first = provider.launch(order)
        assert provider.instances(OWNER).items == ()

        assert provider.launch(order).cloud_id == first.cloud_id

        backstage.lists(lag=0)
        assert len(self.alive(provider)) == 1

    def test_a_machine_that_is_listed_twice_is_one(self, provider: Provider, backstage: Backstage) -> None:
        self.needs("repeats")
        provider.launch(self.order(provider))
        backstage.lists(duplicates=True)

        assert len(self.alive(provider)) == 1

    def launch_two(self, provider: Provider) -> RegionId:
        """Start two machines that the stock suffices for, in one region."""
        first = self.order(provider, FIRST)
        head = next(o for o in provider.offers().items if not o.machine.gpus and o.key.region == first.key.region)
        provider.launch(first)
        provider.launch(self.order(provider, SECOND, key=head.key))
        return first.key.region
