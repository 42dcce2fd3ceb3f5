"""Why a plan has nothing to offer an application: nothing answered, nothing is sold, or everything is short. Pure."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from providers.gpus import same_gpu
from scheduler import shortages
from state.model.catalog import Offer, Shortage
from state.model.ids import ApplicationName, provider_of
from state.model.placement import Placement
from state.model.snapshot import ReadFailure, ReadKind, Snapshot
from state.model.spec import Application

DECISIVE: Final = frozenset({ReadKind.OFFERS, ReadKind.INSTANCES})
"""Without these nothing is bought in a region."""


class ObstacleKind(StrEnum):
    """What stands in the way."""

    NO_PROVIDER_ANSWERED = "no_provider_answered"
    """No read of offers or machines succeeded."""
    NO_OFFERS_READ = "no_offers_read"
    """Machines could be read somewhere, offers nowhere."""
    NOTHING_SOLD = "nothing_sold"
    """No provider that answered offers a machine with GPUs."""
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
    """What could not be read, and may change the answer."""
    gpus: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """GPU models that are asked for and not sold, each with similar ones that are."""
    shortages: tuple[Shortage, ...] = ()


BLOCKING: Final = frozenset({ObstacleKind.NO_PROVIDER_ANSWERED, ObstacleKind.NO_OFFERS_READ})
"""With these nothing can be decided, whatever stands."""


def are_blocking(obstacles: Iterable[Obstacle]) -> bool:
    """Return whether nothing could be decided, since no offers were read."""
    return any(obstacle.kind in BLOCKING for obstacle in obstacles)


def decisive_failures(snapshot: Snapshot) -> tuple[ReadFailure, ...]:
    """Return what could not be read of offers and machines: a plan does without those regions."""
    return tuple(failure for failure in snapshot.failures if failure.kind in DECISIVE)


def obstacles(snapshot: Snapshot, placement: Placement) -> tuple[Obstacle, ...]:
    """Return why nothing can be offered: to all, whatever stands, or to applications without any capacity."""
    if snapshot.wanted is None:
        return ()
    failures = decisive_failures(snapshot)
    if not _is_any_read(snapshot, ReadKind.OFFERS):
        is_silent = not _is_any_read(snapshot, ReadKind.INSTANCES)
        kind = ObstacleKind.NO_PROVIDER_ANSWERED if is_silent else ObstacleKind.NO_OFFERS_READ
        return (Obstacle(kind, failures=failures),)
    if not placement.unmet:
        return ()
    unread = tuple(failure for failure in failures if failure.kind is ReadKind.OFFERS)
    sold = [offer for offer in snapshot.offers if offer.machine.gpus]
    if not sold:
        return (Obstacle(ObstacleKind.NOTHING_SOLD, failures=unread),)
    return tuple(_obstacles(snapshot, placement, sold, unread))


def concerning(found: Iterable[Obstacle], application: str) -> tuple[Obstacle, ...]:
    """Return the obstacles of one application, and those that are the same for all."""
    return tuple(obstacle for obstacle in found if obstacle.application in {None, application})


def _is_any_read(snapshot: Snapshot, kind: ReadKind) -> bool:
    """Return whether a read of a kind succeeded in some region, or failed in none."""
    failed = {failure.region for failure in snapshot.failures if failure.kind is kind}
    providers = {name for name, _ in snapshot.capabilities}
    regions = {cell.region for cell in snapshot.cell_settings if provider_of(cell.region) in providers}
    regions |= {offer.key.region for offer in snapshot.offers}
    return not failed or bool(regions - failed) or bool(providers - {provider_of(region) for region in failed})


def _obstacles(
    snapshot: Snapshot, placement: Placement, sold: list[Offer], unread: tuple[ReadFailure, ...]
) -> Iterator[Obstacle]:
    if snapshot.wanted is None:
        return
    for unmet in placement.unmet:
        if placement.capacity_milli(unmet.application):
            continue
        application = snapshot.wanted.spec.applications[unmet.application]
        fitting = [offer for offer in sold if any(same_gpu(s.gpu, offer.machine.gpu or "") for s in application.shapes)]
        if not fitting:
            gpus = _not_sold(application, sold)
            yield Obstacle(ObstacleKind.GPU_NOT_SOLD, unmet.application, failures=unread, gpus=gpus)
            continue
        found = [shortages.in_force(snapshot.shortages, offer, snapshot.taken_at) for offer in fitting]
        short = {shortage.scope: shortage for shortage in found if shortage is not None}
        if None not in found:
            in_order = tuple(short[scope] for scope in sorted(short))
            kind = ObstacleKind.EVERYTHING_SHORT
            yield Obstacle(kind, unmet.application, failures=unread, shortages=in_order)


def _not_sold(application: Application, sold: list[Offer]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = {offer.machine.gpu for offer in sold if offer.machine.gpu is not None}
    asked = dict.fromkeys(shape.gpu for shape in application.shapes)
    return tuple((gpu, similar_gpus(gpu, names)) for gpu in asked)


def similar_gpus(gpu: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the *names* of GPU models that are spelt most like *gpu*."""
    return tuple(difflib.get_close_matches(gpu.upper(), sorted(names), n=2, cutoff=0.5))
