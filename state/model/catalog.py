"""What clouds sell: offers, their prices, quotas, and shortages of them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from state.model.ids import ProviderName, RegionId, provider_of
from state.model.units import Usd


class Market(StrEnum):
    """How a machine is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    """Paid for already, for as long as a window lasts."""


class CatalogueSource(StrEnum):
    """Where list prices come from."""

    PUBLISHED = "published"
    """gpuhunt's catalogue, downloaded now."""
    PACKAGED = "packaged"
    """The dated one of this package."""


NO_ZONE: Final = "-"
"""The zone of what is sold for a region as a whole: where the region has zones, its cloud chooses one."""


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


class PriceBasis(StrEnum):
    """What a price rests on, the best first."""

    AGREED = "agreed"
    """Negotiated, or a discount on one of the others."""
    LIVE = "live"
    """Read from the cloud now."""
    KEPT = "kept"
    """The last live one, while the cloud does not answer with another."""
    LISTED = "listed"
    """From a price list, or fixed."""


class DoubtKind(StrEnum):
    """In what way a price differs from its peers."""

    BELOW_PEERS = "below_peers"
    ABOVE_PEERS = "above_peers"
    ABOVE_ON_DEMAND = "above_on_demand"
    """A spot machine costs more than the same machine on demand."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a price is not used, in figures."""

    kind: DoubtKind
    per_gpu: Usd
    """The price for each GPU, or for a machine without GPUs."""
    usual: Usd
    """The same of its peers: their median."""
    peers: int
    """How many places those peers are."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price, where it comes from, how old it is, and how it compares."""

    per_hour: Usd
    source: str
    as_of: AwareDatetime
    basis: PriceBasis = PriceBasis.LISTED
    doubt: Doubt | None = None
    """Set where it lies so far from its peers that it is not used."""
    peers: int | None = None
    """With how many places it was compared; 0 where there are too few. None: not compared."""
    listed: Usd | None = None
    """The price that an agreed discount is on, which is what is compared; None for every other price."""

    @property
    def is_doubted(self) -> bool:
        """Whether it is not used for new machines."""
        return self.doubt is not None


@dataclass(frozen=True, slots=True)
class ReservedPlaces:
    """The free places of one reservation."""

    id: str
    """What a launch names it by."""
    free: int
    until: AwareDatetime | None = None
    """When it ends; None: it has no end."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type in a zone and a market, at a price."""

    key: OfferKey
    machine: Machine
    price: Price
    alternatives: tuple[Price, ...] = field(default=(), kw_only=True)
    """Prices of other sources, the best first; once they are compared, only those that are doubted."""
    places: tuple[ReservedPlaces, ...] = field(default=(), kw_only=True)
    """The reservations that its stock is of, in the order in which they are used; none where a launch names none."""
    stock: int | None = None
    """Machines left beyond ours; None where the provider does not report it."""
    minimum: int = 1
    """Fewest machines that are sold at once."""
    valid_from: AwareDatetime | None = None
    """When a reservation begins; None: it is in force, or needs no beginning."""
    valid_until: AwareDatetime | None = None
    """When a reservation ends; None: it has no end."""
    interruptions_per_hour: float | None = None
    """How often a spot machine is reclaimed; None where it is not known."""
    stockout_probability: float = 0.0
    """How likely a launch is to be refused for lack of stock; 0 where it is not known."""

    def is_in_force(self, now: datetime) -> bool:
        """Return whether the offer can be used at *now*."""
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )


