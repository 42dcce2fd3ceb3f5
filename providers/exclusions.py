"""What a cloud sells and its provider leaves out, with the cause. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from state.model.ids import RegionId


class ExclusionKind(StrEnum):
    """Why something is not offered."""

    PART_OF_GPU = "part_of_gpu"
    """The size has a part of a GPU. Ray counts every device as a whole one, and a vGPU needs another driver."""
    UNKNOWN_GPU = "unknown_gpu"
    """The model of its GPUs, and so their memory, is not known."""
    ARCHITECTURE = "architecture"
    """Its processor cannot run the image of the settings."""
    NO_PRICE = "no_price"
    """The price catalogue does not have the instance type there."""
    ZONE_WITHOUT_PRICES = "zone_without_prices"
    """A zone with prices of its own (Local, Wavelength, edge or AI zone), which the catalogue does not have."""
    ZONE_NOT_ENABLED = "zone_not_enabled"
    """The account has not opted in to the zone."""
    RESTRICTED = "restricted"
    """The cloud does not sell it to this account."""
    NO_SUBNET = "no_subnet"
    """There is no subnet in which a machine could be started."""
    WRONG_SUBNET = "wrong_subnet"
    """The subnet of the settings is elsewhere, or does not belong with the security groups."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An instance type or a zone that is left out."""

    kind: ExclusionKind
    region: RegionId
    subject: str
    """The instance type, or the zone; `the region` where all of it is left out."""
    detail: str = ""
    """What the cloud reports, or what is missing."""


WHOLE_REGION: Final = "the region"


def part_of_gpu(share: float, gpu: str) -> str:
    """Return the words for a part of a GPU: `1/6 of one A10`."""
    return f"{Fraction(share).limit_denominator(16)} of one {gpu}"
