"""Where this installation keeps things and what it uses: one YAML file, and a few environment variables.

SKERRY_HOME           folder for state; `.skerry` in the current folder
SKERRY_SETTINGS       the settings file; `settings.yaml` in SKERRY_HOME
SKERRY_DATABASE_URL   the database; `sqlite:///SKERRY_HOME/skerry.db`
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.registry import ProvidersSettings
from scheduler.documents.files import read_document
from scheduler.documents.validation import not_a_mapping, validated
from state.model.catalog import Region
from state.model.health import HealthThresholds
from state.model.ids import RegionId
from state.model.settings import CellSettings, CostModel, Limits, ShortagePolicy

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellModel(_Model):
    """What Terraform fixed for a region's cell."""

    head_address: str
    gcs_port: int = 6379
    dashboard_port: int = 8265
    serve_port: int = 8000
    serve_host: str = "0.0.0.0"  # noqa: S104  a cell's machines have private addresses only
    proxy_location: Literal["EveryNode", "HeadOnly"] = "EveryNode"
    serve_address: str | None = None
    head_zone: str | None = None


class GatewayModel(_Model):
    """The one address that requests are sent to."""

    listen: str = "127.0.0.1:8080"


class HealthModel(_Model):
    """How patient region health is, in seconds."""

    suspect_after: Seconds = 15
    down_after: Seconds = 60
    recover_after: Seconds = 600


class LimitsModel(_Model):
    """Bounds that hold whatever the solver returns."""

    launches_per_plan: Annotated[int, Field(ge=1, le=1000)] = 20
    machines_per_offer: Annotated[int, Field(ge=1, le=10_000)] = 64


class ShortagesModel(_Model):
    """How long refused offers are avoided, in seconds, and how they are tried again."""

    initial_backoff: Seconds = 180
    max_backoff: Seconds = 1800
    backoff_multiplier: Annotated[float, Field(ge=1, le=10)] = 2
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    quota_min: Seconds = 3600
    reset_after: Seconds = 3600
    urgent_for: Seconds = 300
    half_open: Seconds = 3600
    recommendation_max: Seconds = 60
    early_end_max: Seconds = 600
    breaker_after: Annotated[int, Field(ge=2, le=10)] = 3
    breaker_for: Seconds = 3600
    region_losses_max: Annotated[int, Field(ge=2, le=100)] = 10
    widen_after: Annotated[int, Field(ge=2, le=100)] = 4

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.max_backoff < self.initial_backoff:
            msg = f"max_backoff, {self.max_backoff:g} s, is less than initial_backoff, {self.initial_backoff:g} s"
            raise ValueError(msg)
        return self


class CostsModel(_Model):
    """What is expected to cost money beside the list price of a machine.

    Shares are of a machine's price. Above the bounds, a machine could cost more than the demand that it serves counts.
    """

    move_share: Annotated[float, Field(ge=0, le=1)] = 0.15
    stockout_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    urgent_stockout_share: Annotated[float, Field(ge=0, le=20)] = 5
    interruption_hours: Annotated[float, Field(ge=0, le=12)] = 2
    interruptions_per_hour: Annotated[float, Field(ge=0, le=0.25)] = 0.05
    egress_usd_per_gib: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    payback_hours: Annotated[float, Field(ge=1, le=720)] = 6
    hold_hours: Annotated[float, Field(ge=0, le=168)] = 0.5
    machine_hours_min: Annotated[float, Field(ge=0, le=168)] = 1
    overlap_hours: Annotated[float, Field(ge=0, le=24)] = 0.25
    priority_factor: Annotated[float, Field(ge=2, le=30)] = 30


class EmbeddedModel(_Model):
    """Written by `skerry local up`: the clouds are the ones on this computer."""

    control: str
    control_token_file: str
    host_folder: str
    environment: dict[str, str] = Field(
        default_factory=dict, description="What the SDKs read their credentials from; the embedded clouds accept any."
    )


