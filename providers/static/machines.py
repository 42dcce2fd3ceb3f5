"""Own machines as a provider, through the registers of their sites."""

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
from providers.static.wire import MACHINE_GONE, Assignment, AssignmentState, NewAssignment
from providers.throttle import PauseLog, RateLimiter
from state.clock import Clock
from state.model.catalog import Capability, Market, Offer, OfferKey, Quota
from state.model.ids import InstanceId, RegionId, region_id, region_name
from state.model.inventory import CloudInstance, CloudState, EndCause, EndKind, Notice
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
    return Static(settings, context.clock, context.pauses)


class Static:
    """The provider of the sites in the settings; each site is a region."""

    name = PROFILE.name
    boot_profile = PROFILE.boot
    capabilities = frozenset(Capability) - {Capability.SPOT, Capability.DRY_RUN}

    def __init__(self, settings: StaticSettings, clock: Clock, pauses: PauseLog | None = None) -> None:
        """Create a client per site; nothing is called yet."""
        self.settings = settings
        self._clock = clock
        self._limiter = RateLimiter(settings.pace, clock, settings.timeout_seconds, self.name, pauses)
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
        """Return one offer per zone and machine type; its stock is the number of free machines."""
        return self._read(
            lambda region: offers_of(
                region, self._registers[region].machines(region_name(region), self._limiter), self._clock.now()
            ),
            "offers",
        )

    def quotas(self) -> Observation[Quota]:
        """Return no quotas: own machines have none."""
        return Observation()

    def instances(self, owner: str) -> Observation[CloudInstance]:
        """Return the assignments of *owner* as instances."""
        return self._read(
            lambda region: [_instance(region, assignment) for assignment in self._assignments(region, owner)],
            "instances",
        )

    def notices(self, owner: str) -> Observation[Notice]:
        """Return a drain notice per instance of *owner* on a draining machine."""

        def read(region: RegionId) -> list[Notice]:
            assignments = self._assignments(region, owner)
            hosts = {a.instance_id: a.machine for a in assignments if a.state is not AssignmentState.ENDED}
            if not hosts:
                return []
            return notices_of(region, self._registers[region].machines(region_name(region), self._limiter), hosts)

        return self._read(read, "notices")

    def _assignments(self, region: RegionId, owner: str) -> list[Assignment]:
        return self._registers[region].assignments(region_name(region), owner, self._limiter)

    def _read(self, read: Callable[[RegionId], list[Item]], operation: str) -> Observation[Item]:
        return query_all_regions(
            self.regions, read, self._limiter, FAMILIES, lambda error: translated(error, operation)
        )

    def launch(self, order: LaunchOrder) -> CloudInstance:
        """Assign the start-up script to a free machine; a repeated instance id returns the first assignment."""
        key = order.key
        request = NewAssignment(
            instance_id=order.instance_id,
            region=region_name(key.region),
            zone=key.zone,
            type=key.instance_type,
            role=order.role,
            owner=order.owner,
            address=order.private_address,
            script=order.startup_script,
        )
        return _instance(key.region, self._write(key.region, lambda register: register.assign(request), "launch"))

    def terminate(self, key: OfferKey, instance_id: InstanceId, cloud_id: str | None) -> None:
        """Stop an instance's assignment; the machine stays in the register."""
        del cloud_id
        self._write(key.region, lambda register: register.stop(region_name(key.region), instance_id), "terminate")

    def _write(self, region: RegionId, write: Callable[[RegisterApi], Result], operation: str) -> Result:
        register = self._registers[region]
        self._limiter.admit(region, is_write=True)
        return self._limiter.write(
            region, lambda: write(register), FAMILIES, lambda error: translated(error, operation)
        )


def _instance(region: RegionId, assignment: Assignment) -> CloudInstance:
    return CloudInstance(
        cloud_id=f"{assignment.machine}/{assignment.instance_id}",
        instance_id=InstanceId(assignment.instance_id),
        key=OfferKey(region, assignment.zone, assignment.type, Market.RESERVED),
        state=STATES[assignment.state],
        address=assignment.machine_address,
        launched_at=assignment.assigned_at,
        reason=assignment.reason,
        price_per_hour=Usd(0),
        impairment=assignment.impairment,
        impairment_since=assignment.impairment_since,
        end=_end(assignment),
    )


def _end(assignment: Assignment) -> EndCause | None:
    """Return why an assignment ends: on request, or since its machine was removed from the register."""
    if assignment.state not in {AssignmentState.STOPPING, AssignmentState.ENDED}:
        return None
    kind = EndKind.INTERNAL if assignment.reason == MACHINE_GONE else EndKind.BY_USER
    return EndCause(kind, "", assignment.reason, assignment.ended_at)
