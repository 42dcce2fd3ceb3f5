"""How machines are made on GCP: what no API can answer."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from providers.gcp.labels import LABELS_MAX, label_fault, tag_fault
from providers.gcp.profile import PROFILE
from providers.profile import CloudProfile
from providers.settings import CloudSettings, Endpoint, check_tags


class GcpSettings(CloudSettings):
    """How machines are made on GCP. Credentials are the application default ones."""

    profile: ClassVar[CloudProfile] = PROFILE

    project: str
    regions: tuple[str, ...] = Field(min_length=1)
    image: str = Field(description="Source image, such as projects/P/global/images/family/skerry.")
    network: str = "global/networks/default"
    subnetworks: dict[str, str] = Field(
        default_factory=dict,
        description="Subnetwork per region; other regions are not used. None at all: the network's own in each.",
    )
    service_account: str | None = Field(default=None, description="Service account that may read the Ray token.")
    max_run_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="After so long Compute Engine itself ends a worker."
    )
    head_types: tuple[str, ...] = ("e2-standard-2", "n2-standard-2")
    disk_gib: int = 200
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of every instance and disk.")
    resource_manager_tags: dict[str, str] = Field(
        default_factory=dict, description="Resource manager tags of every instance and disk, by key."
    )
    endpoint: str | None = Field(default=None, description="Another endpoint, called without credentials.")

    @model_validator(mode="after")
    def _labels_are_valid(self) -> Self:
        check_tags("labels", self.labels, label_fault, LABELS_MAX)
        check_tags("resource_manager_tags", self.resource_manager_tags, tag_fault, LABELS_MAX)
        return self

    @property
    def resource_tags(self) -> Mapping[str, str]:
        """The labels and resource manager tags of the settings."""
        return self.labels | self.resource_manager_tags

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions to use, by the cloud's own names."""
        return tuple(self.regions)

    @property
    def time_endpoint(self) -> Endpoint:
        """The API; any answer has a Date."""
        return Endpoint(self.endpoint or "https://compute.googleapis.com/")
