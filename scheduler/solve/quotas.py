"""What machines take of quotas, and what quotas leave to us. Pure."""

from scheduler.solve.supply import OfferGroup
from state.model.catalog import Machine, Quota
from state.model.inventory import Role
from state.model.snapshot import Snapshot

QuotaBound = tuple[int, tuple[tuple[int, int], ...]]
"""What groups may use together, and (group, how much one of its machines takes)."""


def quota_bounds(snapshot: Snapshot, groups: tuple[OfferGroup, ...]) -> tuple[QuotaBound, ...]:
    """Return a bound for each quota that groups count against; what must not be touched always fits."""
    found = []
    for quota in snapshot.quotas:
        members = tuple(
            (n, size_of(quota, g.machine)) for n, g in enumerate(groups) if quota.counts(g.offers[0].key, g.machine)
        )
        if members:
            held = sum(groups[n].low * size for n, size in members)
            found.append((max(quota_headroom(snapshot, quota), held), members))
    return tuple(found)


def size_of(quota: Quota, machine: Machine) -> int:
    """Return what one worker takes of a quota: something, whatever its unit."""
    return max(1, quota.size_of(machine))


def quota_headroom(snapshot: Snapshot, quota: Quota) -> int:
    """Return what our workers may use of a quota, existing ones included: its limit less what all else uses.

    Heads belong to all else: they are not placed against quotas, and take what they take.
    """
    ours = sum(
        quota.size_of(i.machine)
        for i in snapshot.instances
        if i.cloud_id is not None and i.role is Role.WORKER and quota.counts(i.key, i.machine)
    )
    return quota.limit - max(0, quota.used - ours)
