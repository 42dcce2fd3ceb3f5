"""A site's register: what it stores, which agents it admits, and which machine gets which assignment."""

from datetime import timedelta
from pathlib import Path

import pytest

from providers.gpus import nvidia_gpu, same_gpu
from providers.static.hardware import parse_gpus
from providers.static.register import ENDED_KEPT_FOR, UNREACHABLE_AFTER, ErrorCode, Register, RegisterError
from providers.static.wire import (
    AssignmentState,
    Hardware,
    JoinRequest,
    Machine,
    MachineUpdate,
    NewAssignment,
    NewJoinToken,
    NewMachine,
    Report,
)
from state.clock import ManualClock
from tests.builders import NOON

GPUS = Hardware(gpu="H100", gpus=8, gpu_memory_gib=80, vcpus=192, memory_gib=2015)
KEY, OTHER = "k" * 32, "o" * 32


class Site:
    """A register that can be killed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock = folder / "register.json", ManualClock(NOON)
        self.register = Register(self.path, self.clock)

    def crash(self) -> None:
        self.register.close()
        self.register = Register(self.path, self.clock)

    def join(self, name: str = "one", key: str = KEY, token: str | None = None) -> None:
        token = token or self.register.issue_join_token(NewJoinToken(region="berlin"))
        self.register.join(JoinRequest(token=token, key=key, name=name, address="10.0.0.1", hardware=GPUS))

    def assign(self, name: str = "sk-1", owner: str = "me", **changes: object) -> str:
        [machine, *_] = self.register.machines()
        request = NewAssignment(
            instance_id=name, region="berlin", zone="a", type=machine.type, role="worker", owner=owner, script="true"
        )
        return self.register.assign(request.model_copy(update=changes)).machine

    def report(self, running: str | None = None, gpus: int | None = 8) -> str | None:
        task = self.register.handle_report(KEY, Report(running=running, gpus_detected=gpus)).task
        return None if task is None else task.instance_id

    def state(self) -> AssignmentState:
        [assignment] = self.register.assignments("berlin", "me")
        return assignment.state


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def code(error: pytest.ExceptionInfo[RegisterError]) -> ErrorCode:
    return error.value.code


def test_a_register_killed_at_any_step_keeps_what_it_answered(site: Site) -> None:
    token = site.register.issue_join_token(NewJoinToken(region="berlin"))
    site.crash()
    site.join(token=token)
    site.crash()
    assert site.assign() == "one"
    site.crash()
    assert site.assign() == "one", "the same request again"
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


def test_one_process_at_a_time_opens_a_register(site: Site) -> None:
    with pytest.raises(RegisterError) as raised:
        Register(site.path, site.clock)

    assert code(raised) is ErrorCode.REGISTER_LOCKED


def test_the_file_is_readable_by_its_owner_alone_and_holds_no_secret(site: Site) -> None:
    token = site.register.issue_join_token(NewJoinToken(region="berlin"))
    site.join(token=token)

    assert site.path.stat().st_mode & 0o077 == 0
    text = site.path.read_text()
    assert token not in text
    assert KEY not in text


def test_a_join_token_admits_one_machine_and_the_same_machine_again_if_the_response_was_lost(site: Site) -> None:
    token = site.register.issue_join_token(NewJoinToken(region="berlin"))
    site.join(token=token)
    site.join(token=token)

    with pytest.raises(RegisterError) as raised:
        site.join("two", OTHER, token)

    assert code(raised) is ErrorCode.INVALID_JOIN_TOKEN
    assert [machine.name for machine in site.register.machines()] == ["one"]


def test_a_join_token_expires(site: Site) -> None:
    token = site.register.issue_join_token(NewJoinToken(region="berlin", hours=1))
    site.clock.sleep(timedelta(hours=1, seconds=1))

    with pytest.raises(RegisterError) as raised:
        site.join(token=token)

    assert code(raised) is ErrorCode.INVALID_JOIN_TOKEN


def test_the_name_of_a_machine_is_taken_over_only_with_a_token_for_it(site: Site) -> None:
    site.join()
    with pytest.raises(RegisterError) as raised:
        site.join("one", OTHER)
    assert code(raised) is ErrorCode.NAME_TAKEN

    site.join("anything", OTHER, site.register.issue_join_token(NewJoinToken(region="x", name="one")))

    with pytest.raises(RegisterError) as raised:
        site.report()
    assert code(raised) is ErrorCode.UNKNOWN_KEY
    assert [machine.name for machine in site.register.machines()] == ["one"]


def test_an_added_machine_keeps_its_description_and_is_free_once_it_has_joined(site: Site) -> None:
    listed = NewMachine(name="one", region="berlin", zone="b", address="10.0.0.9", hardware=GPUS)
    [machine] = site.register.add_machines([listed])
    assert (machine.is_free, machine.impairment) == (False, "no agent has joined as this machine")

    site.join(token=site.register.issue_join_token(NewJoinToken(region="berlin", name="one")))

    [machine] = site.register.machines()
    assert (machine.zone, machine.address, machine.is_free) == ("b", "10.0.0.9", True)


def test_the_hardware_of_a_machine_in_use_does_not_change(site: Site) -> None:
    site.join()
    site.assign()
    listed = NewMachine(name="one", region="berlin", address="10.0.0.1", hardware=GPUS.model_copy(update={"gpus": 4}))

    with pytest.raises(RegisterError) as raised:
        site.register.add_machines([NewMachine(**{**listed.model_dump(), "name": "two"}), listed])

    assert code(raised) is ErrorCode.MACHINE_IN_USE
    assert [machine.name for machine in site.register.machines()] == ["one"], "all or none"


def test_an_unreachable_machine_gets_no_assignment_until_its_next_report(site: Site) -> None:
    site.join()
    site.clock.sleep(UNREACHABLE_AFTER + timedelta(seconds=1))
    [machine] = site.register.machines()
    assert machine.impairment == f"no report since {NOON:%Y-%m-%d %H:%M:%S} UTC"
    with pytest.raises(RegisterError) as raised:
        site.assign()
    assert code(raised) is ErrorCode.NO_FREE_MACHINE

    site.report()

    assert site.assign() == "one"


def test_an_impairment_has_the_time_of_its_beginning(site: Site) -> None:
    site.join()
    site.assign()
    site.report("sk-1", gpus=7)
    site.clock.sleep(timedelta(seconds=30))
    site.report("sk-1", gpus=7)

    [assignment] = site.register.assignments("berlin", "me")

    assert (assignment.impairment, assignment.impairment_since) == ("1 of 8 GPUs do not respond", NOON)


def test_a_cordon_keeps_the_assignment_and_a_drain_has_a_time(site: Site) -> None:
    site.join()
    site.assign()
    site.register.update_machine("one", MachineUpdate(is_cordoned=True))
    assert site.report() == "sk-1"

    site.register.update_machine("one", MachineUpdate(drain_at=NOON))
    assert site.register.machines()[0].drain_at == NOON
    site.register.update_machine("one", MachineUpdate(is_cordoned=False))

    [machine] = site.register.machines()
    assert (machine.is_cordoned, machine.drain_at) == (False, None)


def test_a_machine_in_use_is_removed_only_with_is_gone(site: Site) -> None:
    site.join()
    site.assign()
    with pytest.raises(RegisterError) as raised:
        site.register.remove_machine("one")
    assert code(raised) is ErrorCode.MACHINE_IN_USE

    site.register.remove_machine("one", is_gone=True)
    site.register.remove_machine("one")

    assert site.register.machines() == ()
    assert site.state() is AssignmentState.ENDED


def test_an_ended_assignment_is_not_started_again_for_a_day(site: Site) -> None:
    site.join()
    site.assign()
    site.register.stop("sk-1")
    site.report(None)
    site.clock.sleep(ENDED_KEPT_FOR - timedelta(seconds=1))
    site.report(None)

    site.assign()

    assert site.state() is AssignmentState.ENDED
    assert site.report(None) is None


def test_machines_with_slightly_different_memory_are_of_one_type() -> None:
    def kind(memory_gib: float) -> str:
        hardware = GPUS.model_copy(update={"memory_gib": memory_gib})
        return Machine(name="x", region="r", address="a", hardware=hardware).type

    assert kind(2015) == kind(2003.4) == "8xh100-192c-2000g"
    assert kind(1007) != kind(2015)


@pytest.mark.parametrize(
    ("output", "model", "count", "memory"),
    [
        ("NVIDIA H100 80GB HBM3, Disabled, 81559\n" * 8, "H100", 8, 80),
        ("NVIDIA A100-SXM4-40GB, Disabled, 40960\n", "A100-40GB", 1, 40),
        ("NVIDIA A100 80GB PCIe, Disabled, 81920\n", "A100-80GB", 1, 80),
        ("NVIDIA L40S, [N/A], 46068\n", "L40S", 1, 45),
        ("Tesla T4, [N/A], 15360\n", "T4", 1, 15),
        ("NVIDIA GeForce RTX 4090, [N/A], 24564\n", "RTX4090", 1, 24),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition, Disabled, 97887\n", "RTXPRO6000", 1, 96),
        ("NVIDIA A100 80GB PCIe, Enabled, 81920\nNVIDIA A100 80GB PCIe, Disabled, 81920\n", "A100-80GB", 1, 80),
        ("NVIDIA H100 80GB HBM3, Enabled, 81559\n", None, 0, 0),
        ("NVIDIA A10-4Q, [N/A], 4096\n", "A10.4Q", 1, 4),
        ("", None, 0, 0),
    ],
)
def test_the_drivers_output_is_parsed(output: str, model: str | None, count: int, memory: float) -> None:
    found = parse_gpus(output)

    assert (found.model, found.count, found.memory_gib) == (model, count, memory)


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA A10-4Q", "A10.4Q"),
        ("GRID T4-2B", "T4.2B"),
        ("GRID A100-1-5C", "A100.5C"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "A100.1g.10gb"),
    ],
)
def test_a_part_of_a_gpu_is_never_taken_for_a_whole_one(name: str, gpu: str) -> None:
    assert nvidia_gpu(name) == gpu
    assert not same_gpu(gpu.partition(".")[0], nvidia_gpu(name))


def test_a_gpu_that_no_cloud_sells_keeps_its_name() -> None:
    assert nvidia_gpu("NVIDIA RTX A6000") == "RTXA6000"
