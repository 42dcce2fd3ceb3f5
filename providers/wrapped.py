"""What wrappers of providers have in common: whatever they do not change goes to the provider inside."""

from providers.base import LaunchOrder, Observation, Provider, supports_dry_run
from providers.errors import InvalidError
from state.model.boot import BootProfile
from state.model.catalog import Capability, Offer, OfferKey, Quota
from state.model.ids import InstanceId, ProviderName, RegionId
from state.model.inventory import CloudInstance, Notice


class WrappedProvider:
    """Any provider, unchanged; a subclass changes single calls."""

    def __init__(self, inner: Provider) -> None:
        """Wrap *inner*."""
        self.inner = inner
        self.name: ProviderName = inner.name

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the regions of the settings."""
        return self.inner.regions

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return the capabilities of the provider inside."""
        return self.inner.capabilities

    @property
    def boot_profile(self) -> BootProfile:
        """Return the boot profile of the provider inside."""
        return self.inner.boot_profile

    def offers(self) -> Observation[Offer]:
        """Return the offers."""
        return self.inner.offers()

    def quotas(self) -> Observation[Quota]:
        """Return the quotas."""
        return self.inner.quotas()

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner*."""
        return self.inner.instances(owner)

    def notices(self, owner: str) -> Observation[Notice]:
        """Return what is announced for machines of *owner*."""
        return self.inner.notices(owner)

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine."""
        return self.inner.launch(order)

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """End one machine."""
        self.inner.terminate(key, instance_id, cloud_id)

    def dry_run(self, region: RegionId) -> None:
        """Return if a launch would be allowed.

        Raises:
            ProviderError: It would be refused, or cannot be checked.
        """
        if not supports_dry_run(self.inner):
            raise InvalidError(self.name, "dry_run", "NotSupported", "the provider cannot check a launch")
        self.inner.dry_run(region)
