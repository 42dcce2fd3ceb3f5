"""The capacity spec in force: what is to be served, within which bounds.

Each model refuses unknown fields and is frozen. Units stand in the names: requests per second, GiB,
milliseconds, US dollars per hour. `providers`, `regions` and `jurisdictions` left empty mean "any".
"""

import re
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from state.model.ids import ApplicationName
from state.model.units import MILLI, Usd, milli

NAME: Final = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
REGION: Final = r"^[a-z][a-z0-9]*/[a-z0-9-]+$"
OWNER: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.@/]{0,61}[A-Za-z0-9])?$"
LABEL_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_VALUE: Final = rf"^({LABEL_NAME})?$"
LABEL_KEY: Final = rf"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{LABEL_NAME}$"
"""Source: Kubernetes documentation, "Labels and Selectors", syntax and character set."""
LABEL_PREFIX_MAX: Final = 253
LABELS_MAX: Final = 64
APPLICATIONS_MAX: Final = 10_000

Share = Annotated[float, Field(ge=0, le=1)]
RegionPattern = Annotated[str, Field(pattern=REGION)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spot(StrEnum):
    """Whether an application may run on spot machines."""

    NEVER = "never"
    ALLOWED = "allowed"
    PREFERRED = "preferred"


class FailureDomain(StrEnum):
    """A unit that fails as a whole; an application must survive the loss of one."""

    NONE = "none"
    ZONE = "zone"
    REGION = "region"
    PROVIDER = "provider"


class Budget(_Model):
    """What the whole fleet may cost."""

    max_usd_per_hour: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        description="Upper bound on the sum of hourly prices of all machines, heads included."
    )


class Choice(_Model):
    """Names to use and not to use; an empty `allow` allows all."""

    allow: tuple[str, ...] = Field(default=(), description="Use only these; empty allows all.")
    deny: tuple[str, ...] = Field(default=(), description="Never use these.")

    def admits(self, name: str) -> bool:
        """Return whether *name* is allowed and not denied."""
        return name not in self.deny and (not self.allow or name in self.allow)


class ServeReference(_Model):
    """The unmodified Ray Serve config, and the deployment in it that runs on GPUs."""

    config: str = Field(
        min_length=1, description="Path of the Ray Serve config file, relative to the file that names it."
    )
    application: str = Field(min_length=1, description="Name of the application in that file.")
    deployment: str = Field(
        min_length=1, description="The deployment whose replicas are placed; the spec sets its replica count."
    )


class Demand(_Model):
    """How much to serve; give exactly one of the two."""

    replicas: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="A fixed number of replicas."
    )
    requests_per_second: Rate | None = Field(default=None, description="Peak requests per second to carry.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.replicas is None) == (self.requests_per_second is None):
            msg = "give exactly one of replicas and requests_per_second"
            raise ValueError(msg)
        return self

    @property
    def milli(self) -> int:
        """The demand in thousandths of its unit (requests per second, or replicas)."""
        return milli(self.requests_per_second if self.requests_per_second is not None else self.replicas or 0)


class Shape(_Model):
    """One way to run a replica, with the throughput measured for it."""

    gpu: str = Field(min_length=1, description="GPU model, such as H100, A100-80GB, L40S, L4, T4.")
    count: Annotated[float, Field(gt=0, le=16)] = Field(
        default=1, description="GPUs per replica and machine: a whole number, or a part of one such as 0.25."
    )
    machines: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Machines per replica, all in one zone and used by it alone; `count` is per machine.",
    )
    requests_per_second: Rate | None = Field(
        default=None,
        description="Measured throughput of one replica; needed where the demand is in requests per second.",
    )
    cpus: Annotated[float, Field(ge=0, le=1024)] = Field(default=1.0, description="vCPUs per replica.")
    memory_gib: Annotated[float, Field(ge=0, le=16384)] = Field(default=0.0, description="Memory per replica, GiB.")
    gpu_memory_gib: Annotated[float, Field(ge=0, le=1024)] = Field(
        default=0.0, description="Least memory per GPU, GiB; 0 accepts any."
    )

    @field_validator("count")
    @classmethod
    def _whole_or_part(cls, count: float) -> float:
        if count > 1 and count != int(count):
            msg = f"{count:g} GPUs: beyond one, whole GPUs only"
            raise ValueError(msg)
        if milli(count) != count * MILLI:
            msg = f"{count:g} GPUs: three decimals at most"
            raise ValueError(msg)
        return count

    @property
    def gpu_milli(self) -> int:
        """GPUs per replica and machine, in thousandths."""
        return milli(self.count)


class MarketRules(_Model):
    """The markets to buy in."""

    spot: Spot = Field(
        default=Spot.NEVER,
        description="never; allowed: where cheaper with interruptions priced in; preferred: wherever cheaper.",
    )
    on_demand_floor: Share = Field(default=0.0, description="Least share of the demand on machines that are not spot.")
    survive_spot_loss: Share = Field(
        default=0.0,
        description="Share of the demand still to be served after any one region reclaims all its spot machines.",
    )


class PlaceShare(_Model):
    """Least and largest share of an application in one place."""

    min: Share = Field(default=0.0, description="Least share of the demand served there.")
    max: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Largest share of the capacity there, give or take one replica."
    )


