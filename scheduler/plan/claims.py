"""Which reservation each launch of one plan takes its place from. Pure.

Launches run in parallel: each that looked for a free place by itself would find the same one.
"""

from collections import Counter
from collections.abc import Iterable

from state.model.catalog import Offer
from state.model.inventory import Instance
from state.model.lifecycle import InstanceStatus


class Claims:
    """The places that launches take, those of launches with an unknown outcome included."""

    def __init__(self, instances: Iterable[Instance]) -> None:
        """Count what was claimed before and is not listed yet."""
        self._taken = Counter(
            i.reservation
            for i in instances
            if i.reservation is not None and i.cloud_id is None and i.status is InstanceStatus.REQUESTED
        )

    def take(self, offer: Offer) -> str | None:
        """Return the reservation for the next machine of an offer: the free one that ends first, or None."""
        for place in offer.places:
            if self._taken[place.id] < place.free:
                self._taken[place.id] += 1
                return place.id
        return None
