"""Own machines under the provider contract."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest

from providers.errors import DeniedError, ShortageError
from providers.static.machines import Static
from providers.static.wire import MachineUpdate
from state.clock import SystemClock
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId, region_name
from state.model.inventory import CloudState, NoticeKind, Role
from tests.conformance.answers_contract import OWNER, SECOND, Answers
from tests.conformance.cloud_controls import CloudControls
from tests.conformance.provider_contract import ProviderContract
from tests.conformance.sites import Sites, own_sites


class TestStatic(ProviderContract):
    """The contract over registers."""

    market = Market.RESERVED
    announces = NoticeKind.DRAIN
    lacks: ClassVar[Mapping[str, str]] = {
        "spot": "own machines are never reclaimed",
        "quotas": "own machines have no quotas",
        "reservations": "every offer is one",
        "late lists": "a register lists what it has written",
        "repeats": "a register's pages continue after a name, so that none repeats another",
        "names": "a register returns the assignment that has the id",
        "unknown states": "a register's states are of a closed type",
        "late failures": "an assignment is made at once or refused",
        "mortality": "instances on own machines return with their region",
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
    def controls(self, sites: Sites) -> CloudControls:
        register = sites.register

        def empty(offer: Offer) -> None:
            for machine in register.machines(region_name(offer.key.region)):
                if machine.type == offer.key.instance_type:
                    register.update_machine(machine.name, MachineUpdate(is_cordoned=True))

        def lists(lag: float = 0, page: int | None = None, *, duplicates: bool = False) -> None:
            assert not (lag or duplicates)
            sites.page_size = page

        def announce(name: InstanceId) -> datetime:
            at = sites.clock.now() + timedelta(hours=1)
            [machine] = [machine for machine in register.machines() if machine.assignment_id == name]
            register.update_machine(machine.name, MachineUpdate(drain_at=at))
            return at

        def never(*_: object) -> None:
            raise AssertionError("the contract uses a feature that the provider lacks")

        lose, restore = sites.unreachable.add, sites.unreachable.discard

        def impair(name: InstanceId) -> None:
            [machine] = [machine for machine in register.machines() if machine.assignment_id == name]
            sites.report(machine.name, name, gpus_detected=0)

        return CloudControls(lose, restore, empty, never, sites.faults, lists, announce, never, impair)

    @pytest.fixture
    def answers(self, provider: Static) -> Answers:
        def never(*_: object) -> NoReturn:
            raise AssertionError("the contract uses a feature that the provider lacks")

        settings = provider.settings
        return Answers(never, never, never, never, never, lambda log: Static(settings, SystemClock(), log))

    def test_a_machine_in_use_is_not_in_stock(self, provider: Static) -> None:
        order = self.order(provider)

        provider.launch(order)

        assert [o.stock for o in provider.offers().items if o.key == order.key] == [0]
        with pytest.raises(ShortageError, match="none of 1 machines"):
            provider.launch(self.order(provider, SECOND))

    def test_an_instance_has_ended_once_the_agent_reports_so(self, provider: Static, sites: Sites) -> None:
        order = self.order(provider)
        machine = provider.launch(order).cloud_id.partition("/")[0]
        assert sites.report(machine, None) == order.instance_id
        sites.report(machine, order.instance_id)
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.RUNNING]

        provider.terminate(order.key, order.instance_id, None)

        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.STOPPING]
        assert sites.report(machine, order.instance_id) is None
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.STOPPING]
        sites.report(machine, None)
        assert [s.state for s in provider.instances(OWNER).items] == [CloudState.TERMINATED]
        assert [o.stock for o in provider.offers().items if o.key == order.key] == [1]

    def test_a_head_runs_on_the_machine_with_its_address(self, provider: Static, sites: Sites) -> None:
        head = next(o for o in provider.offers().items if not o.machine.gpus)
        [there] = [m for m in sites.register.machines(region_name(head.key.region)) if m.is_head]

        with pytest.raises(ShortageError, match=r"at 10\.9\.9\.9"):
            provider.launch(self.order(provider, key=head.key, role=Role.HEAD, private_address="10.9.9.9"))
        seen = provider.launch(self.order(provider, key=head.key, role=Role.HEAD, private_address=there.address))

        assert seen.address == there.address

    def test_a_machine_with_missing_gpus_is_impaired_and_not_in_stock(self, provider: Static, sites: Sites) -> None:
        order = self.order(provider)
        machine = provider.launch(order).cloud_id.partition("/")[0]

        sites.report(machine, order.instance_id, gpus_detected=0)

        [seen] = provider.instances(OWNER).items
        assert seen.impairment == "1 of 1 GPUs do not respond"
        assert seen.impairment_since is not None
        provider.terminate(order.key, order.instance_id, None)
        sites.report(machine, None, gpus_detected=0)
        assert [o.stock for o in provider.offers().items if o.key == order.key] == [0]

    def test_a_wrong_or_missing_token_is_refused(self, provider: Static, tmp_path: Path) -> None:
        order = self.order(provider)
        for wrong in ("another token", None):
            token = tmp_path / "token"
            token.unlink() if wrong is None else token.write_text(wrong)

            assert set(provider.instances(OWNER).unreachable) == set(provider.regions)
            with pytest.raises(DeniedError):
                provider.launch(order)
