"""The placement problem as arrays of whole numbers: what the exact program, the search and the bound all read.

Groups of offers g, regions r, quotas q, applications a, and *pairs* j: one shape of one application on one
group. Money is in micro-dollars per hour, capacity in thousandths of the demand's unit, and the part of a machine
in `UNIT`s, so that every sum is exact.

    minimise   Σ price·y[g] + start·max(0, y[g] - existing[g]) + Σ head·open[r]
             + Σ extra·x[j] + Σ start_replica·max(0, x[j] - current[j]) + Σ weight·short[a]
    where      y[g] = 0 or min_batch ≤ y[g],  low ≤ y[g] ≤ high,  parts of machines ≤ y[g],  Σ quota_size·y ≤ headroom
               T[a] = Σ capacity_per_replica·x,  C[a,D] its part in a domain D,  S[a,r] that on a region's spot
               T ≥ demand,  T - C[D] ≥ required for each D,  T - S[r] ≥ spot_left for each r
               T - ΣS ≥ on_demand,  C[r] ≤ share·T + slack,  floors and ceilings per place, regions in use ≥ min

The rules of an application give way in the order of `RULE_LEVELS` where they cannot all be kept.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT: Final = 46_126_080
"""Parts of one machine: divisible by every number of replicas up to 16 and by 1,024, so that such parts are exact."""
PPM: Final = 1_000_000

NO_DOMAIN: Final = 0
ZONE: Final = 1
REGION: Final = 2
PROVIDER: Final = 3

SURVIVAL, FLOORS, SPREAD, CEILINGS = 0, 1, 2, 3
RULE_LEVELS: Final = (SURVIVAL, FLOORS, SPREAD, CEILINGS)
"""In which order rules other than demand are kept where not all can be: the last gives way first."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Problem(NamedTuple):
    """A placement problem. A row of arrays, since compiled code takes it as it is."""

    price: IntArray
    start: IntArray
    """What a machine beyond `existing` costs on top: it runs double while the move lasts."""
    low: IntArray
    high: IntArray
    existing: IntArray
    min_batch: IntArray
    """Fewest machines that are sold at once."""
    spare: IntArray
    """On-demand machines that are known to be in stock, beyond existing ones: what a credit may count on."""
    zone: IntArray
    region: IntArray
    provider: IntArray
    is_spot: BoolArray
    quota_first: IntArray
    """Quotas of group g: `quota[quota_first[g]:quota_first[g + 1]]`."""
    quota: IntArray
    quota_size: IntArray
    quota_headroom: IntArray
    head: IntArray
    """Price of a region's head, and of starting it where there is none."""
    budget: int
    demand: IntArray
    required: IntArray
    """What must remain after the loss of any domain of `kind`, less `credit`."""
    credit: IntArray
    """What may be bought after such a loss at most."""
    kind: IntArray
    spot_left: IntArray
    """What must remain after the loss of any region's whole spot pool."""
    on_demand: IntArray
    """What must be on machines that are not spot."""
    share: IntArray
    """Largest share of the capacity in one region, in millionths."""
    slack: IntArray
    """The largest replica: shares hold give or take one."""
    min_regions: IntArray
    one_shape: BoolArray
    """Whether all replicas in a region have the same shape."""
    priority: IntArray
    """The rank of the priority class: higher ones are served first."""
    weight: FloatArray
    """Micro-dollars per hour for each thousandth of demand that is not served."""
    soft_weight: FloatArray
    """The same for each thousandth by which another rule is missed."""
    start_replica: IntArray
    floor_first: IntArray
    """Floors of application a: `floor_first[a]` to `floor_first[a + 1]`."""
    floor_place: IntArray
    floor_min: IntArray
    floor_max: IntArray
    """Ceiling as a share of the capacity in millionths."""
    place_has: BoolArray
    """[place, region]."""
    first: IntArray
    """Pairs of application a: `first[a]` to `first[a + 1]`."""
    group: IntArray
    shape: IntArray
    capacity_per_replica: IntArray
    per_machine: IntArray
    size: IntArray
    """Part of a machine that one replica takes among its like, in UNITs."""
    mixed_size: IntArray
    """Part that one takes beside replicas of other sizes: such parts divide one another, so whatever adds up fits."""
    fit: IntArray
    """Pairs of a group with equal sizes have the same number here."""
    extra: IntArray
    """What a replica costs beyond its machine: expected interruptions, distance from its clients."""
    current: IntArray

    @property
    def applications(self) -> int:
        """How many there are."""
        return len(self.demand)

    @property
    def owner(self) -> IntArray:
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
