"""One look at every region of a cloud, in parallel; one that fails is blind, and hides nothing else."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from providers.base import Sighting
from state.model.ids import RegionId
from state.model.inventory import CloudInstance

Item = TypeVar("Item")


def without_repeats(seen: Iterable[CloudInstance]) -> list[CloudInstance]:
    """Return each machine once: pages that shift while they are read name some twice."""
    return list({machine.cloud_id: machine for machine in seen}.values())


def look_everywhere(
    regions: tuple[RegionId, ...],
    look: Callable[[RegionId], list[Item]],
    failures: tuple[type[Exception], ...],
    reason: Callable[[Exception], str],
) -> Sighting[Item]:
    """Return what *look* sees in all regions.

    Args:
        regions: Where to look.
        look: Sees one region whole.
        failures: The exceptions by which the cloud's SDK says that it could not.
        reason: Puts such an exception into words.
    """
    items: list[Item] = []
    blind: dict[RegionId, str] = {}
    with ThreadPoolExecutor(len(regions)) as pool:
        for region, future in [(region, pool.submit(look, region)) for region in regions]:
            try:
                items += future.result()
            except failures as error:
                blind[region] = reason(error)
    return Sighting(tuple(items), blind)
