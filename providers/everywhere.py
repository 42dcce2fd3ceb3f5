"""One read in every region of a cloud, in parallel; one that fails leaves only its own region unreachable."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from providers.base import Observation
from providers.errors import NotConnectedError, ProviderError
from providers.throttle import RateLimiter
from state.model.ids import RegionId
from state.model.inventory import CloudInstance

PARALLEL_REGIONS: Final = 32

Item = TypeVar("Item")


def without_repeats(seen: Iterable[CloudInstance]) -> list[CloudInstance]:
    """Return each machine once: pages that shift while they are read name some twice."""
    return list({machine.cloud_id: machine for machine in seen}.values())


def unanswered(regions: Iterable[RegionId], error: ProviderError) -> Observation[Any]:
    """Return what one failed call for all regions leaves: none of them is reachable."""
    regions = tuple(regions)
    not_connected = frozenset(regions) if isinstance(error, NotConnectedError) else frozenset()
    return Observation((), dict.fromkeys(regions, str(error)), not_connected=not_connected)


def query_all_regions(
    regions: tuple[RegionId, ...],
    read: Callable[[RegionId], list[Item]],
    limiter: RateLimiter,
    failures: tuple[type[Exception], ...],
    translate: Callable[[Exception], ProviderError],
) -> Observation[Item]:
    """Return the items of all regions.

    Args:
        regions: The regions to read.
        read: Returns all items of one region.
        limiter: Sets the pace, and retries.
        failures: The exceptions of the cloud's SDK.
        translate: Returns our error for one of them.
    """
    items: list[Item] = []
    unreachable: dict[RegionId, str] = {}
    not_connected: set[RegionId] = set()
    with ThreadPoolExecutor(min(len(regions), PARALLEL_REGIONS)) as pool:
        pending = [(r, pool.submit(limiter.read, r, lambda r=r: read(r), failures, translate)) for r in regions]
        for region, future in pending:
            try:
                items += future.result()
            except ProviderError as error:
                unreachable[region] = str(error)
                if isinstance(error, NotConnectedError):
                    not_connected.add(region)
    return Observation(tuple(items), unreachable, not_connected=frozenset(not_connected))
