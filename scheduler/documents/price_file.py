"""The file of negotiated prices: YAML, checked, to what the price list understands."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.prices import Negotiated
from scheduler.documents.files import read_document
from scheduler.documents.validation import validated
from state.model.catalog import Market


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NegotiatedModel(_Model):
    """One agreement: a price, or a discount off the list."""

    provider: str
    region: str = Field(default="*", description="A shell pattern of the cloud's own name.")
    instance_type: str = Field(default="*", description="A shell pattern.")
    market: Market = Market.ON_DEMAND
    usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    discount: Annotated[float, Field(gt=0, lt=1)] | None = None
    source: str = "negotiated"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.usd_per_hour is None) == (self.discount is None):
            msg = "give exactly one of usd_per_hour and discount"
            raise ValueError(msg)
        return self


class NegotiatedFile(_Model):
    """The document."""

    prices: tuple[NegotiatedModel, ...] = Field(description="The first that matches counts.")


def read_negotiated(path: Path) -> tuple[Negotiated, ...]:
    """Return the agreements of a file.

    Raises:
        DocumentError: It cannot be read, or does not fit; with file and line.
    """
    document = validated(read_document(path), NegotiatedFile)
    return tuple(
        Negotiated(
            one.provider, one.region, one.instance_type, one.market, one.usd_per_hour, one.discount or 0.0, one.source
        )
        for one in document.prices
    )
