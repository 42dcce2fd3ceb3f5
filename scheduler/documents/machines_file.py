"""The file that lists one's own machines: YAML, checked, to what a register takes."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.gpus import MEMORY_GIB
from providers.settings import NAME
from providers.static.wire import Facts, NewMachine
from scheduler.documents.validation import validated
from scheduler.documents.yaml_document import read_document

Name = Annotated[str, Field(pattern=NAME, max_length=63)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MachineModel(_Model):
    """One machine."""

    name: Name
    region: Name = Field(description="The site, as the settings name it.")
    zone: Name = Field(default="a", description="What fails together within a site: a rack, a room.")
    address: str = Field(description="Its address inside the site's network; a head's is the cell's head_address.")
    gpu: str | None = Field(default=None, description="Canonical model, such as H100.")
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_memory_gib: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Per GPU; known of the models that clouds sell."
    )
    vcpus: Annotated[int, Field(ge=1, le=4096)]
    memory_gib: Annotated[float, Field(gt=0)]
    head: bool = Field(default=False, description="Kept for the cell's head.")

    @model_validator(mode="after")
    def _gpus_are_described(self) -> Self:
        if (self.gpu is None) != (self.gpus == 0):
            msg = "give both gpu and gpus, or neither"
            raise ValueError(msg)
        if self.gpu is not None and self.gpu_memory_gib is None and self.gpu not in MEMORY_GIB:
            msg = f"the memory of {self.gpu} is not known: give gpu_memory_gib"
            raise ValueError(msg)
        if self.gpu is None and not self.head:
            msg = "a machine without GPUs is of use as a head alone: say head: true"
            raise ValueError(msg)
        return self


class MachinesFile(_Model):
    """The document."""

    machines: tuple[MachineModel, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [machine.name for machine in self.machines]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"{', '.join(twice)} is listed twice"
            raise ValueError(msg)
        return self


def read_machines(path: Path) -> tuple[NewMachine, ...]:
    """Return the machines of a file.

    Raises:
        DocumentError: It cannot be read, or says something that makes no sense; with file and line.
    """
    return tuple(_machine(one) for one in validated(read_document(path), MachinesFile).machines)


def _machine(one: MachineModel) -> NewMachine:
    memory = one.gpu_memory_gib if one.gpu_memory_gib is not None else MEMORY_GIB.get(one.gpu or "", 0.0)
    facts = Facts(gpu=one.gpu, gpus=one.gpus, gpu_memory_gib=memory, vcpus=one.vcpus, memory_gib=one.memory_gib)
    return NewMachine(
        name=one.name, region=one.region, zone=one.zone, address=one.address, facts=facts, is_head=one.head
    )
