"""What the fleet would cost, bought from scratch, if something were otherwise. Pure."""

from collections import Counter
from dataclasses import dataclass, replace

from scheduler.solve import solve
from scheduler.solve.quotas import quota_headroom
from state.model.placement import Placement
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would be."""

    placement: Placement

    @property
    def is_whole(self) -> bool:
        """Whether everything is placed and every rule kept."""
        return self.placement.is_whole

    @property
    def per_hour(self) -> Usd | None:
        """What it would cost; None where not everything could be had."""
        return self.placement.per_hour if self.is_whole else None


def from_scratch(snapshot: Snapshot, spec: CapacitySpec | None = None) -> Counterfactual:
    """Return the optimum for a spec as if nothing existed yet; for the snapshot's own if none is given."""
    if snapshot.wanted is None:
        return Counterfactual(Placement())
    wanted = snapshot.wanted if spec is None else replace(snapshot.wanted, spec=spec)
    return Counterfactual(solve(replace(_without_machines(snapshot), wanted=wanted)))


def _without_machines(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot as if our machines were given back: their stock and quota can be had again."""
    held = Counter(instance.key for instance in snapshot.instances if instance.exists)
    offers = tuple(o if o.stock is None else replace(o, stock=o.stock + held[o.key]) for o in snapshot.offers)
    quotas = tuple(replace(q, used=q.limit - quota_headroom(snapshot, q)) for q in snapshot.quotas)
    return replace(snapshot, offers=offers, quotas=quotas, instances=(), placed=())
