"""Why a plan has nothing to offer an application: nothing answered, nothing is sold, or everything is short. Pure."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from providers.gpus import same_gpu
from scheduler import shortages
from state.model.catalog import Offer, Shortage
from state.model.ids import ApplicationName
from state.model.placement import Placement
from state.model.snapshot import ReadFailure, ReadKind, Snapshot
from state.model.spec import Application

DECISIVE: Final = frozenset({ReadKind.OFFERS, ReadKind.INSTANCES})
"""Without these nothing is bought in a region."""


class ObstacleKind(StrEnum):
    """What stands in the way."""

    NO_PROVIDER_ANSWERED = "no_provider_answered"
    NOTHING_SOLD = "nothing_sold"
    """Every provider answered, and none offers a machine with GPUs."""
    GPU_NOT_SOLD = "gpu_not_sold"
    EVERYTHING_SHORT = "everything_short"
    """Every offer that fits is covered by a shortage."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing can be offered; fields that do not apply are empty."""

    kind: ObstacleKind
    application: ApplicationName | None = None
    """None: it is the same for all."""
    failures: tuple[ReadFailure, ...] = ()
    gpus: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """GPU models that are asked for and not sold, each with similar ones that are."""
    shortages: tuple[Shortage, ...] = ()


def obstacles(snapshot: Snapshot, placement: Placement) -> tuple[Obstacle, ...]:
    """Return why applications without any capacity have none, where no offer can serve them at all."""
    sold = [offer for offer in snapshot.offers if offer.machine.gpus]
    if snapshot.wanted is None or not placement.unmet:
        return ()
    if not sold:
        failures = tuple(failure for failure in snapshot.failures if failure.kind in DECISIVE)
        kind = ObstacleKind.NO_PROVIDER_ANSWERED if failures else ObstacleKind.NOTHING_SOLD
        return (Obstacle(kind, failures=failures),)
    return tuple(_obstacles(snapshot, placement, sold))


def _obstacles(snapshot: Snapshot, placement: Placement, sold: list[Offer]) -> Iterator[Obstacle]:
    if snapshot.wanted is None:
        return
    for unmet in placement.unmet:
        if placement.capacity_milli(unmet.application):
            continue
        application = snapshot.wanted.spec.applications[unmet.application]
        fitting = [offer for offer in sold if any(same_gpu(s.gpu, offer.machine.gpu or "") for s in application.shapes)]
        if not fitting:
            yield Obstacle(ObstacleKind.GPU_NOT_SOLD, unmet.application, gpus=_not_sold(application, sold))
            continue
        found = [shortages.in_force(snapshot.shortages, offer, snapshot.taken_at) for offer in fitting]
        short = {shortage.scope: shortage for shortage in found if shortage is not None}
        if None not in found:
            in_order = tuple(short[scope] for scope in sorted(short))
            yield Obstacle(ObstacleKind.EVERYTHING_SHORT, unmet.application, shortages=in_order)


def _not_sold(application: Application, sold: list[Offer]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = sorted({offer.machine.gpu for offer in sold if offer.machine.gpu is not None})
    asked = dict.fromkeys(shape.gpu for shape in application.shapes)
    return tuple((gpu, tuple(difflib.get_close_matches(gpu.upper(), names, n=2, cutoff=0.5))) for gpu in asked)
