"""Where machines of one's own stand, and where their registers listen."""

from typing import Annotated, ClassVar

from pydantic import Field

from providers.profile import CloudProfile
from providers.settings import NAME, CloudSettings, SettingsModel
from providers.static.profile import PROFILE
from state.model.catalog import Region
from state.model.ids import region_id


class StaticRegionSettings(SettingsModel):
    """A place where machines of one's own stand."""

    register_url: str = Field(description="Where the register of its machines listens, such as https://10.0.0.5:8790.")
    jurisdiction: str = Field(min_length=1, description="EU, UK, EEA, or an ISO country code such as US.")
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class StaticSettings(CloudSettings):
    """Machines of one's own, which agents hold ready and registers keep."""

    profile: ClassVar[CloudProfile] = PROFILE

    regions: dict[Annotated[str, Field(pattern=NAME)], StaticRegionSettings] = Field(
        min_length=1, description="By a name of your own; elsewhere it is written static/NAME."
    )
    token_file: str = Field(description="The registers' token: `skerry machines serve` writes one.")
    ca_file: str | None = Field(default=None, description="Certificate authority of the registers.")
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0

    @property
    def own_regions(self) -> tuple[Region, ...]:
        """The regions, and where they are."""
        return tuple(
            Region(region_id("static", name), place.jurisdiction, place.latitude, place.longitude)
            for name, place in sorted(self.regions.items())
        )

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions to use, by the cloud's own names."""
        return tuple(self.regions)
