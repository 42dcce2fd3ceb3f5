"""How machines are made on Azure: what no API can answer."""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from providers.azure.profile import PROFILE
from providers.azure.tags import TAGS_MAX, tag_fault
from providers.profile import CloudProfile
from providers.settings import CloudSettings, Endpoint, check_tags


class AzureSettings(CloudSettings):
    """How machines are made on Azure. Credentials come from azure-identity's default chain."""

    profile: ClassVar[CloudProfile] = PROFILE

    subscription_id: str
    resource_group: str
    regions: tuple[str, ...] = Field(min_length=1)
    image: str = Field(description="Id of an image or of a gallery image version.")
    subnets: dict[str, str] = Field(description="Subnet id per region; regions without one are not used.")
    head_interfaces: dict[str, str] = Field(
        default_factory=dict, description="Id of the network interface with the head's address, per region."
    )
    identity: str | None = Field(default=None, description="Managed identity that may read the Ray token.")
    ssh_public_key: str = Field(description="Azure makes no Linux machine without a key.")
    head_types: tuple[str, ...] = ("Standard_D2s_v5", "Standard_D4s_v5")
    disk_gib: int = 200
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags of every virtual machine, disk and network interface."
    )
    endpoint: str | None = Field(default=None, description="Another endpoint of the Resource Manager.")
    ca_file: str | None = Field(default=None, description="Certificate authority of that endpoint.")
    prices_url: str = Field(
        default="https://prices.azure.com/api/retail/prices", description="The retail price API, for spot prices."
    )

    @model_validator(mode="after")
    def _tags_are_valid(self) -> Self:
        check_tags("tags", self.tags, tag_fault, TAGS_MAX)
        if len({name.lower() for name in self.tags}) < len(self.tags):
            msg = "tags: two names differ in case alone, which Azure does not tell apart"
            raise ValueError(msg)
        return self

    @property
    def resource_tags(self) -> Mapping[str, str]:
        """The tags of the settings."""
        return self.tags

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions to use, by the cloud's own names."""
        return tuple(self.regions)

    @property
    def time_endpoint(self) -> Endpoint:
        """The API; any answer has a Date."""
        return Endpoint(self.endpoint or "https://management.azure.com/", self.ca_file)
