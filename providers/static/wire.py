"""What registers, agents and the provider say to one another: JSON over HTTP, checked on both sides."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from providers.settings import NAME

SCRIPT_MAX: Final = 256 * 1024
SECRET_MIN: Final = 32
Name = Annotated[str, Field(pattern=NAME, max_length=63)]
Secret = Annotated[str, Field(min_length=SECRET_MIN, max_length=256)]


class Message(BaseModel):
    """Anything that is said; a newer side may say more than an older one knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Facts(Message):
    """What a machine consists of."""

    gpu: str | None = None
    """Canonical model, such as `H100`; None: it has no GPUs."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_memory_gib: Annotated[float, Field(ge=0)] = 0
    """Per GPU."""
    vcpus: Annotated[int, Field(ge=1, le=4096)]
    memory_gib: Annotated[float, Field(gt=0)]


class NewMachine(Message):
    """A machine that somebody lists."""

    name: Name
    region: Name
    zone: Name = "a"
    address: str
    facts: Facts
    is_head: bool = False
    """Whether it is kept for the cell's head; a machine without GPUs is of no other use."""
    key_sha256: str | None = None
    """Of the key that its agent shows; None: nobody has joined as this machine yet."""


class Listing(Message):
    """Machines that somebody lists."""

    machines: Annotated[tuple[NewMachine, ...], Field(min_length=1, max_length=1000)]


class Machine(NewMachine):
    """A machine, as its register holds it."""

    is_cordoned: bool = False
    drain_at: AwareDatetime | None = None
    """From when on it is not to be used."""
    assignment_id: str | None = None
    """What it runs, or has still to end."""
    silent_since: AwareDatetime | None = None
    """When it was heard last, if that is too long ago; never, and then since when it is listed."""
    gpus_seen: int | None = None
    """GPUs that answer; None: the agent cannot tell."""

    @property
    def type(self) -> str:
        """The instance type: equal machines have the same."""
        facts, memory = self.facts, f"{float(f'{self.facts.memory_gib:.2g}'):.0f}g"
        if self.is_head or facts.gpu is None:
            return f"{'head' if self.is_head else 'cpu'}-{facts.vcpus}c-{memory}"
        return f"{facts.gpus}x{facts.gpu.lower()}-{facts.vcpus}c-{memory}"

    @property
    def impairment(self) -> str:
        """Why it is not to be relied on; empty for nothing."""
        if self.key_sha256 is None:
            return "nobody has joined as this machine yet"
        if self.silent_since is not None:
            return f"not heard of since {self.silent_since:%Y-%m-%d %H:%M:%S} UTC"
        if self.gpus_seen is not None and self.gpus_seen < self.facts.gpus:
            return f"{self.facts.gpus - self.gpus_seen} of {self.facts.gpus} GPUs do not answer"
        return ""

    @property
    def is_free(self) -> bool:
        """Whether it may be given something to run."""
        return not (self.assignment_id or self.is_cordoned or self.drain_at or self.impairment)


class AssignmentState(StrEnum):
    """How far an order is."""

    PENDING = "pending"
    """Its machine has not select_reservation it up yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class NewOrder(Message):
    """Something to run on some machine of a type."""

    instance_id: Annotated[str, Field(min_length=1, max_length=128)]
    region: Name
    zone: Name
    type: str
    role: str
    owner: str
    address: str | None = None
    """The address that the machine must have; None: any."""
    script: Annotated[str, Field(max_length=SCRIPT_MAX)]


class Assignment(NewOrder):
    """An order, as its register holds it."""

    machine: str
    machine_address: str
    state: AssignmentState = AssignmentState.PENDING
    ordered_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    reason: str = ""
    impairment: str = ""
    """What is wrong with its machine; empty for nothing. Set where orders are listed."""
    impairment_since: AwareDatetime | None = None


class JoinToken(Message):
    """Leave to join once, until a time."""

    token_sha256: str
    region: Name
    zone: Name = "a"
    name: Name | None = None
    """The machine that it is for; None: whichever shows it, under a name of its own."""
    until: AwareDatetime
    used_by: str | None = None
    """The hash of the key that it was used with: whoever did not hear the answer may ask again."""


class NewJoinToken(Message):
    """A wish for a ticket."""

    region: Name
    zone: Name = "a"
    name: Name | None = None
    hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24.0


class Join(Message):
    """An agent's first words."""

    token: Secret
    key: Secret
    """Drawn by the agent, and kept by it: by this key it is known from now on."""
    name: Name
    address: str
    facts: Facts
    is_head: bool = False


class Joined(Message):
    """The answer to them."""

    name: Name
    region: Name
    zone: Name


class Report(Message):
    """What an agent says every few seconds."""

    running: str | None
    """The order whose script runs."""
    gpus_seen: int | None = None


class Task(Message):
    """What a machine is to run."""

    instance_id: str
    region: str
    role: str
    script: str


class Instruction(Message):
    """The answer to a report: what is to run from now on, and nothing else."""

    task: Task | None
    poll_seconds: float


class Marks(Message):
    """What an operator says of a machine; what is left out stays."""

    is_cordoned: bool | None = None
    drain_at: datetime | None = None


class Page(Message):
    """A part of a list."""

    machines: tuple[Machine, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    next: str | None = None
    """What to ask for as `after`; None: this was the last."""
