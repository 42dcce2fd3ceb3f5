"""What every provider promises, as tests: the fake first, then each real adapter over HTTP."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from providers.base import LaunchOrder, Provider
from providers.errors import QuotaError, ShortageError, UnreachableError
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, RegionId
from state.model.inventory import CloudInstance, CloudState, Role

OWNER = "sk-owner"
SCRIPT = "#!/bin/bash\necho hello\n"


class Backstage:
    """What a contract needs to do behind a provider's back."""

    def __init__(
        self,
        lose: Callable[[RegionId], None],
        restore: Callable[[RegionId], None],
        empty: Callable[[Offer], None],
        use_up_quota: Callable[[Offer], None],
    ) -> None:
        self.lose = lose
        self.restore = restore
        self.empty = empty
        self.use_up_quota = use_up_quota


class ProviderContract:
    """Subclass it, and give the fixtures `provider` and `backstage`."""

    def order(self, provider: Provider, name: str = "sk-0000000000000000001", **changes: object) -> LaunchOrder:
        offer = self.gpu_offer(provider)
        order = LaunchOrder(InstanceId(name), offer.key, Role.WORKER, OWNER, SCRIPT, None)
        return replace(order, **changes)  # type: ignore[arg-type]

    def gpu_offer(self, provider: Provider, market: Market = Market.ON_DEMAND) -> Offer:
        found = (o for o in provider.offers().items if o.machine.gpus == 1 and o.key.market is market)
        return min(found, key=lambda o: (o.price.per_hour, o.key))

    def alive(self, provider: Provider, owner: str = OWNER) -> list[CloudInstance]:
        return [s for s in provider.instances(owner).items if s.state in {CloudState.PENDING, CloudState.RUNNING}]

    def test_offers_name_their_regions_and_have_believable_prices(self, provider: Provider) -> None:
        sighting = provider.offers()

        assert not sighting.blind
        assert {o.key.region for o in sighting.items} == set(provider.regions)
        assert all(o.price.per_hour.micros > 0 and o.price.source for o in sighting.items)
        assert len({o.key for o in sighting.items}) == len(sighting.items)

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

    def test_spot_is_bought_as_spot(self, provider: Provider) -> None:
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
        sighting = provider.instances(OWNER)

        assert set(sighting.blind) == {silent}
        assert [s.instance_id for s in sighting.items] == [order.instance_id]

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
        order = self.order(provider)
        provider.launch(order)

        backstage.lose(order.key.region)
        backstage.restore(order.key.region)

        assert self.alive(provider) == []

    def test_quotas_count_what_runs(self, provider: Provider) -> None:
        offer = self.gpu_offer(provider)

        def used() -> int:
            mine = (q for q in provider.quotas().items if q.region == offer.key.region and q.market == offer.key.market)
            return sum(q.used for q in mine if q.family == offer.machine.family)

        before = used()
        provider.launch(self.order(provider, key=offer.key))

        assert used() > before

    def test_a_quota_that_is_used_up_is_refused_as_such(self, provider: Provider, backstage: Backstage) -> None:
        offer = self.gpu_offer(provider)
        backstage.use_up_quota(offer)

        with pytest.raises(QuotaError):
            provider.launch(self.order(provider, key=offer.key))

        assert provider.instances(OWNER).items == ()
