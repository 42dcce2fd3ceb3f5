"""The protocol that every cloud is spoken to through. Adapters translate, nothing more."""

from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from state.model.catalog import Offer, OfferKey, Quota
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Notice, Role

OWNER_TAG: Final = "skerry-owner"
"""Tag or label with the installation's id: machines without it are not ours."""
INSTANCE_TAG: Final = "skerry-instance"
ROLE_TAG: Final = "skerry-role"

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Observation(Generic[Seen]):
    """What was seen, and which regions did not answer. Absence in a blind region means nothing."""

    items: tuple[Seen, ...] = ()
    unreachable: dict[RegionId, str] = field(default_factory=dict)
    """Region to the reason it could not be seen."""
    degraded: dict[str, str] = field(default_factory=dict)
    """Details that the items lack since they could not be read, such as live spot prices, to the reason."""


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
    """A cloud, or anything that rents machines."""

    name: ProviderName

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """The regions that the settings name."""

    def offers(self) -> Observation[Offer]:
        """Return all instance types with GPUs, and those fit for a cell's head, per zone and market, priced.

        Types without a believable price are left out.
        """

    def quotas(self) -> Observation[Quota]:
        """Return the limits that the cloud tells; a family that is missing has no known limit."""

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return every machine tagged with *owner*, terminated ones as long as the cloud lists them.

        A region is seen whole or is blind.
        """

    def notices(self, owner: str) -> Observation[Notice]:
        """Return what is announced for machines tagged with *owner*: interruptions, rebalances and maintenance.

        Some clouds tell no more here than that a machine is being taken back already; what only the machine itself
        is told is not among these.
        """

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine, once, however often it is asked for under the same id.

        Raises:
            RefusedError: Nothing was started; its subclasses say what to do next.
            UnreachableError: It may have been started.
        """

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Ask for the end of one machine. One that is already gone, or never was, is success.

        Raises:
            RefusedError: The cloud will not end it.
            UnreachableError: It may or may not have heard.
        """


@runtime_checkable
class SupportsDryRun(Protocol):
    """A provider whose cloud can say whether a launch would be allowed, without one."""

    def dry_run(self, region: RegionId) -> None:
        """Ask.

        Raises:
            ProviderError: It would not be.
        """
