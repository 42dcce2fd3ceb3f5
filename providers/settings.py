"""What the adapters need to know that no cloud can tell: frozen, written by people or by Terraform."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from state.model.catalog import Region
from state.model.ids import region_id

NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PaceSettings(_Model):
    """How fast a cloud is asked, per region; it slows down by itself where the cloud says that it is too much."""

    reads_per_second: Annotated[float, Field(gt=0, le=1000)] = 20.0
    writes_per_second: Annotated[float, Field(gt=0, le=1000)] = 5.0
    burst_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=4.0, description="So many seconds' worth of calls may come at once."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = Field(
        default=16, description="Launches and ends at once, over all regions."
    )


class AwsSettings(_Model):
    """How machines are made on AWS. Credentials come from the SDK's default chain alone."""

    regions: tuple[str, ...] = Field(min_length=1, description="Regions to use, such as us-east-1.")
    images: dict[str, str] = Field(description="AMI per region.")
    subnets: dict[str, str] = Field(default_factory=dict, description="Subnet per zone; none: the default VPC's.")
    security_groups: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Security groups per region.")
    instance_profile: str | None = Field(default=None, description="Instance profile that may read the Ray token.")
    public_address: bool = Field(default=False, description="Whether machines get a public address in a subnet.")
    head_types: tuple[str, ...] = Field(default=("m6i.large", "m7i.large"), description="Types fit for a cell's head.")
    rebalance_queues: dict[str, str] = Field(
        default_factory=dict,
        description="URL per region of the SQS queue that EventBridge sends recommendations to rebalance to.",
    )
    disk_gib: int = 200
    endpoint_url: str | None = Field(default=None, description="Another endpoint for every AWS API.")
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    pace: PaceSettings = PaceSettings()

    @model_validator(mode="after")
    def _queues_are_asked(self) -> Self:
        unasked = sorted(set(self.rebalance_queues) - set(self.regions))
        if unasked:
            msg = f"rebalance_queues names {', '.join(unasked)}, which is not among the regions"
            raise ValueError(msg)
        return self


class GcpSettings(_Model):
    """How machines are made on GCP. Credentials are the application default ones."""

    project: str
    regions: tuple[str, ...] = Field(min_length=1)
    image: str = Field(description="Source image, such as projects/P/global/images/family/skerry.")
    network: str = "global/networks/default"
    subnetworks: dict[str, str] = Field(default_factory=dict, description="Subnetwork per region.")
    service_account: str | None = Field(default=None, description="Service account that may read the Ray token.")
    max_run_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="After so long Compute Engine itself ends a worker, should nobody else do it."
    )
    head_types: tuple[str, ...] = ("e2-standard-2", "n2-standard-2")
    disk_gib: int = 200
    endpoint: str | None = Field(default=None, description="Another endpoint; it is spoken to without credentials.")
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    pace: PaceSettings = PaceSettings()


class AzureSettings(_Model):
    """How machines are made on Azure. Credentials come from azure-identity's default chain."""

    subscription_id: str
    resource_group: str
    regions: tuple[str, ...] = Field(min_length=1)
    image: str = Field(description="Id of an image or of a gallery image version.")
    subnets: dict[str, str] = Field(description="Subnet id per region.")
    head_interfaces: dict[str, str] = Field(
        default_factory=dict, description="Id of the network interface with the head's address, per region."
    )
    identity: str | None = Field(default=None, description="Managed identity that may read the Ray token.")
    ssh_public_key: str = Field(description="Azure makes no Linux machine without a key.")
    head_types: tuple[str, ...] = ("Standard_D2s_v5", "Standard_D4s_v5")
    disk_gib: int = 200
    endpoint: str | None = Field(default=None, description="Another endpoint of the Resource Manager.")
    ca_file: str | None = Field(default=None, description="Certificate authority of that endpoint.")
    prices_url: str = Field(
        default="https://prices.azure.com/api/retail/prices", description="The retail price API, for spot prices."
    )
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    pace: PaceSettings = PaceSettings()


class StaticRegionSettings(_Model):
    """A place where machines of one's own stand."""

    register_url: str = Field(description="Where the register of its machines listens, such as https://10.0.0.5:8790.")
    jurisdiction: str = Field(min_length=1, description="EU, UK, EEA, or an ISO country code such as US.")
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class StaticSettings(_Model):
    """Machines of one's own, which agents hold ready and registers keep."""

    regions: dict[Annotated[str, Field(pattern=NAME)], StaticRegionSettings] = Field(
        min_length=1, description="By a name of your own; elsewhere it is written static/NAME."
    )
    token_file: str = Field(description="The registers' token: `skerry machines serve` writes one.")
    ca_file: str | None = Field(default=None, description="Certificate authority of the registers.")
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    pace: PaceSettings = PaceSettings()

    @property
    def places(self) -> tuple[Region, ...]:
        """The regions, and where they are."""
        return tuple(
            Region(region_id("static", name), place.jurisdiction, place.latitude, place.longitude)
            for name, place in sorted(self.regions.items())
        )


class ProvidersSettings(_Model):
    """Which clouds are used; one that is left out is not."""

    aws: AwsSettings | None = None
    gcp: GcpSettings | None = None
    azure: AzureSettings | None = None
    static: StaticSettings | None = None
