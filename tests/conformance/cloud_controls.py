"""The controls over a cloud that the provider contract needs beside the provider."""

from collections.abc import Callable
from datetime import datetime

from providers.faults import FaultBoard
from state.model.catalog import Offer
from state.model.ids import InstanceId, RegionId


class CloudControls:
    """Outages, stock, quotas, faults, lists, notices, reservations and impairments of one cloud."""

    def __init__(
        self,
        lose: Callable[[RegionId], None],
        restore: Callable[[RegionId], None],
        empty: Callable[[Offer], None],
        use_up_quota: Callable[[Offer], None],
        faults: FaultBoard,
        lists: Callable[..., None],
        announce_maintenance: Callable[[InstanceId], datetime],
        reserve: Callable[[Offer, int], None],
        impair: Callable[[InstanceId], object],
    ) -> None:
        self.lose = lose
        self.restore = restore
        self.empty = empty
        self.use_up_quota = use_up_quota
        self.faults = faults
        self.lists = lists
        """Keywords: `lag`, `page`, `duplicates`."""
        self.announce_maintenance = announce_maintenance
        self.reserve = reserve
        self.impair = impair
