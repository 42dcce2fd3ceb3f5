"""Why an application may not use an offer that others may: the rules of its spec, one after the other. Pure."""

from collections import Counter

from scheduler.solve.fit import replicas_per_machine
from scheduler.solve.latency import Atlas, distance
from scheduler.solve.supply import OfferGroup
from state.model.catalog import NO_ZONE, Machine, Market
from state.model.ids import RegionId
from state.model.placement import RefusalCause
from state.model.spec import Application, FailureDomain, Spot


def region_causes(
    application: Application, regions: tuple[RegionId, ...], where: Atlas
) -> dict[RegionId, RefusalCause]:
    """Return why an application may not run in some regions."""
    jurisdictions, latency = application.regions.jurisdictions, application.latency
    causes: dict[RegionId, RefusalCause] = {}
    for region in regions:
        known = where.known.get(region)
        if jurisdictions and (known is None or known.jurisdiction not in jurisdictions):
            causes[region] = RefusalCause.JURISDICTION
        elif latency is not None:
            far = distance(latency, region, where)
            if far is None or far.expected_ms > latency.max_ms:
                causes[region] = RefusalCause.LATENCY_EXPECTED
            elif latency.worst_ms is not None and far.worst_ms > latency.worst_ms:
                causes[region] = RefusalCause.LATENCY_WORST
    return causes


def refusal_of(
    application: Application, group: OfferGroup, causes: dict[RegionId, RefusalCause]
) -> RefusalCause | None:
    """Return why an application may not use a group, by its region and market; None where it may.

    Args:
        application: The application.
        group: What is sold.
        causes: What `region_causes` returned for the group's region.
    """
    if group.region in causes:
        return causes[group.region]
    if group.market is Market.SPOT and application.market.spot is Spot.NEVER:
        return RefusalCause.SPOT_NOT_ALLOWED
    return None


def refusals(
    application: Application, groups: tuple[OfferGroup, ...], causes: dict[RegionId, RefusalCause]
) -> Counter[RefusalCause]:
    """Return how many of the offers that some application may use this one may not, by cause."""
    found = [refusal_of(application, group, causes) or _misfit(application, group.machine) for group in groups]
    zoned = {g.region for g, cause in zip(groups, found, strict=True) if cause is None and not is_zoneless(g)}
    counts: Counter[RefusalCause] = Counter()
    for group, cause in zip(groups, found, strict=True):
        if cause is not None:
            counts[cause] += len(group.offers)
        elif application.survive.any is FailureDomain.ZONE and is_zoneless(group) and group.region in zoned:
            counts[RefusalCause.ZONE_UNKNOWN] += len(group.offers)
    return counts


def is_zoneless(group: OfferGroup) -> bool:
    """Return whether a group's machines are in no zone that is known."""
    return group.offers[0].key.zone == NO_ZONE


def _misfit(application: Application, machine: Machine) -> RefusalCause | None:
    fits = any(replicas_per_machine(shape, machine) for shape in application.shapes)
    return None if fits else RefusalCause.NO_SHAPE_FITS
