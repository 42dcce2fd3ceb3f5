"""The part of the provider contract about answers: what a cloud's words mean, and what follows for later calls."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from providers.base import LaunchOrder, Provider
from providers.errors import InvalidError, QuotaError, ThrottledError, UnreachableError
from providers.faults import Fault, FaultKind
from providers.throttle import OwnPauses
from state.model.catalog import Market, Offer, Quota, QuotaScope
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, CloudState, EndKind, Role
from tests.conformance.cloud_controls import CloudControls

OWNER = "sk-owner"
FIRST, SECOND = "sk-0000000000000000001", "sk-0000000000000000002"
SCRIPT = "#!/bin/bash\necho hello\n"
LONG_S = 900
"""How long a cloud may ask to wait: far beyond one call's timeout."""


@dataclass
class Answers:
    """Controls over what a cloud answers later on, and a second process that calls it."""

    fail_next_launch: Callable[[], str]
    """Lets the next launch fail for lack of stock once it is accepted; returns the cloud's own code."""
    settle: Callable[[], None]
    """Lets what was accepted come to its end."""
    report_unknown_state: Callable[[InstanceId], None]
    reclaim: Callable[[InstanceId], None]
    """Ends a spot machine without a notice."""
    use_up_widest_quota: Callable[[Offer], QuotaScope]
    """Sets the widest limit that the cloud has to 0."""
    elsewhere: Callable[[OwnPauses], Provider]
    """Returns the provider as another process builds it, with a log of pauses."""
    log: OwnPauses = field(default_factory=OwnPauses)


class ContractCase:
    """What every test of the contract uses."""

    market = Market.ON_DEMAND
    """The market of its GPU offers."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Features that the provider lacks, to the reason; tests that need one are skipped."""

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

    def existing(self, provider: Provider) -> list[CloudInstance]:
        """Return the machines of which something is left."""
        return [s for s in provider.instances(OWNER).items if s.state is not CloudState.TERMINATED]


class AnswersContract(ContractCase):
    """Subclass it, and define the fixtures `provider`, `controls` and `answers`."""

    def test_a_client_error_under_an_unknown_code_is_a_refusal(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        controls.faults.add(Fault(FaultKind.INVALID, operation="launch", times=1))

        with pytest.raises(InvalidError):
            provider.launch(self.order(provider))

        assert self.existing(provider) == []

    def test_a_machine_whose_name_or_token_was_used_is_adopted(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        self.needs("names")
        order = self.order(provider)
        first = provider.launch(order)
        controls.faults.add(Fault(FaultKind.NAME_USED, operation="launch", times=1))

        again = provider.launch(order)

        assert (again.cloud_id, again.key) == (first.cloud_id, order.key)
        assert len(self.alive(provider)) == 1

    def test_a_used_name_of_another_owner_is_refused_and_one_that_is_not_listed_is_uncertain(
        self, provider: Provider, controls: CloudControls
    ) -> None:
        self.needs("names")
        order = self.order(provider)
        controls.faults.add(Fault(FaultKind.NAME_USED, operation="launch", times=1))
        with pytest.raises(UnreachableError):
            provider.launch(order)
        provider.launch(replace(order, owner="sk-another-owner"))

        controls.faults.add(Fault(FaultKind.NAME_USED, operation="launch", times=1))
        with pytest.raises(InvalidError):
            provider.launch(order)

    @pytest.mark.parametrize("is_dated", [False, True], ids=["seconds", "date"])
    def test_a_pause_that_a_launch_is_asked_for_holds_in_every_process(
        self, provider: Provider, controls: CloudControls, answers: Answers, *, is_dated: bool
    ) -> None:
        self.needs("pace")
        there, order = answers.elsewhere(answers.log), self.order(provider)
        first = answers.elsewhere(answers.log)
        controls.faults.add(Fault(FaultKind.THROTTLE, operation="launch", times=1, seconds=LONG_S, is_dated=is_dated))

        for one in (first, first, there):
            with pytest.raises(ThrottledError) as raised:
                one.launch(order)
            assert raised.value.retry_after_s == pytest.approx(LONG_S, abs=30)

        assert self.existing(provider) == []
        assert not first.instances(OWNER).unreachable, "reads are not paused"

    def test_a_pause_that_a_read_is_asked_for_holds_in_every_process(
        self, provider: Provider, controls: CloudControls, answers: Answers
    ) -> None:
        self.needs("pace")
        first, there = answers.elsewhere(answers.log), answers.elsewhere(answers.log)
        controls.faults.add(Fault(FaultKind.THROTTLE, operation="instances", seconds=LONG_S))
        first.instances(OWNER)
        controls.faults.clear()

        for one in (first, there):
            assert set(one.instances(OWNER).unreachable) == set(provider.regions)
            assert all("asked for no such call before" in why for why in one.instances(OWNER).unreachable.values())

    def test_a_state_that_is_not_known_is_reported_as_unknown(self, provider: Provider, answers: Answers) -> None:
        self.needs("unknown states")
        order = self.order(provider)
        provider.launch(order)

        answers.report_unknown_state(order.instance_id)

        [seen] = self.existing(provider)
        assert (seen.state, seen.end) == (CloudState.UNKNOWN, None)

    def test_a_launch_that_fails_after_it_was_accepted_is_listed_with_its_cause(
        self, provider: Provider, answers: Answers
    ) -> None:
        self.needs("late failures")
        order = self.order(provider)
        code = answers.fail_next_launch()
        with contextlib.suppress(UnreachableError):
            provider.launch(order)
        answers.settle()

        [seen] = [one for one in provider.instances(OWNER).items if one.instance_id == order.instance_id]

        assert seen.end is not None
        assert (seen.end.kind, seen.end.code, seen.end.is_launch) == (EndKind.STOCK_OUT, code, True)
        assert seen.state in {CloudState.STOPPING, CloudState.TERMINATED}
        assert (seen.key.region, seen.key.zone) == (order.key.region, order.key.zone)

    def test_a_machine_that_was_reclaimed_is_listed_with_that_cause(self, provider: Provider, answers: Answers) -> None:
        self.needs("spot")
        order = self.order(provider, key=self.gpu_offer(provider, Market.SPOT).key)
        provider.launch(order)
        [seen] = self.alive(provider)
        assert seen.end is None

        answers.reclaim(order.instance_id)

        [seen] = [one for one in provider.instances(OWNER).items if one.instance_id == order.instance_id]
        assert seen.end is not None
        assert (seen.end.kind, seen.end.is_launch) == (EndKind.RECLAIMED, False)

    def test_the_widest_quota_is_read_and_named_by_its_refusal(self, provider: Provider, answers: Answers) -> None:
        self.needs("quotas")
        offer = self.gpu_offer(provider)
        scope = answers.use_up_widest_quota(offer)

        found: list[Quota] = [q for q in provider.quotas().items if q.scope is scope and q.limit == 0]
        with pytest.raises(QuotaError) as raised:
            provider.launch(self.order(provider, key=offer.key))

        assert any(quota.counts(offer.key, offer.machine) for quota in found)
        assert raised.value.scope is scope
