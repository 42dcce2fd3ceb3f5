"""What every provider is built from beside its own settings."""

from collections.abc import Callable
from dataclasses import dataclass

from providers.prices import PriceList
from providers.throttle import PauseLog
from state.clock import Clock


@dataclass(frozen=True, slots=True)
class Context:
    """The installation's parts that providers use."""

    prices: Callable[[], PriceList]
    """Returns the price list in force."""
    owner: Callable[[], str]
    """Returns the installation's id."""
    clock: Clock
    pauses: PauseLog | None = None
    """The pauses that clouds ask for, shared by all processes; None: by none."""