class RegionRules(_Model):
    """Where an application may and must run."""

    jurisdictions: tuple[str, ...] = Field(
        default=(), description="Use only regions in these jurisdictions, such as EU, US, UK; empty allows all."
    )
    min: Annotated[int, Field(ge=1, le=50)] = Field(default=1, description="Least number of regions to run in.")
    max_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Largest share of the capacity in one region, give or take one replica."
    )
    floors: dict[str, Rate] = Field(
        default_factory=dict,
        description="Least capacity per jurisdiction, provider or region (a name with `/`), in the unit of the demand.",
    )
    shares: dict[str, PlaceShare] = Field(
        default_factory=dict, description="Least and largest shares per jurisdiction, provider or region."
    )


class Survive(_Model):
    """The losses after which the demand must still be served."""

    any: FailureDomain = Field(
        default=FailureDomain.REGION, description="The application must survive the loss of any one of these."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Share of the demand that must still be served after the loss."
    )
    replacement_credit: Share = Field(
        default=0.0,
        description="Share of the demand that may be bought after the loss, where on-demand stock is known.",
    )


class Client(_Model):
    """A place that requests come from."""

    near: RegionPattern | None = Field(
        default=None, description="A region close to the clients, such as aws/eu-central-1."
    )
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        default=None, description="Degrees north; give it with longitude, in place of near."
    )
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = Field(default=None, description="Degrees east.")
    weight: Annotated[float, Field(gt=0)] = Field(default=1.0, description="Relative share of the requests.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        has_point = self.latitude is not None and self.longitude is not None
        if (self.near is not None) == has_point or (self.latitude is None) != (self.longitude is None):
            msg = "give either near, or both latitude and longitude"
            raise ValueError(msg)
        return self


class Latency(_Model):
    """How far from its clients an application may run."""

    max_ms: Annotated[float, Field(gt=0, le=10_000)] = Field(
        description="Largest weighted round trip between clients and a region, in milliseconds."
    )
    worst_ms: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        default=None, description="Largest round trip between any one client and a region, in milliseconds."
    )
    usd_per_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0,
        description="Cost of a millisecond of weighted round trip, in US dollars per hour and unit of capacity.",
    )
    clients: tuple[Client, ...] = Field(min_length=1, description="The places that requests come from.")


class Disruption(_Model):
    """How fast a change may go."""

    max_surge: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=8, description="Most machines to start at once, on top of the existing ones."
    )
    max_unavailable: Share = Field(default=0.0, description="Share of the demand that may go unserved during a change.")


class Application(_Model):
    """One Ray Serve application to place."""

    owner: Annotated[str, Field(pattern=OWNER)] | None = Field(
        default=None, description="Team that owns the application: letters, digits and `-_.@/`, 63 at most."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=LABELS_MAX, description="Labels as in Kubernetes, 64 at most."
    )
    serve: ServeReference
    priority: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=100, description="Higher ones are placed first where capacity or budget does not suffice for all."
    )
    demand: Demand
    shapes: tuple[Shape, ...] = Field(
        min_length=1, max_length=16, description="The ways to run a replica; any mix of them may be used."
    )
    weights_gib: Annotated[float, Field(ge=0, le=10_000)] = Field(
        default=0.0, description="Model weights that a new replica loads, GiB; moving a replica costs their transfer."
    )
    market: MarketRules = MarketRules()
    regions: RegionRules = RegionRules()
    survive: Survive = Survive()
    latency: Latency | None = None
    disruption: Disruption = Disruption()

    @model_validator(mode="after")
    def _throughput_given(self) -> Self:
        if self.demand.requests_per_second is not None:
            missing = [n for n, shape in enumerate(self.shapes) if shape.requests_per_second is None]
            if missing:
                msg = f"demand is in requests_per_second, so shape {missing[0]} needs its measured requests_per_second"
                raise ValueError(msg)
        return self

    @field_validator("labels")
    @classmethod
    def _prefixes_are_short(cls, labels: dict[str, str]) -> dict[str, str]:
        for key in labels:
            if len(key.rpartition("/")[0]) > LABEL_PREFIX_MAX:
                msg = f"the prefix of a label has {LABEL_PREFIX_MAX} characters at most"
                raise ValueError(msg)
        return labels

    def replica_milli(self, shape: Shape) -> int:
        """Return the throughput of one replica of *shape*, in thousandths of the demand's unit."""
        if self.demand.requests_per_second is None:
            return milli(1)
        return milli(shape.requests_per_second or 0)


class CapacitySpec(_Model):
    """One fleet and its applications, with every default filled in."""

    apiVersion: Literal["skerry/v1"]  # noqa: N815  the name that infrastructure documents use
    fleet: Annotated[str, Field(pattern=NAME)] = Field(description="Name of the fleet.")
    budget: Budget
    providers: Choice = Field(
        default=Choice(), description="Names of the providers to use; without a choice, all in the settings."
    )
    regions: Choice = Field(default=Choice(), description="Regions to use, as provider/region.")
    applications: dict[str, Application] = Field(
        min_length=1,
        max_length=APPLICATIONS_MAX,
        description="By name: lower-case letters, digits and dashes, 40 at most.",
    )

    @field_validator("applications")
    @classmethod
    def _names(cls, applications: dict[str, Application]) -> dict[str, Application]:
        for name in applications:
            if not re.fullmatch(NAME, name):
                msg = f"application name {name!r} must be lower-case letters, digits and dashes, 40 at most"
                raise ValueError(msg)
        return applications

    @property
    def max_per_hour(self) -> Usd:
        """The budget."""
        return Usd.of(self.budget.max_usd_per_hour)

    def named(self) -> tuple[tuple[ApplicationName, Application], ...]:
        """Return the applications by name, in order."""
        return tuple((ApplicationName(name), self.applications[name]) for name in sorted(self.applications))
