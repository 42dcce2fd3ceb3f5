"""What every cloud's settings have: frozen, written by people or by Terraform. Each cloud's own are in its folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from providers.profile import CloudProfile
from state.model.catalog import Region

NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
OWN_TAG_PREFIX: Final = "skerry-"
"""Begins the names of the tags and labels by which machines are found; `providers/base.py` has them."""
OWN_TAGS: Final = 4
"""How many of a resource's tags are Skerry's own, at most."""


def check_tags(
    field: str,
    tags: Mapping[str, str],
    fault: Callable[[str, str], str],
    limit: int,
    taken: frozenset[str] = frozenset(),
) -> None:
    """Check the tags or labels that an organisation demands.

    Args:
        field: The field of the settings.
        tags: Its names and values.
        fault: Returns why a cloud refuses one; empty if it does not.
        limit: How many a resource may have, Skerry's own included.
        taken: Names that a launch sets itself, in lower case.

    Raises:
        ValueError: One of them is refused, would replace one of Skerry's own, or there are too many.
    """
    for name, value in tags.items():
        is_own = name.lower().startswith(OWN_TAG_PREFIX) or name.lower() in taken
        why = "Skerry sets it itself" if is_own else fault(name, value)
        if why:
            msg = f"{field}: {name}: {why}"
            raise ValueError(msg)
    if len(tags) > limit - OWN_TAGS:
        msg = f"{field}: {len(tags)} are given, and {limit - OWN_TAGS} are possible beside Skerry's own {OWN_TAGS}"
        raise ValueError(msg)


class SettingsModel(BaseModel):
    """A part of the settings; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PaceSettings(SettingsModel):
    """How fast a cloud is called, per region; calls slow down by themselves where the cloud throttles."""

    reads_per_second: Annotated[float, Field(gt=0, le=1000)] = 20.0
    writes_per_second: Annotated[float, Field(gt=0, le=1000)] = 5.0
    burst_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=4.0, description="So many seconds' worth of calls may come at once."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = Field(
        default=16, description="Launches and ends at once, over all regions."
    )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a cloud that answers without credentials."""

    url: str
    ca_file: str | None = None
    """Certificate authority; None: the system's."""


class CloudSettings(SettingsModel):
    """The settings of one cloud."""

    profile: ClassVar[CloudProfile]

    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    pace: PaceSettings = PaceSettings()

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions to use, by the cloud's own names."""
        raise NotImplementedError

    @property
    def resource_tags(self) -> Mapping[str, str]:
        """The tags or labels that every resource gets beside Skerry's own."""
        return {}

    @property
    def own_regions(self) -> tuple[Region, ...]:
        """Regions whose place is in the settings alone."""
        return ()

    @property
    def time_endpoint(self) -> Endpoint | None:
        """An address whose answers carry the cloud's time, without credentials; None: there is none."""
        return None
