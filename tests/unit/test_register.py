"""A site's register: what it remembers, whom it lets in, and what it gives to whom."""

from datetime import timedelta
from pathlib import Path

import pytest

from providers.gpus import nvidia_gpu
from providers.static.hardware import read_gpus
from providers.static.register import ENDED_FOR, SILENT_AFTER, Refusal, Register, RegisterError
from providers.static.wire import (
    AssignmentState,
    Facts,
    Join,
    Machine,
    Marks,
    NewJoinToken,
    NewMachine,
    NewOrder,
    Report,
)
from state.clock import ManualClock
from tests.builders import NOON

GPUS = Facts(gpu="H100", gpus=8, gpu_memory_gib=80, vcpus=192, memory_gib=2015)
KEY, OTHER = "k" * 32, "o" * 32


class Site:
    """A register that may be killed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock = folder / "register.json", ManualClock(NOON)
        self.register = Register(self.path, self.clock)

    def crash(self) -> None:
        self.register.close()
        self.register = Register(self.path, self.clock)

    def join(self, name: str = "one", key: str = KEY, token: str | None = None) -> None:
        token = token or self.register.draw_join_token(NewJoinToken(region="berlin"))
        self.register.join(Join(token=token, key=key, name=name, address="10.0.0.1", facts=GPUS))

    def assignment(self, name: str = "sk-1", owner: str = "me", **changes: object) -> str:
        [machine, *_] = self.register.machines()
        asked = NewOrder(
            instance_id=name, region="berlin", zone="a", type=machine.type, role="worker", owner=owner, script="true"
        )
        return self.register.assignment(asked.model_copy(update=changes)).machine

    def report(self, running: str | None = None, gpus: int | None = 8) -> str | None:
        told = self.register.report(KEY, Report(running=running, gpus_seen=gpus)).task
        return None if told is None else told.instance_id

    def state(self) -> AssignmentState:
        [assignment] = self.register.assignments("berlin", "me")
        return assignment.state


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refusal(error: pytest.ExceptionInfo[RegisterError]) -> Refusal:
    return error.value.code


def test_a_register_that_is_killed_at_any_step_knows_what_it_promised(site: Site) -> None:
    token = site.register.draw_join_token(NewJoinToken(region="berlin"))
    site.crash()
    site.join(token=token)
    site.crash()
    assert site.assignment() == "one"
    site.crash()
    assert site.assignment() == "one", "the same order again"
    assert site.report() == "sk-1"
    site.report("sk-1")
    site.crash()
    assert site.state() is AssignmentState.RUNNING
    site.register.stop("sk-1")
    site.crash()
    assert site.report("sk-1") is None
    assert site.state() is AssignmentState.STOPPING
    site.report(None)
    site.crash()
    assert site.state() is AssignmentState.ENDED
    assert site.register.machines()[0].assignment_id is None


def test_one_process_has_a_register_at_a_time(site: Site) -> None:
    with pytest.raises(RegisterError) as told:
        Register(site.path, site.clock)

    assert refusal(told) is Refusal.BUSY


def test_what_is_kept_is_its_owners_alone_and_holds_no_secret(site: Site) -> None:
    token = site.register.draw_join_token(NewJoinToken(region="berlin"))
    site.join(token=token)

    assert site.path.stat().st_mode & 0o077 == 0
    text = site.path.read_text()
    assert token not in text
    assert KEY not in text


def test_a_token_lets_one_machine_in_once_and_again_only_if_it_did_not_hear_the_answer(site: Site) -> None:
    token = site.register.draw_join_token(NewJoinToken(region="berlin"))
    site.join(token=token)
    site.join(token=token)

    with pytest.raises(RegisterError) as told:
        site.join("two", OTHER, token)

    assert refusal(told) is Refusal.BAD_TOKEN
    assert [machine.name for machine in site.register.machines()] == ["one"]


def test_a_token_ends(site: Site) -> None:
    token = site.register.draw_join_token(NewJoinToken(region="berlin", hours=1))
    site.clock.sleep(timedelta(hours=1, seconds=1))

    with pytest.raises(RegisterError) as told:
        site.join(token=token)

    assert refusal(told) is Refusal.BAD_TOKEN


def test_nobody_takes_the_name_of_a_machine_without_a_token_for_it(site: Site) -> None:
    site.join()
    with pytest.raises(RegisterError) as told:
        site.join("one", OTHER)
    assert refusal(told) is Refusal.NAME_TAKEN

    site.join("anything", OTHER, site.register.draw_join_token(NewJoinToken(region="x", name="one")))

    with pytest.raises(RegisterError) as told:
        site.report()
    assert refusal(told) is Refusal.UNKNOWN_MACHINE
    assert [machine.name for machine in site.register.machines()] == ["one"]


def test_a_listed_machine_is_what_the_list_says_and_for_sale_once_it_has_joined(site: Site) -> None:
    listed = NewMachine(name="one", region="berlin", zone="b", address="10.0.0.9", facts=GPUS)
    [machine] = site.register.list_machines([listed])
    assert (machine.is_free, machine.impairment) == (False, "nobody has joined as this machine yet")

    site.join(token=site.register.draw_join_token(NewJoinToken(region="berlin", name="one")))

    [machine] = site.register.machines()
    assert (machine.zone, machine.address, machine.is_free) == ("b", "10.0.0.9", True)


def test_a_machine_that_runs_something_is_not_described_as_something_else(site: Site) -> None:
    site.join()
    site.assignment()
    listed = NewMachine(name="one", region="berlin", address="10.0.0.1", facts=GPUS.model_copy(update={"gpus": 4}))

    with pytest.raises(RegisterError) as told:
        site.register.list_machines([NewMachine(**{**listed.model_dump(), "name": "two"}), listed])

    assert refusal(told) is Refusal.MACHINE_IN_USE
    assert [machine.name for machine in site.register.machines()] == ["one"], "all or none"


def test_a_machine_that_falls_silent_gets_nothing_new_and_is_back_with_its_next_report(site: Site) -> None:
    site.join()
    site.clock.sleep(SILENT_AFTER + timedelta(seconds=1))
    [machine] = site.register.machines()
    assert machine.impairment == f"not heard of since {NOON:%Y-%m-%d %H:%M:%S} UTC"
    with pytest.raises(RegisterError) as told:
        site.assignment()
    assert refusal(told) is Refusal.NO_FREE_MACHINE

    site.report()

    assert site.assignment() == "one"


def test_trouble_is_told_with_the_time_when_it_began(site: Site) -> None:
    site.join()
    site.assignment()
    site.report("sk-1", gpus=7)
    site.clock.sleep(timedelta(seconds=30))
    site.report("sk-1", gpus=7)

    [assignment] = site.register.assignments("berlin", "me")

    assert (assignment.impairment, assignment.impairment_since) == ("1 of 8 GPUs do not answer", NOON)


def test_cordoning_keeps_what_runs_and_draining_says_from_when(site: Site) -> None:
    site.join()
    site.assignment()
    site.register.mark("one", Marks(is_cordoned=True))
    assert site.report() == "sk-1"

    site.register.mark("one", Marks(drain_at=NOON))
    assert site.register.machines()[0].drain_at == NOON
    site.register.mark("one", Marks(is_cordoned=False))

    [machine] = site.register.machines()
    assert (machine.is_cordoned, machine.drain_at) == (False, None)


def test_a_machine_in_use_is_forgotten_only_if_somebody_saw_that_it_is_gone(site: Site) -> None:
    site.join()
    site.assignment()
    with pytest.raises(RegisterError) as told:
        site.register.remove("one")
    assert refusal(told) is Refusal.MACHINE_IN_USE

    site.register.remove("one", is_gone=True)
    site.register.remove("one")

    assert site.register.machines() == ()
    assert site.state() is AssignmentState.ENDED


def test_an_order_that_ended_is_not_started_again_for_a_day(site: Site) -> None:
    site.join()
    site.assignment()
    site.register.stop("sk-1")
    site.report(None)
    site.clock.sleep(ENDED_FOR - timedelta(seconds=1))
    site.report(None)

    site.assignment()

    assert site.state() is AssignmentState.ENDED
    assert site.report(None) is None


def test_equal_machines_are_of_one_type_though_their_memory_differs_by_a_little() -> None:
    def kind(memory_gib: float) -> str:
        facts = GPUS.model_copy(update={"memory_gib": memory_gib})
        return Machine(name="x", region="r", address="a", facts=facts).type

    assert kind(2015) == kind(2003.4) == "8xh100-192c-2000g"
    assert kind(1007) != kind(2015)


@pytest.mark.parametrize(
    ("told", "model", "count", "memory"),
    [
        ("NVIDIA H100 80GB HBM3, 81559\n" * 8, "H100", 8, 80),
        ("NVIDIA A100-SXM4-40GB, 40960\n", "A100-40GB", 1, 40),
        ("NVIDIA A100 80GB PCIe, 81920\n", "A100-80GB", 1, 80),
        ("NVIDIA L40S, 46068\n", "L40S", 1, 45),
        ("Tesla T4, 15360\n", "T4", 1, 15),
        ("NVIDIA GeForce RTX 4090, 24564\n", "RTX4090", 1, 24),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition, 97887\n", "RTXPRO6000", 1, 96),
        ("", None, 0, 0),
    ],
)
def test_the_drivers_answer_is_read(told: str, model: str | None, count: int, memory: float) -> None:
    found = read_gpus(told)

    assert (found.model, found.count, found.memory_gib) == (model, count, memory)


def test_a_gpu_that_no_cloud_sells_keeps_its_name() -> None:
    assert nvidia_gpu("NVIDIA RTX A6000") == "RTXA6000"
