"""The messages between registers, agents and the provider: JSON over HTTP, validated on both sides."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from providers.settings import NAME

SCRIPT_MAX: Final = 256 * 1024
SECRET_MIN: Final = 32
SECRET_MAX: Final = 256
Name = Annotated[str, Field(pattern=NAME, max_length=63)]
Secret = Annotated[str, Field(min_length=SECRET_MIN, max_length=SECRET_MAX)]


class Message(BaseModel):
    """Any message; unknown fields are ignored, so that a newer sender works with an older receiver."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hardware(Message):
    """The hardware of a machine."""

    gpu: str | None = None
    """Canonical model, such as `H100`; None: no GPUs."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_memory_gib: Annotated[float, Field(ge=0)] = 0
    """Per GPU."""
    vcpus: Annotated[int, Field(ge=1, le=4096)]
    memory_gib: Annotated[float, Field(gt=0)]


class NewMachine(Message):
    """A machine to add to the register."""

    name: Name
    region: Name
    zone: Name = "a"
    address: str
    hardware: Hardware
    is_head: bool = False
    """Whether it is reserved for the cell's head; the only use of a machine without GPUs."""
    key_sha256: str | None = None
    """Hash of the agent's key; None: no agent has joined as this machine."""


class NewMachines(Message):
    """Machines to add to the register together."""

    machines: Annotated[tuple[NewMachine, ...], Field(min_length=1, max_length=1000)]


class Machine(NewMachine):
    """A machine in the register."""

    is_cordoned: bool = False
    drain_at: AwareDatetime | None = None
    """When its drain begins; None: not draining."""
    assignment_id: str | None = None
    """The instance that it runs, or still has to end."""
    unreachable_since: AwareDatetime | None = None
    """Time of the last report, or of the listing without one, once that is too long ago."""
    gpus_detected: int | None = None
    """GPUs that respond; None: the agent does not count them."""

    @property
    def type(self) -> str:
        """The instance type; machines with equal hardware share one."""
        hardware, memory = self.hardware, f"{float(f'{self.hardware.memory_gib:.2g}'):.0f}g"
        if self.is_head or hardware.gpu is None:
            return f"{'head' if self.is_head else 'cpu'}-{hardware.vcpus}c-{memory}"
        return f"{hardware.gpus}x{hardware.gpu.lower()}-{hardware.vcpus}c-{memory}"

    @property
    def impairment(self) -> str:
        """The reason why the machine is unreliable; empty for none."""
        if self.key_sha256 is None:
            return "no agent has joined as this machine"
        if self.unreachable_since is not None:
            return f"no report since {self.unreachable_since:%Y-%m-%d %H:%M:%S} UTC"
        if self.gpus_detected is not None and self.gpus_detected < self.hardware.gpus:
            return f"{self.hardware.gpus - self.gpus_detected} of {self.hardware.gpus} GPUs do not respond"
        return ""

    @property
    def is_free(self) -> bool:
        """Whether it accepts an assignment."""
        return not (self.assignment_id or self.is_cordoned or self.drain_at or self.impairment)


MACHINE_GONE: Final = "its machine is gone"
"""Why an assignment ended whose machine an operator removed from the register."""


class AssignmentState(StrEnum):
    """The progress of an assignment."""

    PENDING = "pending"
    """The agent has not started it yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class NewAssignment(Message):
    """A start-up script to run on any free machine of a type."""

    instance_id: Annotated[str, Field(min_length=1, max_length=128)]
    region: Name
    zone: Name
    type: str
    role: str
    owner: str
    address: str | None = None
    """The address that the machine must have; None: any."""
    script: Annotated[str, Field(max_length=SCRIPT_MAX)]


class Assignment(NewAssignment):
    """An assignment in the register."""

    machine: str
    machine_address: str
    state: AssignmentState = AssignmentState.PENDING
    assigned_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    reason: str = ""
    impairment: str = ""
    """The impairment of its machine; empty for none. Set where assignments are listed."""
    impairment_since: AwareDatetime | None = None


class JoinToken(Message):
    """A token that lets one machine join once, as the register stores it."""

    token_sha256: str
    region: Name
    zone: Name = "a"
    name: Name | None = None
    """The machine it is for; None: any machine, under a name of its own."""
    expires_at: AwareDatetime
    used_by: str | None = None
    """Hash of the key that joined with it; the same key may join again, if the response was lost."""


class NewJoinToken(Message):
    """A request for a join token."""

    region: Name
    zone: Name = "a"
    name: Name | None = None
    hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24.0


class JoinRequest(Message):
    """An agent's request to join."""

    token: Secret
    key: Secret
    """Drawn and stored by the agent; authenticates it from now on."""
    name: Name
    address: str
    hardware: Hardware
    is_head: bool = False


class JoinResponse(Message):
    """The response to a join request."""

    name: Name
    region: Name
    zone: Name


class Report(Message):
    """An agent's periodic report."""

    running: str | None
    """Instance id of the task that runs."""
    gpus_detected: int | None = None


class Task(Message):
    """A start-up script for one machine."""

    instance_id: str
    region: str
    role: str
    script: str


class ReportResponse(Message):
    """The response to a report: the one task to run from now on; None: end any."""

    task: Task | None
    poll_seconds: float


class MachineUpdate(Message):
    """An operator's change to a machine; omitted fields stay."""

    is_cordoned: bool | None = None
    drain_at: datetime | None = None


class Page(Message):
    """One page of a list."""

    machines: tuple[Machine, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    next: str | None = None
    """The next page's `after` parameter; None: last page."""
