"""Places as a spec names them, the domains that fail together, and what must be left after a loss."""

from collections.abc import Mapping

from scheduler.solve.problem import PPM
from state.model.catalog import Region
from state.model.ids import RegionId, provider_of
from state.model.spec import Application, FailureDomain

Stand = tuple[RegionId, str]
"""A region and a zone of it."""


def is_in(region: RegionId, place: str, known: Mapping[RegionId, Region]) -> bool:
    """Return whether a region is *place*, is sold by the provider or lies in the jurisdiction of that name."""
    here = known.get(region)
    return place in {region, provider_of(region)} or (here is not None and here.jurisdiction == place)


def domain_name(kind: FailureDomain, region: RegionId, zone: str) -> str:
    """Return the name of the failure domain of a kind that a zone lies in."""
    if kind is FailureDomain.ZONE:
        return f"{region}/{zone}"
    return provider_of(region) if kind is FailureDomain.PROVIDER else region


def required_milli(application: Application) -> int:
    """Return what must remain of an application's capacity after the loss of a failure domain, in thousandths."""
    if application.survive.any is FailureDomain.NONE:
        return 0
    return share_of(application.demand.milli, application.survive.share)


def share_of(demand: int, share: float) -> int:
    """Return a share of a demand in thousandths, rounded up; the share counts to a millionth."""
    return -(-demand * millionths(share) // PPM)


def at_most(total: int, share: float, largest: int) -> int:
    """Return the most that a place may carry of a capacity, in thousandths: its share rounded down, and one replica."""
    return total * millionths(share) // PPM + largest


def millionths(share: float) -> int:
    """Return a share in whole millionths."""
    return round(share * PPM)
