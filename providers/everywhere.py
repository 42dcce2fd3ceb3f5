"""One look at every region of a cloud, in parallel; one that fails is blind, and hides nothing else."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from providers.base import Observation
from providers.errors import ProviderError
from providers.throttle import RateLimiter
from state.model.ids import RegionId
from state.model.inventory import CloudInstance

PARALLEL_REGIONS: Final = 32

Item = TypeVar("Item")


def without_repeats(seen: Iterable[CloudInstance]) -> list[CloudInstance]:
    """Return each machine once: pages that shift while they are read name some twice."""
    return list({machine.cloud_id: machine for machine in seen}.values())


def query_all_regions(
    regions: tuple[RegionId, ...],
    look: Callable[[RegionId], list[Item]],
    limiter: RateLimiter,
    failures: tuple[type[Exception], ...],
    translate: Callable[[Exception], ProviderError],
) -> Observation[Item]:
    """Return what *look* sees in all regions.

    Args:
        regions: Where to look.
        look: Sees one region whole.
        limiter: Sets the pace, and tries again.
        failures: The exceptions by which the cloud's SDK says that it could not.
        translate: Returns ours for one of them.
    """
    items: list[Item] = []
    unreachable: dict[RegionId, str] = {}
    with ThreadPoolExecutor(min(len(regions), PARALLEL_REGIONS)) as pool:
        asked = [(r, pool.submit(limiter.look, r, lambda r=r: look(r), failures, translate)) for r in regions]
        for region, future in asked:
            try:
                items += future.result()
            except ProviderError as error:
                unreachable[region] = str(error)
    return Observation(tuple(items), unreachable)