class Settings(_Model):
    """Everything that is neither wanted nor seen."""

    home: Path
    database_url: str
    providers: ProvidersSettings = ProvidersSettings()
    cells: dict[str, CellModel] = Field(default_factory=dict)
    ray_token_file: str | None = None
    price_catalog: str | None = Field(default=None, description="Folder in gpuhunt's format; none: its published one.")
    negotiated_prices: str | None = Field(
        default=None, description="File of prices that were agreed upon; docs/how-to/providers.md shows one."
    )
    latency_table: str | None = Field(
        default=None,
        description="CSV of measured round trips; what it lacks is fitted from the distance.",
    )
    gateway: GatewayModel = GatewayModel()
    tick_seconds: Seconds = 10
    health: HealthModel = HealthModel()
    limits: LimitsModel = LimitsModel()
    shortages: ShortagesModel = ShortagesModel()
    costs: CostsModel = CostsModel()
    embedded: EmbeddedModel | None = None

    @model_validator(mode="after")
    def _cells_are_regions(self) -> Self:
        for region in self.cells:
            if region.count("/") != 1:
                msg = f"cell {region!r} must be named provider/region"
                raise ValueError(msg)
        return self

    @property
    def cell_settings(self) -> tuple[CellSettings, ...]:
        """The cells, in order."""
        return tuple(
            CellSettings(region=RegionId(region), **cell.model_dump()) for region, cell in sorted(self.cells.items())
        )

    @property
    def own_regions(self) -> tuple[Region, ...]:
        """The regions whose place only the settings know, such as those of machines of one's own."""
        return tuple(region for cloud in self.providers.used for region in cloud.own_regions)

    @property
    def thresholds(self) -> HealthThresholds:
        """How patient region health is."""
        health = self.health
        return HealthThresholds(
            suspect_after=timedelta(seconds=health.suspect_after),
            down_after=timedelta(seconds=health.down_after),
            recover_after=timedelta(seconds=health.recover_after),
        )

    @property
    def bounds(self) -> Limits:
        """The limits."""
        return Limits(**self.limits.model_dump())

    @property
    def shortage_policy(self) -> ShortagePolicy:
        """How long refused offers are avoided."""
        s = self.shortages
        return ShortagePolicy(
            initial_backoff=timedelta(seconds=s.initial_backoff),
            max_backoff=timedelta(seconds=s.max_backoff),
            backoff_multiplier=s.backoff_multiplier,
            jitter=s.jitter,
            quota_min=timedelta(seconds=s.quota_min),
            reset_after=timedelta(seconds=s.reset_after),
            urgent_for=timedelta(seconds=s.urgent_for),
            half_open=timedelta(seconds=s.half_open),
            recommendation_max=timedelta(seconds=s.recommendation_max),
            early_end_max=timedelta(seconds=s.early_end_max),
            breaker_after=s.breaker_after,
            breaker_for=timedelta(seconds=s.breaker_for),
            region_losses_max=s.region_losses_max,
            widen_after=s.widen_after,
        )

    @property
    def cost_model(self) -> CostModel:
        """What is expected to cost money beside list prices."""
        return CostModel(**self.costs.model_dump())

    @property
    def gateway_folder(self) -> Path:
        """Where the gateway keeps its configuration and sockets."""
        return self.home / "gateway"


def home_folder() -> Path:
    """Return the folder for state."""
    return Path(os.environ.get("SKERRY_HOME", ".skerry")).absolute()


def settings_file() -> Path:
    """Return the path of the settings file, whether it exists or not."""
    return Path(os.environ.get("SKERRY_SETTINGS", str(home_folder() / "settings.yaml")))


def load_settings() -> Settings:
    """Return the settings; without a file, those of an installation that has no clouds yet.

    Raises:
        DocumentError: The file is wrong.
    """
    home, path = home_folder(), settings_file()
    fixed = {"home": home, "database_url": os.environ.get("SKERRY_DATABASE_URL", f"sqlite:///{home}/skerry.db")}
    if not path.exists():
        return Settings.model_validate(fixed)
    document = read_document(path)
    if not isinstance(document.content, dict):
        raise not_a_mapping(document)
    document.content = {**fixed, **document.content}
    return validated(document, Settings)
