"""What launches and machines taught of each pool: sums that fade, so that old weather counts less."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from pydantic import AwareDatetime

from state.model.catalog import OfferKey

HALF_LIFE: Final = timedelta(days=3)
"""After this time an observation counts half: stock and reclaims change over days."""
FORGOTTEN_AFTER: Final = timedelta(days=30)
"""A pool without any observation for so long is forgotten: a thousandth of its weight is left."""


LOSSES_KEPT: Final = 10
"""Newest losses that are kept of each pool: as many as open the breaker of a whole region."""
LOSSES_FOR: Final = timedelta(hours=6)
"""How long a loss is kept: longer than any breaker stays open."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of an accepted machine that we did not ask for, or of one that was of no use."""

    at: AwareDatetime
    lived: timedelta
    """Since its request."""
    cause: str = ""
    """The kind and the provider's own code; empty where its cloud reports no cause that others could share."""
    useless: bool = False
    """Whether it never carried a replica, or as a head never had a cell, however long it lived."""


@dataclass(frozen=True, slots=True)
class PoolWeather:
    """What is known of one pool: an instance type in a zone and a market. Counts and sums are faded as of *at*."""

    key: OfferKey
    at: AwareDatetime
    launches: float = 0.0
    """Launches whose outcome is known."""
    failures: float = 0.0
    """Of these, the ones that stock refused, or whose machine never ran."""
    starts: float = 0.0
    """Machines that came to run."""
    start_seconds: float = 0.0
    """Their times from the request until they ran, in all."""
    spot_hours: float = 0.0
    """How long spot machines ran that do so no more."""
    interruptions: float = 0.0
    """How many of these their cloud ended."""
    losses: tuple[Loss, ...] = ()
    """The newest ones, oldest first; these do not fade."""

    def faded(self, now: AwareDatetime) -> "PoolWeather":
        """Return the same sums as of *now*; a clock that went back fades nothing."""
        weight = 0.5 ** (max(timedelta(), now - self.at) / HALF_LIFE)
        return replace(
            self,
            at=max(now, self.at),
            launches=self.launches * weight,
            failures=self.failures * weight,
            starts=self.starts * weight,
            start_seconds=self.start_seconds * weight,
            spot_hours=self.spot_hours * weight,
            interruptions=self.interruptions * weight,
            losses=tuple(loss for loss in self.losses if loss.at > now - LOSSES_FOR),
        )