class QuotaScope(StrEnum):
    """How wide a limit of an account is."""

    ZONE = "zone"
    """One family in one zone."""
    FAMILY = "family"
    """One family in one region, over all its zones."""
    REGION = "region"
    """Every family in one region."""
    ACCOUNT = "account"
    """Every region of the account, project or subscription."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit on what may run at once. A field that is None stands for everything of its kind.

    `counts` is the one definition of what a quota counts, and `size_of` of how much.
    """

    region: RegionId
    """`every_region` of the provider where *scope* is the account."""
    family: str | None
    """None where the quota counts every family."""
    market: Market | None
    """None where the quota counts every market."""
    limit: int
    used: int
    unit: str
    """`vcpus` or `gpus`: what *limit* and *used* count."""
    scope: QuotaScope = QuotaScope.FAMILY
    zone: str | None = None
    """Set where *scope* is a zone."""
    name: str = ""
    """The provider's own name of the limit, if it has one."""

    @property
    def sort_key(self) -> tuple[str, ...]:
        """What quotas are sorted by."""
        return (self.region, self.family or "", self.market or "", self.scope, self.zone or "", self.name)

    def counts(self, key: OfferKey, machine: Machine) -> bool:
        """Return whether machines of an offer count against it."""
        is_wide = self.scope is QuotaScope.ACCOUNT
        return (
            (key.provider == provider_of(self.region) if is_wide else key.region == self.region)
            and self.zone in (None, key.zone)
            and self.family in (None, machine.family)
            and self.market in (None, key.market)
        )

    def size_of(self, machine: Machine) -> int:
        """Return what one machine takes of it."""
        return machine.gpus if self.unit == "gpus" else machine.vcpus


class ShortageKind(StrEnum):
    """Why offers are avoided for a while."""

    STOCK_OUT = "stock_out"
    """The cloud has no such machine now."""
    QUOTA = "quota"
    """The account may have no more of the family."""
    DENIED = "denied"
    """The credentials lack a permission, or the account is not enabled."""
    INVALID_REQUEST = "invalid_request"
    """The cloud refused the request as wrong."""
    NEVER_READY = "never_ready"
    """A machine ran and never joined its cell."""
    ENDED_EARLY = "ended_early"
    """A machine ended soon after it was accepted, and its end was not asked for."""
    THROTTLED = "throttled"
    """The cloud throttles launches in the region, again after one was tried."""
    LAUNCHES_FAIL = "launches_fail"
    """Several accepted machines in a row were lost soon: the breaker is open."""
    PRICE_DOUBTED = "price_doubted"
    """Its price lies far from those of its peers."""
    RECLAIM_RISK = "reclaim_risk"
    """The cloud recommends to leave machines of this pool."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A reason to avoid offers, with an end. A field that is None stands for everything of its kind.

    `scheduler/shortages.py` makes, grows and ends shortages.
    """

    region: RegionId
    zone: str | None
    instance_type: str | None
    market: Market | None
    kind: ShortageKind
    since: AwareDatetime
    until: AwareDatetime
    message: str = ""
    """The provider's own text, if there is one."""
    repeats: int = 0
    """How often it came back after an earlier end."""
    family: str | None = None
    """Set for a quota: every instance type of the family is covered."""
    available_zones: tuple[str, ...] = ()
    """Zones that the provider reported to have stock; they are not covered."""
    doubt: Doubt | None = None
    """Set for a doubted price: how it compares."""

    @property
    def scope(self) -> str:
        """What it covers, as text; shortages of equal scope replace one another."""
        parts = (self.region, self.zone, self.instance_type or self.family, self.market)
        return "/".join(str(part or "*") for part in parts)


class ChoiceKind(StrEnum):
    """Why a placement has machines of an offer."""

    RANKED = "ranked"
    """Its cost per unit of demand is low enough."""
    EXISTING = "existing"
    """As above, and its machines run already."""
    FIXED = "fixed"
    """Its machines run in a region that must be left as it is."""
    HEAD = "head"
    """It is the cheapest on-demand machine that is large enough for a cell's head."""


@dataclass(frozen=True, slots=True)
class OfferChoice:
    """Why an offer was chosen, in figures."""

    kind: ChoiceKind
    usd_per_unit: Usd | None = None
    """What a unit of demand costs there per hour, at best; None for heads and fixed machines."""
    rank: int = 0
    """1 for the cheapest per unit of demand."""
    ranked: int = 0
    """How many offer groups were ranked."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a region is, and its jurisdiction."""

    id: RegionId
    jurisdiction: str
    """`EU`, `UK`, `EEA`, or an ISO country code such as `US`."""
    latitude: float
    longitude: float


class Capability(StrEnum):
    """What a provider may lack; code asks for the capability, and never for the provider's name."""

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
