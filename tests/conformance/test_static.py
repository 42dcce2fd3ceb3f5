"""Machines of our own, under the contract of every provider."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from providers.errors import DeniedError, ShortageError
from providers.static.machines import Static
from providers.static.wire import Marks
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, region_name
from state.model.inventory import CloudState, NoticeKind, Role
from tests.conformance.cloud_controls import Backstage
from tests.conformance.provider_contract import OWNER, SECOND, ProviderContract
from tests.conformance.sites import Sites, own_sites


class TestStatic(ProviderContract):
    """Machines of our own."""

    market = Market.RESERVED
    announces = NoticeKind.DRAIN
    lacks: ClassVar[Mapping[str, str]] = {
        "spot": "nobody takes one's own machines back",
        "quotas": "nobody limits the use of one's own machines",
        "reservations": "every offer of theirs is one",
        "late lists": "a register lists what it has written, and nothing else",
        "repeats": "a register's pages are cut by name, so that none repeats another",
        "mortality": "what runs on one's own machines comes back with them",
    }

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[tuple[Sites, Static]]:
        with own_sites(tmp_path) as site:
            yield site

    @pytest.fixture
    def sites(self, site: tuple[Sites, Static]) -> Sites:
        return site[0]

    @pytest.fixture
    def provider(self, site: tuple[Sites, Static]) -> Static:
        return site[1]

    @pytest.fixture
    def backstage(self, sites: Sites) -> Backstage:
        register = sites.register

        def empty(offer: Offer) -> None:
            for machine in register.machines(region_name(offer.key.region)):
                if machine.type == offer.key.instance_type:
                    register.mark(machine.name, Marks(is_cordoned=True))

        def lists(lag: float = 0, page: int | None = None, *, duplicates: bool = False) -> None:
            assert not (lag or duplicates)
            sites.page = page

        def announce(name: InstanceId) -> datetime:
            at = sites.clock.now() + timedelta(hours=1)
            [machine] = [machine for machine in register.machines() if machine.assignment_id == name]
            register.mark(machine.name, Marks(drain_at=at))
            return at

        def never(*_: object) -> None:
            raise AssertionError("the contract asks for nothing that the provider lacks")

        lose, restore = sites.silent.add, sites.silent.discard

        def impair(name: InstanceId) -> None:
            [machine] = [machine for machine in register.machines() if machine.assignment_id == name]
            sites.report(machine.name, name, gpus_seen=0)

        return Backstage(lose, restore, empty, never, sites.faults, lists, announce, never, impair)

    def test_a_machine_that_runs_something_is_not_for_sale(self, provider: Static) -> None:
        assignment = self.order(provider)

        provider.launch(assignment)

        assert [o.stock for o in provider.offers().items if o.key == assignment.key] == [0]
        with pytest.raises(ShortageError, match="none of 1 machines"):
            provider.launch(self.order(provider, SECOND))

    def test_an_end_is_over_when_the_machine_says_so(self, provider: Static, sites: Sites) -> None:
        assignment = self.order(provider)
        machine = provider.launch(assignment).cloud_id.partition("/")[0]
        assert sites.report(machine, None) == assignment.instance_id
        sites.report(machine, assignment.instance_id)
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.RUNNING]

        provider.terminate(assignment.key, assignment.instance_id, None)

        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.STOPPING]
        assert sites.report(machine, assignment.instance_id) is None
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.STOPPING]
        sites.report(machine, None)
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.TERMINATED]
        assert [o.stock for o in provider.offers().items if o.key == assignment.key] == [1]

    def test_a_head_runs_where_its_address_is(self, provider: Static, sites: Sites) -> None:
        head = next(o for o in provider.offers().items if not o.machine.gpus)
        [there] = [m for m in sites.register.machines(region_name(head.key.region)) if m.is_head]

        with pytest.raises(ShortageError, match=r"at 10\.9\.9\.9"):
            provider.launch(self.order(provider, key=head.key, role=Role.HEAD, private_address="10.9.9.9"))
        seen = provider.launch(self.order(provider, key=head.key, role=Role.HEAD, private_address=there.address))

        assert seen.address == there.address

    def test_dead_gpus_are_told_and_not_sold(self, provider: Static, sites: Sites) -> None:
        assignment = self.order(provider)
        machine = provider.launch(assignment).cloud_id.partition("/")[0]

        sites.report(machine, assignment.instance_id, gpus_seen=0)

        [seen] = provider.instances(OWNER).items
        assert seen.impairment == "1 of 1 GPUs do not answer"
        assert seen.impairment_since is not None
        provider.terminate(assignment.key, assignment.instance_id, None)
        sites.report(machine, None, gpus_seen=0)
        assert [o.stock for o in provider.offers().items if o.key == assignment.key] == [0]

    def test_without_the_right_token_nothing_is_told_or_done(self, provider: Static, tmp_path: Path) -> None:
        assignment = self.order(provider)
        for wrong in ("somebody else's", None):
            token = tmp_path / "token"
            token.unlink() if wrong is None else token.write_text(wrong)

            assert set(provider.instances(OWNER).unreachable) == set(provider.regions)
            with pytest.raises(DeniedError):
                provider.launch(assignment)
