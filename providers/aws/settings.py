"""How machines are made on AWS: what no API can answer."""

from collections.abc import Mapping
from typing import ClassVar, Final, Self

from pydantic import Field, model_validator

from providers.aws.profile import PROFILE
from providers.aws.tags import TAGS_MAX, tag_fault
from providers.profile import CloudProfile
from providers.settings import CloudSettings, Endpoint, check_tags

NAME_TAG: Final = "Name"
"""What EC2's console shows; a launch sets it to the machine's id."""


class AwsSettings(CloudSettings):
    """How machines are made on AWS. Credentials come from the SDK's default chain alone."""

    profile: ClassVar[CloudProfile] = PROFILE

    regions: tuple[str, ...] = Field(min_length=1, description="Regions to use, such as us-east-1.")
    images: dict[str, str] = Field(description="AMI per region.")
    subnets: dict[str, str] = Field(
        default_factory=dict,
        description="Subnet per zone; a region's other zones are not used. A region with none: the default VPC's.",
    )
    security_groups: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Security groups per region.")
    instance_profile: str | None = Field(default=None, description="Instance profile that may read the Ray token.")
    public_address: bool = Field(default=False, description="Whether machines get a public address in a subnet.")
    head_types: tuple[str, ...] = Field(default=("m6i.large", "m7i.large"), description="Types fit for a cell's head.")
    rebalance_queues: dict[str, str] = Field(
        default_factory=dict,
        description="URL per region of the SQS queue that EventBridge sends recommendations to rebalance to.",
    )
    disk_gib: int = 200
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags of every instance, volume, network interface and spot request."
    )
    endpoint_url: str | None = Field(default=None, description="Another endpoint for every AWS API.")

    @model_validator(mode="after")
    def _queues_have_regions(self) -> Self:
        unused = sorted(set(self.rebalance_queues) - set(self.regions))
        if unused:
            msg = f"rebalance_queues names {', '.join(unused)}, which is not among the regions"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _regions_have_images(self) -> Self:
        missing = sorted(set(self.regions) - set(self.images))
        if missing:
            msg = f"images names none for {', '.join(missing)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _tags_are_valid(self) -> Self:
        check_tags("tags", self.tags, tag_fault, TAGS_MAX, frozenset({NAME_TAG.lower()}))
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
        return Endpoint(self.endpoint_url or "https://ec2.amazonaws.com/")
