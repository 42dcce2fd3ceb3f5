"""Computed drills: what the loss of a region would mean. Pure."""

from dataclasses import replace

from scheduler.drills.report import DrillRefusal, DrillRefusedError, DrillReport
from scheduler.solve import solve
from state.model.health import HealthReason, HealthState, RegionHealth
from state.model.history import DrillMode
from state.model.ids import RegionId
from state.model.placement import Placement
from state.model.snapshot import Snapshot


def simulate(snapshot: Snapshot, region: RegionId) -> DrillReport:
    """Return what the loss of a region would mean, computed.

    Raises:
        DrillRefusedError: No spec is in force, or nothing is placed there.
    """
    if snapshot.wanted is None:
        raise DrillRefusedError(DrillRefusal.NO_SPEC, region)
    before = solve(snapshot)
    if region not in regions_of(before):
        raise DrillRefusedError(DrillRefusal.NOTHING_PLACED, region)
    lost = RegionHealth(region, HealthState.DOWN, snapshot.taken_at, HealthReason.DRILL)
    health = (*(h for h in snapshot.health if h.region != region), lost)
    after = solve(
        replace(
            snapshot,
            health=tuple(sorted(health, key=lambda h: h.region)),
            unreachable=snapshot.unreachable | {region},
        )
    )
    return DrillReport(
        region,
        DrillMode.SIMULATE,
        recovered=not after.unmet,
        survivors_carry=_carried(snapshot, before, region),
        usd_per_hour={"before": before.per_hour.dollars, "after": after.per_hour.dollars},
        regions={"before": regions_of(before), "after": regions_of(after)},
        instances_launched=_launched(before, after, region),
        violations=after.violations,
        unmet=after.unmet,
    )


def regions_of(placement: Placement) -> list[str]:
    """Return the regions that have replicas, in order."""
    return sorted({str(replicas.region) for replicas in placement.replicas})


def _carried(snapshot: Snapshot, placement: Placement, lost: RegionId) -> dict[str, float]:
    if snapshot.wanted is None:
        return {}
    return {
        name: (placement.capacity_milli(name) - placement.capacity_milli(name, lost)) / application.demand.milli
        for name, application in snapshot.wanted.spec.named()
    }


def _launched(before: Placement, after: Placement, lost: RegionId) -> int:
    had = {(m.offer.key, m.role): m.count for m in before.machines if m.offer.key.region != lost}
    return sum(max(0, m.count - had.get((m.offer.key, m.role), 0)) for m in after.machines)
