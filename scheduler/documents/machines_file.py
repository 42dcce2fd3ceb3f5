"""The YAML file of own machines, validated and converted to a register's messages."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.gpus import MEMORY_GIB
from providers.settings import NAME
from providers.static.wire import Hardware, NewMachine
from scheduler.documents.files import read_document
from scheduler.documents.validation import validated

Name = Annotated[str, Field(pattern=NAME, max_length=63)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MachineModel(_Model):
    """One machine in the file."""

    name: Name
    region: Name = Field(description="Site, as named in the settings.")
    zone: Name = Field(default="a", description="Failure domain within the site: a rack or a room.")
    address: str = Field(description="Address in the site's network; for a head, the cell's head_address.")
    gpu: str | None = Field(default=None, description="Canonical GPU model, such as H100.")
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_memory_gib: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="GiB per GPU; defaults to the model's memory where that is known."
    )
    vcpus: Annotated[int, Field(ge=1, le=4096)]
    memory_gib: Annotated[float, Field(gt=0)]
    head: bool = Field(default=False, description="Reserve it for the cell's head.")

    @model_validator(mode="after")
    def _gpus_are_described(self) -> Self:
        if (self.gpu is None) != (self.gpus == 0):
            msg = "give both gpu and gpus, or neither"
            raise ValueError(msg)
        if self.gpu is not None and self.gpu_memory_gib is None and self.gpu not in MEMORY_GIB:
            msg = f"unknown memory of GPU {self.gpu!r}: give gpu_memory_gib"
            raise ValueError(msg)
        if self.gpu is None and not self.head:
            msg = "a machine without GPUs can only be a head: set head: true, or give gpu and gpus"
            raise ValueError(msg)
        return self


class MachinesFile(_Model):
    """The whole file."""

    machines: tuple[MachineModel, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [machine.name for machine in self.machines]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"duplicate names: {', '.join(twice)}; give each machine a name of its own"
            raise ValueError(msg)
        return self


def read_machines(path: Path) -> tuple[NewMachine, ...]:
    """Return the machines of a file.

    Raises:
        DocumentError: It cannot be read or is invalid; the problems name file and line.
    """
    return tuple(_machine(model) for model in validated(read_document(path), MachinesFile).machines)


def _machine(model: MachineModel) -> NewMachine:
    memory = model.gpu_memory_gib if model.gpu_memory_gib is not None else MEMORY_GIB.get(model.gpu or "", 0.0)
    return NewMachine(
        name=model.name,
        region=model.region,
        zone=model.zone,
        address=model.address,
        hardware=Hardware(
            gpu=model.gpu, gpus=model.gpus, gpu_memory_gib=memory, vcpus=model.vcpus, memory_gib=model.memory_gib
        ),
        is_head=model.head,
    )
