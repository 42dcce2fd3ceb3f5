"""The rates of spot machines, read from the billing catalogue once an hour."""

import threading
from datetime import timedelta
from typing import Final

from providers.gcp.api import GcpApi
from providers.gcp.billing import SpotRates, spot_rates
from providers.gcp.errors import FAMILIES
from state.clock import Clock

MAX_AGE: Final = timedelta(hours=1)
"""Google changes them once a day at most. Source: Compute Engine documentation, "Spot VMs", pricing."""


class CachedRates:
    """The last rates that were read."""

    def __init__(self, api: GcpApi, clock: Clock) -> None:
        """Read nothing yet."""
        self._api, self._clock = api, clock
        self._lock = threading.Lock()
        self._rates: SpotRates | None = None

    def __call__(self) -> tuple[SpotRates, str]:
        """Return (rates at most an hour old, why there are none); a failed read is repeated by the next call."""
        with self._lock:
            now = self._clock.now()
            if self._rates is not None and now - self._rates.as_of < MAX_AGE:
                return self._rates, ""
            try:
                self._rates = spot_rates(self._api.skus(), now)
            except (*FAMILIES, KeyError, ValueError) as error:
                return SpotRates(now), f"{type(error).__name__}: {error}"
            return self._rates, ""
