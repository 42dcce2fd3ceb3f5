"""The facts about a cloud that shared code uses without its SDK: one `PROFILE` per cloud, in its folder. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from providers.faults import FaultAnswers
from state.model.boot import BootProfile
from state.model.catalog import Region
from state.model.ids import ProviderName, region_id

NAME_HEAD_TYPES: Final = "name others under head_types:"


def as_listed(instance_type: str, gpu: str, gpus: int) -> str:
    """Return an instance type as the price catalogue has it, which most clouds use too."""
    del gpu, gpus
    return instance_type


def are_whole(instance_type: str, gpus: int, vcpus: int) -> bool:
    """Return that a listed machine's GPUs are whole ones; where they are not, most lists state the part's memory."""
    del instance_type, gpus, vcpus
    return True


@dataclass(frozen=True, slots=True)
class CloudProfile:
    """A cloud's own facts, which shared code reads instead of comparing names."""

    name: ProviderName
    boot: BootProfile
    regions: tuple[Region, ...] = ()
    """Regions with a known place; `CloudSettings.own_regions` adds those of the settings."""
    has_price_catalogue: bool = True
    """Whether gpuhunt lists its prices, under *name*."""
    price_list: Path | None = None
    """Its dated list prices in this package, a file in gpuhunt's format; None: `--catalog` leaves the cloud out."""
    is_cached: bool = True
    """Whether offers and quotas may be minutes old; False: one cheap call reads what is free now."""
    listed_type: Callable[[str, str, int], str] = as_listed
    """Takes the price catalogue's instance type, GPU and number of GPUs; returns the instance type in offers."""
    has_whole_gpus: Callable[[str, int, int], bool] = are_whole
    """Takes an instance type of the price catalogue, its GPUs and its vCPUs; returns whether those GPUs are whole."""
    fault_answers: FaultAnswers = field(default_factory=dict)
    """HTTP status and code with which the cloud answers when it fails; the emulators send them."""
    head_advice: str = NAME_HEAD_TYPES
    """What to do where no machine for a head is sold."""


def regions_of(provider: str, rows: tuple[tuple[str, str, float, float], ...]) -> tuple[Region, ...]:
    """Return regions from rows of name, jurisdiction, latitude and longitude in degrees."""
    return tuple(
        Region(region_id(provider, name), code, latitude, longitude) for name, code, latitude, longitude in rows
    )
