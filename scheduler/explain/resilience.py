"""The price of resilience: what the fleet costs at best for each kind of loss survived. Pure."""

from dataclasses import dataclass

from scheduler.explain.counterfactual import from_scratch
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec, FailureDomain
from state.model.units import Usd


@dataclass(frozen=True, slots=True)
class ResiliencePrice:
    """The cheapest fleet that survives a kind of loss."""

    survives: FailureDomain
    per_hour: Usd | None
    """None where no placement does."""


def price_of_resilience(snapshot: Snapshot) -> tuple[ResiliencePrice, ...]:
    """Return the optimum for surviving nothing, any region and any provider, bought from scratch."""
    if snapshot.wanted is None:
        return ()
    prices = []
    for kind in FailureDomain:
        spec = _surviving(snapshot.wanted.spec, kind)
        prices.append(ResiliencePrice(kind, from_scratch(snapshot, spec).per_hour))
    return tuple(prices)


def _surviving(spec: CapacitySpec, kind: FailureDomain) -> CapacitySpec:
    applications = {
        name: application.model_copy(update={"survive": application.survive.model_copy(update={"any": kind})})
        for name, application in spec.applications.items()
    }
    return spec.model_copy(update={"applications": applications})
