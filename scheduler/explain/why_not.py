"""Why an application is not placed in a region or on an offer: it may not be, or it costs so much more. Pure."""

from dataclasses import dataclass, replace

from scheduler.explain.counterfactual import from_scratch
from scheduler.explain.obstacles import Obstacle, concerning, obstacles
from scheduler.solve.fit import replicas_per_machine
from scheduler.solve.latency import atlas
from scheduler.solve.refusals import refusal_of, region_causes
from scheduler.solve.supply import build_supply
from state.model.catalog import Offer
from state.model.placement import RefusalCause
from state.model.snapshot import Snapshot
from state.model.spec import CapacitySpec
from state.model.units import MILLI, Usd


@dataclass(frozen=True, slots=True)
class WhyNot:
    """The answer for one place or offer."""

    place: str
    is_used: bool
    offers: int
    """How many offers there match."""
    causes: tuple[tuple[RefusalCause, int], ...]
    """Why offers there may not be used, with counts."""
    costs_more: Usd | None
    """What it would cost more per hour to run at least one replica there; None where that is not possible."""
    cheapest: Offer | None
    """The cheapest that may be used."""
    obstacles: tuple[Obstacle, ...] = ()
    """Why nothing can be offered: to the application, or to all."""


def why_not(snapshot: Snapshot, application: str, place: str) -> WhyNot:
    """Return why an application does not use a provider, a region, or offers whose key begins with *place*."""
    if snapshot.wanted is None:
        return WhyNot(place, is_used=False, offers=0, causes=(), costs_more=None, cheapest=None)
    spec = snapshot.wanted.spec
    matching = [o for o in snapshot.offers if o.machine.gpus and f"{o.key}/".startswith(place.rstrip("/") + "/")]
    usable, causes = _screened(snapshot, spec, application, matching)
    base = from_scratch(snapshot)
    keys = {o.key for o in usable}
    is_used = any(m.offer.key in keys for m in base.placement.machines) and any(
        r.application == application and (r.region, r.instance_type) in {(k.region, k.instance_type) for k in keys}
        for r in base.placement.replicas
    )
    cheapest = min(usable, key=lambda o: (o.price.per_hour.micros / o.machine.gpus, o.key), default=None)
    whole = base.per_hour
    costs_more = None
    if usable and whole is not None and not is_used:
        costs_more = _forced(snapshot, spec, application, usable, whole)
    return WhyNot(
        place,
        is_used,
        len(matching),
        tuple(sorted(causes.items())),
        costs_more,
        cheapest,
        concerning(obstacles(snapshot, base.placement), application),
    )


def _screened(
    snapshot: Snapshot, spec: CapacitySpec, application: str, matching: list[Offer]
) -> tuple[list[Offer], dict[RefusalCause, int]]:
    """Return which offers may be used, and counts of the others by cause."""
    wanted = spec.applications[application]
    one = spec.model_copy(update={"applications": {application: wanted}})
    causes: dict[RefusalCause, int] = {}
    usable = []
    for offer in matching:
        here = build_supply(replace(snapshot, offers=(offer, *(o for o in snapshot.offers if not o.machine.gpus))), one)
        cause = next(iter(sorted(here.refused)), None)
        group = next((g for g in here.groups if any(o.key == offer.key for o in g.offers)), None)
        if cause is None and group is not None:
            cause = refusal_of(wanted, group, region_causes(wanted, (offer.key.region,), atlas(snapshot)))
            if cause is None and not any(replicas_per_machine(shape, group.machine) for shape in wanted.shapes):
                cause = RefusalCause.NO_SHAPE_FITS
            if cause is None and group.high == 0:
                cause = RefusalCause.STOCK_OUT
        if cause is None:
            usable.append(offer)
        else:
            causes[cause] = causes.get(cause, 0) + 1
    return usable, causes


def _forced(snapshot: Snapshot, spec: CapacitySpec, application: str, usable: list[Offer], whole: Usd) -> Usd | None:
    """Return what it costs more if at least one replica must run on one of these offers."""
    wanted = spec.applications[application]
    one = min(wanted.replica_milli(shape) for shape in wanted.shapes) / MILLI
    keys = {offer.key for offer in usable}
    best: Usd | None = None
    for region in sorted({offer.key.region for offer in usable}):
        others = tuple(o for o in snapshot.offers if o.key.region != region or o.key in keys or not o.machine.gpus)
        floors = {**wanted.regions.floors, region: max(one, wanted.regions.floors.get(region, 0.0))}
        rules = wanted.regions.model_copy(update={"floors": floors})
        changed = wanted.model_copy(update={"regions": rules})
        forced = spec.model_copy(update={"applications": {**spec.applications, application: changed}})
        cost = from_scratch(replace(snapshot, offers=others), forced).per_hour
        if cost is not None and (best is None or cost < best):
            best = cost
    return None if best is None else Usd(max(0, best.micros - whole.micros))
