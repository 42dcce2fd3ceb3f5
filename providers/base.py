"""The protocol through which every cloud is called. Adapters translate, nothing more."""

from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

from providers.exclusions import Exclusion
from state.model.boot import BootProfile
from state.model.catalog import Capability, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Notice, Role

OWNER_TAG: Final = "skerry-owner"
"""Tag or label with the installation's id: machines without it are not ours."""
INSTANCE_TAG: Final = "skerry-instance"
ROLE_TAG: Final = "skerry-role"

MARKET_NEEDS: Final[dict[Market, Capability]] = {
    Market.SPOT: Capability.SPOT,
    Market.RESERVED: Capability.RESERVATIONS,
}
"""The capability without which a provider sells nothing in a market."""

Observed = TypeVar("Observed")


@dataclass(frozen=True, slots=True)
class Observation(Generic[Observed]):
    """What was read, and which regions did not answer. Absence in an unreachable region means nothing."""

    items: tuple[Observed, ...] = ()
    unreachable: dict[RegionId, str] = field(default_factory=dict)
    """Region to the reason why it could not be read."""
    degraded: dict[str, str] = field(default_factory=dict)
    """Details that the items lack since they could not be read, such as live spot prices, to the reason."""
    not_connected: frozenset[RegionId] = frozenset()
    """Those of the unreachable regions to which there is no connection."""
    left_out: tuple[Exclusion, ...] = ()
    """What the cloud sells and the items lack, with the causes; only lists of offers have any."""


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """One machine to start; every detail is decided."""

    instance_id: InstanceId
    """Also the idempotency token and the resource's name."""
    key: OfferKey
    role: Role
    owner: str
    startup_script: str
    private_address: str | None
    """The address that the machine must have inside its network; None: any."""


class Provider(Protocol):
    """A cloud, or anything else that rents machines."""

    name: ProviderName

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """The regions that the settings name."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this provider can do with its settings; callers check before they use one."""

    @property
    def boot_profile(self) -> BootProfile:
        """The cloud's fragments of the start-up script."""

    def offers(self) -> Observation[Offer]:
        """Return all instance types with GPUs, and those fit for a cell's head, per zone and market, priced.

        Types without a plausible price are left out, and so are markets that the provider is not capable of. Zones and
        sizes that cannot be launched, or that no shape can use, are in `left_out` with the cause.
        """

    def quotas(self) -> Observation[Quota]:
        """Return the limits that the cloud reports, each with its scope; what has none here has no known limit."""

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return every machine tagged with *owner*, terminated ones included while the cloud lists them.

        Launches that failed after they were accepted are among them; `CloudInstance.end` has the cause. A state that is
        not known is reported as unknown.

        A region is read whole, or is unreachable. Without `Capability.TAGS`, return every machine that the credentials
        can list, under its cloud id.
        """

    def notices(self, owner: str) -> Observation[Notice]:
        """Return what is announced for machines tagged with *owner*: interruptions, rebalances and maintenance.

        Some clouds report an interruption here only once it has begun; notices that a cloud gives to the machine alone
        are not among these.
        """

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine. With `Capability.IDEMPOTENT_LAUNCH`, once, however often the same id is sent.

        Where the answer proves that the id was used, the machine that has it is returned if it is ours.

        Raises:
            RefusedError: Nothing was started; its subclasses name what to do next.
            UnreachableError: It may have been started.
        """

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Request the end of one machine. One that is already gone, or never was, is success.

        Raises:
            RefusedError: The cloud will not end it.
            UnreachableError: The request may or may not have arrived.
        """


@runtime_checkable
class SupportsDryRun(Provider, Protocol):
    """What a provider with `Capability.DRY_RUN` has."""

    def dry_run(self, region: RegionId) -> None:
        """Return if a launch in *region* would be allowed; start nothing.

        Raises:
            ProviderError: It would be refused.
        """


def supports_dry_run(provider: Provider) -> TypeGuard[SupportsDryRun]:
    """Return whether a provider, wrapped or not, can check a launch without making one."""
    return Capability.DRY_RUN in provider.capabilities and isinstance(provider, SupportsDryRun)
