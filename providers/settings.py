"""What every cloud's settings have: frozen, written by people or by Terraform. Each cloud's own are in its folder."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from providers.profile import CloudProfile
from state.model.catalog import Region

NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


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
    def own_regions(self) -> tuple[Region, ...]:
        """Regions whose place is in the settings alone."""
        return ()

    @property
    def time_endpoint(self) -> Endpoint | None:
        """An address whose answers carry the cloud's time, without credentials; None: there is none."""
        return None
