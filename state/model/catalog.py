"""What clouds sell: offers, their prices, shortages and quotas."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from state.model.ids import ProviderName, RegionId, provider_of
from state.model.units import Usd


class Market(StrEnum):
    """How a machine is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    """Paid for already, for as long as a window lasts."""


@dataclass(frozen=True, order=True, slots=True)
class OfferKey:
    """The narrowest thing that can be out of stock."""

    region: RegionId
    zone: str
    instance_type: str
    market: Market

    @property
    def provider(self) -> ProviderName:
        """The cloud that sells it."""
        return provider_of(self.region)

    def __str__(self) -> str:
        """Return `aws/us-east-1/us-east-1a/p5.4xlarge/on_demand`."""
        return f"{self.region}/{self.zone}/{self.instance_type}/{self.market}"

    @classmethod
    def parse(cls, text: str) -> "OfferKey":
        """Return the key that `str` gave *text* for.

        Raises:
            ValueError: It has not five parts, or an unknown market.
        """
        provider, region, zone, instance_type, market = text.split("/")
        return cls(RegionId(f"{provider}/{region}"), zone, instance_type, Market(market))


@dataclass(frozen=True, slots=True)
class Machine:
    """What an instance type consists of, as far as placement cares."""

    gpu: str | None
    """Canonical model, such as `H100`; None for machines without GPUs."""
    gpus: int
    gpu_memory_gib: float
    """Per GPU."""
    vcpus: int
    memory_gib: float
    family: str
    """The quota it counts against, in the provider's own spelling."""


@dataclass(frozen=True, slots=True)
class Price:
    """A list price, where it comes from and how old it is."""

    per_hour: Usd
    source: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type in a zone and a market, at a price."""

    key: OfferKey
    machine: Machine
    price: Price
    stock: int | None = None
    """Machines believed to be left beyond ours; None where the cloud does not say."""
    minimum: int = 1
    """Fewest machines that are sold at once."""
    valid_from: datetime | None = None
    """When a reservation begins; None: it is in force, or needs no beginning."""
    valid_until: datetime | None = None
    """When a reservation ends; None: it has no end."""
    interruptions_per_hour: float | None = None
    """How often a spot machine is taken back; None where nobody says."""
    stockout_probability: float = 0.0
    """How likely a launch is to be refused for want of stock, as far as anybody knows."""

    def is_in_force(self, now: datetime) -> bool:
        """Return whether the offer can be used at *now*."""
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit on what may run at once, per provider x region x family x market."""

    region: RegionId
    family: str
    market: Market
    limit: int
    used: int
    unit: str
    """`vcpus` or `gpus`: what *limit* and *used* count."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A remembered refusal, with an end. A field that is None stands for everything of its kind."""

    region: RegionId
    zone: str | None
    instance_type: str | None
    market: Market | None
    reason: str
    since: datetime
    until: datetime
    repeats: int = 0
    """How often it was refused again after an earlier end."""
    family: str | None = None
    """Set for a refusal by quota: every instance type of the family is meant."""
    elsewhere: tuple[str, ...] = ()
    """Zones that the cloud said still have some; they are not meant."""

    def covers(self, offer: Offer) -> bool:
        """Return whether *offer* is among what was refused."""
        key = offer.key
        return (
            key.region == self.region
            and self.zone in (None, key.zone)
            and key.zone not in self.elsewhere
            and self.instance_type in (None, key.instance_type)
            and self.market in (None, key.market)
            and self.family in (None, offer.machine.family)
        )

    @property
    def scope(self) -> str:
        """What is refused, in words; equal scopes are one shortage."""
        parts = (self.region, self.zone, self.instance_type or self.family, self.market)
        return "/".join(str(part or "*") for part in parts)


@dataclass(frozen=True, slots=True)
class Region:
    """Where a region is and whose law applies there."""

    id: RegionId
    jurisdiction: str
    """`EU`, `UK`, `EEA`, or an ISO country code such as `US`."""
    latitude: float
    longitude: float


class Capability(StrEnum):
    """What a provider may lack; whoever needs one asks for it, and never for the provider's name."""

    SPOT = "spot"
    """It sells machines that it may take back."""
    RESERVATIONS = "reservations"
    """It sells machines that are paid for already."""
    FIXED_ADDRESS = "fixed_address"
    """A machine can start with a given private address, which a cell's head needs."""
    IDEMPOTENT_LAUNCH = "idempotent_launch"
    """The same launch, sent twice, starts one machine."""
    TAGS = "tags"
    """Machines carry their owner and instance id, so that orphans and lost launches can be found."""
    DRY_RUN = "dry_run"
    """It can answer whether a launch would be allowed."""
