"""The placement problem as arrays of whole numbers: what the exact program, the search and the bound all read.

Groups of offers g, regions r, quotas q, applications a, and *pairs* j: one shape of one application on one
group. Money is in micro-dollars per hour, capacity in thousandths of the demand's unit, and room on a machine
in `UNIT`s, so that every sum is exact.

    minimise   Σ price·y[g] + start·max(0, y[g] - standing[g]) + Σ head·open[r]
             + Σ extra·x[j] + Σ start_replica·max(0, x[j] - current[j]) + Σ weight·short[a]
    where      y[g] = 0 or least ≤ y[g],  low ≤ y[g] ≤ high,  Σ size·x ≤ UNIT·y[g],  Σ quota_size·y ≤ quota_room
               T[a] = Σ each·x,  C[a,D] the part of T[a] in a fate domain D,  S[a,r] the part on a region's spot
               T ≥ demand,  T - C[D] ≥ required for each D,  T - S[r] ≥ spot_left for each r
               T - ΣS ≥ on_demand,  C[r] ≤ share·T + slack,  floors and ceilings per place, regions in use ≥ min
    and `short[a]` is the most by which any of these is missed.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT: Final = 720_720
"""Room of one machine: divisible by every number of replicas up to 16, so that such shares of it are exact."""
PPM: Final = 1_000_000

NO_DOMAIN: Final = 0
ZONE: Final = 1
REGION: Final = 2
PROVIDER: Final = 3

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Problem(NamedTuple):
    """A placement problem. A row of arrays, since compiled code takes it as it is."""

    price: Whole
    start: Whole
    """What a machine beyond `standing` costs on top: it runs double while the move lasts."""
    low: Whole
    high: Whole
    standing: Whole
    least: Whole
    """Fewest machines that are sold at once."""
    zone: Whole
    region: Whole
    provider: Whole
    is_spot: Flags
    quota_first: Whole
    """Quotas of group g: `quota[quota_first[g]:quota_first[g + 1]]`."""
    quota: Whole
    quota_size: Whole
    quota_room: Whole
    head: Whole
    """Price of a region's head, and of starting it where it does not stand."""
    budget: int
    demand: Whole
    required: Whole
    """What must remain after the loss of any domain of `kind`."""
    kind: Whole
    spot_left: Whole
    """What must remain after the loss of any region's whole spot pool."""
    on_demand: Whole
    """What must stand on machines that are not spot."""
    share: Whole
    """Largest share of the capacity in one region, in millionths."""
    slack: Whole
    """The largest replica: shares hold give or take one."""
    min_regions: Whole
    one_shape: Flags
    """Whether all replicas in a region have the same shape."""
    weight: Real
    """Micro-dollars per hour for each thousandth of demand that is short."""
    start_replica: Whole
    floor_first: Whole
    """Floors of application a: `floor_first[a]` to `floor_first[a + 1]`."""
    floor_place: Whole
    floor_least: Whole
    floor_most: Whole
    """Ceiling as a share of the capacity in millionths."""
    place_has: Flags
    """[place, region]."""
    first: Whole
    """Pairs of application a: `first[a]` to `first[a + 1]`."""
    group: Whole
    shape: Whole
    each: Whole
    per_machine: Whole
    size: Whole
    """Room that one replica takes, in UNITs."""
    extra: Whole
    """What a replica costs beyond its machine: expected interruptions, distance from its clients."""
    current: Whole

    @property
    def applications(self) -> int:
        """How many there are."""
        return len(self.demand)

    @property
    def owner(self) -> Whole:
        """The application of each pair."""
        return np.repeat(np.arange(self.applications, dtype=np.int64), np.diff(self.first))

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self.price)

    @property
    def pairs(self) -> int:
        """How many there are."""
        return len(self.group)
