"""Machines of one's own as a provider: what registers keep and agents hold ready."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from providers.base import LaunchOrder, Observation
from providers.context import Context
from providers.everywhere import query_all_regions
from providers.static.api import RegisterApi
from providers.static.catalog import notices_of, offers_of
from providers.static.errors import FAMILIES, translated
from providers.static.profile import PROFILE
from providers.static.settings import StaticSettings
from providers.static.wire import Assignment, AssignmentState, NewOrder
from providers.throttle import RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, Notice
from state.model.units import Usd

STATES: Final = {
    AssignmentState.PENDING: CloudState.PENDING,
    AssignmentState.RUNNING: CloudState.RUNNING,
    AssignmentState.STOPPING: CloudState.STOPPING,
    AssignmentState.ENDED: CloudState.TERMINATED,
}

Item = TypeVar("Item")
Result = TypeVar("Result")


def build(settings: StaticSettings, context: Context) -> "Static":
    """Return the provider; nothing is called yet."""
    return Static(settings, context.clock)


class Static:
    """The sites of the settings."""

    name = PROFILE.name
    boot_profile = PROFILE.boot
    capabilities = frozenset(Capability) - {Capability.SPOT, Capability.DRY_RUN}

    def __init__(self, settings: StaticSettings, clock: Clock) -> None:
        """Prepare; nothing is called yet."""
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds)
        self._registers = {
            region_id("static", name): RegisterApi(
                place.register_url, Path(settings.token_file), settings.ca_file, settings.timeout_seconds
            )
            for name, place in sorted(settings.regions.items())
        }

    @property
    def regions(self) -> tuple[RegionId, ...]:
        """Return the sites."""
        return tuple(self._registers)

    def offers(self) -> Observation[Offer]:
        """Return the machines that are free, by type, and those kept for heads."""
        return self._look(
            lambda region: offers_of(
                region, self._registers[region].machines(region_name(region), self._limiter), self._clock.now()
            ),
            "offers",
        )

    def quotas(self) -> Observation[Quota]:
        """Return none: nobody limits the use of one's own machines."""
        return Observation()

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return what runs on the sites' machines for *owner*."""
        return self._look(
            lambda region: [_seen(region, assignment) for assignment in self._orders(region, owner)], "instances"
        )

    def notices(self, owner: str) -> Observation[Notice]:
        """Return which machines are to be drained."""

        def look(region: RegionId) -> list[Notice]:
            assignments = {
                o.instance_id: o.machine for o in self._orders(region, owner) if o.state is not AssignmentState.ENDED
            }
            if not assignments:
                return []
            return notices_of(region, self._registers[region].machines(region_name(region), self._limiter), assignments)

        return self._look(look, "notices")

    def _orders(self, region: RegionId, owner: str) -> list[Assignment]:
        return self._registers[region].assignments(region_name(region), owner, self._limiter)

    def _look(self, look: Callable[[RegionId], list[Item]], operation: str) -> Observation[Item]:
        return query_all_regions(
            self.regions, look, self._limiter, FAMILIES, lambda error: translated(error, operation)
        )

    def launch(self, assignment: LaunchOrder) -> CloudInstance:
        """Give a machine something to run, under an id that does it once."""
        key = assignment.key
        asked = NewOrder(
            instance_id=assignment.instance_id,
            region=region_name(key.region),
            zone=key.zone,
            type=key.instance_type,
            role=assignment.role,
            owner=assignment.owner,
            address=assignment.private_address,
            script=assignment.startup_script,
        )
        return _seen(key.region, self._act(key.region, lambda register: register.assignment(asked), "launch"))

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Let a machine end what it runs; the machine itself stays."""
        del cloud_id
        self._act(key.region, lambda register: register.stop(region_name(key.region), instance_id), "terminate")

    def _act(self, region: RegionId, act: Callable[[RegisterApi], Result], operation: str) -> Result:
        register = self._registers[region]
        self._limiter.admit(region, is_write=True)
        return self._limiter.write(region, lambda: act(register), FAMILIES, lambda error: translated(error, operation))


def _seen(region: RegionId, assignment: Assignment) -> CloudInstance:
    return CloudInstance(
        cloud_id=f"{assignment.machine}/{assignment.instance_id}",
        instance_id=InstanceId(assignment.instance_id),
        key=OfferKey(region, assignment.zone, assignment.type, Market.RESERVED),
        state=STATES[assignment.state],
        address=assignment.machine_address,
        launched_at=assignment.ordered_at,
        reason=assignment.reason,
        price_per_hour=Usd(0),
        impairment=assignment.impairment,
        impairment_since=assignment.impairment_since,
    )
