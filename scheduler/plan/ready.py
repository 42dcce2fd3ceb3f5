"""How much of each application is ready, and what must stay so while things change. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from scheduler.region_policy import serves
from state.model.ids import ApplicationName, RegionId
from state.model.placement import Placement
from state.model.serving import CellStatus
from state.model.snapshot import Snapshot, Wanted


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready replicas against wanted ones, and the capacity they stand for."""

    wanted: dict[tuple[ApplicationName, RegionId], int]
    """Replicas by the placement."""
    ready: dict[tuple[ApplicationName, RegionId], int]
    """Replicas that serve now, in cells that answered and count."""
    milli_each: dict[tuple[ApplicationName, RegionId], int]
    """What one replica carries: by the placement, and in cells that it leaves by the least of the shapes."""
    floor: dict[ApplicationName, int]
    """Capacity that a change may not go below, in thousandths."""
    joined: frozenset[RegionId] = frozenset()
    """Cells that every machine of the placement has joined."""
    demand: dict[ApplicationName, int] = field(default_factory=dict)
    """All that is to be carried, in thousandths."""

    def capacity_without(self, application: ApplicationName, region: RegionId, *, lasting: bool) -> int:
        """Return what the other cells carry now, in thousandths.

        Args:
            application: Whose.
            region: The cell left out.
            lasting: Count in each cell only what the placement keeps there.
        """
        return sum(
            (min(count, self.wanted.get(key, 0)) if lasting else count) * self.milli_each[key]
            for key, count in self.ready.items()
            if key[0] == application and key[1] != region
        )

    def may_lower(self, application: ApplicationName, region: RegionId, replicas: int) -> bool:
        """Return whether a cell may go down to *replicas* without leaving too little ready."""
        if application not in self.floor:
            return True  # no longer wanted at all
        own = min(replicas, self.ready.get((application, region), 0))
        own_milli = own * self.milli_each.get((application, region), 0)
        rest = self.capacity_without(application, region, lasting=True)
        now = self.capacity_without(application, region, lasting=False)
        now += self.ready.get((application, region), 0) * self.milli_each.get((application, region), 0)
        return rest + own_milli >= min(self.floor[application], now)


def readiness(snapshot: Snapshot, placement: Placement) -> Readiness:
    """Return how ready what is wanted is."""
    wanted: Counter[tuple[ApplicationName, RegionId]] = Counter()
    milli_each: dict[tuple[ApplicationName, RegionId], int] = {}
    for replicas in placement.replicas:
        wanted[replicas.application, replicas.region] += replicas.count
        milli_each[replicas.application, replicas.region] = replicas.milli_each
    deployed = {
        (application.name, cell.region): application.replicas_ready
        for cell in snapshot.cells
        if cell.answered
        for application in cell.applications
    }
    ready = {key: count for key, count in deployed.items() if serves(snapshot, key[1])}
    if snapshot.wanted is not None:
        milli_each = _smallest_replica_milli(snapshot.wanted, deployed) | milli_each
    floor = {} if snapshot.wanted is None else _floors(snapshot.wanted)
    demand = {} if snapshot.wanted is None else {name: a.demand.milli for name, a in snapshot.wanted.spec.named()}
    joined = frozenset(cell.region for cell in snapshot.cells if _has_joined(placement, snapshot, cell))
    return Readiness(dict(wanted), ready, milli_each, floor, joined, demand)


def _smallest_replica_milli(
    wanted: Wanted, ready: dict[tuple[ApplicationName, RegionId], int]
) -> dict[tuple[ApplicationName, RegionId], int]:
    applications = dict(wanted.spec.named())
    return {
        (name, region): min(applications[name].replica_milli(shape) for shape in applications[name].shapes)
        for name, region in ready
        if name in applications
    }


def _has_joined(placement: Placement, snapshot: Snapshot, cell: CellStatus) -> bool:
    there = {node.instance_id for node in cell.nodes}
    have = Counter(i.key for i in snapshot.instances if i.exists and i.id in there)
    return all(have[m.offer.key] >= m.count for m in placement.machines if m.offer.key.region == cell.region)


def _floors(wanted: Wanted) -> dict[ApplicationName, int]:
    return {
        name: round(application.demand.milli * (1 - application.disruption.max_unavailable))
        for name, application in wanted.spec.named()
    }
