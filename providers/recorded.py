"""A wrapper that logs each launch, each end, and each read that some region did not answer."""

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from providers.base import LaunchOrder, Observation, Provider
from providers.errors import ProviderError
from providers.wrapped import WrappedProvider
from state.clock import Clock
from state.model.catalog import Offer, OfferKey, Quota
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, Notice

PROVIDER_CALL: Final = "provider_call"
PROVIDER_UNREACHABLE: Final = "provider_unreachable"
PROVIDER_DEGRADED: Final = "provider_degraded"

Result = TypeVar("Result")
Item = TypeVar("Item")


class RecordedProvider(WrappedProvider):
    """Any provider, with its calls in the log."""

    def __init__(self, inner: Provider, clock: Clock) -> None:
        """Wrap *inner*."""
        super().__init__(inner)
        self._clock = clock
        self._log = structlog.get_logger().bind(provider=inner.name)

    def offers(self) -> Observation[Offer]:
        """Return the offers."""
        return self._read("offers", self.inner.offers)

    def quotas(self) -> Observation[Quota]:
        """Return the quotas."""
        return self._read("quotas", self.inner.quotas)

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the machines of *owner*."""
        return self._read("instances", lambda: self.inner.instances(owner))

    def notices(self, owner: str) -> Observation[Notice]:
        """Return what is announced for machines of *owner*."""
        return self._read("notices", lambda: self.inner.notices(owner))

    def _read(self, operation: str, call: Callable[[], Observation[Item]]) -> Observation[Item]:
        start = self._clock.elapsed()
        observation = call()
        for region, reason in sorted(observation.unreachable.items()):
            seconds = round(self._clock.elapsed() - start, 3)
            self._log.warning(PROVIDER_UNREACHABLE, operation=operation, region=region, reason=reason, seconds=seconds)
        for what, reason in sorted(observation.degraded.items()):
            self._log.warning(PROVIDER_DEGRADED, operation=operation, what=what, reason=reason)
        return observation

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Start one machine."""
        return self._write("launch", order.key, order.instance_id, lambda: self.inner.launch(order))

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """End one machine."""
        self._write("terminate", key, instance_id, lambda: self.inner.terminate(key, instance_id, cloud_id))

    def _write(self, operation: str, key: OfferKey, instance_id: InstanceId, call: Callable[[], Result]) -> Result:
        log = self._log.bind(operation=operation, offer=str(key), instance=instance_id)
        start = self._clock.elapsed()
        try:
            result = call()
        except ProviderError as error:
            seconds = round(self._clock.elapsed() - start, 3)
            log.warning(PROVIDER_CALL, outcome=type(error).__name__, code=error.code, seconds=seconds)
            raise
        log.info(PROVIDER_CALL, outcome="ok", seconds=round(self._clock.elapsed() - start, 3))
        return result
